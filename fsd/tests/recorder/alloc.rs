//! The way of an operation allocates nothing, and the watchdog works while malloc hangs.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    time::Duration,
};

use fsd::observe::{
    Span, Target,
    locks::{Class, Mutex, Rank},
    watchdog::{self, WatchdogConfig},
};
use fsd_events::{
    event::{Body, Phase},
    ids::OpId,
    op::Op,
};

use super::{Scene, enter, fresh, plays, plays_in, wait};

/// Counts what a thread allocates, and can hold every thread that wants memory.
struct Gate;

static CLOSED: AtomicBool = AtomicBool::new(false);

thread_local! {
    static ALLOCATED: Cell<u64> = const { Cell::new(0) };
}

#[expect(unsafe_code, reason = "an allocator has no safe interface")]
// SAFETY: everything is handed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Gate {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        pass();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        pass();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static GATE: Gate = Gate;

fn pass() {
    ALLOCATED.set(ALLOCATED.get() + 1);
    while CLOSED.load(SeqCst) {
        std::thread::yield_now();
    }
}

#[test]
fn the_way_of_an_operation_allocates_nothing() {
    plays("alloc_free");
}

pub(super) fn alloc_free(scene: &Scene) {
    static CLASS: Class = Class::new("test", Rank::Handles);
    let recorder = scene.install();
    let lock = Mutex::new(&CLASS, 0_u32);
    let operation = |n: u64| {
        let target = Target {
            unique: n,
            ino: n,
            name: Some("a file.mov"),
            fh: Some(1),
            off: Some(0),
            len: Some(1),
            ..Target::default()
        };
        let span = Span::enter(Op::Lookup, &target);
        let _scope = span.scope();
        *lock.lock() += 1;
        span.phase(Phase::Upstream, "http://host/path 0-4095");
        span.wait(Some(OpId(1)), 0..4096);
        span.exit(0, 4096);
    };
    // The first one claims this thread's rows.
    operation(0);
    let before = ALLOCATED.get();
    (1..1000).for_each(operation);
    assert_eq!(ALLOCATED.get(), before);
    recorder.stop("end");
    assert_eq!(scene.events().iter().filter(|e| matches!(e.body, Body::Exit(_))).count(), 1000);
}

#[test]
fn law_14_the_watchdog_sees_and_tells_a_stall_while_malloc_hangs() {
    let (_dir, scene) = fresh();
    plays_in("malloc_hangs", &scene);
}

pub(super) fn malloc_hangs(scene: &Scene) {
    static LOOKS: AtomicU64 = AtomicU64::new(0);
    static DUMPED: AtomicBool = AtomicBool::new(false);
    let recorder = scene.install();
    let watchdog = watchdog::start(WatchdogConfig {
        every: Duration::from_millis(20),
        stalled_after: Duration::from_millis(200),
        kernel_waiting: Box::new(|| Some(LOOKS.fetch_add(1, SeqCst))),
        on_dump: Box::new(|_, name| {
            name.push_str("stacks-test.log");
            DUMPED.store(true, SeqCst);
            true
        }),
        ..WatchdogConfig::default()
    });
    let watchdog = watchdog.unwrap();
    wait(|| (LOOKS.load(SeqCst) > 2).then_some(())).unwrap();
    let stuck = enter(Op::Release, 1);
    CLOSED.store(true, SeqCst);
    // Not `wait`: nothing here may allocate, and the parent ends a test that never gets through.
    while !DUMPED.load(SeqCst) {
        std::thread::yield_now();
    }
    let seen = LOOKS.load(SeqCst);
    while LOOKS.load(SeqCst) < seen + 5 {
        std::thread::yield_now();
    }
    CLOSED.store(false, SeqCst);
    let stall = scene.wait_for(|body| matches!(body, Body::Stall(_)));
    let Body::Stall(stall) = stall.body else { panic!("not a stall") };
    assert_eq!(stall.stacks.as_deref(), Some("stacks-test.log"));
    assert_eq!(stall.ops.first().map(|op| op.id), Some(stuck.id()));
    stuck.exit(0, 0);
    watchdog.stop();
    recorder.stop("end");
}
