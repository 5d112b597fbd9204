//! Closed by another witness: a request that a log leaves open and that the kernel's trace of the same daemon shows
//! answered. The log lost its end, or its handler goes on after the answer; nobody waits for it any more.

use std::collections::{HashMap, HashSet};

use fsd_events::op::Op;

use super::{
    Life, OpenAt,
    kin::{Apart, Kin, plain},
    twins::number,
};
use crate::engine::model::{answered::Answer, ops::Micros, session::Session};

/// Parts what is open from what has been answered.
pub(super) fn part<'m>(
    ops: Vec<OpenAt<'m>>,
    lives: &[Life<'m>],
    kin: &[Option<Kin>],
) -> (Vec<OpenAt<'m>>, Vec<OpenAt<'m>>) {
    let mut witnesses: HashMap<usize, Vec<Witness<'_>>> = HashMap::new();
    for (trace, kin) in lives.iter().zip(kin).filter_map(|(life, kin)| Some((life.session, (*kin)?))) {
        witnesses.entry(kin.of).or_default().push(Witness::new(lives[kin.of].session, trace, kin.apart));
    }
    // The rule; and of a crowd no second list is made.
    if witnesses.is_empty() {
        return (ops, Vec::new());
    }
    let of = |op: &OpenAt<'m>| witnesses.get(&op.life).into_iter().flatten();
    ops.into_iter().partition(|op| op.watched || !of(op).any(|witness| witness.shows(op)))
}

/// What a trace tells of the requests of a log, by what is asked of it: both may have very many.
struct Witness<'m> {
    log: &'m Session,
    trace: &'m Session,
    apart: Option<Apart>,
    /// Whether the numbers of the log are the kernel's.
    alike: bool,
    answered: HashMap<(Op, u64), Vec<Option<Micros>>>,
    answers: Begun,
    /// What has no answer there.
    unanswered: Begun,
    /// What the log tells of, ended or not.
    told: Begun,
}

impl<'m> Witness<'m> {
    fn new(log: &'m Session, trace: &'m Session, apart: Option<Apart>) -> Self {
        let mut answered: HashMap<_, Vec<_>> = HashMap::new();
        for answer in trace.answered.iter() {
            answered.entry((plain(answer.op), answer.number)).or_default().push(answer.began);
        }
        let answers = trace.answered.iter().filter_map(|answer| Some((answer.op, answer.began?)));
        let open = |session: &'m Session| session.judged().filter_map(|open| Some((open.op(), open.at?)));
        let ended = log.stats.iter().flat_map(|(op, stats)| stats.latest_starts().into_iter().map(|at| (*op, at)));
        Self {
            log,
            trace,
            apart,
            alike: count_alike(log, trace),
            answered,
            answers: Begun::of(answers),
            unanswered: Begun::of(open(trace)),
            told: Begun::of(ended.chain(open(log))),
        }
    }

    /// Whether the trace shows its answer, beyond doubt.
    fn shows(&self, op: &OpenAt<'_>) -> bool {
        let kind = plain(op.open.op());
        let near = |began: &Option<Micros>| self.apart.is_none_or(|apart| is_near(op.at, *began, apart));
        let same = |number: u64| self.answered.get(&(kind, number)).is_some_and(|began| began.iter().any(near));
        if self.alike && number(op.open).is_some_and(same) {
            return true;
        }
        // Without its number it is one of those that began just then, if each of them was answered.
        let (Some(Apart { shift, blur }), Some(at)) = (self.apart, op.at) else { return false };
        if self.log.is_own() || self.trace.loss.lines > 0 || self.unanswered.near(kind, at - shift, blur) > 0 {
            return false;
        }
        let told = self.told.near(kind, at, blur);
        told > 0 && self.answers.near(kind, at - shift, blur) >= told
    }
}

/// Whether the numbers of a log are the kernel's: what ended under one of them in the log did so in the trace.
fn count_alike(log: &Session, trace: &Session) -> bool {
    const FEWEST: usize = 8;
    let known: HashSet<(u64, Op)> = trace.answered.iter().map(|answer| (answer.number, plain(answer.op))).collect();
    let own: Vec<&Answer> = log.answered.iter().collect();
    let same = own.iter().filter(|answer| known.contains(&(answer.number, plain(answer.op)))).count();
    log.is_own() || own.len() >= FEWEST && same * 10 >= own.len() * 9
}

fn is_near(at: Option<Micros>, began: Option<Micros>, apart: Apart) -> bool {
    at.zip(began).is_some_and(|(at, began)| (began + apart.shift - at).abs() <= apart.blur)
}

/// When requests of each kind began, in order.
struct Begun(HashMap<Op, Vec<Micros>>);

impl Begun {
    fn of(all: impl Iterator<Item = (Op, Micros)>) -> Self {
        let mut begun: HashMap<Op, Vec<Micros>> = HashMap::new();
        all.for_each(|(op, at)| begun.entry(plain(op)).or_default().push(at));
        begun.values_mut().for_each(|times| times.sort_unstable());
        Self(begun)
    }

    /// How many began then.
    fn near(&self, kind: Op, at: Micros, blur: Micros) -> usize {
        let Some(times) = self.0.get(&kind) else { return 0 };
        let before = |limit: Micros| times.partition_point(|time| *time < limit);
        before(at + blur + 1) - before(at - blur)
    }
}
