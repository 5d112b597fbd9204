//! Mounts whose daemon is alive where `fsdiag` does not see it.

use std::process::{Command, Output};

use fsdiag::sources::kernel::{holders, look::Sources, mountinfo};
use serde_json::Value;

use super::{
    cause, has, no_lists,
    victims::{Victim, eventually, is_root, program, skip},
};

/// `fsdiag` in a container: with process numbers of its own, and without the rights to read the kernel's lists.
fn contained(args: &[&str]) -> Output {
    let mut command = Command::new("unshare");
    command.args(["-pf", "--mount-proc", "setpriv", "--bounding-set", "-bpf,-perfmon,-sys_admin", program()]);
    command.args(args).output().unwrap()
}

#[test]
fn in_a_container_a_daemon_out_of_sight_is_not_gone() {
    let Some(victim) = Victim::rclone() else { return };
    if !is_root() {
        return skip("a process namespace", "a plain user", "root");
    }
    let mount = victim.mount.to_str().unwrap();
    let out = contained(&["attach", mount, "--format", "json", "--stalled-after", "0"]);
    let report: Value = serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}: {out:?}"));
    assert_eq!(cause(&report), "none", "{report:#}");
    assert!(report["kernel"]["missing"].to_string().contains("the daemon: "), "{report:#}");
    let listed = contained(&["mounts"]);
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    let line = text.lines().find(|line| line.contains(mount)).unwrap();
    assert!(!line.starts_with("DEAD") && line.contains("daemon unknown"), "{line}");
}

#[test]
fn a_killed_daemon_whose_thread_waits_for_its_own_mount_is_not_gone_and_convicts_itself() {
    let Some(victim) = Victim::touching_itself() else { return };
    victim.await_wait(victim.daemon.id(), "request_wait_answer");
    victim.signal("-KILL");
    let state = || std::fs::read_to_string(format!("/proc/{}/stat", victim.daemon.id())).unwrap();
    eventually("a dead leader", || state().contains(") Z "));
    for without in [&[][..], &["--without", "peek"]] {
        let report = victim.attach_until(without, |r| cause(r) == "self_access");
        assert_eq!(cause(&report), "self_access", "{without:?}: {report:#}");
    }
}

/// As on Linux before 6.16, whose fdinfo of `/dev/fuse` names no connection.
#[test]
fn where_the_kernel_s_files_do_not_say_who_serves_its_memory_does() {
    let Some(victim) = Victim::rclone() else { return };
    let mounts = mountinfo::read().unwrap();
    let mount = mountinfo::at(&mounts, &victim.mount).unwrap();
    let kernel = match Sources::open(&mounts, &[]).kernel {
        Ok(kernel) => kernel,
        Err(why) => return skip("peek", &why, "BPF and BTF"),
    };
    let mut scan = holders::scan();
    scan.holders.retain(|holder| holder.pid == victim.daemon.id());
    let said = scan.holders.clone();
    scan.holders.iter_mut().for_each(|holder| holder.connection = None);
    scan.told = false;
    assert!(!scan.of_connection(mount.connection(), "rclone").sure);
    kernel.tell(&mut scan);
    let found = scan.of_connection(mount.connection(), "rclone");
    assert_eq!((found.holders, found.sure), (said, true));
}

#[test]
fn a_mount_that_only_its_daemon_s_namespace_has_is_looked_at_there() {
    let Some(victim) = Victim::of_user(0) else { return };
    let mount = victim.mount.to_str().unwrap();
    let without = |args: &[&str]| {
        let hidden = ["-m", "sh", "-c", "umount -l \"$1\"; shift; exec \"$@\"", "sh", mount, program()];
        let out = Command::new("unshare").args(hidden).args(args).args(["--format", "json"]).output().unwrap();
        serde_json::from_slice::<Value>(&out.stdout).unwrap()
    };
    // Any of those that see it: other daemons of the machine may stand before its own.
    let kernel = without(&["attach", mount])["kernel"].clone();
    assert_eq!((kernel["seen_by"].is_u64(), &kernel["daemon"]["pid"]), (true, &victim.daemon.id().into()), "{kernel}");
    let listed = without(&["mounts"]);
    let row = listed["mounts"].as_array().unwrap().iter().find(|row| row["mount"] == mount).unwrap();
    assert_eq!((row["seen_by"].is_u64(), &row["health"]), (true, &"ok".into()), "{row}");
}

#[test]
fn a_daemon_that_reads_its_device_and_has_a_request_unanswered_has_lost_the_reply() {
    let Some(mut victim) = Victim::of_user(0) else { return };
    victim.client("stat", &[victim.mount.join("name").to_str().unwrap()]);
    let report = victim.attach_until(&[], |r| has(r, "IN DAEMON", "Lookup"));
    if no_lists(&report) {
        return;
    }
    let verdict = &report["verdicts"][0];
    assert_eq!((&verdict["cause"], &verdict["confidence"]), (&"lost_reply".into(), &"high".into()), "{report:#}");
    assert_eq!(verdict["culprit"]["op"], "Lookup");
}

#[test]
fn a_daemon_with_an_event_loop_may_only_have_put_a_request_aside() {
    let Some(mut victim) = Victim::with_a_loop() else { return };
    victim.client("stat", &[victim.mount.join("name").to_str().unwrap()]);
    let report = victim.attach_until(&[], |r| has(r, "IN DAEMON", "Lookup"));
    assert!(no_lists(&report) || report["verdicts"][0]["confidence"] == "low", "{report:#}");
}

#[test]
fn a_fork_that_has_the_device_by_inheritance_is_no_daemon_of_its_own() {
    let Some(victim) = Victim::with_a_fork() else { return };
    let of = |report: &Value| report["kernel"]["daemon"].clone();
    let daemon = of(&victim.attach_until(&[], |r| of(r)["heirs"].as_array().is_some_and(|heirs| !heirs.is_empty())));
    assert_eq!((&daemon["pid"], &daemon["idle_readers"]), (&victim.daemon.id().into(), &1.into()), "{daemon}");
    assert_eq!(daemon["heirs"].as_array().unwrap().len(), 1);
}
