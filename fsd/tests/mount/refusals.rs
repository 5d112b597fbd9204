//! Refusals: each says what to do and ends with its own exit code.

use nix::sys::signal::Signal;

use super::support::*;

/// Mounts, and expects a refusal with that code and those words.
fn refused(source: Option<&str>, args: &[&str], code: i32, words: &[&str]) {
    let failed = try_mount(Dirs::new(), source, args, |_| ()).err().expect("refused");
    check(failed.status.and_then(|status| status.code()), &failed.stderr, code, words);
}

fn check(found: Option<i32>, stderr: &str, code: i32, words: &[&str]) {
    assert_eq!(found, Some(code), "{stderr}");
    for word in words {
        assert!(stderr.contains(word), "{word:?} is not in {stderr:?}");
    }
}

fn run(dirs: &Dirs, args: &[&str], code: i32, words: &[&str]) {
    let output = dirs.fsd(args);
    check(output.status.code(), &text(&output.stderr), code, words);
}

#[test]
fn a_source_that_is_not_there() {
    let origin = Origin::start().unwrap();
    refused(Some(&origin.url("missing/")), &[], 66, &["404"]);
    refused(Some("/no/such/directory"), &[], 66, &["/no/such/directory"]);
    refused(Some("ftp://host/"), &[], 66, &["only http and https"]);
    refused(Some("/no/such/list.toml"), &[], 66, &["list.toml", "check the path"]);
}

/// Nobody writes into it, so who reads it waits for ever.
#[test]
fn a_manifest_that_is_a_pipe() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("list.toml");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for how in ["--no-supervisor", "--supervisor"] {
        refused(Some(&pipe.display().to_string()), &[how], 66, &["list.toml", "not a regular file"]);
    }
}

#[test]
fn files_and_directories_that_cannot_be_used() {
    let origin = Origin::start().unwrap();
    let source = Some(origin.url(""));
    let source = source.as_deref();
    refused(source, &["--header-file", "/no/such/headers"], 2, &["cannot read /no/such/headers", "Name: value"]);
    refused(source, &["--temp-dir", "/proc/none"], 2, &["cannot use /proc/none", "--temp-dir"]);
    refused(source, &["--state-dir", "/proc/none"], 2, &["cannot use /proc/none", "--state-dir"]);
}

#[test]
fn a_supervisor_that_could_not_see_its_workers_beats() {
    refused(Some("/tmp"), &["--supervisor=true", "--recorder=heap"], 2, &["supervisor", "recorder"]);
    refused(Some("/tmp"), &["--recorder=loud"], 2, &["shared, heap, off"]);
}

#[test]
fn a_source_that_does_not_answer() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://user:CANARY@{closed}/?token=CANARY");
    let failed = try_mount(Dirs::new(), Some(&url), &[], |_| ()).err().expect("refused");
    check(failed.status.and_then(|status| status.code()), &failed.stderr, 75, &["connect"]);
    assert!(!failed.stderr.contains("CANARY"), "{}", failed.stderr);
}

#[test]
fn a_mount_point_that_cannot_be_one() {
    let dirs = Dirs::new();
    let place = |name: &str| dirs.root().join(name).display().to_string();
    let source = dirs.home().temp().display().to_string();
    run(&dirs, &["mount", &source, &place("missing")], 32, &["does not exist", "mkdir -p"]);
    std::fs::write(dirs.root().join("file"), "").unwrap();
    run(&dirs, &["mount", &source, &place("file")], 32, &["not a directory"]);
    std::fs::create_dir(dirs.root().join("full")).unwrap();
    std::fs::write(dirs.root().join("full/here"), "").unwrap();
    run(&dirs, &["mount", &source, &place("full")], 32, &["not empty"]);
}

#[test]
fn a_mount_point_that_is_taken() {
    let origin = Origin::start().unwrap();
    let mounted = mount(Some(&origin.url("")), &[]);
    let dir = mounted.dir().display().to_string();
    run(mounted.dirs(), &["mount", &origin.url(""), &dir], 32, &["already", "fsd umount"]);
    mounted.finish();
}

#[test]
fn s80_a_dead_mount_is_replaced() {
    let origin = Origin::start().unwrap();
    let dirs = Dirs::new();
    let home = dirs.home();
    let mut served = Served::start(program(), home, Some(&origin.url("")), &["--no-supervisor"], |_| ()).unwrap();
    served.signal(nix::sys::signal::Signal::SIGKILL);
    served.wait(SOON).unwrap();
    let again = try_mount(dirs, Some(&origin.url("")), &[], |_| ()).unwrap_or_else(|failed| panic!("{failed:?}"));
    assert!(std::fs::read_dir(again.dir()).is_ok());
    again.finish();
}

#[test]
fn wrong_words() {
    let dirs = Dirs::new();
    let config = dirs.root().join("wrong.toml");
    std::fs::write(&config, "threads = 4\nfetch_mode = \"both\"\n").unwrap();
    let config = config.display().to_string();
    run(&dirs, &["mount", "--config", &config, "/a", "/b"], 2, &["wrong.toml:2", "temp-file, range-lru"]);
    run(&dirs, &["mount", "--threads", "0", "/a", "/b"], 2, &["--threads 0", "from 1 to 64"]);
    run(&dirs, &["mount", "--log-level", "loud", "/a", "/b"], 2, &["--log-level loud", "error, warn, info"]);
    run(&dirs, &["mount"], 2, &["no mount point"]);
    let swapped = dirs.fsd(&["mount", "/b", "http://u:CANARY@h/?token=CANARY"]);
    check(swapped.status.code(), &text(&swapped.stderr), 2, &["the mount point is a URL"]);
    assert!(!text(&swapped.stderr).contains("CANARY"));
    run(&dirs, &["frobnicate"], 2, &["frobnicate"]);
    run(&dirs, &["mount", "--failpoint", "nonsense", "/a", "/b"], 2, &["NAME=ACTIONS"]);
}

#[test]
fn nobody_to_ask() {
    let dirs = Dirs::new();
    for command in ["status", "list", "umount", "dump"] {
        run(&dirs, &[command, "/nowhere"], 3, &["no fsd serves /nowhere"]);
    }
}

#[test]
fn a_frozen_fsd_holds_nobody_who_asks_how_it_is() {
    for args in [&["--no-supervisor"][..], &[]] {
        let mounted = mount(None, args);
        let pid = mounted.pid();
        let signal = |signal| nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), signal).unwrap();
        signal(Signal::SIGSTOP);
        for order in ["status", "list"] {
            let asked = mounted.fsd(&[order]);
            let said = text(&asked.stderr);
            assert!(!asked.status.success() && said.contains("did not answer within"), "{order}: {said}");
            assert!(said.contains(&format!("kill -CONT {pid}")) && said.contains("fsdiag dump"), "{said}");
        }
        signal(Signal::SIGCONT);
        assert!(mounted.fsd(&["status"]).status.success());
        mounted.finish();
    }
}

#[test]
fn an_unknown_setting_warns_and_the_origin_of_each_value_is_shown() {
    let dirs = Dirs::new();
    let config = dirs.root().join("config/fsd");
    std::fs::create_dir_all(&config).unwrap();
    std::fs::write(config.join("config.toml"), "debug_skip_evicton = true\nthreads = 8\n").unwrap();
    let seed = dirs.root().join(".fuse-stream-mvp");
    std::fs::create_dir_all(&seed).unwrap();
    std::fs::write(seed.join("config.toml"), "chunk_size = 4194304\nthreads = 2\n").unwrap();
    let mut command = dirs.home().command(program());
    let output =
        command.args(["config", "show", "--origin"]).env("FSMVP_DEBUG_FSKIT_SINGLE_THREAD", "1").output().unwrap();
    assert!(text(&output.stderr).contains("did you mean `debug_skip_eviction`?"), "{}", text(&output.stderr));
    let shown = text(&output.stdout);
    let line = |key: &str| shown.lines().find(|line| line.starts_with(key)).unwrap_or_default().to_owned();
    assert!(line("threads").contains("= 8") && line("threads").ends_with("fsd/config.toml:2"), "{}", line("threads"));
    assert!(line("chunk_size").contains("= 4MiB") && line("chunk_size").contains(".fuse-stream-mvp/config.toml:1"));
    assert!(line("debug_fskit_single_thread").ends_with("environment FSMVP_DEBUG_FSKIT_SINGLE_THREAD"));
    assert!(line("fetch_mode").ends_with("# default"));
}
