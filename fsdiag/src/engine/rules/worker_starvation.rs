//! > The only worker sits in Release #456 for 12.4 s, closing a store; 8 requests that the daemon has not read wait for
//! > it.

use fsd_events::op::Op;

use super::lock_pileup::activity;
use crate::engine::{
    advice,
    case::Case,
    finding::{Finding, Rule, count, for_time, of_path},
    infer::GuessKind,
    report::{Cause, Confidence},
    threads::{self, Doing},
};

pub struct WorkerStarvation;

impl Rule for WorkerStarvation {
    fn cause(&self) -> Cause {
        Cause::WorkerStarvation
    }

    fn find(&self, case: &Case<'_>) -> Vec<Finding> {
        let mut found: Vec<Finding> = (0..case.lives.len()).filter_map(|life| single(case, life)).collect();
        if found.is_empty() {
            found.extend(single_by_dump(case));
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
    let op = case.stuck().find(|op| case.ops[*op].life == life)?;
    let stated = case.lives[life].session.is_own() || case.ops[op].watched;
    Some(only_worker(case, op, if stated { Confidence::Certain } else { Confidence::High }))
}

fn only_worker(case: &Case<'_>, op: usize, confidence: Confidence) -> Finding {
    let party = case.party_of(op).unwrap_or(op);
    let unread = case.unread().filter(|n| *n > 0).map(|n| {
        format!("; {} that the daemon has not read wait for it", count(usize::try_from(n).unwrap_or(0), "request"))
    });
    let sentence = format!(
        "The only worker sits in {}{}{}{}{}.",
        case.op_name(op),
        of_path(case, party),
        for_time(case.ops[op].age),
        activity(case, party),
        unread.unwrap_or_else(|| String::from(": nothing else is served until it ends")),
    );
    let others: Vec<usize> = (0..case.ops.len()).filter(|o| *o != op).filter_map(|o| case.party_of(o)).collect();
    Finding::new(Cause::WorkerStarvation, confidence, sentence)
        .blames(case, party)
        .waiters(case, &others)
        .advice(&["give every wait in a callback a deadline, and let others be served meanwhile (more workers, or replies from elsewhere)"])
}

/// A dump with one FUSE thread in all, and that thread is in a request.
fn single_by_dump(case: &Case<'_>) -> Option<Finding> {
    let fuse = |at: &usize| {
        let thread = case.threads[*at].thread;
        case.threads[*at].op.is_some() || thread.frames.iter().any(|f| f.function.contains("fuse"))
    };
    let of_fuse: Vec<usize> = (0..case.threads.len()).filter(fuse).collect();
    let [only] = of_fuse.as_slice() else { return None };
    let seen = &case.threads[*only];
    let single = seen.thread.frames.iter().any(|f| {
        let f = &*f.function;
        (f.ends_with("fuse_loop") || f.ends_with("fuse_session_loop") || f.contains("fuse_main")) && !f.contains("_mt")
    });
    let slow = matches!(seen.doing, Doing::Upstream | Doing::Another | Doing::Sleep | Doing::Disk | Doing::Lock);
    if !single || !slow || threads::served(seen.thread).is_none() && seen.op.is_none() {
        return None;
    }
    let party = case.parties.iter().position(|p| p.thread == Some(*only))?;
    let young = case.age_of(party).is_some_and(|age| age < case.model.limits.stalled_us);
    if young {
        return None;
    }
    if let Some(op) = case.op_of(party) {
        return Some(only_worker(case, op, Confidence::High));
    }
    let sentence = format!(
        "The only FUSE thread sits in {}{}: nothing else is served until it ends.",
        case.name_of(party),
        activity(case, party)
    );
    Some(Finding::new(Cause::WorkerStarvation, Confidence::High, sentence).blames(case, party))
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
    let unread = case.unread().filter(|n| *n > 0)?;
    if beat.workers == 0 || beat.workers_busy < beat.workers {
        return None;
    }
    let op = case.stuck().find(|op| case.ops[*op].life == life)?;
    let party = case.party_of(op)?;
    let sentence = format!(
        "All {} workers are busy, the oldest in {}{}; {} that the daemon has not read wait.",
        beat.workers,
        case.op_name(op),
        for_time(case.ops[op].age),
        count(usize::try_from(unread).unwrap_or(0), "request"),
    );
    let finding = Finding::new(Cause::WorkerStarvation, Confidence::High, sentence).evidence(case, [*place]);
    Some(finding.blames(case, party).advice(&[advice::SINGLE_THREAD]))
}
