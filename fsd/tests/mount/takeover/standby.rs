//! Standby: the next worker is loaded before anybody needs it, and never in anybody's way.

use std::fs;

use nix::sys::signal::Signal;

use super::{super::support::*, MIB, await_successor, presence, send, worker};

/// The process that waits to become a worker of this mount.
fn standby(mounted: &Mounted) -> Option<u32> {
    let chief = presence(mounted)?.supervisor;
    let children = fs::read_to_string(format!("/proc/{chief}/task/{chief}/children")).ok()?;
    children.split_whitespace().filter_map(|pid| pid.parse().ok()).find(|pid| title(*pid) == "fsd-standby")
}

/// What `ps` shows of a process first.
fn title(pid: u32) -> String {
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(arguments.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
}

fn await_standby(mounted: &Mounted) -> u32 {
    await_true("a standby", || standby(mounted).is_some());
    standby(mounted).unwrap()
}

#[test]
fn the_one_that_stands_by_is_the_next_worker_and_another_stands_by() {
    let origin = Origin::start().unwrap();
    origin.file("a", MIB);
    let mounted = mount(Some(&origin.url("")), &["--supervisor"]);
    for _ in 0..3 {
        let (next, old) = (await_standby(&mounted), worker(&mounted));
        send(old, Signal::SIGKILL);
        await_successor(&mounted, old);
        assert_eq!((worker(&mounted), title(next).as_str()), (next, "fsd-worker"));
        assert!(fs::read(mounted.path("a")).unwrap() == origin.bytes("a", 0, MIB as usize));
    }
    let last = await_standby(&mounted);
    mounted.finish();
    await_true("the end of the standby", || title(last).is_empty());
}

#[test]
fn without_a_standby_a_worker_is_followed_all_the_same() {
    let origin = Origin::start().unwrap();
    origin.file("a", MIB);
    let mounted = mount(Some(&origin.url("")), &["--supervisor"]);
    let (spare, old) = (await_standby(&mounted), worker(&mounted));
    send(spare, Signal::SIGKILL);
    await_true("its end", || title(spare).is_empty());
    send(old, Signal::SIGKILL);
    await_successor(&mounted, old);
    assert!(fs::read(mounted.path("a")).unwrap() == origin.bytes("a", 0, MIB as usize));
    assert_ne!(await_standby(&mounted), spare, "and then there is one again");
    mounted.finish();
}

#[test]
fn a_standby_goes_with_its_supervisor() {
    let origin = Origin::start().unwrap();
    let mounted = mount(Some(&origin.url("")), &["--supervisor"]);
    let (spare, old) = (await_standby(&mounted), worker(&mounted));
    send(presence(&mounted).unwrap().supervisor, Signal::SIGKILL);
    await_successor(&mounted, old);
    await_true("the end of the standby", || title(spare).is_empty());
    assert_ne!(await_standby(&mounted), spare);
    assert!(mounted.fsd(&["umount"]).status.success());
}
