//! Flow: completions and requests in flight, second by second.

use std::collections::BTreeMap;

/// Seconds that are kept.
const SECONDS: u64 = 600;

#[derive(Debug, Default)]
pub(super) struct Flow {
    /// Completions in each second that had any.
    completed: BTreeMap<u64, u64>,
    /// Most in flight in each second in which it changed, and how many were left at its end.
    inflight: BTreeMap<u64, (u64, u64)>,
}

impl Flow {
    /// So many are open now.
    pub(super) fn open(&mut self, at_us: u64, open: usize) {
        let open = open as u64;
        let second = at_us / 1_000_000;
        let left = self.inflight.range(..second).next_back().map_or(0, |(_, (_, left))| *left);
        let slot = self.inflight.entry(second).or_insert((left, left));
        *slot = (slot.0.max(open), open);
        prune(&mut self.inflight);
    }

    pub(super) fn completed(&mut self, at_us: u64) {
        *self.completed.entry(at_us / 1_000_000).or_default() += 1;
        prune(&mut self.completed);
    }

    pub(super) fn completions(&self, now_us: u64) -> Vec<u64> {
        let now = now_us / 1_000_000;
        let Some(first) = self.first(now) else { return Vec::new() };
        (first..now).map(|second| self.completed.get(&second).copied().unwrap_or(0)).collect()
    }

    pub(super) fn inflight(&self, now_us: u64) -> Vec<u64> {
        let now = now_us / 1_000_000;
        let Some(first) = self.first(now) else { return Vec::new() };
        let mut left = self.inflight.range(..first).next_back().map_or(0, |(_, (_, left))| *left);
        let most = |second| match self.inflight.get(&second) {
            Some((most, after)) => {
                left = *after;
                *most
            }
            None => left,
        };
        (first..=now).map(most).collect()
    }

    fn first(&self, now: u64) -> Option<u64> {
        let first = self.inflight.keys().next().into_iter().chain(self.completed.keys().next()).min()?;
        Some((*first).max(now.saturating_sub(SECONDS)))
    }
}

fn prune<T>(seconds: &mut BTreeMap<u64, T>) {
    if seconds.len() as u64 > SECONDS {
        seconds.pop_first();
    }
}
