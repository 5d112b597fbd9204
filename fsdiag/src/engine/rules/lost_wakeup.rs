//! > Read #77 of a.mkv waits for bytes 0-131072 for 14.2 s, but its download has 4194304: nobody woke it.

use crate::engine::{
    advice,
    case::{Case, Who},
    fact::Key,
    finding::{self, Finding, Rule, for_time, of_path},
    model::tasks::{Task, Waiting},
    report::{Cause, Confidence},
};

pub struct LostWakeup;

impl Rule for LostWakeup {
    fn cause(&self) -> Cause {
        Cause::LostWakeup
    }

    fn find(&self, case: &Case<'_>) -> Vec<Finding> {
        finding::listed(case, waiting(case).filter_map(|(op, wait, task)| finding(case, op, wait, task)))
    }
}

/// Stuck operations that are parked for bytes, with the task that should deliver them.
pub(super) fn waiting<'c>(case: &'c Case<'_>) -> impl Iterator<Item = (usize, &'c Waiting, Option<&'c Task>)> {
    case.stuck().filter_map(|op| {
        let session = case.life_of(op).session;
        let Key::Num(id) = case.ops[op].open.key() else { return None };
        let wait = session.waits.get(&id)?;
        Some((op, wait, wait.on.and_then(|task| session.tasks.get(&task))))
    })
}

/// Whether a task has what is waited for.
pub(super) fn has(task: &Task, wait: &Waiting) -> bool {
    let whole = |state: &str| state == "complete";
    task.progress.as_ref().is_some_and(|p| p.have >= wait.need.1 && wait.need.1 > 0 || whole(&p.state))
}

fn finding(case: &Case<'_>, op: usize, wait: &Waiting, task: Option<&Task>) -> Option<Finding> {
    let task = task?;
    let progress = task.progress.as_ref()?;
    let over = matches!(&*progress.state, "complete" | "failed" | "closed");
    if !(has(task, wait) || over && task.ended.is_none()) {
        return None;
    }
    let party = case.party_of(op)?;
    let sentence = format!(
        "{}{} waits for bytes {}-{}{}, but its download has {} ({}): nobody woke it.",
        case.op_name(op),
        of_path(case, party),
        wait.need.0,
        wait.need.1,
        for_time(case.ops[op].age),
        progress.have,
        progress.state,
    );
    let confidence = if over { Confidence::Certain } else { Confidence::High };
    let places = [wait.place, progress.place, task.place];
    let mut finding = Finding::new(Cause::LostWakeup, confidence, sentence)
        .blames(case, party)
        .rests_on(case, [wait.since])
        .evidence(case, places);
    let on = |p: &usize| matches!(case.parties[*p].who, Who::Task { task: t, .. } if std::ptr::eq(t, task));
    finding.covers.extend((0..case.parties.len()).filter(on));
    Some(
        finding
            .advice(&[
                "check the condition again under the lock that guards it, and wake every waiter whose range is there",
                advice::SINGLE_THREAD,
            ])
            .isolate(&[advice::FLAG_SINGLE]),
    )
}
