//! > Read #77 of a.mkv waits for bytes 0-131072 for 14.2 s, but its download (task #9) ended: cancelled.

use super::lost_wakeup::{has, waiting};
use crate::engine::{
    case::{Case, Who},
    finding::{Finding, Rule, for_time, of_path},
    report::{Cause, Confidence},
    standing,
};

pub struct OrphanedFetch;

impl Rule for OrphanedFetch {
    fn cause(&self) -> Cause {
        Cause::OrphanedFetch
    }

    fn find(&self, case: &Case<'_>) -> Vec<Finding> {
        let gone = waiting(case).filter_map(|(op, wait, task)| {
            let task = task.filter(|t| !has(t, wait))?;
            let ended = task.ended.as_ref()?;
            let party = case.party_of(op)?;
            let sentence = format!(
                "{}{} waits for bytes {}-{}{}, but its {} (task #{}) ended: {}.",
                case.op_name(op),
                of_path(case, party),
                wait.need.0,
                wait.need.1,
                for_time(case.ops[op].age),
                task.kind.name(),
                wait.on.unwrap_or(0),
                ended.outcome,
            );
            let mut finding = Finding::new(Cause::OrphanedFetch, Confidence::Certain, sentence)
                .blames(case, party)
                .rests_on(case, [wait.since])
                .evidence(case, [wait.place, ended.place, task.place]);
            let on = |p: &usize| matches!(case.parties[*p].who, Who::Task { task: t, .. } if std::ptr::eq(t, task));
            finding.covers.extend((0..case.parties.len()).filter(on));
            Some(finding.advice(&[
                "whoever ends a download must fail its waiters or start another; never give it the context of the request that began it",
            ]))
        });
        gone.chain(standing::finding(case).filter(|found| found.verdict.cause == Cause::OrphanedFetch)).collect()
    }
}
