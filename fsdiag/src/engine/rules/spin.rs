//! > Read #12 runs without progress for 20.3 s: its thread was in the same code in both dumps.

use crate::engine::{
    case::Case,
    finding::{Finding, Rule, for_time},
    report::{Cause, Confidence},
    stacks::{self, doing::Doing},
    threads::Seen,
};

pub struct Spin;

impl Rule for Spin {
    fn cause(&self) -> Cause {
        Cause::Spin
    }

    fn find(&self, case: &Case<'_>) -> Vec<Finding> {
        let mut found: Vec<Finding> = (0..case.parties.len()).filter_map(|party| finding(case, party)).collect();
        found.extend(super::unread_queue::by_kernel(case, self.cause()));
        found
    }
}

/// A thread that runs in a callback: one that the log calls stuck, or that two dumps show in the same place.
fn finding(case: &Case<'_>, party: usize) -> Option<Finding> {
    let seen = &case.threads[case.parties[party].thread?];
    let stuck = case.op_of(party).is_some_and(|op| case.is_stuck(op));
    let runs = seen.doing == Doing::Running || seen.doing == Doing::Other && stuck && is_in_own_code(case, seen);
    if !runs || seen.op.is_none() && !stuck || !(stuck || seen.stays) {
        return None;
    }
    let how = if seen.stays { ": its thread was in the same code in both dumps" } else { "" };
    let sentence = format!("{} runs without progress{}{how}.", case.name_of(party), for_time(case.age_of(party)));
    let confidence = if stuck && seen.stays { Confidence::High } else { Confidence::Medium };
    let finding = Finding::new(Cause::Spin, confidence, sentence).blames(case, party);
    Some(finding.advice(&["a second dump and the thread's CPU time show whether it is the same loop"]))
}

/// Who waits is in a system call, which the C library makes. Of interpreters and virtual machines a dump shows none.
fn is_in_own_code(case: &Case<'_>, seen: &Seen<'_>) -> bool {
    let inner = seen.thread.frames.first();
    let own = inner.is_some_and(|frame| frame.file.is_some() && !stacks::is_of_libc(frame));
    own && case.model.dumps[seen.dump].1.is_native()
}
