//! `fsdiag rescue` of mounts whose daemon cannot be seen, or not be told from others.

use super::victims::{Victim, eventually, fsdiag, is_mounted};

#[test]
fn a_daemon_that_died_while_a_thread_of_it_waits_for_its_own_mount_is_freed() {
    let Some(mut victim) = Victim::touching_itself() else { return };
    victim.await_wait(victim.daemon.id(), "request_wait_answer");
    victim.signal("-KILL");
    let state = || std::fs::read_to_string(format!("/proc/{}/stat", victim.daemon.id())).unwrap();
    eventually("a dead leader", || state().contains(") Z "));
    let out = fsdiag(&["rescue", victim.mount.to_str().unwrap(), "--yes"]);
    let steps = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success() && !is_mounted(&victim.mount), "{steps}");
    assert!(steps.find("abort").is_some_and(|abort| Some(abort) < steps.find("unmount")), "{steps}");
    eventually("its last thread", || victim.daemon.try_wait().unwrap().is_some());
}
