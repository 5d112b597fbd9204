//! Holder: who has the lock that others wait for, when the dump does not say.

use std::{collections::HashSet, sync::LazyLock};

use super::{Doing, Proof, Seen};
use crate::engine::{
    fact::{Frame, LockRef},
    words::Words,
};

/// A structure is rarely larger: a lock inside it lies at most so many bytes behind its start.
const STRUCTURE: u64 = 0x400;

/// The holder of a lock and how it was found; None where nobody in the dump can be it. The waiters are in order.
pub(super) fn of(lock: &LockRef, waiters: &[usize], threads: &[Seen<'_>]) -> Option<(usize, Proof)> {
    if let Some(stated) = stated(lock, waiters, threads) {
        return Some((stated, Proof::Stated));
    }
    let suspects: Vec<usize> =
        (0..threads.len()).filter(|at| waiters.binary_search(at).is_err() && may_hold(&threads[*at])).collect();
    let lock_at = addresses(&lock.key).next();
    let names = |at: &usize, fits: &dyn Fn(u64) -> bool| {
        threads[*at].thread.frames.iter().flat_map(|frame| addresses(&frame.args)).any(fits)
    };
    // Nearest first: who knows the structure that the lock lies in, then who shares the waiters' object.
    let inside = |address: u64| lock_at.is_some_and(|lock| lock >= address && lock - address < STRUCTURE);
    let objects: HashSet<u64> = waiters.iter().filter_map(|at| caller(&threads[*at])).flat_map(first).collect();
    let shared = |address: u64| objects.contains(&address);
    let found =
        best(&suspects, threads, |at| names(at, &inside)).or_else(|| best(&suspects, threads, |at| names(at, &shared)));
    if let Some(found) = found {
        return Some((found, Proof::SameObject));
    }
    let functions: HashSet<&str> =
        waiters.iter().filter_map(|at| caller(&threads[*at])).map(|f| &*f.function).collect();
    let same = |at: &usize| threads[*at].thread.frames.iter().any(|f| functions.contains(&*f.function));
    if let Some(found) = best(&suspects, threads, same) {
        return Some((found, Proof::SameFunction));
    }
    // One who waits alone may wait for an event, not for a lock: conditions and semaphores look the same.
    let callbacks: Vec<usize> = suspects.into_iter().filter(|at| threads[*at].op.is_some()).collect();
    let queue = waiters.len() > 1 && waiters.iter().any(|at| threads[*at].op.is_some());
    (queue && callbacks.len() == 1).then(|| (callbacks[0], Proof::Alone))
}

/// Named by the waiters, or by a thread that says what it holds.
fn stated(lock: &LockRef, waiters: &[usize], threads: &[Seen<'_>]) -> Option<usize> {
    let owners = waiters.iter().filter_map(|at| threads[*at].thread.waits_for.as_ref()?.owner.as_deref());
    let mut asked = HashSet::new();
    let once = owners.filter(|owner| asked.insert(*owner));
    let mut named = once.filter_map(|owner| threads.iter().position(|seen| &*seen.thread.label == owner));
    named.next().or_else(|| threads.iter().position(|seen| seen.thread.holds.iter().any(|held| held.key == lock.key)))
}

/// The thread that dumps, those that idle and those of the runtime hold nothing.
fn may_hold(seen: &Seen<'_>) -> bool {
    let dumps = seen.thread.frames.iter().take(3).any(|f| f.function.starts_with("runtime/pprof."));
    seen.doing != Doing::Idle && !dumps
}

/// The likeliest of the suspects that fit: one that closes or waits for others, then one in a callback.
fn best(suspects: &[usize], threads: &[Seen<'_>], fits: impl Fn(&usize) -> bool) -> Option<usize> {
    let closes = |at: usize| {
        let words = ["Close", "close", "evict", "Evict", "Release", "release", "Locked", "sweep"];
        threads[at].thread.frames.iter().take(6).any(|f| words.iter().any(|word| f.function.contains(word)))
    };
    let blocked = |at: usize| matches!(threads[at].doing, Doing::Network | Doing::Wait | Doing::Sleep | Doing::Lock);
    let fitting = suspects.iter().copied().filter(|at| fits(at));
    fitting.rev().max_by_key(|at| (blocked(*at), closes(*at), threads[*at].op.is_some()))
}

/// What functions of locks have in their names: of a dump with a pile every waiter is asked.
static LOCKING: LazyLock<Words> =
    LazyLock::new(|| Words::new(&["lock", "Lock", "futex", "Semacquire", "syscall", "mutex", "Mutex", "park"]));

/// The frame of the program that asks for the lock.
fn caller<'a>(seen: &Seen<'a>) -> Option<&'a Frame> {
    let program = |frame: &&Frame| {
        let plain = frame.function.rsplit(['.', ':']).next().unwrap_or(&frame.function);
        let runtime = frame.function.starts_with("runtime.") || frame.function.starts_with("sync.(*");
        !runtime && !LOCKING.any(plain) && plain != "??"
    };
    seen.thread.frames.iter().take(12).find(program)
}

/// Whether the lock that a thread waits for belongs to one open file: its reads queue by design.
pub(super) fn of_handle(waiter: usize, threads: &[Seen<'_>]) -> bool {
    let method_of = |frame: &Frame| frame.function.contains("Handle).");
    caller(&threads[waiter]).is_some_and(method_of)
}

/// The address that a frame's first argument is.
fn first(frame: &Frame) -> Option<u64> {
    addresses(frame.args.split(", ").next()?).next()
}

/// Pointers among arguments; small numbers and lengths are none.
fn addresses(args: &str) -> impl Iterator<Item = u64> {
    const LEAST: u64 = 0x1_0000_0000;
    args.split("0x").skip(1).filter_map(|rest| {
        let end = rest.bytes().position(|b| !b.is_ascii_hexdigit()).unwrap_or(rest.len());
        u64::from_str_radix(&rest[..end], 16).ok().filter(|address| *address >= LEAST)
    })
}
