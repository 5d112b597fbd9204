//! Acting: `fsdiag restart` and `rescue` on a real mount, whatever of it still answers.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use nix::sys::signal::{Signal, kill};

use super::support::*;

const MIB: u64 = 1 << 20;

/// Whether `fsdiag` was built beside the `fsd` under test; says SKIP if not.
fn built() -> bool {
    let built = program().with_file_name("fsdiag").exists();
    if !built {
        skip("fsdiag", "only fsd was built", "cargo test --workspace");
    }
    built
}

fn fsdiag(mounted: &Mounted, args: &[&str]) -> Output {
    let mut command = mounted.home().command(&program().with_file_name("fsdiag"));
    command.args(args).stdin(Stdio::null()).output().unwrap()
}

fn send(pid: u32, signal: Signal) {
    kill(nix::unistd::Pid::from_raw(pid.cast_signed()), signal).unwrap();
}

fn origin() -> Origin {
    let origin = Origin::start().unwrap();
    origin.file("a", 4 * MIB);
    origin
}

/// Waits until the former runs are drained, so that nothing is left behind.
fn drained(mounted: &Mounted) {
    let runtime = mounted.runtime();
    let is_run = |path: &Path| path.join(fsd_events::layout::INFLIGHT).exists();
    let runs = || fs::read_dir(&runtime).unwrap().filter(|entry| is_run(&entry.as_ref().unwrap().path())).count();
    await_true("the drain of the former runs", || runs() == 1);
}

#[test]
fn a_supervisor_that_does_not_answer_is_followed_and_a_waiting_reader_sees_nothing() {
    if !built() {
        return;
    }
    let origin = origin();
    origin.always("a", Fault::StallAt(MIB));
    let mounted = mount(Some(&origin.url("")), &[]);
    let (old, copy, mount) = (mounted.now(), mounted.dirs().root().join("copy"), mounted.dir().display().to_string());
    let mut reader = Command::new("cp").arg(mounted.path("a")).arg(&copy).spawn().unwrap();
    assert!(origin.wait(SOON, |origin| origin.stalled() > 0));
    send(old.supervisor, Signal::SIGSTOP);
    let args = ["restart", &mount, "--debug-skip-eviction", "--yes"];
    let shown = fsdiag(&mounted, &[&args[..], &["--dry-run"]].concat());
    assert!(text(&shown.stdout).contains("does not answer its socket"), "{}", text(&shown.stdout));
    assert_eq!(mounted.now().run, old.run, "nothing was done");
    let done = fsdiag(&mounted, &args);
    assert!(done.status.success(), "{}{}", text(&done.stdout), text(&done.stderr));
    assert!(text(&done.stdout).contains("its worker took its place"), "{}", text(&done.stdout));
    let (new, status) = (mounted.now(), mounted.status());
    assert!(new.supervisor != old.supervisor && new.run != old.run, "{new:?}");
    assert_eq!(status["flags"]["debug_skip_eviction"], true, "{status}");
    origin.heal().release();
    assert!(reader.wait().unwrap().success());
    assert!(fs::read(copy).unwrap() == origin.bytes("a", 0, 4 * MIB as usize));
    drained(&mounted);
    assert!(mounted.fsd(&["umount"]).status.success());
}

#[test]
fn where_nothing_can_hand_over_the_mount_is_made_anew_and_that_is_said_and_asked_for() {
    if !built() {
        return;
    }
    let origin = origin();
    let mounted = mount(Some(&origin.url("")), &["--no-supervisor"]);
    let (old, mount) = (mounted.now(), mounted.dir().display().to_string());
    send(old.pid, Signal::SIGSTOP);
    let asked = fsdiag(&mounted, &["restart", &mount, "--debug-skip-eviction"]);
    assert_eq!(asked.status.code(), Some(4), "nobody could say yes");
    assert!(text(&asked.stdout).contains("! the connection is aborted"), "{}", text(&asked.stdout));
    assert!(Path::new(&format!("/proc/{}", old.pid)).exists());
    let done = fsdiag(&mounted, &["restart", &mount, "--debug-skip-eviction", "--yes"]);
    assert!(done.status.success(), "{}{}", text(&done.stdout), text(&done.stderr));
    let (new, status) = (mounted.now(), mounted.status());
    assert!(new.pid != old.pid && new.mount_run != old.mount_run, "{new:?}");
    assert_eq!(status["flags"]["debug_skip_eviction"], true, "{status}");
    assert!(fs::read(mounted.path("a")).unwrap() == origin.bytes("a", 0, 4 * MIB as usize));
    assert!(mounted.fsd(&["umount"]).status.success());
}

#[test]
fn a_rescue_frees_whoever_waits_and_says_each_step() {
    if !built() {
        return;
    }
    let origin = origin();
    origin.always("a", Fault::StallAt(MIB));
    let mounted = mount(Some(&origin.url("")), &[]);
    let mount = mounted.dir().display().to_string();
    let mut cat = Command::new("cat");
    let mut reader = cat.arg(mounted.path("a")).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    assert!(origin.wait(SOON, |origin| origin.stalled() > 0));
    let none = fsdiag(&mounted, &["rescue", "/no/such/mount", "--yes"]);
    assert_eq!(none.status.code(), Some(3));
    let shown = fsdiag(&mounted, &["rescue", &mount, "--dry-run"]);
    let steps = text(&shown.stdout);
    assert!(steps.find("abort").unwrap() < steps.find("unmount").unwrap(), "{steps}");
    assert_eq!(fsdiag(&mounted, &["rescue", &mount]).status.code(), Some(4), "not confirmed");
    let done = fsdiag(&mounted, &["rescue", &mount, "--yes"]);
    assert!(done.status.success(), "{}", text(&done.stdout));
    assert!(!reader.wait().unwrap().success(), "its read ended with an error");
    assert!(!mounted.at().is_mounted());
}
