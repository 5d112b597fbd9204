//! Hints: what a log tells of causes, the first and the latest: a log may say one thing a million times.

use std::collections::VecDeque;

use fsd_events::op::Op;

use super::session::{Hint, Session};

#[derive(Clone, Debug, Default)]
pub struct Hints {
    first: Vec<Hint>,
    latest: VecDeque<Hint>,
}

/// Most of each.
const KEPT: usize = 100;

impl Hints {
    pub(super) fn push(&mut self, hint: Hint) {
        if self.first.len() < KEPT {
            return self.first.push(hint);
        }
        if self.latest.len() == KEPT {
            self.latest.pop_front();
        }
        self.latest.push_back(hint);
    }

    /// In the order of the log.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Hint> {
        self.first.iter().chain(&self.latest)
    }

    pub fn is_empty(&self) -> bool {
        self.first.is_empty()
    }
}

impl Session {
    /// Whether what it tells of is over: the daemon has served content since.
    pub fn is_over(&self, hint: &Hint) -> bool {
        const ENOUGH: u64 = 10;
        self.served() >= hint.served + ENOUGH
    }

    /// Reads and Writes that succeeded.
    fn served(&self) -> u64 {
        [Op::Read, Op::Write].iter().filter_map(|op| self.stats.get(op)).map(|stats| stats.count - stats.errors).sum()
    }

    pub(super) fn under_way(&self) -> u64 {
        self.served() + self.open.len() as u64
    }
}
