//! > 9 operations wait in their own logging: the reader of the log does not take what they write.

use crate::engine::{
    advice,
    case::Case,
    finding::{Finding, Rule},
    plural::{count, verb},
    report::{Cause, Confidence},
    stacks,
    threads::Seen,
};

pub struct LogBlocked;

impl Rule for LogBlocked {
    fn cause(&self) -> Cause {
        Cause::LogBlocked
    }

    fn find(&self, case: &Case<'_>) -> Vec<Finding> {
        // The library writes what it has read before it calls a callback, and what it answers behind it.
        let serves = |seen: &Seen<'_>| seen.op.is_some() || stacks::shows_library(seen.thread);
        let logs = |at: &usize| {
            let seen = &case.threads[*at];
            seen.logs && !seen.moves && serves(seen)
        };
        let writer = |p: &usize| case.parties[*p].thread.filter(logs);
        let old = |p: &usize| case.op_of(*p).is_none_or(|op| case.is_stuck(op));
        let lasts = |p: &usize| writer(p).is_some_and(|at| case.lasts(at));
        let mut parties: Vec<usize> = (0..case.parties.len()).filter(|p| writer(p).is_some() && old(p)).collect();
        parties.sort_by_key(|p| std::cmp::Reverse((lasts(p), case.age_of(*p))));
        let Some(first) = parties.first() else { return Vec::new() };
        let n = parties.len();
        let sentence = format!(
            "{} {} in their own logging: the reader of the log does not take what they write.",
            count(n, "operation"),
            verb(n, "waits", "wait"),
        );
        // A daemon that logs much is in there for a moment, too.
        let confidence = match parties.iter().filter(|p| lasts(p)).count() {
            0 => Confidence::Low,
            1 => Confidence::Medium,
            _ => Confidence::High,
        };
        let finding = Finding::new(Cause::LogBlocked, confidence, sentence).blames(case, *first);
        let finding = if confidence == Confidence::Low { finding.advice(&[advice::SECOND_DUMP]) } else { finding };
        vec![finding.waiters(case, &parties[1..]).advice(&[
            "read the pipe or terminal that the daemon writes to, or send its log to a file",
            "log through a bounded queue that drops and counts instead of waiting",
        ])]
    }
}
