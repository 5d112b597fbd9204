//! > 9 operations wait in their own logging: the reader of the log does not take what they write.

use crate::engine::{
    case::Case,
    finding::{Finding, Rule},
    plural::{count, verb},
    report::{Cause, Confidence},
};

pub struct LogBlocked;

impl Rule for LogBlocked {
    fn cause(&self) -> Cause {
        Cause::LogBlocked
    }

    fn find(&self, case: &Case<'_>) -> Vec<Finding> {
        let writes = |p: &usize| {
            let log = |at: usize| case.threads[at].op.is_some() && case.threads[at].logs();
            let old = case.op_of(*p).is_none_or(|op| case.is_stuck(op));
            case.parties[*p].thread.is_some_and(log) && old
        };
        let mut parties: Vec<usize> = (0..case.parties.len()).filter(writes).collect();
        parties.sort_by_key(|p| std::cmp::Reverse(case.age_of(*p)));
        let Some(first) = parties.first() else { return Vec::new() };
        let n = parties.len();
        let sentence = format!(
            "{} {} in their own logging: the reader of the log does not take what they write.",
            count(n, "operation"),
            verb(n, "waits", "wait"),
        );
        let confidence = if n >= 2 { Confidence::High } else { Confidence::Medium };
        let finding = Finding::new(Cause::LogBlocked, confidence, sentence).blames(case, *first);
        vec![finding.waiters(case, &parties[1..]).advice(&[
            "read the pipe or terminal that the daemon writes to, or send its log to a file",
            "log through a bounded queue that drops and counts instead of waiting",
        ])]
    }
}
