//! Verdicts from stacks: what a dump proves, said with the names and ages of the log beside it.

use super::{
    advice,
    case::Case,
    finding::{Finding, count, for_time, of_path, verb},
    report::{Cause, Confidence},
    stacks::{Conclusion, doing::Doing},
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
    // A log that ends before the dump was taken tells ages from below.
    if !ages.is_empty() && ages.iter().all(|age| *age < YOUNG) && !stuck {
        return None;
    }
    // A clock that says how long, or a second dump that shows no movement, settles what one dump leaves open.
    let stays = case.threads[first + proof.culprit].stays;
    let confidence = match proof.confidence {
        Confidence::Low if stuck || stays => Confidence::Medium,
        Confidence::Medium if stuck || stays => Confidence::High,
        said => said,
    };
    let sentence = sentence(case, proof, first, culprit, &waiters);
    let mut finding = Finding::new(proof.cause, confidence, sentence).blames(case, culprit).waiters(case, &waiters);
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
    Some(if confidence < Confidence::High && !stays {
        finding.advice(&["a second dump ten seconds later shows whether it moves"])
    } else {
        finding
    })
}

fn sentence(case: &Case<'_>, proof: &Conclusion, first: usize, culprit: usize, waiters: &[usize]) -> String {
    let seen = &case.threads[first + proof.culprit];
    let (name, path) = (case.name_of(culprit), of_path(case, culprit));
    let age = for_time(case.age_of(culprit));
    let lock = proof.lock.as_deref().unwrap_or("a lock");
    let behind = match waiters.len() {
        0 => String::from("nothing waits for it yet"),
        n => format!("{} {} behind it ({})", count(n, "operation"), verb(n, "waits", "wait"), case.counts(waiters)),
    };
    match proof.cause {
        Cause::DeadlockCycle => {
            let names: Vec<String> = proof.cycle.iter().map(|at| case.name_of(case.seats[first + at])).collect();
            let rest = waiters.len().saturating_sub(proof.cycle.len().saturating_sub(1));
            format!(
                "Deadlock: {} wait for each other, {name} for `{lock}`{age}; {} more behind them.",
                names.join(" and "),
                rest
            )
        }
        Cause::LockPileup => {
            format!("{name}{path} holds lock `{lock}`{age} while {}; {behind}.", activity(seen.doing, seen.activity()))
        }
        Cause::WorkerStarvation => {
            format!(
                "The only FUSE thread sits in {name}{path}{age}, {}: nothing else is served until it ends.",
                seen.activity()
            )
        }
        _ => format!("{name}{path} has waited{age}, {}; {behind}.", seen.activity()),
    }
}

fn activity(doing: Doing, words: &'static str) -> &'static str {
    if doing == Doing::Lock { "waiting itself" } else { words }
}
