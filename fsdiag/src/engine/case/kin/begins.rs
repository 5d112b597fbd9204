//! Begins: when the requests of a life began, by kind.

use std::collections::BTreeMap;

use fsd_events::op::Op;

use crate::engine::model::{ops::Micros, session::Session};

/// When requests began, by kind, in order; of very many the latest.
pub(super) struct Begins {
    pub(super) times: BTreeMap<Op, Vec<Micros>>,
    /// How many there are in all.
    pub(super) count: u64,
    /// The clock shows whole seconds.
    pub(super) coarse: bool,
}

impl Begins {
    pub(super) fn of(session: &Session) -> Self {
        let mut times: BTreeMap<Op, Vec<Micros>> = BTreeMap::new();
        let ended: u64 = session.stats.values().map(|stats| stats.count).sum();
        let count = if session.of_dump { 0 } else { ended + session.open.len() as u64 };
        for (op, stats) in &session.stats {
            times.entry(plain(*op)).or_default().extend(stats.latest_starts());
        }
        for open in session.judged() {
            times.entry(plain(open.op())).or_default().extend(open.at);
        }
        times.values_mut().for_each(|times| {
            times.sort_unstable();
            times.drain(..times.len().saturating_sub(MOST_TIMES));
        });
        let coarse = times.values().flatten().all(|t| t % 1_000_000 == 0);
        Self { times, count, coarse }
    }

    pub(super) fn has_times(&self) -> bool {
        self.times.values().any(|times| !times.is_empty())
    }
}

const MOST_TIMES: usize = 96;

/// What some witnesses call by one name.
pub(in crate::engine::case) fn plain(op: Op) -> Op {
    if op == Op::Readdirplus { Op::Readdir } else { op }
}
