//! > The daemon died (killed by signal 9); 5 requests were open and can never be answered by it (3 Read, 2 Getattr).

use crate::engine::{
    case::Case,
    finding::{Finding, Rule},
    model::strangers,
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
        0 => String::from("no request was open"),
        n => {
            let verb = if n == 1 { "was" } else { "were" };
            format!("{} {verb} open and can never be answered by it ({})", count(n, "request"), case.counts(&open))
        }
    };
    let why: String = ended.text.trim().trim_end_matches('.').chars().take(160).collect();
    let sentence = format!("The daemon died ({why}); {orphans}.");
    let thread = panicking(case);
    let culprit = Culprit {
        thread: thread.or_else(|| session.about.pid.map(|pid| format!("process {pid}"))),
        ..Culprit::default()
    };
    let finding = Finding::new(Cause::DaemonGone, how_sure(case, life, &ended.text)?, sentence).culprit(culprit);
    let mut finding = finding.evidence(case, [ended.place]).waiters(case, &open);
    // Whatever its threads did, it is over: no other verdict about them.
    finding.covers = (0..case.parties.len()).filter(|party| !case.op_of(*party).is_some_and(other)).collect();
    Some(finding.advice(&[
        "this is a crash, no hang: look for a panic, the OOM killer or a kill in the system's log",
        "unmount with fusermount3 -u (root: umount -l) and mount again",
    ]))
}

/// Another file tells of a process by its number: it may be any. None: it is none of those that serve here.
fn how_sure(case: &Case<'_>, life: usize, text: &str) -> Option<Confidence> {
    let session = case.lives[life].session;
    let Some(pid) = strangers::process(text).filter(|pid| session.entered == 0 && session.about.pid != Some(*pid))
    else {
        return Some(Confidence::Certain);
    };
    let lives = case.lives.iter().filter(|other| other.session.entered > 0).map(|other| other.session.about.pid);
    let dumps = case.model.dumps.iter().map(|(_, dump, _)| dump.pid);
    let known: Vec<Option<u32>> = lives.chain(dumps).collect();
    let a_client = case.ops.iter().any(|op| op.open.call.pid == Some(pid));
    match () {
        () if known.contains(&Some(pid)) => Some(Confidence::Certain),
        () if a_client || !known.is_empty() && !known.contains(&None) => None,
        () => Some(Confidence::Medium),
    }
}

/// The thread that a crash report shows first: the one that crashed.
fn panicking(case: &Case<'_>) -> Option<String> {
    let is_crash = |format: &str| matches!(format, "go-panic" | "rust-panic");
    let (_, dump, _) = case.model.dumps.iter().rev().find(|(_, d, _)| is_crash(&d.format))?;
    let running = |t: &&crate::engine::fact::Thread| t.state.as_deref().is_some_and(|s| s.starts_with("running"));
    let thread = dump.threads.iter().find(running).or_else(|| dump.threads.first())?;
    Some(thread.label.to_string())
}
