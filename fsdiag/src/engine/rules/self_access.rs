//! > Thread 4711 of the daemon waits for an answer of a FUSE mount: of its own, then for itself, or of one below it.

use crate::engine::{
    case::{Case, Who},
    finding::{Finding, Rule, for_time},
    report::{Cause, Confidence},
};

pub struct SelfAccess;

impl Rule for SelfAccess {
    fn cause(&self) -> Cause {
        Cause::SelfAccess
    }

    fn find(&self, case: &Case<'_>) -> Vec<Finding> {
        let mut found: Vec<Finding> = (0..case.parties.len()).filter_map(|party| finding(case, party)).collect();
        found.extend(super::unread_queue::by_kernel(case, Cause::SelfAccess));
        found
    }
}

/// A thread that serves requests, or shares a process with one that does, inside the kernel's wait for an answer.
fn finding(case: &Case<'_>, party: usize) -> Option<Finding> {
    let Who::Thread(at) = case.parties[party].who else { return None };
    let waits = |at: usize| case.threads[at].thread.frames.iter().any(|f| f.function.contains("request_wait_answer"));
    let reads = |at: usize| case.threads[at].thread.frames.iter().any(|f| f.function.contains("fuse_dev_do_read"));
    let same_dump = |other: &usize| case.threads[*other].place.input == case.threads[at].place.input;
    let daemon = (0..case.threads.len()).filter(same_dump).any(reads);
    if !waits(at) || !daemon {
        return None;
    }
    let sentence = format!(
        "{} of the daemon waits{} for an answer of a FUSE mount: of its own, then for itself, or of one below it.",
        case.name_of(party),
        for_time(case.age_of(party)),
    );
    // A stack does not say which mount: daemons are stacked on other FUSE mounts, too.
    let finding = Finding::new(Cause::SelfAccess, Confidence::Low, sentence).blames(case, party);
    Some(finding.advice(&[
        "fsdiag attach MOUNT tells whose mount it is; fsdiag mounts shows whether one below it hangs",
        "keep caches, logs, cores and the working directory of the daemon off its mount",
    ]))
}
