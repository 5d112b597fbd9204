//! > The unmount does not come to an end: target is busy; 2 requests are still open.

use crate::engine::{
    case::Case,
    fact::HintKind,
    finding::{Finding, Rule},
    plural::{count, verb},
    report::{Cause, Confidence, Culprit},
};

pub struct UnmountStuck;

impl Rule for UnmountStuck {
    fn cause(&self) -> Cause {
        Cause::UnmountStuck
    }

    fn find(&self, case: &Case<'_>) -> Vec<Finding> {
        (0..case.lives.len()).filter_map(|life| finding(case, life)).collect()
    }
}

fn finding(case: &Case<'_>, life: usize) -> Option<Finding> {
    const SURE: [&str; 3] = ["busy", "stuck", "timed out"];
    let session = case.lives[life].session;
    let hint = session.hints.iter().rev().find(|h| h.kind == HintKind::Unmount)?;
    // Not in the name of the mount: `/mnt/busybox`.
    let words: Vec<&str> = hint.text.split_ascii_whitespace().filter(|word| !word.contains('/')).collect();
    let words = words.join(" ").to_ascii_lowercase();
    let says = SURE.iter().any(|word| words.contains(word));
    let over = case.lives[life].ended.is_some();
    if over || !says {
        return None;
    }
    let open: Vec<usize> = case.ops_beside(life).filter_map(|op| case.party_of(op)).collect();
    let sentence =
        format!("The unmount does not come to an end: {}{}.", hint.text.trim_end_matches('.'), still_open(open.len()),);
    let culprit = Culprit { path: hint.path.as_deref().map(str::to_owned), ..Culprit::default() };
    let finding = Finding::new(Cause::UnmountStuck, Confidence::Medium, sentence).culprit(culprit);
    Some(finding.evidence(case, [hint.place]).waiters(case, &open).advice(&[
        "fsdiag rescue lists who holds files below the mount, then aborts the connection before it unmounts",
    ]))
}

fn still_open(n: usize) -> String {
    match n {
        0 => String::new(),
        n => format!("; {} {} still open", count(n, "request"), verb(n, "is", "are")),
    }
}
