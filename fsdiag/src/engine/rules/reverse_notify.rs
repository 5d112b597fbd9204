//! > Thread fuse-2 is stuck in its own cache invalidation for 11.0 s while serving Read #12: the kernel waits there for
//! > a request that the daemon has not answered.

use fsd_events::event::Phase;

use crate::engine::{
    advice,
    case::Case,
    finding::{Finding, Rule, for_time},
    report::{Cause, Confidence},
    stacks::doing::Doing,
};

pub struct ReverseNotify;

impl Rule for ReverseNotify {
    fn cause(&self) -> Cause {
        Cause::ReverseNotify
    }

    fn find(&self, case: &Case<'_>) -> Vec<Finding> {
        let stuck = case.ops.is_empty() || case.stuck().next().is_some();
        let mut found: Vec<Finding> = (0..case.parties.len()).filter_map(|party| finding(case, party, stuck)).collect();
        found.extend(super::unread_queue::by_kernel(case, Cause::ReverseNotify));
        found
    }
}

/// `stuck`: whether anything is, or no request is known.
fn finding(case: &Case<'_>, party: usize, stuck: bool) -> Option<Finding> {
    let by_phase =
        case.op_of(party).is_some_and(|op| case.is_stuck(op) && case.ops[op].open.doing() == Some(Phase::Notify));
    let notifies = |at: &usize| case.threads[*at].doing == Doing::Notify && !case.threads[*at].moves;
    let by_stack = case.parties[party].thread.filter(notifies).filter(|_| stuck);
    if !by_phase && by_stack.is_none() {
        return None;
    }
    let sentence = format!(
        "{} is stuck in its own cache invalidation{}: the kernel waits there for a request that the daemon has not answered.",
        case.name_of(party),
        for_time(case.age_of(party)),
    );
    let confidence = match by_stack {
        _ if by_phase => Confidence::Certain,
        Some(at) if case.lasts(at) => Confidence::High,
        // A healthy daemon is in there for a moment, too.
        _ => Confidence::Low,
    };
    let behind = case.graph.behind(party);
    let phase = case.op_of(party).filter(|_| by_phase).and_then(|op| case.ops[op].open.phase.as_ref());
    let finding = Finding::new(Cause::ReverseNotify, confidence, sentence)
        .blames(case, party)
        .rests_on(case, phase.map(|phase| phase.since))
        .waiters(case, &behind);
    let finding = if confidence == Confidence::Low { finding.advice(&[advice::SECOND_DUMP]) } else { finding };
    Some(finding.advice(&["never invalidate from a thread that serves requests, nor under a lock they need"]))
}
