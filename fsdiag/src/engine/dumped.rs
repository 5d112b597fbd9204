//! Verdicts from stacks: what a dump proves, said with the names and ages of the log beside it.

use std::collections::HashSet;

use fsd_events::event::Phase;

use super::{
    advice,
    case::Case,
    finding::{Finding, for_time, of_path},
    model::session::Session,
    plural::{count, verb},
    report::{Cause, Confidence},
    stacks::{Conclusion, doing::Doing},
    threads::Seen,
};

/// The findings of one cause that the dumps prove.
pub fn findings(case: &Case<'_>, cause: Cause) -> Vec<Finding> {
    let of_cause = case.proofs.iter().filter(|(_, proof)| proof.cause == cause);
    of_cause.filter_map(|(first, proof)| finding(case, *first, proof)).collect()
}

const YOUNG: i64 = 1_000_000;

fn finding(case: &Case<'_>, first: usize, proof: &Conclusion) -> Option<Finding> {
    let seat = |at: &usize| case.seats[first + at];
    let culprit = seat(&proof.culprit);
    let waiters: Vec<usize> = proof.waiters.iter().chain(&proof.cycle).map(seat).filter(|p| *p != culprit).collect();
    let ages: Vec<i64> =
        waiters.iter().chain([&culprit]).filter_map(|p| case.op_of(*p)).filter_map(|op| case.ops[op].age).collect();
    let stuck = waiters.iter().chain([&culprit]).filter_map(|p| case.op_of(*p)).any(|op| case.is_stuck(op));
    // A log that ends before the dump was taken tells ages from below: it stopped with the very requests of the dump.
    let young = !ages.is_empty() && ages.iter().all(|age| *age < YOUNG) && !stuck;
    let dump = case.threads[first].dump;
    let seen = || all_seen(case, dump) || all_sent(case, dump, proof.cause);
    if young && (!seen() || case.op_of(culprit).is_some_and(|op| is_slow(case, op))) {
        return None;
    }
    let blamed = &case.threads[first + proof.culprit];
    if blamed.moves && !stuck {
        return None;
    }
    // A clock that says how long, or a second dump that shows no movement, settles what one dump leaves open.
    let stays = blamed.stays && (!waiters.is_empty() || is_of_one_request(case, first + proof.culprit));
    let settled = stuck || stays || long(case, first, proof);
    let confidence = match proof.confidence {
        // Holder and waiters are stated, and so is that it lasts.
        _ if settled && proof.stated => Confidence::Certain,
        _ if proof.rests => Confidence::Low,
        // Dumps have no clock: these may be from before, and what the log shows is from afterwards.
        Confidence::Low | Confidence::Medium if young && !long(case, first, proof) => Confidence::Low,
        Confidence::Low if settled => Confidence::Medium,
        Confidence::Medium if settled => Confidence::High,
        said if settled => said,
        _ if young || logged_without(case, first, proof) => Confidence::Low,
        said => said,
    };
    let sentence = sentence(case, proof, first, culprit, &waiters);
    let others: Vec<usize> = proof.others.iter().map(seat).filter(|p| *p != culprit).collect();
    let finding = Finding::new(proof.cause, confidence, sentence).blames(case, culprit).waiters(case, &waiters);
    let mut finding = finding.alternatives(case, &others);
    if let Some(lock) = &proof.lock {
        finding = finding.lock(lock);
    }
    let finding = match proof.cause {
        Cause::DeadlockCycle => finding
            .advice(&[
                "take these locks in one order everywhere, or drop the first before taking the second",
                advice::SINGLE_THREAD,
            ])
            .isolate(&[advice::FLAG_SINGLE]),
        _ => finding,
    };
    Some(if confidence < Confidence::High && !settled { finding.advice(&[advice::SECOND_DUMP]) } else { finding })
}

/// Others of its kind have taken long in that log, and ended: a dump meets some of them at any time.
fn is_slow(case: &Case<'_>, op: usize) -> bool {
    const LONG: u64 = 1_000_000;
    const OFTEN: u64 = 3;
    let session = case.life_of(op).session;
    let long = LONG + session.clock.blur_us();
    session.stats.get(&case.ops[op].open.op()).is_some_and(|kind| kind.slower_than(long) >= OFTEN)
}

/// Whether the thread has only ever served the request that it serves: one of a pool stands in the same callback for
/// another one by the next dump. A daemon of one loop serves nothing meanwhile in either case.
fn is_of_one_request(case: &Case<'_>, at: usize) -> bool {
    let seen = &case.threads[at];
    seen.thread.is_goroutine()
        || case
            .proofs
            .iter()
            .any(|(first, proof)| first + proof.culprit == at && proof.cause == Cause::WorkerStarvation)
}

/// Whether that dump shows a thread in each request that is open at the end of the logs.
fn all_seen(case: &Case<'_>, dump: usize) -> bool {
    let in_dump = |at: &usize| case.threads[*at].dump == dump;
    let seats: HashSet<usize> = (0..case.threads.len()).filter(in_dump).map(|at| case.seats[at]).collect();
    (0..case.ops.len()).all(|op| case.party_of(op).is_some_and(|party| seats.contains(&party)))
}

/// Whether all that is open at the end of the logs has been sent to a server, and the dump shows callbacks that wait for
/// one, each with a request or several: a log of what a daemon asks its server (sshfs) counts other things than callbacks.
fn all_sent(case: &Case<'_>, dump: usize, cause: Cause) -> bool {
    let sent = case.ops.iter().all(|op| op.open.doing() == Some(Phase::Upstream));
    let waits =
        |seen: &&Seen<'_>| seen.dump == dump && seen.op.is_some() && matches!(seen.doing, Doing::Network | Doing::Wait);
    let callbacks = case.threads.iter().filter(waits).count();
    cause == Cause::UpstreamStall && sent && callbacks <= case.ops.len()
}

/// The dump itself says for how long.
fn long(case: &Case<'_>, first: usize, proof: &Conclusion) -> bool {
    let threads = proof.waiters.iter().chain(&proof.cycle).chain([&proof.culprit]);
    let since = threads.filter_map(|at| case.threads[first + at].thread.at_least_us());
    let limit = u64::try_from(case.model.limits.stalled_us).unwrap_or(0);
    since.max().is_some_and(|us| us >= limit)
}

/// A log tells of requests, and none of those that the dump shows is open at its end.
fn logged_without(case: &Case<'_>, first: usize, proof: &Conclusion) -> bool {
    let threads = || proof.waiters.iter().chain([&proof.culprit]).map(|at| first + at);
    let serves = threads().any(|at| case.threads[at].op.is_some());
    let open = threads().any(|at| case.op_of(case.seats[at]).is_some());
    let tells = |session: &Session| !session.of_dump && !session.one_sided && session.entered > 0;
    serves && !open && case.lives.iter().any(|life| tells(life.session))
}

fn sentence(case: &Case<'_>, proof: &Conclusion, first: usize, culprit: usize, waiters: &[usize]) -> String {
    let seen = &case.threads[first + proof.culprit];
    let (name, path) = (called(case, seen, culprit), of_path(case, culprit));
    let age = for_time(case.age_of(culprit));
    // Of a program without names the place tells nothing.
    let named = proof.lock.as_deref().filter(|lock| !lock.starts_with("??"));
    let lock = |kind: &str| named.map_or_else(|| String::from("a lock"), |lock| format!("{kind}`{lock}`"));
    let behind = match waiters.len() {
        0 => String::from("nothing waits for it yet"),
        n => format!("{} {} behind it ({})", count(n, "operation"), verb(n, "waits", "wait"), case.counts(waiters)),
    };
    match proof.cause {
        Cause::DeadlockCycle => {
            let names: Vec<String> = proof.cycle.iter().map(|at| case.name_of(case.seats[first + at])).collect();
            let rest = waiters.len().saturating_sub(proof.cycle.len().saturating_sub(1));
            let others = || proof.others.iter().map(|at| case.name_of(case.seats[first + at])).collect::<Vec<_>>();
            // Where others may have the locks.
            let unless = match proof.rests {
                true => format!(", unless {} has what they wait for", enumerated(&others(), "or")),
                false => String::new(),
            };
            format!(
                "Deadlock: {} wait for each other{unless}, {} for {}{age}; {rest} more behind them.",
                enumerated(&names, "and"),
                case.name_of(culprit),
                lock(""),
            )
        }
        Cause::LockPileup => {
            let lock = lock("lock ");
            format!("{name}{path} holds {lock}{age} while {}; {behind}.", activity(seen.doing, seen.activity()))
        }
        Cause::WorkerStarvation => {
            format!(
                "The only FUSE thread sits in {name}{path}{age}, {}: nothing else is served until it ends.",
                seen.activity()
            )
        }
        _ if age.is_empty() => format!("{name}{path} is {}; {behind}.", seen.activity()),
        _ => format!("{name}{path} has waited{age}, {}; {behind}.", seen.activity()),
    }
}

/// `a`, `a and b`, `a, b and c`.
fn enumerated(names: &[String], and: &str) -> String {
    match names {
        [before @ .., last] if !before.is_empty() => format!("{} {and} {last}", before.join(", ")),
        _ => names.concat(),
    }
}

/// A program without names shows its callbacks by the library that calls them.
fn called(case: &Case<'_>, seen: &Seen<'_>, party: usize) -> String {
    let name = case.name_of(party);
    let nameless = seen.serves && seen.op.is_none() && case.op_of(party).is_none();
    if nameless { format!("A callback ({name})") } else { name }
}

fn activity(doing: Doing, words: &'static str) -> &'static str {
    if doing == Doing::Lock { "waiting itself" } else { words }
}
