//! Heals: whoever hangs in a worker gets its bytes after `fsd restart`.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::PathBuf,
    process::Command,
    thread::JoinHandle,
};

use nix::sys::signal::Signal;

use super::{super::support::*, MIB, in_background, send, worker};

const LENGTH: usize = 10_000;

fn with_bug(origin: &Origin, bug: &'static str) -> Mounted {
    let arm = |command: &mut Command| {
        command.env("FAILPOINTS", bug);
    };
    try_mount(Dirs::new(), Some(&origin.url("")), &["--supervisor"], arm).ok().unwrap()
}

/// Reads in the background.
fn reader(path: PathBuf, at: u64) -> JoinHandle<Vec<u8>> {
    in_background(move || {
        let mut bytes = vec![0; LENGTH];
        File::open(path).unwrap().read_exact_at(&mut bytes, at).unwrap();
        bytes
    })
}

fn restart(mounted: &Mounted, flags: &[&str]) {
    let out = mounted.fsd(&[&["restart"], flags].concat());
    assert!(out.status.success(), "{} {}", text(&out.stderr), mounted.messages());
}

#[test]
fn a_reader_behind_a_release_that_holds_the_lock_gets_its_bytes_and_the_flags_are_in_force() {
    let origin = Origin::start().unwrap();
    origin.file("a", 64 * MIB).file("b", MIB).fault("a", Fault::StallAt(MIB));
    let mounted = with_bug(&origin, "release::close_under_lock=return");
    let closed = File::open(mounted.path("a")).unwrap();
    closed.read_exact_at(&mut [0; 1000], 0).unwrap();
    mounted.await_event(|event| event["ev"] == "progress" && event["have"] == MIB);
    drop(closed);
    mounted.await_event(|event| event["ev"] == "enter" && event["op"] == "Release");
    let stuck = reader(mounted.path("b"), 5000);
    mounted.await_event(|event| event["ev"] == "lock" && event["step"] == "wait");
    let status = text(&mounted.fsd(&["status"]).stdout);
    let known = ["NO ANSWER", "1 Open, 1 Release"].iter().all(|word| status.contains(word));
    assert!(known && !status.contains("handles"), "what the worker does not say is not made up: {status}");
    restart(&mounted, &["--debug-skip-eviction=true", "--debug-fskit-single-thread=true"]);
    assert!(stuck.join().unwrap() == origin.bytes("b", 5000, LENGTH));
    let (start, status) = (mounted.await_event(|event| event["ev"] == "start"), mounted.status());
    for flags in [&start, &status["flags"]] {
        assert!(flags["debug_skip_eviction"] == true && flags["debug_fskit_single_thread"] == true, "{flags}");
    }
    assert_eq!(start["workers"], 1);
    restart(&mounted, &["--debug-skip-eviction=false", "--debug-fskit-single-thread=false"]);
    assert!(fs::read(mounted.path("b")).unwrap() == origin.bytes("b", 0, MIB as usize));
    origin.heal().release();
    mounted.finish();
}

#[test]
fn a_reader_who_is_never_woken_gets_its_bytes() {
    let origin = Origin::start().unwrap();
    origin.file("a", 8 * MIB);
    let mounted = with_bug(&origin, "store::lost_wakeup=return(a)");
    let stuck = reader(mounted.path("a"), 7 * MIB);
    mounted.await_event(|event| event["ev"] == "wait");
    restart(&mounted, &[]);
    assert!(stuck.join().unwrap() == origin.bytes("a", 7 * MIB, LENGTH));
    mounted.finish();
}

#[test]
fn a_worker_that_ignores_its_socket_is_replaced_all_the_same() {
    let origin = Origin::start().unwrap();
    origin.file("a", 8 * MIB);
    let mounted = mount(Some(&origin.url("")), &["--supervisor"]);
    let old = worker(&mounted);
    send(old, Signal::SIGSTOP);
    let stuck = reader(mounted.path("a"), MIB);
    restart(&mounted, &["--debug-skip-eviction=true"]);
    assert!(stuck.join().unwrap() == origin.bytes("a", MIB, LENGTH));
    assert_ne!(worker(&mounted), old);
    mounted.finish();
}

#[test]
fn a_worker_with_a_thread_that_cannot_be_killed_is_replaced_all_the_same() {
    let origin = Origin::start().unwrap();
    origin.file("a", MIB).file("sub/b", 1000).always("sub/", Fault::Silent);
    // The second mount shows the first: who waits for the first inside the kernel cannot be killed.
    let below = mount(Some(&origin.url("")), &["--meta-timeout", "100s", "--first-byte-timeout", "100s"]);
    let lost = |command: &mut Command| {
        command.env("FAILPOINTS", "reply::lost=return(Read)");
    };
    let args = ["--supervisor", "--meta-timeout", "100s"];
    let source = below.dir().display().to_string();
    let mounted = try_mount(Dirs::new(), Some(&source), &args, lost).ok().unwrap();
    let stuck = reader(mounted.path("a"), 5000);
    mounted.await_event(|event| event["ev"] == "exit" && event["op"] == "Read");
    let dir = mounted.path("sub");
    let lister = in_background(move || fs::read_dir(dir).unwrap().count());
    await_true("the listing that never comes", || !origin.requests_of("sub/").is_empty());
    let old = worker(&mounted);
    restart(&mounted, &[]);
    assert!(in_state_d(old), "the premise: a thread of the old worker is still there");
    assert!(stuck.join().unwrap() == origin.bytes("a", 5000, LENGTH));
    origin.heal().release();
    assert_eq!(lister.join().unwrap(), 1);
    mounted.finish();
    below.finish();
}

/// Whether a thread of that process waits in the kernel and cannot be killed.
fn in_state_d(pid: u32) -> bool {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let stats = tasks.filter_map(|task| fs::read_to_string(task.path().join("stat")).ok());
    stats.into_iter().any(|stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('D')))
}
