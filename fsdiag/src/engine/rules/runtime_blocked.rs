//! > The async runtime has not polled for 15.2 s: all its threads are blocked; 4 operations wait for it.

use std::collections::BTreeSet;

use crate::engine::{
    case::{Case, seconds},
    finding::{Finding, Rule},
    plural::{count, verb},
    report::{Cause, Confidence, Culprit},
    stacks::doing::Doing,
};

pub struct RuntimeBlocked;

impl Rule for RuntimeBlocked {
    fn cause(&self) -> Cause {
        Cause::RuntimeBlocked
    }

    fn find(&self, case: &Case<'_>) -> Vec<Finding> {
        let by_beat = (0..case.lives.len()).filter_map(|life| lagging(case, life));
        let found: Vec<Finding> = by_beat.collect();
        if found.is_empty() { by_stacks(case).into_iter().collect() } else { found }
    }
}

/// The daemon's own probe.
fn lagging(case: &Case<'_>, life: usize) -> Option<Finding> {
    let (beat, _, place) = case.lives[life].session.last_beat.as_ref()?;
    let lag = i64::try_from(beat.runtime_lag_us).ok()?;
    if lag < case.model.limits.stalled_us {
        return None;
    }
    let own = |op: &usize| !case.are_apart(life, case.ops[*op].life);
    let stuck: Vec<usize> = case.stuck().filter(own).filter_map(|op| case.party_of(op)).collect();
    let sentence = format!(
        "The async runtime has not polled for {:.1} s: all its threads are blocked; {} {} for it.",
        seconds(lag),
        count(stuck.len(), "operation"),
        verb(stuck.len(), "waits", "wait"),
    );
    Some(made(case, Confidence::High, sentence).evidence(case, [*place]).waiters(case, &stuck))
}

/// Runtime workers in the dump, none of them polling, none idle.
fn by_stacks(case: &Case<'_>) -> Option<Finding> {
    let worker = |at: &usize| {
        case.threads[*at].thread.frames.iter().any(|f| f.function.contains("scheduler::multi_thread::worker"))
    };
    let workers: Vec<usize> = (0..case.threads.len()).filter(worker).collect();
    let blocked =
        workers.iter().all(|at| !matches!(case.threads[*at].doing, Doing::Idle | Doing::Other | Doing::Running));
    let polls = case.threads.iter().any(|t| t.thread.frames.first().is_some_and(|f| f.function.contains("epoll_wait")));
    if workers.len() < 2 || !blocked || polls {
        return None;
    }
    let parties: Vec<usize> =
        (0..case.parties.len()).filter(|p| case.parties[*p].thread.is_some_and(|at| workers.contains(&at))).collect();
    let sentence = format!(
        "All {} threads of the async runtime are blocked ({}), and none polls.",
        // Dumps of several tools show the same ones.
        workers.iter().map(|at| case.threads[*at].thread.number).collect::<BTreeSet<u64>>().len(),
        case.threads[workers[0]].activity(),
    );
    Some(made(case, Confidence::High, sentence).waiters(case, &parties))
}

fn made(_case: &Case<'_>, confidence: Confidence, sentence: String) -> Finding {
    let culprit = Culprit { thread: Some(String::from("async runtime")), ..Culprit::default() };
    Finding::new(Cause::RuntimeBlocked, confidence, sentence)
        .culprit(culprit)
        .advice(&["move blocking calls off the runtime's threads, and hold no lock across an await"])
}
