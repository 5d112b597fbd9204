//! `fsdiag rescue` of mounts whose daemon cannot be seen, or not be told from others.

use std::process::{Command, Stdio};

use fsdiag::sources::kernel::{fusectl::Fusectl, mountinfo};

use super::{
    has, no_lists,
    victims::{Victim, eventually, fsdiag, is_mounted, program},
};

#[test]
fn a_daemon_that_died_while_a_thread_of_it_waits_for_its_own_mount_is_freed() {
    let Some(mut victim) = Victim::touching_itself() else { return };
    victim.await_wait(victim.daemon.id(), "request_wait_answer");
    // A request that nobody has read dies with its sender, and the daemon with it.
    victim.attach_until(&[], |r| has(r, "IN DAEMON", "Lookup"));
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

#[test]
fn the_daemon_of_a_former_mount_with_the_same_number_is_neither_named_nor_killed() {
    let Some((mut victim, former)) = Victim::following() else { return };
    let (report, _) = victim.attach(&[]);
    if no_lists(&report) {
        return;
    }
    let seen = fsdiag(&["attach", victim.mount.to_str().unwrap()]);
    let seen = String::from_utf8_lossy(&seen.stdout).into_owned();
    let daemons: Vec<_> = seen.lines().filter(|line| line.starts_with("daemon ")).collect();
    assert!(daemons.len() == 1 && daemons[0].starts_with(&format!("daemon follower {}", victim.daemon.id())), "{seen}");
    let out = fsdiag(&["rescue", victim.mount.to_str().unwrap(), "--kill", "--yes"]);
    let steps = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success() && !is_mounted(&victim.mount), "{steps}");
    assert!(!steps.contains(&former.to_string()), "{steps}");
    assert!(std::fs::read_to_string(format!("/proc/{former}/status")).is_ok(), "the other one lives");
    eventually("the daemon's end", || victim.daemon.try_wait().unwrap().is_some());
}

#[test]
fn a_connection_whose_mount_is_gone_by_now_is_not_aborted_whoever_has_its_number() {
    let Some(mut victim) = Victim::of_user(0) else { return };
    victim.client("stat", &[victim.mount.join("x").to_str().unwrap()]);
    let mounts = mountinfo::read().unwrap();
    let number = mountinfo::at(&mounts, &victim.mount).unwrap().connection();
    let fusectl = Fusectl::open(&mounts).unwrap();
    let waiting = || fusectl.waiting(number).unwrap();
    eventually("its client", || waiting() == 1);
    assert!(fusectl.abort(number, || false).is_err());
    assert_eq!(waiting(), 1, "it goes on waiting");
    fusectl.abort(number, || true).unwrap();
    eventually("the client's error", || waiting() == 0);
}
