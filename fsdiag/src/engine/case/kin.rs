//! Kin: lives that are one daemon told by two witnesses, e.g. by its log and by the kernel's trace, and how far their
//! clocks are apart.
//!
//! A trace knows no time of day and a plain log no numbers: what both tell of is the same only by its kind and by the
//! rhythm in which it comes. A shift of the clocks that makes most beginnings fall together, and that no other shift
//! comes near, is no accident. Where traffic is so dense that any shift would do, nothing is joined.

mod begins;
mod shift;

use fsd_events::op::Op;

use self::begins::Begins;
pub(super) use self::{begins::plain, shift::pairs};
use super::{Case, Life, apart::share_a_log};
use crate::engine::model::{ops::Micros, session::Session};

/// Another life of which this one tells too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kin {
    pub of: usize,
    /// None where one of them knows no times: then they are the same by their numbers.
    pub apart: Option<Apart>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Apart {
    /// Added to a time of this life, it is the time of the other one.
    pub shift: Micros,
    /// Two times this far apart may be the same.
    pub blur: Micros,
}

/// For each life whose second witness it is.
pub(super) fn of(lives: &[Life<'_>]) -> Vec<Option<Kin>> {
    let mut kin: Vec<Option<Kin>> = vec![None; lives.len()];
    let mut told: Vec<(usize, Begins)> = lives
        .iter()
        .enumerate()
        .map(|(at, life)| (at, Begins::of(life.session)))
        .filter(|told| told.1.count > 0)
        .collect();
    told.sort_by_key(|(at, _)| (rank(lives[*at].session), *at));
    told.truncate(MOST_LIVES);
    for later in 1..told.len() {
        let (second, begins) = &told[later];
        let first = told[..later].iter().filter(|(first, _)| kin[*first].is_none()).find_map(|(first, known)| {
            let (one, two) = ((lives[*first].session, known), (lives[*second].session, begins));
            kin_of(one, two).map(|apart| Kin { of: *first, apart })
        });
        kin[*second] = first;
    }
    kin
}

impl Case<'_> {
    /// Whether what that life counts of that kind is counted: of several witnesses of one daemon the one is believed
    /// that saw most, or whose clock is finer.
    pub fn speaks(&self, session: &Session, op: Op) -> bool {
        if !self.joined {
            return true;
        }
        let Some(own) = self.lives.iter().position(|life| std::ptr::eq(life.session, session)) else { return true };
        let family = (0..self.lives.len()).filter(|life| self.root(*life) == self.root(own));
        let count = |life: &usize| self.lives[*life].session.stats.get(&op).map_or(0, |stats| stats.count);
        family.max_by_key(|life| (count(life), self.lives[*life].session.is_trace())) == Some(own)
    }
}

/// Beyond that they are not compared: a directory may hold the logs of many daemons.
const MOST_LIVES: usize = 12;
/// So many beginnings must fall together.
const ENOUGH: usize = 8;

/// Whose words are kept comes first: the daemon's own, then what knows numbers, and the kernel's trace last, which
/// knows no names.
fn rank(session: &Session) -> (bool, bool, bool, bool) {
    (session.is_trace(), !session.is_own(), !session.has_numbers(), session.clock.wall.is_none())
}

/// Whether two lives tell of the same requests, and how far their clocks are apart.
fn kin_of(first: (&Session, &Begins), second: (&Session, &Begins)) -> Option<Option<Apart>> {
    let ((one, begins), (two, others)) = (first, second);
    if one.is_own() && two.is_own() || one.is_trace() || share_a_log(one, two) {
        return None;
    }
    let timed = (begins.has_times() && others.has_times()).then(|| shift::between(first, second)).flatten();
    let numbered = two.is_trace() && one.has_numbers() && alike(one, two);
    timed.map(Some).or_else(|| numbered.then_some(None))
}

/// As many of each kind, or nearly so: one of them may have begun a little later.
fn alike(one: &Session, two: &Session) -> bool {
    let count = |session: &Session, op: &Op| session.stats.get(op).map_or(0, |stats| stats.count);
    let (same, all) = two.stats.keys().filter(|op| one.stats.contains_key(*op)).fold((0, 0), |(same, all), op| {
        let (a, b) = (count(one, op), count(two, op));
        (same + a.min(b), all + a.max(b))
    });
    same >= ENOUGH as u64 && same * 10 >= all * 9
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{
        fact::{At, Call, Done, Fact, Key, Place, What},
        model::{Limits, Model},
        report::Report,
    };

    /// A log with the time of day, in whole seconds or not, and no numbers; a trace with numbers and its own clock.
    /// Each request: its kind, when it began, and whether it has ended.
    fn report(log: &[(Op, u64, bool)], trace: &[(Op, u64, bool)], whole: bool) -> Report {
        let mut model = Model::new(Limits::default());
        for (requests, is_log) in [(log, true), (trace, false)] {
            let input = model.input(if is_log { "log" } else { "trace" });
            for (n, (op, ms, ended)) in (1..).zip(requests) {
                let us = ms * 1000;
                let wall = 1_795_000_000_000_000 + if whole { us / 1_000_000 * 1_000_000 } else { us + 300 };
                let place = Place { input, line: n, part: 0 };
                let (at, key) = match is_log {
                    true => (At { mono_us: None, wall_us: Some(wall) }, Key::Line(n)),
                    false => (At { mono_us: Some(77_000_000 + us), wall_us: None }, Key::Num(n * 2)),
                };
                let unique = (!is_log).then_some(n * 2);
                let call = Call { unique, asynchronous: true, ..Call::new(key, *op) };
                model.apply(&Fact { place, at, what: What::Enter(Box::new(call)) });
                if *ended {
                    let done = Done { key, op: None, us: (!whole).then_some(700), errno: Some(0), bytes: None };
                    model.apply(&Fact { place, at, what: What::Exit(done) });
                }
            }
        }
        model.report(crate::engine::model::Now::default())
    }

    /// Requests without a rhythm, and at the end one that hangs.
    fn requests(count: u64, apart: u64) -> Vec<(Op, u64, bool)> {
        let kinds = [Op::Lookup, Op::Open, Op::Read, Op::Read, Op::Release];
        let ended = (0..count).map(|n| (kinds[(n * n % 5) as usize], n * apart + n * n * 7919 % (apart * 2), true));
        let mut all: Vec<_> = ended.chain([(Op::Read, (count + 2) * apart, false)]).collect();
        all.sort_by_key(|request| request.1);
        all
    }

    fn counted(report: &Report) -> u64 {
        report.ops.values().map(|op| op.count).sum()
    }

    #[test]
    fn a_log_without_numbers_and_a_trace_without_the_time_of_day_tell_of_one_incident() {
        let told = requests(30, 2500);
        for whole in [true, false] {
            let report = report(&told, &told, whole);
            assert_eq!((report.orphans.len(), counted(&report)), (1, 30), "whole seconds: {whole}");
            assert_eq!(report.orphans[0].id, "line 31");
        }
    }

    #[test]
    fn what_only_one_of_them_tells_is_not_lost() {
        let told = requests(30, 2500);
        let trace = [&told[..], &[(Op::Read, 80_100, false), (Op::Getattr, 80_200, true)]].concat();
        let report = report(&told, &trace, true);
        assert_eq!((report.orphans.len(), counted(&report)), (2, 31));
    }

    #[test]
    fn two_daemons_with_the_same_kinds_of_work_are_two() {
        let other: Vec<_> =
            requests(40, 1700).into_iter().map(|(op, ms, ended)| (op, ms * ms / 40_000, ended)).collect();
        for whole in [true, false] {
            let report = report(&requests(30, 2500), &other, whole);
            assert_eq!((report.orphans.len(), counted(&report)), (2, 70), "whole seconds: {whole}");
        }
    }

    #[test]
    fn where_any_shift_would_do_nothing_is_joined() {
        let other = report(&requests(2000, 20), &requests(1900, 21), true);
        assert_eq!(counted(&other), 3900);
    }
}
