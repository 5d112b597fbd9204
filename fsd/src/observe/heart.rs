//! The heart: a beat by which a supervisor sees that this process runs, whatever its watchdog waits for.

use std::sync::atomic::Ordering::{Relaxed, Release};

use fsd_events::ring::tables::inflight::{BEAT_US, BEATS};

use super::memory;

/// Beats once, from a thread that never touches a file: one that writes a dump may wait for its disk.
pub(super) fn beat(now_us: u64) {
    #[cfg(feature = "failpoints")]
    fail::fail_point!("heart::beat");
    if let Some(memory) = memory::installed() {
        memory.inflight[BEAT_US].store(now_us, Relaxed);
        memory.inflight[BEATS].fetch_add(1, Release);
    }
}
