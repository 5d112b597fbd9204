//! Restarts on request: what is in force afterwards, what is refused before anything is touched, and what comes back.

use std::{
    fs::{self, File},
    os::unix::fs::{FileExt, PermissionsExt},
    process::Command,
};

use super::*;

#[test]
fn a_restart_dumps_the_old_worker_sends_waiting_requests_again_and_sets_the_flags() {
    let origin = Origin::start().unwrap();
    origin.file("a", 4 * MIB).always("a", Fault::StallAt(MIB));
    let mounted = mount(Some(&origin.url("")), &[]);
    let (old, copy) = (mounted.now(), mounted.dirs().root().join("copy"));
    let mut reader = Command::new("cp").arg(mounted.path("a")).arg(&copy).spawn().unwrap();
    assert!(origin.wait(SOON, |origin| origin.stalled() > 0));
    mounted.await_event(|event| event["ev"] == "enter" && event["op"] == "Read");
    let restart = mounted.fsd(&["restart", "--debug-skip-eviction", "--debug-fskit-single-thread=true"]);
    assert!(restart.status.success(), "{}", text(&restart.stderr));
    let new = mounted.now();
    assert!(new.pid != old.pid && text(&restart.stdout).contains(&new.run), "{}", text(&restart.stdout));
    origin.heal().release();
    assert!(reader.wait().unwrap().success());
    assert!(fs::read(copy).unwrap() == origin.bytes("a", 0, 4 * MIB as usize));
    let start = mounted.await_event(|event| event["ev"] == "start");
    assert_eq!((&start["run"], &start["mount_run"]), (&new.run.clone().into(), &old.mount_run.clone().into()));
    for flag in ["debug_skip_eviction", "debug_fskit_single_thread"] {
        assert_eq!(start[flag], true, "{flag} in {start}");
    }
    let dumps = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("stacks-");
    assert!(files(&mounted.home().state()).iter().any(dumps), "{}", mounted.messages());
    await_true("the hand-over", || all_runs(&mounted).iter().any(|event| event["ev"] == "handover"));
    let record = all_runs(&mounted);
    let handover = record.iter().find(|event| event["ev"] == "handover").unwrap();
    assert_eq!((&handover["old_run"], &handover["cause"]), (&old.run.into(), &"restart".into()));
    assert!(handover["resent"].as_u64().is_some_and(|count| count > 0), "{handover}");
    mounted.finish();
}

#[test]
fn another_binary_is_taken_or_refused_and_the_mount_serves_on() {
    let origin = Origin::start().unwrap();
    origin.file("a", MIB);
    let mounted = mount(Some(&origin.url("")), &[]);
    let old = worker(&mounted);
    let script = |name: &str, lines: &str| {
        let path = mounted.dirs().root().join(name);
        fs::write(&path, format!("#!/bin/sh\n{lines}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        path.display().to_string()
    };
    let refused = |binary: &str, word: &str| {
        let restart = mounted.fsd(&["restart", "--binary", binary]);
        assert!(!restart.status.success());
        assert!(text(&restart.stderr).contains(word), "{}", text(&restart.stderr));
    };
    refused("/nowhere/fsd", "cannot run");
    refused(&script("other", "echo something else 1.0"), "is no fsd");
    refused(&script("future", "echo fsd 99.0.0"), "99.0.0");
    refused(&script("silent", "exec sleep 60"), "does not say its version");
    assert_eq!(worker(&mounted), old, "nothing was touched");
    refused(&script("broken", &format!("[ \"$1\" = --version ] && echo fsd {}", mounted.presence.version)), "goes on");
    let held = File::open(mounted.path("a")).unwrap();
    held.read_exact_at(&mut [0; 10], 0).unwrap();
    let copy = mounted.dirs().root().join("fsd-copy");
    fs::copy(program(), &copy).unwrap();
    let restart = mounted.fsd(&["restart", "--binary", &copy.display().to_string()]);
    assert!(restart.status.success(), "{}", text(&restart.stderr));
    assert_eq!(fs::read_link(format!("/proc/{}/exe", worker(&mounted))).unwrap(), copy);
    let mut byte = [0; 1];
    held.read_exact_at(&mut byte, MIB - 1).unwrap();
    assert_eq!(byte[..], origin.bytes("a", MIB - 1, 1));
    drop(held);
    mounted.finish();
}

/// Whether or not its end is seen before it is told what to do.
#[test]
fn a_binary_that_ends_at_once_costs_no_pause_and_leaves_nothing_in_force() {
    let origin = Origin::start().unwrap();
    origin.file("a", MIB);
    let mounted = mount(Some(&origin.url("")), &[]);
    let path = mounted.dirs().root().join("ends");
    let lines = format!("#!/bin/sh\n[ \"$1\" = --version ] && exec echo fsd {}\nexit 7\n", mounted.presence.version);
    fs::write(&path, lines).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    let binary = path.display().to_string();
    for _ in 0..12 {
        let old = worker(&mounted);
        let restart = mounted.fsd(&["restart", "--binary", &binary, "--debug-fskit-single-thread=true"]);
        assert_eq!(restart.status.code(), Some(70), "{}", text(&restart.stderr));
        await_successor(&mounted, old);
        assert!(fs::read(mounted.path("a")).unwrap() == origin.bytes("a", 0, MIB as usize));
        assert_eq!(mounted.status()["flags"]["debug_fskit_single_thread"], false);
    }
    assert!(!mounted.messages().contains("cannot start a worker"), "{}", mounted.messages());
    let chief = presence(&mounted).unwrap().supervisor;
    await_none("the end of all others", || defunct(chief));
    mounted.finish();
}

/// Of whom nobody knows but by its directory.
#[test]
fn a_worker_that_died_before_it_served_leaves_nothing_once_another_serves() {
    let origin = Origin::start().unwrap();
    origin.file("a", MIB);
    let mounted = mount(Some(&origin.url("")), &[]);
    let run = "00000000000000aa";
    let left = mounted.runtime().join(run);
    fs::create_dir(&left).unwrap();
    fs::set_permissions(&left, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(left.join(layout::ALIVE), "").unwrap();
    let old = worker(&mounted);
    send(old, Signal::SIGKILL);
    await_successor(&mounted, old);
    await_true("its directory's end", || !left.exists());
    let handed = all_runs(&mounted).into_iter().find(|event| event["run"] == run).unwrap();
    assert_eq!((&handed["ev"], &handed["new_run"]), (&"handover".into(), &presence(&mounted).unwrap().run.into()));
    assert!(fs::read(mounted.path("a")).unwrap() == origin.bytes("a", 0, MIB as usize));
    mounted.finish();
}

/// A child of that process that has ended and is not reaped.
fn defunct(parent: u32) -> Option<String> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
    let stats = children.split_whitespace().filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/stat")).ok());
    stats.into_iter().find(|stat| stat.contains(") Z "))
}

#[test]
fn a_mount_outlives_the_binary_of_its_workers() {
    let origin = Origin::start().unwrap();
    origin.file("a", MIB);
    let mounted = mount(Some(&origin.url("")), &[]);
    let copy = mounted.dirs().root().join("fsd-copy");
    fs::copy(program(), &copy).unwrap();
    let restart = mounted.fsd(&["restart", "--binary", &copy.display().to_string()]);
    assert!(restart.status.success(), "{}", text(&restart.stderr));
    fs::remove_file(copy).unwrap();
    // The first takes the place of the one before from memory, where it stood by; the second is started.
    for _ in 0..2 {
        let old = worker(&mounted);
        send(old, Signal::SIGKILL);
        await_successor(&mounted, old);
    }
    assert!(fs::read(mounted.path("a")).unwrap() == origin.bytes("a", 0, MIB as usize));
    mounted.finish();
}

/// As a package manager does it.
#[test]
fn a_program_that_takes_the_place_of_the_workers_is_asked_for_its_version_first() {
    let origin = Origin::start().unwrap();
    origin.file("a", MIB);
    let mounted = mount(Some(&origin.url("")), &[]);
    let root = mounted.dirs().root();
    let (copy, ran) = (root.join("fsd-copy"), root.join("ran"));
    fs::copy(program(), &copy).unwrap();
    let restart = mounted.fsd(&["restart", "--binary", &copy.display().to_string()]);
    assert!(restart.status.success(), "{}", text(&restart.stderr));
    let replace = |lines: &str| {
        let fresh = root.join("fresh");
        fs::write(&fresh, format!("#!/bin/sh\n{lines}\n")).unwrap();
        fs::set_permissions(&fresh, fs::Permissions::from_mode(0o700)).unwrap();
        fs::rename(fresh, &copy).unwrap();
    };
    replace(&format!("echo \"$1\" >> {}; echo fsd 99.0.0", ran.display()));
    // The one that stands by was there before; those behind it were not.
    for _ in 0..3 {
        let old = worker(&mounted);
        send(old, Signal::SIGKILL);
        await_successor(&mounted, old);
    }
    assert!(!ran.exists(), "it was run as a worker: {}", fs::read_to_string(&ran).unwrap_or_default());
    assert_eq!(fs::read_to_string(format!("/proc/{}/comm", worker(&mounted))).unwrap(), "fsd\n");
    let old = worker(&mounted);
    let refused = mounted.fsd(&["restart"]);
    assert!(text(&refused.stderr).contains("99.0.0"), "{}", text(&refused.stderr));
    replace(&format!("[ \"$1\" = --version ] && echo fsd {}", mounted.presence.version));
    let refused = mounted.fsd(&["restart"]);
    assert!(text(&refused.stderr).contains("goes on"), "{}", text(&refused.stderr));
    await_successor(&mounted, old);
    assert!(fs::read(mounted.path("a")).unwrap() == origin.bytes("a", 0, MIB as usize));
    mounted.finish();
}

#[test]
fn the_next_worker_serves_while_the_origin_is_down() {
    let origin = Origin::start().unwrap();
    origin.file("a", MIB);
    let mounted = mount(Some(&origin.url("")), &[]);
    let held = File::open(mounted.path("a")).unwrap();
    let size = held.metadata().unwrap().len();
    origin.always("", Fault::Silent).always("a", Fault::Silent);
    for _ in 0..2 {
        let old = worker(&mounted);
        send(old, Signal::SIGKILL);
        await_successor(&mounted, old);
    }
    assert_eq!(size, MIB);
    assert_eq!(mounted.status()["worker_alive"], true);
    origin.heal().release();
    let mut byte = [0; 1];
    held.read_exact_at(&mut byte, MIB - 1).unwrap();
    assert_eq!(byte[..], origin.bytes("a", MIB - 1, 1));
    drop(held);
    mounted.finish();
}

#[test]
fn without_a_supervisor_the_process_becomes_one_and_readers_see_nothing() {
    let origin = Origin::start().unwrap();
    origin.file("a", 4 * MIB).always("a", Fault::StallAt(MIB));
    let mounted = mount(Some(&origin.url("")), &["--no-supervisor"]);
    let (old, copy) = (mounted.now(), mounted.dirs().root().join("copy"));
    assert_eq!(old.supervisor, 0);
    let mut reader = Command::new("cp").arg(mounted.path("a")).arg(&copy).spawn().unwrap();
    assert!(origin.wait(SOON, |origin| origin.stalled() > 0));
    mounted.await_event(|event| event["ev"] == "enter" && event["op"] == "Read");
    let other = mounted.fsd(&["restart", "--binary", "/usr/bin/true"]);
    assert!(text(&other.stderr).contains("only flags"), "{}", text(&other.stderr));
    let restart = mounted.fsd(&["restart", "--debug-skip-eviction"]);
    assert!(restart.status.success(), "{}", text(&restart.stderr));
    let new = mounted.now();
    assert_eq!((new.supervisor, new.mount_run.clone()), (old.pid, old.mount_run), "the same process, the same mount");
    assert!(text(&restart.stdout).contains(&new.run), "{}", text(&restart.stdout));
    let status = mounted.status();
    assert_eq!((&status["supervised"], &status["flags"]["debug_skip_eviction"]), (&true.into(), &true.into()));
    origin.heal().release();
    assert!(reader.wait().unwrap().success());
    assert!(fs::read(copy).unwrap() == origin.bytes("a", 0, 4 * MIB as usize));
    await_true("the hand-over", || all_runs(&mounted).iter().any(|event| event["ev"] == "handover"));
    let record = all_runs(&mounted);
    let handover = record.iter().find(|event| event["ev"] == "handover").unwrap();
    assert_eq!(handover["cause"], "restart");
    mounted.finish();
}
