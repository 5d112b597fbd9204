//! Heat: how long the completions of each second took, for each operation.

use std::collections::{BTreeMap, VecDeque};

use fsd_events::op::Op;

use crate::tui::picture::HEAT;

/// Seconds that are kept.
const SECONDS: usize = 300;

type Second = [u32; HEAT.len() + 1];

#[derive(Debug, Default)]
pub(super) struct Heat {
    ops: BTreeMap<Op, VecDeque<(u64, Second)>>,
}

impl Heat {
    pub(super) fn completed(&mut self, op: Op, us: u64, at_us: u64) {
        let second = at_us / 1_000_000;
        let seconds = self.ops.entry(op).or_default();
        // Lines are a little out of order at times: what is late counts for its neighbour.
        if seconds.back().is_none_or(|(last, _)| *last < second) {
            if seconds.len() == SECONDS {
                seconds.pop_front();
            }
            seconds.push_back((second, Second::default()));
        }
        let row = HEAT.iter().position(|end| us < *end).unwrap_or(HEAT.len());
        if let Some((_, counts)) = seconds.back_mut() {
            counts[row] = counts[row].saturating_add(1);
        }
    }

    /// One value for each second up to now, newest last.
    pub(super) fn of(&self, op: Op, now_us: u64) -> Vec<Second> {
        let Some(seconds) = self.ops.get(&op) else { return Vec::new() };
        let now = now_us / 1_000_000;
        let first = seconds.front().map_or(now, |(first, _)| *first).max(now.saturating_sub(SECONDS as u64));
        let mut all = vec![Second::default(); usize::try_from(now - first).unwrap_or(0) + 1];
        for (second, counts) in seconds.iter().filter(|(second, _)| *second >= first) {
            if let Some(slot) = all.get_mut(usize::try_from(second - first).unwrap_or(usize::MAX)) {
                *slot = *counts;
            }
        }
        all
    }
}
