//! > Release #456 of movie.mkv has been closing a store for 12.1 s (waits for download task #9); nothing waits for it yet.

use fsd_events::{event::Phase, op::Op};

use super::lock_pileup::behind_it;
use crate::engine::{
    advice,
    case::{Case, Who},
    fact::HintKind,
    finding::{self, Finding, Rule, for_time, of_path},
    infer::{Guess, GuessKind},
    report::{Cause, Confidence},
    stacks::doing::Doing,
    waits::Why,
};

pub struct CloseBlocked;

impl Rule for CloseBlocked {
    fn cause(&self) -> Cause {
        Cause::CloseBlocked
    }

    fn find(&self, case: &Case<'_>) -> Vec<Finding> {
        let stuck = case.stuck().filter(|op| closes(case, *op));
        finding::listed(case, stuck.filter_map(|op| finding(case, op)))
    }
}

pub(super) fn closes(case: &Case<'_>, op: usize) -> bool {
    matches!(case.ops[op].open.op(), Op::Release | Op::Flush | Op::Releasedir)
}

/// A log loses as many ends as beginnings, and of these the lone ends tell.
fn may_be_lost(case: &Case<'_>, op: usize) -> bool {
    let life = case.ops[op].life;
    let old = case.stuck_of(life).count() as u64;
    !case.ops[op].watched && case.lives[life].session.loss.lone_exits >= old
}

fn finding(case: &Case<'_>, op: usize) -> Option<Finding> {
    let party = case.party_of(op)?;
    let joins = case.graph.out(party).find(|e| e.why == Why::Join);
    let phase = case.ops[op].open.doing() == Some(Phase::Close);
    let blocked = |doing| matches!(doing, Doing::Wait | Doing::Child | Doing::Network | Doing::Sleep | Doing::Disk);
    let stack = case.parties[party].thread.is_some_and(|at| blocked(case.threads[at].doing));
    let told = case.life_of(op).session.hints.iter().rev().find(|h| h.kind == HintKind::CloseTimedOut);
    let confidence = match () {
        () if phase => Confidence::Certain,
        () if stack => Confidence::High,
        () if told.is_some() => Confidence::Medium,
        () => Confidence::Low,
    };
    // Where others than its like stand behind it, it holds a lock.
    let held = |g: &&Guess| g.kind == GuessKind::Lock && g.culprit == op && !g.victims.iter().all(|v| closes(case, *v));
    let guessed = case.guesses.iter().any(|guess| held(&guess));
    if (guessed || case.leaks.contains(&op) || may_be_lost(case, op)) && confidence == Confidence::Low {
        return None;
    }
    let on = joins.map(|e| format!(" (waits for {})", case.name_of(e.to))).unwrap_or_default();
    let behind = case.graph.behind(party);
    let waits =
        if behind.is_empty() { String::from("nothing waits for it yet") } else { behind_it(case, party, &behind) };
    let doing = if phase || stack { "has been closing a store" } else { "has not ended" };
    let sentence =
        format!("{}{} {doing}{}{on}; {waits}.", case.op_name(op), of_path(case, party), for_time(case.ops[op].age));
    let places: Vec<_> = joins.map(|e| e.place).into_iter().chain(told.map(|h| h.place)).collect();
    let mut finding = Finding::new(Cause::CloseBlocked, confidence, sentence)
        .blames(case, party)
        .rests_on(case, case.ops[op].open.phase.iter().filter(|_| !stack).map(|phase| phase.since))
        .evidence(case, places)
        .waiters(case, &behind);
    if let Some(edge) = joins {
        finding.covers.push(edge.to);
        let task = matches!(case.parties[edge.to].who, Who::Task { .. });
        finding = finding.evidence(case, case.place_of(edge.to).filter(|_| task));
    }
    Some(
        finding
            .advice(&[advice::SKIP_EVICTION, "close in the background with a deadline; Release answers at once"])
            .isolate(&[advice::FLAG_SKIP]),
    )
}
