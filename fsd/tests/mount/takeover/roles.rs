//! Roles: whoever of supervisor and worker is killed, another takes the place, and the last one to leave cleans up.

use std::{fs::File, os::unix::fs::FileExt, path::PathBuf, sync::Arc};

use nix::sys::signal::Signal;

use super::{
    super::support::*,
    MIB, PATIENCE, all_runs, await_successor,
    clients::{Crowd, fill},
    in_background, presence, send, worker,
};

fn supervisor(mounted: &Mounted) -> u32 {
    presence(mounted).map_or(0, |presence| presence.supervisor)
}

/// Nothing of the mount is left: not in the kernel, not in its directories.
fn await_nothing_left(mounted: &Mounted) {
    await_true("the unmount", || !mounted.at().is_mounted());
    await_true("the runtime directory's end", || files(mounted.home().runtime()).is_empty());
    assert_eq!(files(&mounted.home().temp()), Vec::<PathBuf>::new(), "temp files are left");
}

#[test]
fn a_killed_supervisor_is_followed_by_its_worker_and_readers_see_nothing() {
    let origin = Arc::new(Origin::start().unwrap());
    fill(&origin);
    let mounted = mount(Some(&origin.url("")), &["--supervisor"]);
    let crowd = Crowd::start(&origin, &mounted.dir());
    for round in 0..6 {
        crowd.await_progress(&mounted, 3);
        let (chief, old) = (supervisor(&mounted), worker(&mounted));
        if round % 3 == 2 {
            send(old, Signal::SIGKILL);
            await_successor(&mounted, old);
        } else {
            send(chief, Signal::SIGKILL);
            await_successor(&mounted, old);
            assert_eq!(supervisor(&mounted), old, "the worker takes the place");
        }
    }
    crowd.await_progress(&mounted, 3);
    let tallies = crowd.finish();
    assert!(tallies.iter().all(|tally| tally.worst < PATIENCE), "{tallies:?}");
    let status = mounted.status();
    assert!(status["supervised"] == true && status["worker_alive"] == true, "{status}");
    let umount = mounted.fsd(&["umount"]);
    assert!(umount.status.success(), "{}", text(&umount.stderr));
    await_nothing_left(&mounted);
    let causes =
        |cause: &str| all_runs(&mounted).iter().filter(|e| e["ev"] == "handover" && e["cause"] == cause).count();
    assert_eq!((causes("supervisor_lost"), causes("death")), (4, 2));
}

#[test]
fn a_worker_whose_binary_is_gone_takes_the_place_all_the_same() {
    let origin = Origin::start().unwrap();
    origin.file("a", MIB);
    let mounted = mount(Some(&origin.url("")), &["--supervisor"]);
    let copy = mounted.dirs().root().join("fsd-copy");
    std::fs::copy(program(), &copy).unwrap();
    let restart = mounted.fsd(&["restart", "--binary", &copy.display().to_string()]);
    assert!(restart.status.success(), "{}", text(&restart.stderr));
    std::fs::remove_file(copy).unwrap();
    let (chief, old) = (supervisor(&mounted), worker(&mounted));
    send(chief, Signal::SIGKILL);
    await_successor(&mounted, old);
    assert!(std::fs::read(mounted.path("a")).unwrap() == origin.bytes("a", 0, MIB as usize));
    assert!(mounted.fsd(&["umount"]).status.success());
    await_nothing_left(&mounted);
}

/// Longer than a pipe holds.
#[test]
fn a_supervisor_with_very_long_settings_is_followed_by_its_worker_too() {
    let origin = Origin::start().unwrap();
    origin.file("a", MIB);
    let hosts: Vec<String> = (0..5000).map(|n| format!("host-{n:04}.example")).collect();
    let mounted = mount(Some(&origin.url("")), &["--supervisor", "--allow-hosts", &hosts.join(",")]);
    let old = worker(&mounted);
    send(supervisor(&mounted), Signal::SIGKILL);
    await_successor(&mounted, old);
    assert!(std::fs::read(mounted.path("a")).unwrap() == origin.bytes("a", 0, MIB as usize));
    assert!(mounted.fsd(&["umount"]).status.success());
    await_nothing_left(&mounted);
}

/// As a dead worker does of which a thread hangs in the kernel.
#[test]
fn whoever_still_has_the_janitors_pipe_holds_up_nobody() {
    let origin = Origin::start().unwrap();
    origin.file("a", MIB);
    let mounted = mount(Some(&origin.url("")), &["--supervisor"]);
    let of = |pid: &u32, file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let parent = format!("PPid:\t{}\n", supervisor(&mounted));
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let mut pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let janitor = pids.find(|pid| of(pid, "cmdline").starts_with("fsd-janitor") && of(pid, "status").contains(&parent));
    let pipe = format!("/proc/{}/fd/0", janitor.unwrap());
    let held = File::options().write(true).open(pipe).unwrap();
    mounted.finish();
    drop(held);
}

#[test]
fn when_both_are_killed_the_janitor_unmounts_and_nothing_is_left() {
    let origin = Origin::start().unwrap();
    origin.file("a", 64 * MIB).always("a", Fault::Silent);
    let mounted = mount(Some(&origin.url("")), &["--supervisor"]);
    let held = File::open(mounted.path("a")).unwrap();
    let stuck = in_background(move || held.read_at(&mut [0; 1000], 0).is_err());
    await_true("the read", || mounted.status()["inflight"].to_string().contains("Read"));
    let (chief, old) = (supervisor(&mounted), worker(&mounted));
    // Stopped, so that neither sees the other's death.
    for signal in [Signal::SIGSTOP, Signal::SIGKILL] {
        send(old, signal);
        send(chief, signal);
    }
    assert!(stuck.join().unwrap(), "no bytes can have come");
    await_nothing_left(&mounted);
    // What the dead ones had not written is in the record, with its names.
    let record = all_runs(&mounted);
    assert!(record.iter().any(|event| event["op"] == "Read" && event["path"] == "a"), "{record:?}");
    let again = mount(Some(&origin.url("")), &["--supervisor"]);
    again.finish();
}

#[test]
fn a_mount_that_is_told_to_stop_right_after_its_worker_died_stops_in_order() {
    let origin = Origin::start().unwrap();
    origin.file("a", MIB);
    let mounted = mount(Some(&origin.url("")), &["--supervisor"]);
    assert!(std::fs::read(mounted.path("a")).unwrap() == origin.bytes("a", 0, MIB as usize));
    send(worker(&mounted), Signal::SIGKILL);
    mounted.finish();
}

#[test]
fn a_mount_whose_workers_are_killed_while_it_ends_leaves_no_temp_file() {
    let origin = Origin::start().unwrap();
    origin.file("a", 4 * MIB);
    let mounted = mount(Some(&origin.url("")), &["--supervisor", "--drain-timeout", "120s"]);
    let held = File::open(mounted.path("a")).unwrap();
    mounted.await_event(|event| event["ev"] == "progress" && event["state"] == "complete");
    send(mounted.pid(), Signal::SIGTERM);
    await_true("the holder's name", || mounted.messages().contains("busy"));
    let old = worker(&mounted);
    send(old, Signal::SIGKILL);
    await_successor(&mounted, old);
    // One is followed, a second is not.
    send(worker(&mounted), Signal::SIGKILL);
    assert_eq!(mounted.gone().0.code(), Some(16));
    drop(held);
}

#[test]
fn a_worker_that_is_killed_while_it_waits_for_open_files_is_followed_and_their_reader_sees_no_error() {
    let origin = Origin::start().unwrap();
    origin.file("a", 4 * MIB);
    let mounted = mount(Some(&origin.url("")), &["--supervisor"]);
    let held = File::open(mounted.path("a")).unwrap();
    let old = worker(&mounted);
    send(mounted.pid(), Signal::SIGTERM);
    await_true("the holder's name", || mounted.messages().contains("busy"));
    send(old, Signal::SIGKILL);
    await_successor(&mounted, old);
    let mut bytes = [0; 1000];
    held.read_exact_at(&mut bytes, 3 * MIB).unwrap();
    assert!(bytes[..] == origin.bytes("a", 3 * MIB, 1000));
    drop(held);
    let (status, _) = mounted.gone();
    assert_eq!(status.code(), Some(0));
}
