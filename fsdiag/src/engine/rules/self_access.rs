//! > Thread 4711 of the daemon waits for an answer of a FUSE mount: of its own, then for itself, or of one below it.

use std::collections::HashSet;

use crate::engine::{
    case::{Case, Who},
    fact::InputId,
    finding::{self, Finding, Rule, for_time},
    report::{Cause, Confidence},
    threads::Seen,
};

pub struct SelfAccess;

impl Rule for SelfAccess {
    fn cause(&self) -> Cause {
        Cause::SelfAccess
    }

    fn find(&self, case: &Case<'_>) -> Vec<Finding> {
        let daemons: HashSet<InputId> = case.threads.iter().filter(|t| stands_in(t, READS)).map(input).collect();
        let mut found =
            finding::listed(case, (0..case.parties.len()).filter_map(|party| finding(case, party, &daemons)));
        found.extend(super::unread_queue::by_kernel(case, Cause::SelfAccess));
        found
    }
}

/// Where a daemon asks the kernel for work, and where its clients wait.
const READS: &str = "fuse_dev_do_read";
const WAITS: &str = "request_wait_answer";

fn stands_in(seen: &Seen<'_>, function: &str) -> bool {
    seen.thread.frames.iter().any(|frame| frame.function.contains(function))
}

fn input(seen: &Seen<'_>) -> InputId {
    seen.place.input
}

/// A thread that serves requests, or shares a process with one that does, inside the kernel's wait for an answer.
fn finding(case: &Case<'_>, party: usize, daemons: &HashSet<InputId>) -> Option<Finding> {
    let Who::Thread(at) = case.parties[party].who else { return None };
    let seen = &case.threads[at];
    if !daemons.contains(&input(seen)) || !stands_in(seen, WAITS) {
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
