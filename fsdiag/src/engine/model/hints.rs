//! Hints: what a log tells of causes, the first and the latest: a log may say one thing a million times.

use std::collections::VecDeque;

use super::session::Hint;

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
