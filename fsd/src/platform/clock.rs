//! The clock: every time that `fsd` acts on or records comes from here.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Monotonic now, for deadlines and waits.
#[expect(clippy::disallowed_methods, reason = "this is the clock module")]
pub fn now() -> Instant {
    Instant::now()
}

/// Monotonic microseconds since boot; comparable between the processes of one machine.
pub fn now_mono_us() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel only writes into `time`, which lives on this stack.
    #[expect(unsafe_code, reason = "std hides the raw monotonic clock, and a record is compared across processes")]
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    debug_assert_eq!(failed, 0, "CLOCK_MONOTONIC always exists");
    time.tv_sec.unsigned_abs() * 1_000_000 + time.tv_nsec.unsigned_abs() / 1_000
}

/// Wall clock, microseconds since 1970-01-01 UTC; 0 before that.
#[expect(clippy::disallowed_methods, reason = "this is the clock module")]
pub fn now_wall_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn monotonic_time_does_not_go_back_and_wall_time_is_of_this_century() {
        let (a, b) = (now_mono_us(), now_mono_us());
        assert!(a > 0 && b >= a);
        assert!(now_wall_us() > 1_700_000_000_000_000);
    }
}
