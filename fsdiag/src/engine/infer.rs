//! Who blocks everyone, without lock data: exoneration by later completions, novelty, precedence (rules R6, R8 to R16).

mod candidates;

use std::collections::{BTreeMap, BTreeSet};

use fsd_events::op::{Class, Op};

use super::{
    case::{Case, OpenAt},
    model::{
        ops::{Micros, OpStats},
        session::Session,
    },
    report::Confidence,
};

/// What the pattern of completions says about one life.
#[derive(Clone, Debug)]
pub struct Guess {
    pub kind: GuessKind,
    pub confidence: Confidence,
    /// Index of the operation that everything seems to wait for.
    pub culprit: usize,
    /// Other candidates, best first.
    pub alternatives: Vec<usize>,
    pub victims: Vec<usize>,
    /// Completions in the stalled classes of operations that began after the culprit.
    pub completed_after: usize,
    /// Half of a per cent of the lines or more is missing.
    pub lossy: bool,
    /// Whoever has the lock may be nobody of the log: then the one to blame only came first.
    pub outside: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuessKind {
    Lock,
    /// All workers sit in this kind of operation.
    Pool(Op),
}

const STUCK: Micros = 2_000_000;
/// Youngest of several that a log may end with.
const FORMED: Micros = 1_000_000;
/// Completions that a race may let slip through a lock.
pub const RACES: usize = 3;

/// None: nothing is stalled, or the history is too thin to say.
pub fn guess(case: &Case<'_>, life: usize) -> Option<Guess> {
    let View { session, now, .. } = view(case, life)?;
    if case.lives[life].dead || session.of_dump {
        return None;
    }
    let view = View { session, now, case, ops: ops_of(case, life) };
    if view.tells_no_ends() {
        return None;
    }
    let stalled = view.stalled();
    let mut victims: Vec<usize> = view.ops.iter().copied().filter(|op| view.is_victim(*op, &stalled)).collect();
    victims.sort_by_key(|op| case.ops[*op].at);
    // One of a kind that is known to be slow may be slow by itself: it does not tell when the trouble began. Nor does
    // one whose end may be lost as others were.
    let tells = |op: &&usize| view.is_novel(**op) && (!view.leaks() || view.after(**op, &stalled) <= RACES);
    let first = *victims.iter().find(tells).or(victims.first())?;
    // What has only just begun is no victim yet, however many of its kind hang or have lost their ends.
    if victims.iter().all(|op| view.now - view.at(*op) < FORMED) {
        return None;
    }
    view.pool().or_else(|| view.lock(first, &victims, &stalled))
}

fn view<'c, 'm>(case: &'c Case<'m>, life: usize) -> Option<View<'c, 'm>> {
    let l = &case.lives[life];
    Some(View { session: l.session, now: l.now?, case, ops: Vec::new() })
}

fn ops_of(case: &Case<'_>, life: usize) -> Vec<usize> {
    let timed = case.ops_served(life).iter().copied().filter(|op| case.ops[*op].at.is_some());
    let mut ops: Vec<usize> = timed.collect();
    ops.retain(|op| !case.leaks.contains(op));
    ops.sort_by_key(|op| (case.ops[*op].at, case.ops[*op].open.order));
    ops
}

struct View<'c, 'm> {
    session: &'m Session,
    now: Micros,
    case: &'c Case<'m>,
    ops: Vec<usize>,
}

impl View<'_, '_> {
    fn op(&self, op: usize) -> &OpenAt<'_> {
        &self.case.ops[op]
    }

    fn at(&self, op: usize) -> Micros {
        self.op(op).at.unwrap_or(0)
    }

    fn kind(&self, op: usize) -> Op {
        self.op(op).open.op()
    }

    fn stats(&self, kind: Op) -> Option<&OpStats> {
        self.session.stats.get(&kind).filter(|s| s.count > 0)
    }

    fn later(&self, kind: Op, t: Micros) -> usize {
        self.stats(kind).map_or(0, |s| s.later_than(t))
    }

    /// Completions a second over the whole life.
    fn rate(&self, kind: Op) -> f64 {
        let first = self.session.stats.values().filter_map(OpStats::first_exit).min();
        let last = self.session.stats.values().filter_map(|s| s.last_exit).max();
        let span = match (first, last) {
            (Some(first), Some(last)) if last > first => (last - first) as f64 / 1e6,
            _ => return 0.0,
        };
        self.stats(kind).map_or(0.0, |s| s.count as f64 / span)
    }

    /// R9: kinds with an old open operation, hardly any later completion, and a silence that is no accident.
    fn stalled(&self) -> Vec<Op> {
        let forming: BTreeSet<usize> = self.forming().into_iter().collect();
        let stalled = |op: &&usize| forming.contains(op) || self.is_stalled(**op);
        let mut kinds: Vec<Op> = self.ops.iter().filter(stalled).map(|op| self.kind(*op)).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    /// A log of beginnings alone: nothing that is open there need be so, but for what somebody else calls unanswered.
    fn tells_no_ends(&self) -> bool {
        let ended = self.session.stats.values().any(|stats| stats.count > 0);
        let told = |op: &usize| self.op(*op).watched || self.op(*op).open.interrupted;
        !ended && !self.ops.iter().any(told)
    }

    fn is_stalled(&self, op: usize) -> bool {
        let kind = self.kind(op);
        let age = self.now - self.at(op);
        if age <= STUCK || self.later(kind, self.at(op)) > 2 || self.in_hole(op) {
            return false;
        }
        let rate = self.rate(kind);
        let silence = self.stats(kind).and_then(|s| s.last_exit).map_or(0, |last| self.now - last) as f64 / 1e6;
        let proven = rate > 0.0 && silence > (14.0 / rate).max(2.0);
        proven || self.op(op).watched || self.thin(op, age)
    }

    /// A short history proves nothing by rates: then only great age of a quick kind counts, and Reads may be long.
    fn thin(&self, op: usize, age: Micros) -> bool {
        let outlasts = self.stats(self.kind(op)).is_none_or(|s| s.are_outlasted_by(age));
        self.is_quick(op) && age >= self.case.model.limits.stalled_us && outlasts && self.loss() < 0.005
    }

    /// The log ends soon after: several quick requests came in over a while, and none of their kinds has ended since.
    fn forming(&self) -> Vec<usize> {
        let silent = |op: &usize| {
            let quiet = self.later(self.kind(*op), self.at(*op)) == 0;
            self.is_quick(*op) && (quiet || self.outlasts(*op))
        };
        let silent: Vec<usize> = self.ops.iter().copied().filter(silent).collect();
        let Some(first) = silent.first() else { return silent };
        let age = self.now - self.at(*first);
        let usual = self.stats(self.kind(*first)).map_or(0, |s| s.latency.value_at_quantile(0.99));
        let long = age >= FORMED && u64::try_from(age).unwrap_or(0) > usual.saturating_mul(50);
        if long && silent.len() >= 3 && self.loss() < 0.005 { silent } else { Vec::new() }
    }

    /// Others of its kind go on, e.g. on other files; but none ever took a twentieth of this.
    fn outlasts(&self, op: usize) -> bool {
        let age = self.now - self.at(op);
        age > STUCK && self.stats(self.kind(op)).is_none_or(|s| s.are_outlasted_by(age))
    }

    fn is_quick(&self, op: usize) -> bool {
        let kind = self.kind(op);
        matches!(kind.class(), Class::Metadata | Class::Handle) && !matches!(kind, Op::Poll | Op::Ioctl)
    }

    /// R6: its EXIT may be among those that are missing.
    fn in_hole(&self, op: usize) -> bool {
        if self.session.sequence.holes.is_empty() {
            return false;
        }
        let at = self.at(op);
        let p99 = self.stats(self.kind(op)).map_or(0, |s| s.latency.value_at_quantile(0.99));
        let soon = at + Micros::try_from(p99).unwrap_or(0) + 1_000_000;
        self.session.sequence.holes.iter().any(|(from, to)| *to >= at && *from <= soon)
    }

    /// Share of the lines that is missing, as far as the pairing shows it.
    fn loss(&self) -> f64 {
        let loss = &self.session.loss;
        let closed =
            self.case.answered.iter().filter(|op| std::ptr::eq(self.case.lives[op.life].session, self.session));
        let paired = loss.lone_exits + loss.superseded + loss.lost_exits + closed.count() as u64;
        let of_it = |op: &&usize| std::ptr::eq(self.case.lives[self.case.ops[**op].life].session, self.session);
        let leaks = self.case.leaks.iter().filter(of_it).count() as u64;
        let missing = paired + leaks + loss.lines + self.session.sequence.missing();
        missing as f64 / (2 * self.session.entered).max(1) as f64
    }

    /// Whether its log loses ends here and there.
    fn leaks(&self) -> bool {
        self.case.leaks.iter().any(|op| std::ptr::eq(self.case.lives[self.case.ops[*op].life].session, self.session))
    }

    /// Completions in the stalled kinds of what began after it.
    fn after(&self, op: usize, stalled: &[Op]) -> usize {
        stalled.iter().map(|kind| self.later(*kind, self.at(op))).sum()
    }

    fn is_victim(&self, op: usize, stalled: &[Op]) -> bool {
        stalled.contains(&self.kind(op)) && self.later(self.kind(op), self.at(op)) <= 2 && !self.in_hole(op)
    }

    fn workers(&self) -> usize {
        let said = self.session.about.workers.map(|w| w as usize);
        said.unwrap_or_else(|| self.session.threads.len().max(self.session.max_open))
    }

    /// Whether the log tells how many can be in flight.
    fn knows_workers(&self, workers: usize) -> bool {
        self.session.about.workers.is_some() || self.session.threads.len() >= workers
    }

    /// Whether others went on to ask for other things until all of these were in flight, and now ask for nothing: then
    /// nobody takes up what they ask. Clients that ask for one kind only have nothing more to ask while each of them waits.
    fn asks_no_more(&self, kind: Op, first: usize) -> bool {
        let others = || self.session.stats.keys().copied().filter(move |other| *other != kind);
        let went_on: usize = others().map(|other| self.later(other, self.at(first))).sum();
        let full = self.ops.iter().map(|op| self.at(*op)).max().unwrap_or(self.now);
        let silence = (self.now - full) as f64 / 1e6;
        went_on > RACES && others().map(|other| self.rate(other)).sum::<f64>() * silence > 14.0
    }

    /// R15: the pool filled with one kind while others still completed.
    fn pool(&self) -> Option<Guess> {
        let mut counts: BTreeMap<Op, usize> = BTreeMap::new();
        self.ops.iter().for_each(|op| *counts.entry(self.kind(*op)).or_default() += 1);
        let (kind, count) = counts.into_iter().max_by_key(|(_, n)| *n)?;
        // Few that the daemon never exceeded may be all that its clients ask for at once.
        const MANY: usize = 8;
        let workers = self.workers();
        let known = self.knows_workers(workers);
        let least = if known { 2 } else { MANY };
        let full = workers >= least && self.ops.len() >= workers && count * 10 >= self.ops.len() * 9;
        let first = self.ops.iter().copied().find(|op| self.kind(*op) == kind)?;
        let after: usize = self.session.stats.keys().map(|k| self.later(*k, self.at(first))).sum();
        if !full || after <= RACES || !known && !self.asks_no_more(kind, first) {
            return None;
        }
        let victims: Vec<usize> = self.ops.iter().copied().filter(|op| *op != first).collect();
        Some(Guess {
            kind: GuessKind::Pool(kind),
            confidence: if known { Confidence::Medium } else { Confidence::Low },
            culprit: first,
            alternatives: Vec::new(),
            victims,
            completed_after: after,
            lossy: self.loss() > 0.005,
            outside: false,
        })
    }

    /// R12: none of its kind ever took so long.
    fn is_novel(&self, op: usize) -> bool {
        let age = u64::try_from(self.now - self.at(op)).unwrap_or(0);
        self.stats(self.kind(op)).is_none_or(|s| s.slower_than(age.min(2_000_000)) == 0)
    }
}
