//! Full disks, stuck disks, full pipes and little room: operations go on, and what is lost is counted.

use std::{
    io::{BufRead, Read},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use fsd::{
    observe::{self, RecorderConfig, log},
    platform::clock,
};
use fsd_events::{
    event::Body,
    layout,
    line::{self, Decoded},
    op::Op,
    ring::tables,
};

use super::{RUN, Scene, child, enter, fresh, plays, plays_in, wait};

/// A tmpfs of so many bytes, unmounted at the end. None, with a SKIP line, without the right to mount.
struct Tmpfs<'a>(&'a Path);

impl<'a> Tmpfs<'a> {
    fn mount(at: &'a Path, bytes: u64) -> Option<Self> {
        let size = format!("size={bytes},mode=700");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).output();
        let mounted = mount.is_ok_and(|output| output.status.success());
        if !mounted {
            println!("SKIP mounting a tmpfs (found no right to, needs root)");
        }
        mounted.then_some(Self(at))
    }
}

impl Drop for Tmpfs<'_> {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(self.0).status().map(drop).unwrap_or_default();
    }
}

#[test]
fn law_17_a_full_disk_stops_no_operation_and_the_loss_is_counted() {
    let (_dir, scene) = fresh();
    std::fs::create_dir(scene.state()).unwrap();
    let state = scene.state();
    if let Some(_tmpfs) = Tmpfs::mount(&state, 256 << 10) {
        plays_in("disk_full", &scene);
    }
}

pub(super) fn disk_full(scene: &Scene) {
    let filler = scene.state().join("filler");
    let recorder = scene.install();
    std::fs::write(&filler, vec![0; 128 << 10]).unwrap();
    // More than the file and the ring can take together.
    (0..40_000).for_each(|n| enter(Op::Getattr, n).exit(0, 0));
    assert!(wait(|| (recorder.lost() > 0).then_some(())).is_some());
    std::fs::remove_file(&filler).unwrap();
    let before = scene.lines().len();
    // Room again: it goes on by itself.
    assert!(wait(|| (scene.lines().len() > before).then_some(())).is_some());
    let lost = recorder.lost();
    assert!(lost > 0 && lost < 80_000, "{lost}");
    let events: Vec<_> = scene.lines();
    let whole = events.iter().filter(|line| line.ends_with(b"}")).count();
    assert!(whole + 1 >= events.len(), "no line is cut in the middle of the file");
}

#[test]
fn law_17_a_stuck_disk_stops_no_operation_and_the_end_waits_for_it_only_so_long() {
    plays("disk_stuck");
}

pub(super) fn disk_stuck(scene: &Scene) {
    // A pipe that is open and never read blocks its writer for good, as a dead disk does.
    std::fs::create_dir(scene.state()).unwrap();
    let file = scene.state().join(layout::events_file(RUN));
    assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(scene.state(), private).unwrap();
    let _reader = std::fs::OpenOptions::new().read(true).write(true).open(&file).unwrap();
    let recorder = scene.install();
    (0..100_000).for_each(|n| enter(Op::Getattr, n).exit(0, 0));
    assert!(recorder.lost() > 100_000, "{}", recorder.lost());
    assert!(!recorder.flush());
    let begun = clock::now();
    recorder.stop("end");
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert!(scene.runtime().join(RUN.to_string()).exists(), "the rings stay for the drain");
}

#[test]
fn law_17_a_run_that_takes_over_waits_for_no_disk_and_its_file_comes_when_that_answers() {
    plays("disk_opens_nothing");
}

pub(super) fn disk_opens_nothing(scene: &Scene) {
    std::fs::create_dir(scene.state()).unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(scene.state(), private).unwrap();
    let file = scene.state().join(layout::events_file(RUN));
    // Whoever opens a pipe that nobody reads waits.
    assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
    let recorder = observe::install(RecorderConfig { takes_over: true, ..scene.config() }).unwrap();
    enter(Op::Getattr, 1).exit(0, 0);
    assert!(!recorder.flush(), "the premise: it is not open");
    let disk = std::fs::File::open(&file).unwrap();
    let events =
        std::io::BufReader::new(disk).lines().take(3).map(|line| match line::decode(line.unwrap().as_bytes()) {
            Decoded::Event(event) => event.into_owned(),
            other => panic!("{other:?}"),
        });
    let events: Vec<_> = events.collect();
    assert!(matches!(&events[0].body, Body::Start(start) if start.recorder == "shared"), "{events:?}");
    assert!(matches!((&events[1].body, &events[2].body), (Body::Enter(_), Body::Exit(_))), "{events:?}");
    assert!(events[0].head.seq < events[1].head.seq && events[0].head.mono_us <= events[1].head.mono_us);
}

#[test]
fn law_17_a_human_log_that_nobody_reads_blocks_nobody() {
    let (_dir, scene) = fresh();
    let mut process = child("nobody_reads", &scene).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    // The child must end while its standard error is full.
    assert!(process.wait().unwrap().success());
    let mut said = Vec::new();
    process.stderr.take().unwrap().read_to_end(&mut said).unwrap();
    assert!(said.len() < 1 << 20, "the pipe held no more than it could");
}

pub(super) fn nobody_reads(_scene: &Scene) {
    log::init("info", log::Format::Text, false).unwrap();
    let line = format!("{}\n", "x".repeat(999));
    (0..10_000).for_each(|_| log::say(&line));
    tracing::info!("and this");
    assert!(log::dropped() > 5_000);
    log::flush();
}

#[test]
fn operations_without_a_row_are_known_as_long_as_they_last() {
    plays("more_than_rows");
}

pub(super) fn more_than_rows(scene: &Scene) {
    let recorder = scene.install();
    let untracked = || {
        let table = std::fs::read(scene.runtime().join(RUN.to_string()).join(layout::INFLIGHT)).unwrap();
        tables::decode_inflight(&table).unwrap().untracked
    };
    let all: Vec<_> = (0..5000).map(|n| enter(Op::Getattr, n)).collect();
    assert!(untracked() > 0, "the premise: a full table");
    all.into_iter().for_each(|span| span.exit(0, 0));
    assert_eq!(untracked(), 0);
    recorder.stop("end");
}

#[test]
fn little_room_for_rings_makes_them_smaller_and_at_worst_private() {
    for (bytes, kind) in [(64 << 10, "heap"), (256 << 10, "shared"), (1 << 20, "shared")] {
        let (_dir, scene) = fresh();
        let runtime = scene.runtime();
        if let Some(_tmpfs) = Tmpfs::mount(&runtime, bytes) {
            plays_in("little_room", &scene);
            let events = scene.events();
            let Body::Start(start) = &events[0].body else { panic!("{:?}", events[0]) };
            assert_eq!(start.recorder, kind);
            assert_eq!(events.iter().filter(|e| matches!(e.body, Body::Exit(_))).count(), 2000);
        }
    }
}

pub(super) fn little_room(scene: &Scene) {
    let recorder = scene.install();
    for n in 0..2000 {
        enter(Op::Getattr, n).exit(0, 0);
        if n % 20 == 0 {
            assert!(recorder.flush());
        }
    }
    // What others need on the same file system is left to them.
    std::fs::write(scene.runtime().join("names"), vec![1; 16 << 10]).unwrap();
    recorder.stop("end");
}

#[test]
fn threads_without_a_ring_of_their_own_share_one() {
    plays("many_threads");
}

pub(super) fn many_threads(scene: &Scene) {
    const THREADS: u64 = 60;
    let recorder = observe::install(RecorderConfig { total_limit: 0, ..scene.config() }).unwrap();
    let ready = std::sync::Barrier::new(THREADS as usize);
    std::thread::scope(|threads| {
        for n in 0..THREADS {
            let ready = &ready;
            threads.spawn(move || {
                ready.wait();
                (0..50).for_each(|_| enter(Op::Getattr, n).exit(0, 0));
                ready.wait();
            });
        }
    });
    let lost = recorder.lost();
    recorder.stop("end");
    let events = scene.events();
    let exits = events.iter().filter(|e| matches!(e.body, Body::Exit(_))).count() as u64;
    let enters = events.iter().filter(|e| matches!(e.body, Body::Enter(_))).count() as u64;
    assert_eq!(exits + enters + lost, 2 * 50 * THREADS);
    assert!(lost < 600, "{lost}");
}
