//! > The daemon died (killed by signal 9); 5 requests were open and can never be answered by it (3 Read, 2 Getattr).

use crate::engine::{
    case::Case,
    finding::{Finding, Rule},
    plural::count,
    report::{Cause, Confidence, Culprit},
};

pub struct DaemonGone;

impl Rule for DaemonGone {
    fn cause(&self) -> Cause {
        Cause::DaemonGone
    }

    fn find(&self, case: &Case<'_>) -> Vec<Finding> {
        let mut found: Vec<Finding> = (0..case.lives.len()).filter_map(|life| finding(case, life)).collect();
        found.extend(super::unread_queue::by_kernel(case, Cause::DaemonGone));
        found
    }
}

fn finding(case: &Case<'_>, life: usize) -> Option<Finding> {
    let session = case.lives[life].session;
    let ended = case.lives[life].ended.filter(|e| e.crash)?;
    // A crash of one says nothing of the others that share its log.
    let other = |op: usize| case.are_apart(life, case.ops[op].life);
    let open: Vec<usize> = case.ops_beside(life).filter_map(|op| case.party_of(op)).collect();
    let orphans = match open.len() {
        0 if session.entered == 0 || session.one_sided => String::from("what it left unanswered is not in the data"),
        0 => String::from("no request was open"),
        n => {
            let verb = if n == 1 { "was" } else { "were" };
            format!("{} {verb} open and can never be answered by it ({})", count(n, "request"), case.counts(&open))
        }
    };
    let why: String = ended.text.trim().trim_end_matches('.').chars().take(160).collect();
    // Where several are told apart.
    let which = case.daemon(life);
    let sentence =
        format!("The daemon{} died ({why}); {orphans}.", which.map(|it| format!(" {it}")).unwrap_or_default());
    let thread = panicking(case);
    let culprit = Culprit {
        thread: thread.or_else(|| session.about.pid.map(|pid| format!("process {pid}"))),
        daemon: which.map(str::to_owned),
        ..Culprit::default()
    };
    let sure = case.lives[life].sure?;
    let finding = Finding::new(Cause::DaemonGone, sure, sentence).culprit(culprit);
    let mut finding = finding.evidence(case, [ended.place]).waiters(case, &open);
    // Whatever its threads did, it is over: no other verdict about them. If it may live, what it waits for is told too.
    let all = if sure >= Confidence::High { case.parties.len() } else { 0 };
    finding.covers = (0..all).filter(|party| !case.op_of(*party).is_some_and(other)).collect();
    Some(finding.advice(&[
        "this is a crash, no hang: look for a panic, the OOM killer or a kill in the system's log",
        "unmount with fusermount3 -u (root: umount -l) and mount again",
    ]))
}

/// The thread that a crash report shows first: the one that crashed.
fn panicking(case: &Case<'_>) -> Option<String> {
    let is_crash = |format: &str| matches!(format, "go-panic" | "rust-panic");
    let (_, dump, _) = case.model.dumps.iter().rev().find(|(_, d, _)| is_crash(&d.format))?;
    let running = |t: &&crate::engine::fact::Thread| t.state.as_deref().is_some_and(|s| s.starts_with("running"));
    let thread = dump.threads.iter().find(running).or_else(|| dump.threads.first())?;
    Some(thread.label.to_string())
}
