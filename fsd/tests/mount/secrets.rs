//! Secrets: no credential, token or query string in anything that fsd writes or shows.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use nix::sys::signal::Signal;

use super::{control::read_sum, support::*};

const MIB: u64 = 1 << 20;
const CANARY: &str = "CANARY7e57";

/// Files below `dir` that hold the canary.
fn told(dir: &Path) -> Vec<std::path::PathBuf> {
    let holds = |path: &std::path::PathBuf| fs::read(path).is_ok_and(|bytes| contains(&bytes));
    files(dir).into_iter().filter(holds).collect()
}

fn contains(bytes: &[u8]) -> bool {
    bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes())
}

/// Processes whose arguments show the canary.
fn in_arguments() -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let shown = entries.filter(|entry| fs::read(entry.path().join("cmdline")).is_ok_and(|bytes| contains(&bytes)));
    shown.map(|entry| entry.path().display().to_string()).collect()
}

/// Programs started by `parent` whose environment holds the canary. Between fork and exec a child still is its parent:
/// the kernel shows the memory of the parent under the child's number.
fn in_children(parent: u32) -> Vec<String> {
    let arguments = |dir: &Path| fs::read(dir.join("cmdline")).unwrap_or_default();
    let before_exec = arguments(Path::new(&format!("/proc/{parent}")));
    let child = |dir: &Path| {
        let stat = fs::read_to_string(dir.join("stat")).unwrap_or_default();
        stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)?.parse::<u32>().ok()) == Some(parent)
    };
    let entries = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let shows = |dir: &Path| fs::read(dir.join("environ")).is_ok_and(|bytes| contains(&bytes));
    // The arguments are read last: a child that shows others than its parent's then has shown its own environment,
    // unless it ran exec between the two looks, in which case a second look at the environment tells.
    let found = entries.filter(|dir| child(dir) && shows(dir) && arguments(dir) != before_exec && shows(dir));
    found.map(|dir| dir.display().to_string()).collect()
}

#[test]
fn r49_s110_a_canary_never_sings() {
    let origin = Origin::start().unwrap();
    origin.file("a", MIB).file("b", MIB).file("slow", 4 * MIB).require("b", "X-Key", CANARY);
    let with_secrets = |path: &str| {
        let url = origin.url(path).replace("http://", &format!("http://user:{CANARY}@"));
        format!("{url}?token={CANARY}")
    };
    let dirs = Dirs::new();
    let headers = dirs.root().join("headers-of-the-test");
    fs::write(&headers, format!("X-Key: {CANARY}\n")).unwrap();
    let headers = headers.display().to_string();
    let args =
        ["--log-level", "trace", "--stalled-after", "1s", "--watchdog-interval", "200ms", "--header-file", &headers];
    // Both ways in which a source can be given: the first shows in argv, the second in the environment.
    let mounted = try_mount(dirs, Some(&with_secrets("")), &args, |command| {
        command.env("FSD_SOURCE", with_secrets("elsewhere"));
    });
    let mounted = mounted.unwrap_or_else(|failed| panic!("{failed:?}"));
    assert_eq!(in_arguments(), Vec::<String>::new());

    assert_eq!(read_sum(&mounted.path("a")).0, MIB);
    let staged = mounted.fsd(&["stage", &with_secrets("b"), "--header-file", &headers]);
    let said = text(&staged.stdout);
    assert_eq!(read_sum(said.trim_end().split_once(' ').unwrap().1.as_ref()).0, MIB);
    for args in [vec!["stage", "http://nobody.invalid/?CANARY7e57"], vec!["list", "--json"], vec!["status", "--json"]] {
        let output = mounted.fsd(&args);
        assert!(!contains(&output.stdout) && !contains(&output.stderr), "{args:?}");
    }

    // A stall, a dump, and the helper process that names the frames.
    origin.always("slow", Fault::Silent);
    let mut reader = Command::new("cat").arg(mounted.path("slow")).stdout(std::process::Stdio::null()).spawn().unwrap();
    mounted.signal(Signal::SIGQUIT);
    mounted.await_event(|event| {
        assert_eq!(in_children(mounted.worker()), Vec::<String>::new());
        event["ev"] == "stall"
    });
    origin.heal().release();
    reader.wait().unwrap();

    let (home, greeting, messages) = (mounted.home().clone(), mounted.greeting.clone(), mounted.messages());
    // What a later worker must know of staged files is for our user only, and goes with them.
    let (kept, told_elsewhere): (Vec<_>, Vec<_>) =
        told(home.runtime()).into_iter().partition(|path| path.file_name().is_some_and(|name| name == "staged"));
    assert_eq!(told_elsewhere, Vec::<std::path::PathBuf>::new());
    assert!(kept.iter().all(|path| path.metadata().unwrap().permissions().mode() & 0o777 == 0o600), "{kept:?}");
    assert!(!contains(greeting.as_bytes()) && !contains(messages.as_bytes()), "{greeting}\n{messages}");
    let state = home.state();
    mounted.signal(Signal::SIGTERM);
    // Looked at before the directories go with the guard.
    await_true("the last line", || events(&mounted.events()).last().is_some_and(|event| event["ev"] == "stop"));
    assert_eq!(told(&state), Vec::<std::path::PathBuf>::new());
    mounted.gone();
    assert_eq!(told(home.runtime()), Vec::<std::path::PathBuf>::new());
}
