//! Calls of a log without ids: an end tells how long it took, and belongs to the call that began that long ago.

use std::collections::VecDeque;

use fsd_events::op::Op;

use crate::{
    engine::fact::{Call, Done, Fact, Key, What},
    formats::{Line, Taken},
};

/// Calls that have not ended, and what came out of its order.
#[derive(Default)]
pub(super) struct Calls {
    /// Oldest first.
    open: VecDeque<Open>,
    /// Ends that wait a moment for the line of their beginning.
    early: VecDeque<Early>,
    /// The latest lines, by what tells one from any other: collectors send blocks of them again.
    told: VecDeque<Told>,
    /// The latest time.
    now_us: u64,
    /// Times have fractions of a second.
    fine: bool,
}

struct Open {
    op: Op,
    key: Key,
    entered_us: Option<u64>,
}

#[derive(PartialEq, Eq)]
struct Told {
    at_us: u64,
    op: Op,
    /// Its last bytes.
    tail: [u8; 8],
}

struct Early {
    began_us: u64,
    op: Op,
    end: Fact,
}

/// So many lines are remembered.
const TOLD: usize = 2048;
/// The two lines of a call do not lie further apart than they say they do.
const APART_US: u64 = 100_000;
/// So many calls are looked through for the end of one: no daemon has more handlers, and what is older has lost its end.
const OPEN: usize = 4096;
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
        call.ambiguous = entered_us.is_none() && self.open.iter().any(|open| open.op == op);
        if self.open.len() >= OPEN {
            self.open.pop_front();
        }
        line.enter(call, out);
        match self.end_of(op, entered_us) {
            Some(end) => out.push(of_call(end, key)),
            None => self.open.push_back(Open { op, key, entered_us }),
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
        match (began_us, self.nearest(op, began_us)) {
            (Some(began_us), nearest) if self.fine && nearest.is_none_or(|(_, distance)| distance > APART_US) => {
                self.early.push_back(Early { began_us, op, end });
                // In a log whose times go to and fro none would ever be late.
                if self.early.len() > EARLY {
                    self.wait_no_longer(out);
                }
            }
            (_, nearest) => self.close(nearest, end, out),
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
        let nearest = self.nearest(op, Some(began_us));
        self.close(nearest, end, out);
    }

    fn close(&mut self, nearest: Option<(usize, u64)>, end: Fact, out: &mut Vec<Fact>) {
        match nearest.and_then(|(at, _)| self.open.remove(at)) {
            Some(open) => out.push(of_call(end, open.key)),
            None => out.push(end),
        }
    }

    /// The call of that kind that began next to that time, and how far from it.
    fn nearest(&self, op: Op, began_us: Option<u64>) -> Option<(usize, u64)> {
        let distance =
            |open: &Open| open.entered_us.zip(began_us).map_or(0, |(entered, began)| entered.abs_diff(began));
        let same = self.open.iter().enumerate().filter(|(_, open)| open.op == op);
        same.map(|(at, open)| (at, distance(open))).min_by_key(|(_, distance)| *distance)
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
        let told = Told { at_us, op, tail: line.text.as_bytes().last_chunk().copied().unwrap_or_default() };
        if at_us + JITTER_US < self.now_us && self.told.contains(&told) {
            return true;
        }
        self.now_us = self.now_us.max(at_us);
        if self.told.len() == TOLD {
            self.told.pop_front();
        }
        self.told.push_back(told);
        false
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
            calls.exit(&Line { place, text: "", at }, done(place.key()), Op::Read, 10, &mut out);
        }
        assert_eq!((calls.early.len(), out.len()), (EARLY, 1000 - EARLY));
    }
}
