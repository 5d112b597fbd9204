//! The watchdog: beats, one `stall` an episode, and dumps.

use std::{
    sync::{
        atomic::{AtomicU64, Ordering::SeqCst},
        mpsc,
    },
    time::Duration,
};

use fsd::observe::{
    inflight,
    locks::{Class, Mutex, Rank},
    watchdog::{self, DumpCause, WatchdogConfig},
};
use fsd_events::{
    event::{Body, Event},
    layout,
    op::Op,
    ring::tables,
};

use super::{RUN, Scene, enter, plays, wait};

#[test]
fn r10_r47_s95_law_15_one_episode_is_one_stall_one_dump_and_one_end() {
    plays("stalls");
}

pub(super) fn stalls(scene: &Scene) {
    static DUMPS: AtomicU64 = AtomicU64::new(0);
    static REHEARSALS: AtomicU64 = AtomicU64::new(0);
    static HANDLES: Class = Class::new("handles", Rank::Handles);
    let recorder = scene.install();
    let watchdog = watchdog::start(WatchdogConfig {
        every: Duration::from_millis(20),
        stalled_after: Duration::from_millis(300),
        workers: 4,
        loop_names: "fuser-",
        kernel_waiting: Box::new(|| Some(inflight::total())),
        on_dump: Box::new(|cause, name| {
            assert!(matches!(cause, DumpCause::Stall { oldest_us: 300_000.., repeat: 0 }));
            DUMPS.fetch_add(1, SeqCst);
            name.push_str("stacks-1.log");
            true
        }),
        rehearse: Box::new(|| _ = REHEARSALS.fetch_add(1, SeqCst)),
    });
    let watchdog = watchdog.unwrap();
    let lock = Mutex::new(&HANDLES, ());
    let release = enter(Op::Release, 1);
    let waiter_id = std::thread::scope(|threads| {
        let scope = release.scope();
        let held = lock.lock();
        let waiter = threads.spawn(|| {
            let span = enter(Op::Getattr, 2);
            let scope = span.scope();
            drop(lock.lock());
            drop(scope);
            let id = span.id();
            span.exit(0, 0);
            id
        });
        scene.wait_for(|body| matches!(body, Body::Stall(_)));
        assert!(watchdog::stalled());
        // A few more looks: nothing new may come of them.
        let beats = |events: &[Event<'_>]| events.iter().filter(|e| matches!(e.body, Body::Beat(_))).count();
        let before = beats(&scene.events());
        wait(|| (beats(&scene.events()) > before + 5).then_some(())).unwrap();
        drop(held);
        drop(scope);
        waiter.join().unwrap()
    });
    let release_id = release.id();
    release.exit(0, 0);
    scene.wait_for(|body| matches!(body, Body::StallEnd(_)));
    assert!(!watchdog::stalled());
    watchdog.stop();
    recorder.stop("end");

    let events = scene.events();
    let stalls: Vec<_> =
        events.iter().filter_map(|e| if let Body::Stall(s) = &e.body { Some(s) } else { None }).collect();
    let ends = events.iter().filter(|e| matches!(e.body, Body::StallEnd(_))).count();
    assert_eq!((stalls.len(), ends, DUMPS.load(SeqCst), REHEARSALS.load(SeqCst)), (1, 1, 1, 1));
    assert_eq!(watchdog::last_dump(), (1, Some("stacks-1.log".to_owned())));
    let stall = stalls[0];
    assert_eq!(stall.ops.iter().map(|op| op.id).collect::<Vec<_>>().first(), Some(&release_id));
    assert_eq!(stall.inflight.iter().map(|(_, n)| n).sum::<u64>(), 2);
    assert_eq!(stall.kernel_waiting, Some(2));
    assert_eq!(stall.locks.len(), 1);
    assert_eq!((&*stall.locks[0].lock, &stall.locks[0].holder[..]), ("handles", &[release_id][..]));
    assert_eq!(stall.locks[0].waiters, [waiter_id]);
    let beat = events.iter().find_map(|e| if let Body::Beat(b) = &e.body { Some(b) } else { None }).unwrap();
    assert_eq!((beat.workers, beat.lost), (4, 0));
    let last = &events[events.len() - 2..];
    assert!(matches!((&last[0].body, &last[1].body), (Body::Beat(_), Body::Stop { .. })), "a last look at the end");
}

#[test]
fn the_heart_beats_while_a_dump_waits_for_its_disk_and_however_rarely_the_watchdog_looks() {
    plays("beats");
}

pub(super) fn beats(scene: &Scene) {
    let recorder = scene.install();
    let (thaw, disk) = mpsc::channel::<()>();
    let watchdog = watchdog::start(WatchdogConfig {
        every: Duration::from_secs(600),
        on_dump: Box::new(move |_, _| disk.recv().is_ok()),
        ..WatchdogConfig::default()
    });
    let watchdog = watchdog.unwrap();
    let pulse = || {
        let table = std::fs::read(scene.runtime().join(RUN.to_string()).join(layout::INFLIGHT)).unwrap();
        tables::decode_inflight(&table).map(|table| (table.beats, table.beat_us)).unwrap()
    };
    let more = |before: (u64, u64)| wait(|| (pulse().0 > before.0 + 20 && pulse().1 > before.1).then_some(()));
    assert!(more(pulse()).is_some(), "between two looks");
    assert!(watchdog::request_dump());
    assert!(more(pulse()).is_some(), "during a dump");
    thaw.send(()).unwrap();
    watchdog.stop();
    recorder.stop("end");
}

#[test]
fn a_request_is_answered_with_a_dump_at_once() {
    plays("asked");
}

pub(super) fn asked(scene: &Scene) {
    let recorder = scene.install();
    assert!(!watchdog::request_dump(), "nobody is there to dump");
    let watchdog = watchdog::start(WatchdogConfig {
        every: Duration::from_secs(3600),
        on_dump: Box::new(|cause, name| {
            name.push_str("stacks-asked.log");
            cause == DumpCause::Request
        }),
        ..WatchdogConfig::default()
    });
    let watchdog = watchdog.unwrap();
    assert!(watchdog::request_dump() && watchdog::request_dump_fd().is_some());
    let dump = wait(|| watchdog::last_dump().1);
    assert_eq!(dump.as_deref(), Some("stacks-asked.log"));
    watchdog.stop();
    recorder.stop("end");
}
