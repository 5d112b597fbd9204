//! Operations: those still open, and what is known of the completed ones of each kind.

use fsd_events::{event::Phase, op::Op};
use hdrhistogram::Histogram;

use super::latency::Latency;
use crate::engine::{
    fact::{Call, Key, Name, Place},
    report::OpSummary,
};

/// Microseconds on the clock of one session.
pub type Micros = i64;

/// A request without an answer so far.
#[derive(Clone, Debug)]
pub struct OpenOp {
    /// As its source made it: a copy would be the greater part of what an open request costs.
    pub call: Box<Call>,
    pub place: Place,
    /// None where the source has no clock.
    pub at: Option<Micros>,
    /// Place in the session's order of ENTERs: the age of a source without a clock.
    pub order: u64,
    pub phase: Option<PhaseAt>,
    /// Its client was signalled while it was unanswered.
    pub interrupted: bool,
}

/// What an operation or task is doing, as it says itself.
#[derive(Clone, Debug)]
pub struct PhaseAt {
    pub phase: Phase,
    pub detail: Name,
    pub since: Option<Micros>,
    pub place: Place,
}

impl OpenOp {
    pub fn key(&self) -> Key {
        self.call.key
    }

    pub fn op(&self) -> Op {
        self.call.op
    }

    pub fn doing(&self) -> Option<Phase> {
        self.phase.as_ref().map(|p| p.phase)
    }
}

/// The completed operations of one kind. Two of them merge to the same value in any order.
#[derive(Clone, Debug, Default)]
pub struct OpStats {
    pub count: u64,
    pub errors: u64,
    pub latency: Latency,
    pub last_exit: Option<Micros>,
    first_exit: Option<Micros>,
    starts: Latest,
    /// Where the source has no clock: which places they had in the order of ENTERs.
    orders: Latest,
}

impl OpStats {
    /// Those of one of so many daemons.
    pub(super) fn one_of(writers: usize) -> Self {
        let mut stats = Self::default();
        stats.is_one_of(writers);
        stats
    }

    /// So many daemons have such statistics.
    pub(super) fn is_one_of(&mut self, writers: usize) {
        const MANY: usize = 256;
        if writers >= MANY {
            self.latency.coarsen();
        }
    }

    /// `resolution_us`: how exactly its source tells times.
    pub fn summary(&self, resolution_us: u64) -> OpSummary {
        OpSummary::new(self.count, self.errors, &self.latency, resolution_us)
    }

    pub fn add(&mut self, end: Option<Micros>, us: Option<u64>, errno: Option<u32>) {
        self.count += 1;
        self.errors += u64::from(errno.is_some_and(|e| e != 0));
        if let Some(us) = us {
            self.latency.record(us);
        }
        let Some(end) = end else { return };
        self.last_exit = self.last_exit.max(Some(end));
        self.first_exit = Some(self.first_exit.map_or(end, |t| t.min(end)));
        self.starts.push(end - us.map_or(0, |us| Micros::try_from(us).unwrap_or(0)));
    }

    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.errors += other.errors;
        self.latency.merge(&other.latency);
        self.last_exit = self.last_exit.max(other.last_exit);
        self.first_exit = match (self.first_exit, other.first_exit) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        other.starts.times.iter().for_each(|t| self.starts.push(*t));
        other.orders.times.iter().for_each(|order| self.orders.push(*order));
    }

    /// How many that began after `t` have completed; exact up to `Latest::KEPT`, that many beyond.
    pub fn later_than(&self, t: Micros) -> usize {
        // What happens to be there beyond the kept ones depends on the order of reading, so it does not count.
        self.starts.times.iter().filter(|s| **s > t + 20_000).count().min(Latest::KEPT)
    }

    /// One that has ended began in that place of the order of ENTERs, which counts where no clock says more.
    pub(super) fn began(&mut self, end: Option<Micros>, order: u64) {
        if end.is_none() {
            self.orders.push(Micros::try_from(order).unwrap_or(Micros::MAX));
        }
    }

    /// How many that began behind that place have completed, where the source has no clock; no more than `Latest::KEPT`.
    pub fn behind(&self, order: u64) -> usize {
        let behind = |other: &&Micros| u64::try_from(**other).is_ok_and(|other| other > order);
        self.orders.times.iter().filter(behind).count().min(Latest::KEPT)
    }

    /// How many took longer than `us`.
    pub fn slower_than(&self, us: u64) -> u64 {
        count_between(&self.latency, us.saturating_add(us / 100), u64::MAX)
    }

    /// None of them took a twentieth of that: it is no slow one of its kind.
    pub fn are_outlasted_by(&self, age: Micros) -> bool {
        u64::try_from(age).is_ok_and(|age| age > self.latency.max().saturating_mul(20))
    }

    /// When the latest of them began, in no order; the same however they were read.
    pub fn latest_starts(&self) -> Vec<Micros> {
        let mut starts = self.starts.clone();
        if starts.times.len() > Latest::KEPT {
            starts.trim();
        }
        starts.times
    }

    pub fn first_exit(&self) -> Option<Micros> {
        self.first_exit
    }
}

/// How many lie between two values. A histogram counts what lies beyond its end as its last value.
pub fn count_between(latency: &Histogram<u32>, from: u64, to: u64) -> u64 {
    if from > latency.max() { 0 } else { latency.count_between(from, to) }
}

/// The latest start times: all that the question "how many began after t" needs.
#[derive(Clone, Debug, Default)]
struct Latest {
    times: Vec<Micros>,
}

impl Latest {
    const KEPT: usize = 64;
    /// So many are thinned out at once.
    const ROOM: usize = 2 * Self::KEPT;

    fn push(&mut self, t: Micros) {
        self.times.push(t);
        if self.times.len() >= Self::ROOM {
            self.trim();
        }
    }

    fn trim(&mut self) {
        self.times.select_nth_unstable_by(Self::KEPT - 1, |a, b| b.cmp(a));
        self.times.truncate(Self::KEPT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_the_same_however_they_were_cut() {
        let (mut whole, mut left, mut right) = (OpStats::default(), OpStats::default(), OpStats::default());
        for n in 0..1000_u32 {
            let (end, us) = (Micros::from(n) * 1000, u64::from(n % 97) * 10);
            whole.add(Some(end), Some(us), Some(n % 3));
            if n % 2 == 0 { &mut left } else { &mut right }.add(Some(end), Some(us), Some(n % 3));
        }
        left.merge(&right);
        assert_eq!((left.count, left.errors, left.last_exit), (whole.count, whole.errors, whole.last_exit));
        assert_eq!(left.latency.value_at_quantile(0.9), whole.latency.value_at_quantile(0.9));
        for t in [990_000, 970_000, 950_000] {
            assert_eq!(left.later_than(t), whole.later_than(t));
        }
    }
}
