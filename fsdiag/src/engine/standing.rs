//! Standing: callbacks that a dump shows waiting for long, for something that is no lock.
//!
//! A dump does not tell who should deliver what a channel or a condition waits for. But where no other thread does
//! anything, nobody will: the one that should have has ended, or forgot. Where one is still at work, it may be for
//! somebody else, and where the dump does not show a wait, the callback may work itself: then nothing is proven, and
//! a note says what stands.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use fsd_events::op::{Class, Op};

use super::{
    advice,
    case::{Case, Who},
    fact::Frame,
    finding::{Finding, for_time},
    plural::{count, verb},
    report::{Cause, Confidence},
    stacks::{self, doing::Doing},
    threads::Seen,
};

/// Those that wait where nobody is left who would end their wait, the oldest first.
pub(super) fn left_alone(case: &Case<'_>) -> Vec<usize> {
    let at_work = dumps_at_work(case);
    let left_alone = |at: &usize| {
        let seen = &case.threads[*at];
        seen.doing == Doing::Wait && !at_work.contains(&seen.dump)
    };
    standing(case).into_iter().filter(left_alone).map(|at| case.seats[at]).collect()
}

/// The one that waits longest, where nobody is left who would end its wait.
pub(super) fn finding(case: &Case<'_>) -> Option<Finding> {
    let seats = left_alone(case);
    let (culprit, others) = seats.split_first()?;
    let more = match others.len() {
        0 => String::new(),
        n => format!("; so {} {} more", verb(n, "does", "do"), count(n, "callback")),
    };
    let (name, age) = (case.name_of(*culprit), for_time(case.age_of(*culprit)));
    let (cause, sentence, next) = match sends(case, *culprit) {
        true => (
            Cause::PermitExhaustion,
            format!(
                "{name} has waited{age} for room in a channel, as for a permit, and the dump shows nobody at work who would make any: permits were not given back, or the receiver has ended{more}."
            ),
            "look for a way out of a callback (an error, a cancellation) that does not take back what it sent",
        ),
        false => (
            Cause::OrphanedFetch,
            format!(
                "{name} has waited{age} for another thread that would deliver something, and the dump shows none at work: it has ended, or forgot{more}."
            ),
            "look for an end of the thread that delivers (an error, a cancellation, a panic) that neither sends nor closes what its waiters wait for",
        ),
    };
    let finding = Finding::new(cause, Confidence::Low, sentence).blames(case, *culprit);
    let mut finding = finding.alternatives(case, others).advice(&[next, advice::SINGLE_THREAD]);
    finding.covers.extend(others);
    Some(finding)
}

/// Whether a callback in Go wants to send: a channel with room for some is how Go gives permits.
fn sends(case: &Case<'_>, seat: usize) -> bool {
    let mut seated = (0..case.threads.len()).filter(|at| case.seats[*at] == seat);
    seated.any(|at| case.threads[at].thread.state.as_deref().is_some_and(|state| state.starts_with("chan send")))
}

/// Whether a dump shows a FUSE library, no callback, and nobody who may answer later: what is open there is in nobody's
/// hands. Of several daemons a dump does not say whose it is.
pub(super) fn nobody_serves(case: &Case<'_>) -> bool {
    let lives = case.lives.iter().filter(|life| !life.session.of_dump).count();
    let shown = || case.threads.iter().filter(|seen| !case.model.dumps[seen.dump].1.is_blind());
    let library = shown().any(|seen| seen.thread.state.is_none() && stacks::shows_library(seen.thread));
    lives == 1 && library && !shown().any(|seen| seen.serves) && dumps_at_work(case).is_empty()
}

/// The one that waits longest, while a thread that serves nobody has waited for the network as long: for it, perhaps.
pub(super) fn on_network(case: &Case<'_>) -> Option<Finding> {
    // Of the only dump nothing tells how long it has done so; the callback has waited for long in any case.
    let only = case.model.dumps.len() == 1;
    let fetches = |other: &usize| {
        let seen = &case.threads[*other];
        seen.doing == Doing::Network && !seen.serves && !seen.moves && (only || case.lasts(*other))
    };
    let fetchers = (0..case.threads.len()).rev().filter(fetches);
    let fetchers: BTreeMap<usize, usize> = fetchers.map(|other| (case.threads[other].dump, other)).collect();
    let mut waits = standing(case).into_iter().filter(|at| case.threads[*at].doing == Doing::Wait);
    let (at, fetcher) = waits.find_map(|at| Some((at, *fetchers.get(&case.threads[at].dump)?)))?;
    let sentence = format!(
        "{} has waited{} for another thread, and {} for the network meanwhile: perhaps for it.",
        case.name_of(case.seats[at]),
        for_time(case.age_of(case.seats[at])),
        case.threads[fetcher].label(),
    );
    let finding = Finding::new(Cause::UpstreamStall, Confidence::Low, sentence).blames(case, case.seats[at]);
    Some(finding.evidence(case, [case.threads[fetcher].place]))
}

/// Callbacks at one place, for a note where no rule has a verdict.
pub(super) fn told(case: &Case<'_>) -> Option<String> {
    let lasting = standing(case);
    if !lasting.is_empty() {
        return Some(told_of(case, &lasting, "at one place for long, and nothing in the dump tells what holds it up"));
    }
    let waiting = waiting_in_the_only(case);
    if waiting.iter().any(|at| is_untold(case, *at)) {
        let text = "in the only dump, which does not say whether they run: a second one would show whether they move";
        return Some(told_of(case, &waiting, text));
    }
    if at_several_locks(case, &waiting) {
        let text = "at locks in the only dump, and no other thread is at work: for each other, perhaps, or for a lock that nobody gave back; gdb with the symbols of the C library shows which lock (thread apply all bt)";
        return Some(told_of(case, &waiting, text));
    }
    let text = "waiting in the only dump, and no other thread is at work: a second dump would show whether it moves";
    if !waiting.is_empty() {
        return Some(told_of(case, &waiting, text));
    }
    let polling = polling_in_the_only(case);
    if !polling.is_empty() {
        let text = "waiting for a descriptor in the only dump, which does not tell for whose: a second one would show whether they move";
        return Some(told_of(case, &polling, text));
    }
    if shows_nothing(case) {
        let text = "no thread of the dump reads requests or serves one, as far as its functions have names: it does not show what the daemon does with them";
        return Some(String::from(text));
    }
    let tasks = case.threads.iter().any(polls_tasks) || hides_tasks(case);
    (tasks && !case.threads.iter().any(|seen| seen.serves)).then(|| {
        String::from(
            "the dump shows an event loop at rest: a task that waits, a callback among them, is in no thread's stack",
        )
    })
}

/// Native dumps and those of Go alone, of a program without names or with a FUSE library that is not known (davfs2).
fn shows_nothing(case: &Case<'_>) -> bool {
    let native = |seen: &Seen<'_>| {
        let dump = &case.model.dumps[seen.dump].1;
        dump.is_native() || matches!(&*dump.format, "go-stacks" | "seed-stacks")
    };
    // A read may be that of the device.
    let idle = |seen: &Seen<'_>| seen.doing == Doing::Idle || stacks::reads(seen.thread);
    let known = |seen: &Seen<'_>| seen.serves || idle(seen) || stacks::shows_library(seen.thread);
    let speaks = case.model.lives().any(|session| session.entered > 0 || !session.stats.is_empty());
    !case.threads.is_empty() && !speaks && case.threads.iter().all(native) && !case.threads.iter().any(known)
}

fn told_of(case: &Case<'_>, threads: &[usize], text: &str) -> String {
    const SHOWN: usize = 3;
    let place = |at: &usize| {
        let function = program(&case.threads[*at]).map(|name| format!(" in `{name}`")).unwrap_or_default();
        format!(
            "{}{function}{}",
            case.name_of(case.seats[*at]),
            for_time(case.age_of(case.seats[*at]).filter(|us| *us >= 1_000_000))
        )
    };
    let shown: Vec<String> = threads.iter().take(SHOWN).map(place).collect();
    let more = match threads.len().saturating_sub(SHOWN) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    let stands = if threads.len() == 1 { "a callback stands" } else { "callbacks stand" };
    format!("{stands} {text}: {}{more}", shown.join(", "))
}

/// An event loop that waits for its tasks: one of python's, or the reader of a library whose callbacks are tasks.
fn polls_tasks(seen: &Seen<'_>) -> bool {
    const LOOPS: &[&str] = &["trio/_core/_io_epoll.py", "trio/_core/_io_kqueue.py", "asyncio/base_events.py"];
    let file = |frame: &Frame| frame.file.as_deref().is_some_and(|file| LOOPS.iter().any(|name| file.ends_with(name)));
    let reads = |frame: &Frame| frame.function.contains("fuse3::raw::connection::tokio::");
    seen.thread.frames.iter().take(3).any(file) || seen.thread.frames.iter().any(reads)
}

/// Threads that run tasks or wait for events, and none of a FUSE library, which would show where callbacks are.
fn hides_tasks(case: &Case<'_>) -> bool {
    let has = |seen: &Seen<'_>, part: &str| seen.thread.frames.iter().any(|frame| frame.function.contains(part));
    let native = |seen: &Seen<'_>| matches!(&*case.model.dumps[seen.dump].1.format, "gdb" | "eu-stack");
    let runs =
        |seen: &Seen<'_>| has(seen, "scheduler::multi_thread::worker") || native(seen) && has(seen, "epoll_wait");
    case.threads.iter().any(runs) && !case.threads.iter().any(|seen| stacks::shows_library(seen.thread))
}

/// The threads in callbacks that stay where they are, the oldest first; one of each party.
fn standing(case: &Case<'_>) -> Vec<usize> {
    let explained: BTreeSet<usize> =
        case.proofs.iter().flat_map(|(first, proof)| proof.about().map(move |at| first + at)).collect();
    let mut all: Vec<usize> =
        (0..case.threads.len()).filter(|at| !explained.contains(at) && is_standing(case, *at)).collect();
    all.sort_by_key(|at| Reverse(case.age_of(case.seats[*at])));
    let mut seats = BTreeSet::new();
    all.retain(|at| seats.insert(case.seats[*at]));
    all
}

fn is_standing(case: &Case<'_>, at: usize) -> bool {
    let seen = &case.threads[at];
    let stands = match seen.doing {
        Doing::Wait | Doing::Child | Doing::Other => true,
        Doing::Sleep | Doing::Disk => seen.thread.since_us.is_some(),
        _ => false,
    };
    stands && !seen.moves && is_awaited(case, at) && case.lasts(at)
}

/// Those that wait in the only dump that there is, which has no clock: for a moment, or for ever.
fn waiting_in_the_only(case: &Case<'_>) -> Vec<usize> {
    if !are_the_only(case) {
        return Vec::new();
    }
    // Go counts minutes from the collection of garbage that comes next: a program at rest shows none for long.
    let busy = !dumps_at_work(case).is_empty();
    if busy {
        return Vec::new();
    }
    let waits = |at: &usize| {
        let seen = &case.threads[*at];
        let waits = matches!(seen.doing, Doing::Wait | Doing::Lock) || rests(seen) || is_untold(case, *at);
        waits && seen.thread.since_us.is_none()
    };
    (0..case.threads.len()).filter(|at| waits(at) && is_awaited(case, *at)).collect()
}

/// Whether each tool has shown the daemon once: its threads have other names in the dump of another one, but for two
/// debuggers.
fn are_the_only(case: &Case<'_>) -> bool {
    let shown = || case.model.dumps.iter().map(|(_, dump, _)| &**dump).filter(|dump| !dump.is_blind());
    let tools: BTreeSet<&str> = shown().map(|dump| if dump.is_native() { "" } else { &*dump.format }).collect();
    tools.len() == shown().count()
}

/// Whether all of them wait for locks, in front of different functions: a circle looks so where no address is shown.
fn at_several_locks(case: &Case<'_>, waiting: &[usize]) -> bool {
    let lock = |at: &usize| case.threads[*at].thread.waits_for.as_ref().map(|lock| &*lock.key);
    let locks: BTreeSet<Option<&str>> = waiting.iter().map(lock).collect();
    locks.len() > 1 && !locks.contains(&None)
}

/// Those that poll in the only dump: for an answer, or for another thread, as those of ruby do.
fn polling_in_the_only(case: &Case<'_>) -> Vec<usize> {
    let polls = |at: &usize| {
        let seen = &case.threads[*at];
        seen.thread.since_us.is_none() && seen.doing == Doing::Other && stacks::listens(seen.thread, seen.doing)
    };
    let all = if are_the_only(case) { case.threads.len() } else { 0 };
    (0..all).filter(|at| polls(at) && is_awaited(case, *at)).collect()
}

/// The dump says that it does not run, and not why: python shows no function of C, so a read of a file is none.
fn rests(seen: &Seen<'_>) -> bool {
    seen.doing == Doing::Other && seen.thread.state.as_deref() == Some("idle")
}

/// The dump shows functions of python only, and of no thread whether it runs.
fn is_untold(case: &Case<'_>, at: usize) -> bool {
    let seen = &case.threads[at];
    seen.doing == Doing::Other && &*case.model.dumps[seen.dump].1.format == "python-faulthandler"
}

/// A callback that a client waits for. Requests of a log have clocks of their own, and rules that ask these: here count
/// those that are old, or that stand in two dumps.
fn is_awaited(case: &Case<'_>, at: usize) -> bool {
    let seen = &case.threads[at];
    let alone = match case.parties[case.seats[at]].who {
        Who::Thread(_) => true,
        Who::Op(op) => case.is_stuck(op) || seen.stays,
        _ => false,
    };
    let patient = seen.op.is_some_and(|(_, op)| is_patient(op));
    alone && seen.serves && !seen.logs && !patient
}

/// Such requests wait for as long as their client likes, or nobody waits for them.
fn is_patient(op: Op) -> bool {
    matches!(op, Op::Setlkw | Op::Poll | Op::Ioctl) || op.class() == Class::Control
}

/// The dumps in which some thread is at something that may end another one's wait.
fn dumps_at_work(case: &Case<'_>) -> BTreeSet<usize> {
    let works = |at: &usize| {
        let seen = &case.threads[*at];
        let at_work = match seen.doing {
            Doing::Network | Doing::Child | Doing::Disk | Doing::Notify => true,
            // Threads of a virtual machine's own run without a frame.
            Doing::Running => !seen.thread.frames.is_empty(),
            // Who rests at its place does nothing for others.
            Doing::Other => !case.lasts(*at) && !seen.thread.frames.is_empty() && !rests(seen) && !is_untold(case, *at),
            Doing::Idle | Doing::Lock | Doing::Sleep | Doing::Wait => false,
        };
        let works = at_work || stacks::listens(seen.thread, seen.doing) || polls_tasks(seen);
        works && !stacks::dumps(seen.thread) && !case.model.dumps[seen.dump].1.is_blind()
    };
    (0..case.threads.len()).filter(works).map(|at| case.threads[at].dump).collect()
}

/// The innermost function of the program's own.
fn program<'s>(seen: &'s Seen<'_>) -> Option<&'s str> {
    let own = |frame: &&Frame| !waits_in_python(frame) && !stacks::is_of_libc(frame);
    let frame = if seen.thread.frames.iter().any(waits_in_python) {
        seen.thread.frames.iter().find(own)
    } else {
        stacks::caller(seen.thread).filter(own)
    };
    frame.map(|frame| &*frame.function)
}

fn waits_in_python(frame: &Frame) -> bool {
    frame.file.as_deref().is_some_and(|file| file.ends_with("threading.py"))
}
