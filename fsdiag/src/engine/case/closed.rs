//! Closed by another witness: a request that a log leaves open and that the kernel's trace of the same daemon shows
//! answered. The log lost its end, or its handler goes on after the answer; nobody waits for it any more.

use std::collections::HashSet;

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
    let witnesses = |life: usize| {
        let of_it = move |kin: &Option<Kin>| kin.filter(|kin| kin.of == life);
        kin.iter().enumerate().filter_map(move |(at, kin)| Some((lives[at].session, of_it(kin)?.apart)))
    };
    let open = |op: &OpenAt<'m>| op.watched || !witnesses(op.life).any(|(trace, apart)| shows(trace, apart, op, lives));
    ops.into_iter().partition(open)
}

/// Whether the trace shows its answer, beyond doubt.
fn shows(trace: &Session, apart: Option<Apart>, op: &OpenAt<'_>, lives: &[Life<'_>]) -> bool {
    let kind = plain(op.open.op());
    let same_kind = trace.answered.iter().filter(|answer| plain(answer.op) == kind);
    let near = |answer: &&Answer| apart.is_none_or(|apart| is_near(op.at, answer.began, apart));
    let near: Vec<&Answer> = same_kind.filter(near).collect();
    let session = lives[op.life].session;
    let same = |number: u64| near.iter().any(|answer| answer.number == number);
    if number(op.open).is_some_and(same) && count_alike(session, trace) {
        return true;
    }
    // Without its number it is one of those that began just then, if each of them was answered.
    let Some(apart) = apart else { return false };
    let unanswered = trace.judged().any(|open| plain(open.op()) == kind && is_near(op.at, open.at, apart));
    let begun = begun_near(session, op, apart);
    !session.is_own() && trace.loss.lines == 0 && !unanswered && begun > 0 && near.len() >= begun
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

/// How many of its kind the log tells of that began then, itself among them.
fn begun_near(session: &Session, op: &OpenAt<'_>, apart: Apart) -> usize {
    let Some(at) = op.at else { return 0 };
    let kind = plain(op.open.op());
    let near = |began: &Micros| (began - at).abs() <= apart.blur;
    let ended = session.stats.iter().filter(|(op, _)| plain(**op) == kind).flat_map(|(_, stats)| stats.latest_starts());
    let open = session.judged().filter(|open| plain(open.op()) == kind).filter_map(|open| open.at);
    ended.chain(open).filter(near).count()
}
