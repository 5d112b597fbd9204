//! The tick: a coarse clock that costs a load, for what is timed on every lock; and twenty beats of the heart a second.

use std::{
    sync::{
        Once,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use crate::platform::clock;

use super::heart;

const EVERY: Duration = Duration::from_millis(50);

/// Monotonic microseconds of the last tick; 0 before the first.
static TICK: AtomicU64 = AtomicU64::new(0);

/// Monotonic microseconds, exact to 50 ms once the tick runs, and to the clock before.
#[inline]
pub(super) fn now_us() -> u64 {
    match TICK.load(Relaxed) {
        0 => clock::now_mono_us(),
        tick => tick,
    }
}

/// Starts the thread that does nothing else; once a process.
pub(super) fn start() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        let tick = || loop {
            let now_us = clock::now_mono_us();
            TICK.store(now_us, Relaxed);
            heart::beat(now_us);
            thread::park_timeout(EVERY);
        };
        // Without the thread the clock itself is asked: slower, never wrong.
        drop(thread::Builder::new().name("fsd-tick".into()).spawn(tick));
    });
}
