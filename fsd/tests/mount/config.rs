//! Configuration, as the built program reads and shows it.

use std::{collections::BTreeMap, fs, path::Path, process::Output};

use fsd::process::config::{keys::KEYS, value};

use super::support::*;

/// Every key of the seed, a value for its file, and how `config show` prints it.
const SEED: [(&str, &str, &str); 9] = [
    ("mountpoint", "\"/mnt/seed\"", "/mnt/seed"),
    ("fetch_mode", "\"range-lru\"", "range-lru"),
    ("temp_dir", "\"/var/tmp/seed\"", "/var/tmp/seed"),
    ("chunk_size", "4194304", "4MiB"),
    ("max_concurrent_requests", "4", "4"),
    ("cache_size", "8", "8"),
    ("enable_app_nap", "true", "true"),
    ("debug_skip_eviction", "true", "true"),
    ("debug_fskit_single_thread", "true", "true"),
];

fn show(dirs: &Dirs, args: &[&str], variables: &[(String, String)]) -> Output {
    let mut command = dirs.home().command(program());
    command.args(["config", "show", "--origin"]).args(args);
    // Not the directories of the test: every value is to come from where this test puts it.
    for name in ["FSD_RUNTIME_DIR", "FSD_STATE_DIR", "FSD_TEMP_DIR"] {
        command.env_remove(name);
    }
    command.envs(variables.iter().cloned()).output().unwrap()
}

/// Key, value and origin of each line.
fn lines(output: &Output) -> BTreeMap<String, (String, String)> {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let shown = text(&output.stdout);
    let each = shown.lines().map(|line| {
        let (key, rest) = line.split_once(" = ").or_else(|| line.split_once(" =")).unwrap();
        let (value, origin) = rest.split_once("# ").unwrap();
        (key.to_owned(), (value.trim().to_owned(), origin.to_owned()))
    });
    each.collect()
}

fn write(dir: &Path, text: &str) -> String {
    fs::create_dir_all(dir).unwrap();
    fs::write(dir.join("config.toml"), text).unwrap();
    dir.join("config.toml").display().to_string()
}

#[test]
fn every_setting_is_shown_with_its_value_and_origin() {
    let shown = lines(&show(&Dirs::new(), &[], &[]));
    assert_eq!(shown.len(), KEYS.len());
    for key in KEYS {
        // In the largest unit that fits: 60s is 1m.
        let value =
            value::parse(key.kind, key.default).map_or_else(|_| key.default.to_owned(), |value| value.to_string());
        assert_eq!(shown[key.name], (value, "default".to_owned()), "{}", key.name);
    }
}

#[test]
fn every_key_of_the_seed_works_in_its_file_in_its_variables_and_in_ours() {
    let dirs = Dirs::new();
    let file: String = SEED.iter().map(|(key, value, _)| format!("{key} = {value}\n")).collect();
    let file = write(&dirs.root().join(".fuse-stream-mvp"), &file);
    let shown = lines(&show(&dirs, &[], &[]));
    for (n, (key, _, value)) in SEED.iter().enumerate() {
        assert_eq!(shown[*key], ((*value).to_owned(), format!("{file}:{}", n + 1)), "{key}");
    }
    for prefix in ["FSMVP_", "FSD_"] {
        let name = |key: &str| format!("{prefix}{}", key.to_uppercase());
        let variables: Vec<_> = SEED.iter().map(|(key, _, value)| (name(key), (*value).to_owned())).collect();
        let shown = lines(&show(&Dirs::new(), &[], &variables));
        for (key, _, value) in SEED {
            assert_eq!(shown[key], (value.to_owned(), format!("environment {}", name(key))), "{key}");
        }
    }
}

#[test]
fn the_stronger_place_wins_and_both_files_are_read() {
    let dirs = Dirs::new();
    let seeds = write(&dirs.root().join(".fuse-stream-mvp"), "threads = 2\nchunk_size = 65536\ncache_size = 3\n");
    let ours =
        write(&dirs.root().join("config/fsd"), "threads = 3\nallow_hosts = [\"cdn\", \"*.b:8\"]\nread_timeout = 9\n");
    let variables = [("FSMVP_READ_TIMEOUT", "8s"), ("FSD_READ_TIMEOUT", "7s"), ("FSMVP_CHUNK_SIZE", "1MiB")];
    let variables: Vec<_> = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let shown = lines(&show(&dirs, &[], &variables));
    for (key, value, origin) in [
        ("threads", "3", format!("{ours}:1")),
        ("allow_hosts", "cdn,*.b:8", format!("{ours}:2")),
        ("cache_size", "3", format!("{seeds}:3")),
        ("read_timeout", "7s", "environment FSD_READ_TIMEOUT".to_owned()),
        ("chunk_size", "1MiB", "environment FSMVP_CHUNK_SIZE".to_owned()),
        ("meta_timeout", "5s", "default".to_owned()),
    ] {
        assert_eq!(shown[key], (value.to_owned(), origin), "{key}");
    }
    let shown = lines(&show(&dirs, &["--read-timeout", "6s", "--threads=5"], &variables));
    assert_eq!(shown["read_timeout"], ("6s".to_owned(), "command line".to_owned()));
    assert_eq!(shown["threads"], ("5".to_owned(), "command line".to_owned()));
}

#[test]
fn a_wrong_value_names_its_place_and_what_is_allowed_wherever_it_stands() {
    let dirs = Dirs::new();
    let variable = [("FSMVP_CACHE_SIZE".to_owned(), "much".to_owned())];
    let file = write(&dirs.root().join("config/fsd"), "# mine\nallow_hosts = [\"*\"]\n");
    let seeds = write(&dirs.root().join("seed/.fuse-stream-mvp"), "fetch_mode = \"both\"\n");
    for (output, place, allowed) in [
        (show(&dirs, &[], &[]), format!("{file}:2: allow_hosts"), "`*.domain`"),
        (show(&dirs, &["--config", &seeds], &[]), format!("{seeds}:1: fetch_mode = both"), "temp-file, range-lru"),
        (show(&dirs, &[], &variable), "environment FSMVP_CACHE_SIZE=much".to_owned(), "number of chunks"),
        (show(&dirs, &["--threads", "many"], &[]), "--threads many".to_owned(), "from 1 to 64"),
    ] {
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(&place) && said.contains("allowed: ") && said.contains(allowed), "{said}");
    }
}

#[test]
fn an_unknown_key_warns_and_suggests_wherever_it_stands() {
    let dirs = Dirs::new();
    let file = write(&dirs.root().join(".fuse-stream-mvp"), "\nfetchmode = \"temp-file\"\n");
    let variables = [("FSD_THREDS", "1"), ("FSMVP_CHUNKSIZE", "1")].map(|(name, value)| (name.into(), value.into()));
    let output = show(&dirs, &[], &variables);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    for (place, near) in [
        (format!("{file}:2"), "fetch_mode"),
        ("FSD_THREDS".into(), "threads"),
        ("FSMVP_CHUNKSIZE".into(), "chunk_size"),
    ] {
        assert!(
            said.lines().any(|line| line.contains(&place) && line.contains(&format!("did you mean `{near}`?"))),
            "{said}"
        );
    }
}
