//! Slow: operations that took long and completed, the slowest of them.

use fsd_events::op::Op;

use crate::engine::fact::{Key, Place};

/// From here on a completed operation is worth a note.
pub const SLOW_US: u64 = 1_000_000;

/// A slow operation that completed.
#[derive(Clone, Debug, PartialEq)]
pub struct Slow {
    pub op: Op,
    pub key: Key,
    pub us: u64,
    pub place: Place,
}

/// The slowest of one life; never many.
#[derive(Clone, Debug, Default)]
pub struct Slowest {
    /// At most twice as many as are told, in no order.
    seen: Vec<Slow>,
}

impl Slowest {
    const TOLD: usize = 20;

    pub(super) fn add(&mut self, slow: Slow) {
        if slow.us < SLOW_US {
            return;
        }
        self.seen.push(slow);
        if self.seen.len() >= 2 * Self::TOLD {
            self.seen = self.told();
        }
    }

    /// Slowest first.
    pub fn told(&self) -> Vec<Slow> {
        let mut slow = self.seen.clone();
        slow.sort_by_key(|s| (std::cmp::Reverse(s.us), s.place));
        slow.truncate(Self::TOLD);
        slow
    }

    pub(super) fn absorb(&mut self, other: &Self) {
        self.seen.extend_from_slice(&other.seen);
        self.seen = self.told();
    }
}
