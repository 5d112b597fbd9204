//! > The only worker sits in Release #456 for 12.4 s, closing a store; 8 requests that the daemon has not read wait for
//! > it.

use fsd_events::op::Op;

use super::lock_pileup::activity;
use crate::engine::{
    advice,
    case::Case,
    dumped,
    finding::{Finding, Rule, for_time, of_path},
    infer::GuessKind,
    plural::{count, verb},
    report::{Cause, Confidence},
};

pub struct WorkerStarvation;

impl Rule for WorkerStarvation {
    fn cause(&self) -> Cause {
        Cause::WorkerStarvation
    }

    fn find(&self, case: &Case<'_>) -> Vec<Finding> {
        let mut found: Vec<Finding> = (0..case.lives.len()).filter_map(|life| single(case, life)).collect();
        if found.is_empty() {
            found.extend(dumped::findings(case, self.cause()));
        }
        for guess in &case.guesses {
            if let GuessKind::Pool(op) = guess.kind {
                found.extend(pool(case, guess.culprit, &guess.victims, op, guess.confidence));
            }
        }
        found.extend((0..case.lives.len()).filter_map(|life| all_busy(case, life)));
        found.extend(super::unread_queue::by_kernel(case, Cause::WorkerStarvation));
        found
    }
}

/// One worker, and it is taken.
fn single(case: &Case<'_>, life: usize) -> Option<Finding> {
    let about = &case.lives[life].session.about;
    if about.workers != Some(1) && !about.flags.debug_fskit_single_thread {
        return None;
    }
    let op = case.stuck_of(life).find(|op| !was_passed(case, *op))?;
    let stated = case.lives[life].session.is_own() || case.ops[op].watched;
    Some(only_worker(case, op, if stated { Confidence::Certain } else { Confidence::High }))
}

/// Whether requests that began after it have ended: it is parked, and the worker is free.
fn was_passed(case: &Case<'_>, op: usize) -> bool {
    let stats = &case.life_of(op).session.stats;
    case.ops[op].open.at.is_some_and(|at| stats.values().any(|kind| kind.later_than(at) > 0))
}

fn only_worker(case: &Case<'_>, op: usize, confidence: Confidence) -> Finding {
    let party = case.party_of(op).unwrap_or(op);
    let unread = case
        .unread(case.ops[op].life)
        .filter(|n| *n > 0)
        .map(|n| format!("; {} that the daemon has not read {} for it", count(n, "request"), verb(n, "waits", "wait")));
    let sentence = format!(
        "The only worker sits in {}{}{}{}{}.",
        case.op_name(op),
        of_path(case, party),
        for_time(case.ops[op].age),
        activity(case, party),
        unread.unwrap_or_else(|| String::from(": nothing else is served until it ends")),
    );
    let others: Vec<usize> =
        case.ops_beside(case.ops[op].life).filter(|o| *o != op).filter_map(|o| case.party_of(o)).collect();
    Finding::new(Cause::WorkerStarvation, confidence, sentence)
        .blames(case, party)
        .waiters(case, &others)
        .advice(&["give every wait in a callback a deadline, and let others be served meanwhile (more workers, or replies from elsewhere)"])
}

fn pool(case: &Case<'_>, first: usize, others: &[usize], op: Op, confidence: Confidence) -> Option<Finding> {
    let party = case.party_of(first)?;
    let waiters: Vec<usize> = others.iter().filter_map(|o| case.party_of(*o)).collect();
    let sentence = format!(
        "All {} workers sit in {op}, the oldest in {}{}{}; no lock explains it, others completed while the pool filled.",
        others.len() + 1,
        case.op_name(first),
        of_path(case, party),
        for_time(case.ops[first].age),
    );
    let finding = Finding::new(Cause::WorkerStarvation, confidence, sentence).blames(case, party);
    Some(
        finding.waiters(case, &waiters).advice(&[
            "find what that operation waits for (network, download) and give it a deadline",
            advice::DUMP_NOW,
        ]),
    )
}

/// The daemon's pulse: all loops busy, and the kernel has more.
fn all_busy(case: &Case<'_>, life: usize) -> Option<Finding> {
    let (beat, _, place) = case.lives[life].session.last_beat.as_ref()?;
    let unread = case.unread(life).filter(|n| *n > 0)?;
    if beat.workers == 0 || beat.workers_busy < beat.workers {
        return None;
    }
    let op = case.stuck_of(life).next()?;
    let party = case.party_of(op)?;
    let all = match beat.workers {
        1 => String::from("The only worker is busy,"),
        n => format!("All {n} workers are busy, the oldest"),
    };
    let sentence = format!(
        "{all} in {}{}; {} that the daemon has not read {}.",
        case.op_name(op),
        for_time(case.ops[op].age),
        count(unread, "request"),
        verb(unread, "waits", "wait"),
    );
    let finding = Finding::new(Cause::WorkerStarvation, Confidence::High, sentence).evidence(case, [*place]);
    Some(finding.blames(case, party).advice(&[advice::SINGLE_THREAD]))
}
