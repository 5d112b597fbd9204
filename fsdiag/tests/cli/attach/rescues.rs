//! `fsdiag rescue` of mounts whose daemon cannot be seen, or not be told from others.

use std::process::{Command, Stdio};

use super::victims::{Victim, eventually, fsdiag, is_mounted, program};

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

#[test]
fn who_only_has_the_device_open_is_no_daemon_to_be_killed() {
    let Some(mut victim) = Victim::rclone() else { return };
    victim.daemon.kill().unwrap();
    victim.daemon.wait().unwrap();
    // Nobody else is seen there, and whoever has the device open without a mount has no connection.
    const SCRIPT: &str = r#"sleep 1000 <>/dev/fuse & until [ "$(readlink /proc/$!/fd/0)" = /dev/fuse ]; do :; done
"$@"; kill -0 $! && echo it lives"#;
    let mut command = Command::new("unshare");
    command.args(["-pf", "--mount-proc", "sh", "-c", SCRIPT, "sh", program(), "rescue"]).arg(&victim.mount);
    let out = command.args(["--kill", "--yes"]).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(text.ends_with("it lives\n") && text.contains("perhaps sleep"), "{text}");
}
