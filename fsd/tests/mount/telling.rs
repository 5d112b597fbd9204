//! Telling: what fsd says of itself while it works, and that saying it changes nothing.

use std::{fs, path::Path, process::Command};

use fsd::process::config::keys::KEYS;
use nix::errno::Errno;

use super::{health::*, support::*};

const MIB: u64 = 1 << 20;

#[test]
fn r27_the_first_operation_stands_in_the_log_and_a_log_that_cannot_be_is_a_failed_start() {
    let origin = origin();
    let mounted = mount(Some(&origin.url("")), &["--log-format", "seed"]);
    assert!(in_time("ls", &["-l"], &mounted.dir()));
    await_true("its line", || {
        let said = mounted.messages();
        said.contains("[FUSE] ") && said.contains(" ENTER (id=") && said.contains(" EXIT (id=")
    });
    finish_clean(mounted);
    let dirs = Dirs::new();
    let file = dirs.root().join("a file");
    fs::write(&file, "").unwrap();
    let (source, at) = (dirs.root().display().to_string(), dirs.home().mount_point().display().to_string());
    let said = dirs.fsd(&["mount", "--daemon", "--state-dir", &file.display().to_string(), &source, &at]);
    assert!(!said.status.success() && text(&said.stderr).contains("a file"), "{}", text(&said.stderr));
}

#[test]
fn a_name_of_the_origin_writes_no_line_of_its_own_into_the_log() {
    let origin = Origin::start().unwrap();
    let name = "x\nFORGED \u{1b}[2J";
    origin.file(&format!("{name}/f"), 1).always(&format!("{name}/"), Fault::status(403));
    let mounted = mount(Some(&origin.url("")), &[]);
    assert!(fs::read_dir(mounted.path(name)).unwrap().next().unwrap().is_err());
    await_true("the message", || mounted.messages().contains("cannot list"));
    let said = mounted.messages();
    assert!(said.contains(r"cannot list x\nFORGED \u{1b}[2J: "), "{said}");
    mounted.finish();
}

#[test]
fn in_a_terminal_each_thing_is_said_once_and_on_a_line_of_its_own() {
    if !have("script") {
        return skip("terminal", "no script", "script of bsdutils");
    }
    let dirs = Dirs::new();
    let (at, fsd) = (dirs.home().mount_point(), program().display());
    let (source, at) = (dirs.root().display(), at.display());
    let command = format!(
        "{fsd} mount {source} {at} & until {fsd} status {at} >/dev/null 2>&1; do :; done; {fsd} umount {at}; wait"
    );
    let said = dirs.home().command(Path::new("script")).args(["-qec", &command, "/dev/null"]).output();
    let said = text(&said.unwrap().stdout);
    for words in ["is mounted at", "is unmounted"] {
        let lines: Vec<&str> = said.lines().filter(|line| line.contains(words)).collect();
        assert!(lines.iter().all(|line| line.matches(words).count() == 1), "{said}");
        // The daemon itself and the order say the second, each in its own terminal.
        assert!(lines.len() <= if words == "is mounted at" { 1 } else { 2 }, "{said}");
        assert!(!lines.is_empty(), "{said}");
    }
}

#[test]
fn r52_every_variable_of_the_seed_is_heard_and_no_log_goes_to_a_library_folder() {
    let values = [
        ("mountpoint", "/elsewhere"),
        ("fetch_mode", "range-lru"),
        ("temp_dir", "/elsewhere"),
        ("chunk_size", "128KiB"),
        ("max_concurrent_requests", "3"),
        ("cache_size", "5MiB"),
        ("enable_app_nap", "true"),
        ("debug_skip_eviction", "true"),
        ("debug_fskit_single_thread", "true"),
    ];
    let dirs = Dirs::new();
    let mut command = dirs.home().command(program());
    command.args(["config", "show", "--origin"]);
    for (name, value) in values {
        assert!(KEYS.iter().any(|key| key.name == name), "{name}");
        command.env_remove(format!("FSD_{}", name.to_uppercase())).env(format!("FSMVP_{}", name.to_uppercase()), value);
    }
    let shown = text(&command.output().unwrap().stdout);
    for (name, value) in values {
        let line = shown.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap_or_default();
        assert!(line.contains(&format!("= {value}")) && line.contains(" FSMVP_"), "{name}: {line:?}");
    }
    let usual = |command: &mut Command| {
        command.env_remove("FSD_STATE_DIR").env_remove("XDG_STATE_HOME");
        command.env("FSMVP_DEBUG_FSKIT_SINGLE_THREAD", "true");
    };
    let mounted = try_mount(dirs, None, &[], usual).unwrap_or_else(|failed| panic!("{failed:?}"));
    assert_eq!(mounted.status()["flags"]["debug_fskit_single_thread"], true);
    let root = mounted.dirs().root().to_owned();
    assert!(mounted.presence.state_dir.starts_with(&root.join(".local/state/fsd").display().to_string()));
    assert!(!root.join("Library").exists());
    mounted.finish();
}

#[test]
fn s75_s81_a_panic_in_a_callback_poisons_nothing_and_loses_no_answer() {
    const PANICS: usize = 8;
    let origin = origin();
    for n in 0..PANICS {
        origin.file(&format!("file{n}"), MIB);
    }
    // More panics than loops: each of them must have survived its own.
    let panics = |command: &mut Command| {
        command.env("FAILPOINTS", format!("evict::block={PANICS}*panic(on purpose)"));
    };
    let mounted = try_mount(Dirs::new(), Some(&origin.url("")), &["--threads", "2"], panics).ok().unwrap();
    for n in 0..PANICS {
        let name = format!("file{n}");
        assert!(read_anew(&mounted.path(&name), 0, MIB as usize).unwrap() == origin.bytes(&name, 0, MIB as usize));
    }
    await_true("the panics", || {
        let record = mounted.recorded();
        record.iter().filter(|event| event["ev"] == "invariant" && event["what"] == "panic").count() == PANICS
    });
    serves(&mounted, &origin);
    let releases = mounted.recorded();
    let failed = releases.iter().filter(|event| event["ev"] == "exit" && event["op"] == "Release");
    assert!(failed.clone().filter(|event| event["errno"] == Errno::EIO as i32).count() >= PANICS, "each has an answer");
    let record = mounted.recorded();
    let unanswered: Vec<_> = orphans(&record).into_iter().filter(|op| op.starts_with("Release")).collect();
    assert_eq!(unanswered, Vec::<String>::new());
    drop(mounted);
}

#[test]
fn s103_what_is_told_of_a_file_is_what_has_come() {
    let origin = origin();
    origin.file("a", 4 * MIB).always("a", Fault::StallAt(MIB));
    let mounted = mount(None, &["--inactivity-timeout", "60s"]);
    let said = text(&mounted.fsd(&["stage", &origin.url("a")]).stdout);
    let path = said.trim_end().split_once(' ').unwrap().1.to_owned();
    let have = || {
        let list: serde_json::Value = serde_json::from_slice(&mounted.fsd(&["list", "--json"]).stdout).unwrap();
        list["staged"][0]["have"].as_u64().unwrap()
    };
    assert_eq!(have(), 0);
    let open = fs::File::open(&path).unwrap();
    await_true("the first part", || have() == MIB);
    origin.heal().release();
    let bytes = read_anew(path.as_ref(), 0, 4 * MIB as usize).unwrap();
    assert!(bytes == origin.bytes("a", 0, 4 * MIB as usize));
    await_true("all of it", || have() == 4 * MIB);
    mounted.await_event(|event| event["ev"] == "progress" && event["have"] == 4 * MIB);
    drop(open);
    finish_clean(mounted);
}

#[test]
fn what_fails_is_said_with_its_reason_and_without_secrets_and_not_a_thousand_times() {
    let origin = origin();
    for n in 0..20 {
        let name = format!("bad{n}");
        origin.file(&name, MIB).always(&name, Fault::status(403));
    }
    let mounted = mount(Some(&origin.url("?token=CANARY")), &["--read-timeout", "3s"]);
    for n in 0..20 {
        assert!(fs::read(mounted.path(&format!("bad{n}"))).is_err());
    }
    await_true("the reason", || mounted.messages().contains("cannot read bad0: "));
    let said = mounted.messages();
    assert!(said.contains("HTTP 403") && !said.contains("CANARY"), "{said}");
    assert!(said.matches("cannot read ").count() <= 10, "{said}");
    finish_clean(mounted);
}
