//! Calls of a log without ids: an end tells how long it took, and belongs to the call that began that long ago.

mod open;
mod told;

use std::collections::VecDeque;

use fsd_events::op::Op;

use self::{open::Open, told::Told};
use crate::{
    engine::fact::{Call, Done, Fact, Key, What},
    formats::{Line, Taken},
};

/// Calls that have not ended, and what came out of its order.
#[derive(Default)]
pub(super) struct Calls {
    open: Open,
    /// Ends that wait a moment for the line of their beginning.
    early: VecDeque<Early>,
    /// The latest lines: collectors send blocks of them again.
    told: Told,
    /// The latest time.
    now_us: u64,
    /// Times have fractions of a second.
    fine: bool,
}

struct Early {
    began_us: u64,
    op: Op,
    end: Fact,
}

/// The two lines of a call do not lie further apart than they say they do.
const APART_US: u64 = 100_000;
/// So many ends wait at the most.
const EARLY: usize = 64;
/// So long a line may be under way.
const LATE_US: u64 = 200_000;

impl Calls {
    pub(super) fn enter(&mut self, line: &Line<'_>, mut call: Call, out: &mut Vec<Fact>) -> Taken {
        if self.is_again(line, call.op) {
            return Taken::Yes;
        }
        self.settle(line.at.wall_us, out);
        let (op, key, entered_us) = (call.op, call.key, line.at.wall_us);
        call.ambiguous = entered_us.is_none() && self.open.has(op);
        line.enter(call, out);
        match self.end_of(op, entered_us) {
            Some(end) => out.push(of_call(end, key)),
            None => self.open.insert(op, key, entered_us),
        }
        Taken::Yes
    }

    pub(super) fn exit(&mut self, line: &Line<'_>, done: Done, op: Op, us: u64, out: &mut Vec<Fact>) -> Taken {
        if self.is_again(line, op) {
            return Taken::Yes;
        }
        self.settle(line.at.wall_us, out);
        let end = line.fact(What::Exit(done));
        let began_us = line.at.wall_us.map(|now| now.saturating_sub(us));
        match (began_us, self.open.nearest(op, began_us)) {
            (Some(began_us), nearest) if self.fine && nearest.is_none_or(|nearest| nearest.distance_us > APART_US) => {
                self.early.push_back(Early { began_us, op, end });
                // In a log whose times go to and fro none would ever be late.
                if self.early.len() > EARLY {
                    self.wait_no_longer(out);
                }
            }
            (_, nearest) => out.push(self.ended(nearest, end)),
        }
        Taken::Yes
    }

    /// Ends that have waited long enough belong to whatever call is nearest.
    pub(super) fn settle(&mut self, now_us: Option<u64>, out: &mut Vec<Fact>) {
        let is_late = |early: &Early| {
            let ended_us = early.end.at.wall_us.unwrap_or(0);
            now_us.is_none_or(|now_us| now_us > ended_us + LATE_US)
        };
        while self.early.front().is_some_and(is_late) {
            self.wait_no_longer(out);
        }
    }

    /// The end that has waited longest belongs to whatever call is nearest.
    fn wait_no_longer(&mut self, out: &mut Vec<Fact>) {
        let Some(Early { began_us, op, end }) = self.early.pop_front() else { return };
        let nearest = self.open.nearest(op, Some(began_us));
        out.push(self.ended(nearest, end));
    }

    fn ended(&mut self, call: Option<open::Nearest>, end: Fact) -> Fact {
        match call.and_then(|call| self.open.remove(call)) {
            Some(key) => of_call(end, key),
            None => end,
        }
    }

    /// The end that stood before its beginning.
    fn end_of(&mut self, op: Op, entered_us: Option<u64>) -> Option<Fact> {
        let entered_us = entered_us.filter(|_| !self.early.is_empty())?;
        let near = |early: &Early| early.op == op && early.began_us.abs_diff(entered_us) <= APART_US;
        let at = self.early.iter().position(near)?;
        self.early.remove(at).map(|early| early.end)
    }

    /// Whether a line that goes back in time was there before, by its microsecond and its end.
    fn is_again(&mut self, line: &Line<'_>, op: Op) -> bool {
        /// Threads come into each other's way for less.
        const JITTER_US: u64 = 1_000;
        let Some(at_us) = line.at.wall_us else { return false };
        self.fine |= at_us % 1_000_000 != 0;
        if at_us % 1_000 == 0 {
            return false;
        }
        let is_late = at_us + JITTER_US < self.now_us;
        self.now_us = self.now_us.max(at_us);
        self.told.is_again(at_us, op, line.text) && is_late
    }
}

fn of_call(end: Fact, key: Key) -> Fact {
    match end.what {
        What::Exit(done) => Fact { what: What::Exit(Done { key, ..done }), ..end },
        what => Fact { what, ..end },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        engine::fact::{At, Place},
        formats::done,
    };

    #[test]
    fn ends_without_a_beginning_do_not_wait_for_ever_where_time_does_not_go_on() {
        let (mut calls, mut out) = (Calls::default(), Vec::new());
        for line in 0..1000 {
            let place = Place { line, ..Place::default() };
            let at = At { wall_us: Some(1_795_340_606_000_001), mono_us: None };
            calls.exit(&Line { place, text: "", at, host: "" }, done(place.key()), Op::Read, 10, &mut out);
        }
        assert_eq!((calls.early.len(), out.len()), (EARLY, 1000 - EARLY));
    }
}
