//! Unjudged: a note on inputs that no rule can call healthy, because none of them shows what a daemon does.

use crate::engine::{
    case::{Case, seconds},
    model::{ops::Micros, session::Session},
    plural::{count, verb},
    report::Note,
    threads::Seen,
};

/// As many calls are named.
const SHOWN: usize = 3;

/// Where there is nothing but kernel stacks, system calls, and the kernel's word on clients.
pub(super) fn note(case: &Case<'_>) -> Option<Note> {
    let speaks = |session: &Session| session.entered > 0 || !session.stats.is_empty();
    let blind = |seen: &Seen<'_>| case.model.dumps[seen.dump].1.is_blind();
    let nothing = case.threads.is_empty() && !case.model.kernel.has_only_clients();
    // A log may have stopped with the very request that a client, or the daemon itself, waits behind.
    let stops_open = !case.ops.is_empty() && case.model.kernel.waiting_clients().next().is_some();
    let judged = case.model.lives().any(speaks) && !stops_open;
    if nothing || judged || !case.threads.iter().all(blind) {
        return None;
    }
    let text = format!(
        "kernel stacks, system calls and the kernel's reports do not show what a daemon does inside: nothing here proves a hang, nor that there is none{}{}; a stack dump of the daemon would tell (fsdiag dump, gdb, eu-stack)",
        clients(case),
        calls(case),
    );
    Some(super::note("cannot_tell", None, None, text))
}

fn clients(case: &Case<'_>) -> String {
    let waiting: Vec<u32> = case.model.kernel.waiting_clients().collect();
    let Some(first) = waiting.first() else { return String::new() };
    let more = match waiting.len() {
        1 => String::new(),
        n => format!(" (process {first} and {} more)", n - 1),
    };
    let (n, waits) = (count(waiting.len(), "client"), verb(waiting.len(), "waits", "wait"));
    format!("; {n} {waits} for an answer of a FUSE daemon{more}, for how long is not said")
}

/// Calls that have not returned for long; who reads the device is idle.
fn calls(case: &Case<'_>) -> String {
    let long = |seen: &&Seen<'_>| Micros::try_from(since(seen)).is_ok_and(|us| us >= case.model.limits.stalled_us);
    let idle = |seen: &Seen<'_>| seen.thread.frames.iter().any(|frame| frame.args.contains("/dev/fuse"));
    let mut old: Vec<&Seen<'_>> = case.threads.iter().filter(long).filter(|seen| !idle(seen)).collect();
    old.sort_by_key(|seen| std::cmp::Reverse(since(seen)));
    let call = |seen: &&Seen<'_>| {
        let inner = seen.thread.frames.first();
        let call = inner.map(|frame| format!("{}({})", frame.function, short(&frame.args))).unwrap_or_default();
        format!("{} in {call} for {:.1} s", seen.label(), seconds(Micros::try_from(since(seen)).unwrap_or(Micros::MAX)))
    };
    let told: Vec<String> = old.iter().take(SHOWN).map(call).collect();
    if told.is_empty() { String::new() } else { format!("; longest: {}", told.join(", ")) }
}

fn since(seen: &Seen<'_>) -> u64 {
    seen.thread.since_us.unwrap_or(0)
}

fn short(args: &str) -> String {
    const LONGEST: usize = 60;
    let head: String = args.chars().take(LONGEST).collect();
    if head.len() < args.len() { head + "..." } else { head }
}
