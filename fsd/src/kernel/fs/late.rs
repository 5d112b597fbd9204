//! Late: READs that ran into their deadline a moment ago, so that the same read of a client does not wait twice.
//!
//! The kernel reads ahead of a client; when that fails it asks again for the page that the client wants.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use fsd_events::ids::Ino;

use crate::observe::locks::{Class, Mutex, Rank};

static LATE: Class = Class::new("late", Rank::Session);

/// A READ within this time of a late one is the kernel asking again.
const SOON: Duration = Duration::from_secs(1);
/// It waits that long, should the bytes be about to come.
const GRACE: Duration = Duration::from_millis(100);
/// Late READs that are remembered.
const MOST: usize = 4096;

/// Late READs, the newest last.
pub(super) struct Late {
    reads: Mutex<VecDeque<(Instant, Ino, Range<u64>)>>,
    /// Nobody takes the lock while it is 0.
    count: AtomicUsize,
}

impl Late {
    pub(super) fn new() -> Self {
        Self { reads: Mutex::new(&LATE, VecDeque::new()), count: AtomicUsize::new(0) }
    }

    /// A READ of `range` was answered with its deadline.
    pub(super) fn note(&self, now: Instant, ino: Ino, range: Range<u64>) {
        let mut reads = self.reads.lock();
        if reads.len() == MOST {
            reads.pop_front();
        }
        reads.push_back((now, ino, range));
        self.count.store(reads.len(), Ordering::Relaxed);
    }

    /// When a READ of `range` that was entered `now` ends at the latest.
    pub(super) fn deadline(&self, now: Instant, ino: Ino, range: &Range<u64>, otherwise: Instant) -> Instant {
        if self.count.load(Ordering::Relaxed) == 0 {
            return otherwise;
        }
        let mut reads = self.reads.lock();
        while reads.front().is_some_and(|(at, ..)| now.duration_since(*at) > SOON) {
            reads.pop_front();
        }
        self.count.store(reads.len(), Ordering::Relaxed);
        let again = |late: &Range<u64>| late.start <= range.start && range.start < late.end;
        let found = reads.iter().any(|(_, of, late)| *of == ino && again(late));
        if found { otherwise.min(now + GRACE) } else { otherwise }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::clock;

    #[test]
    fn only_the_same_bytes_asked_for_again_at_once_wait_no_second_time() {
        let (late, now) = (Late::new(), clock::now());
        let far = now + Duration::from_secs(60);
        assert_eq!(late.deadline(now, Ino(2), &(0..4096), far), far);
        late.note(now, Ino(2), 0..16384);
        assert_eq!(late.deadline(now, Ino(2), &(4096..8192), far), now + GRACE);
        assert_eq!(late.deadline(now, Ino(2), &(16384..20480), far), far, "other bytes");
        assert_eq!(late.deadline(now, Ino(3), &(0..4096), far), far, "another file");
        let then = now + SOON * 2;
        assert_eq!(late.deadline(then, Ino(2), &(0..4096), far), far, "a new read");
        assert_eq!(late.count.load(Ordering::Relaxed), 0);
    }
}
