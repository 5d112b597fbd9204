//! Holder: who has the lock that others wait for, when the dump does not say.

use std::{cmp::Reverse, collections::HashSet, sync::LazyLock};

use super::{Doing, Seen, dispatch::untyped};
use crate::engine::{
    fact::{Frame, LockRef, Thread},
    words::Words,
};

/// Who has a lock that others wait for; numbers are indices into [`super::Stacks::threads`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub at: usize,
    pub proof: Proof,
    /// Others that fit, best first.
    pub others: Vec<usize>,
    /// So many of the first of them fit as well as it does.
    rivals: usize,
}

/// How a holder was found; better ones last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Proof {
    /// The only thread left that could hold it.
    Alone,
    /// It works in the function that the waiters stand in front of.
    SameFunction,
    /// That function has called what it waits in for another lock: if both are of one object, it has the first.
    Inside,
    /// Its frames name the lock, or the object that the lock is part of.
    SameObject,
    /// The dump says so.
    Stated,
}

impl Holder {
    fn only(at: usize, proof: Proof) -> Self {
        Self { at, proof, others: Vec::new(), rivals: 0 }
    }

    /// Others that fit as well: nothing but the order tells it from them.
    pub fn rivals(&self) -> &[usize] {
        &self.others[..self.rivals]
    }

    /// The same where another one is known better: by what it has called, and not only by an address near the lock's.
    fn put_first(self, known: Self) -> Self {
        let proof = if self.at == known.at || self.others.contains(&known.at) { self.proof } else { known.proof };
        let others = [self.at].into_iter().chain(self.others).filter(|at| *at != known.at).collect();
        Self { proof, others, ..known }
    }

    /// The holder that this one waits for: known no better than each step that leads to it.
    pub(super) fn then(&self, next: &Self) -> Self {
        let others = [self.rivals(), next.rivals()].concat();
        Self { at: next.at, proof: self.proof.min(next.proof), rivals: others.len(), others }
    }
}

/// A structure is rarely larger: a lock inside it lies at most so many bytes behind its start.
const STRUCTURE: u64 = 0x400;

/// The holder of a lock and how it was found; None where nobody in the dump can be it. The waiters are in order.
pub(super) fn of(lock: &LockRef, waiters: &[usize], threads: &[Seen<'_>]) -> Option<Holder> {
    if let Some(stated) = stated(lock, waiters, threads) {
        return Some(Holder::only(stated, Proof::Stated));
    }
    let suspects = (0..threads.len()).filter(|at| waiters.binary_search(at).is_err() && may_hold(&threads[*at]));
    let (loops, suspects): (Vec<usize>, Vec<usize>) = suspects.partition(|at| is_between_turns(&threads[*at]));
    let lock_at = addresses(&lock.key).next();
    let names = |at: &usize, fits: &dyn Fn(u64) -> bool| {
        // What it waits for itself is no structure that another lock lies in: it may lie beside it. But a structure
        // may begin with its lock, and then a method names both by one address.
        let wanted = threads[*at].thread.waits_for.as_ref().and_then(|lock| addresses(&lock.key).next());
        let of_go = threads[*at].thread.is_goroutine();
        let told = threads[*at].thread.frames.iter().flat_map(|frame| addresses(&frame.args));
        told.filter(|address| of_go || Some(*address) != wanted).any(fits)
    };
    // Nearest first: who knows the structure that the lock lies in, then who shares the waiters' object.
    let inside = |address: u64| lock_at.is_some_and(|lock| lock >= address && lock - address < STRUCTURE);
    let objects: HashSet<u64> = waiters.iter().filter_map(|at| caller(threads[*at].thread)).flat_map(first).collect();
    let shared = |address: u64| objects.contains(&address);
    // Where the lock is taken, it may have been taken before.
    let functions: HashSet<&str> =
        waiters.iter().filter_map(|at| caller(threads[*at].thread)).map(|f| &*f.function).collect();
    let same = |at: &usize| threads[*at].thread.frames.iter().any(|f| functions.contains(&*f.function));
    let find = |proof: Proof, fits: &dyn Fn(&usize) -> bool| best(&suspects, threads, proof, fits, same);
    let object = |fits: &dyn Fn(u64) -> bool| find(Proof::SameObject, &|at| names(at, fits));
    let by_object = object(&inside).or_else(|| object(&shared));
    let called = |at: &usize| has_called(threads[*at].thread, &functions);
    let by_call = find(Proof::Inside, &called);
    let found = match (by_object, by_call) {
        (Some(by_object), Some(by_call)) if by_call.others.is_empty() => Some(by_object.put_first(by_call)),
        (by_object, by_call) => by_object.or(by_call),
    };
    let found = found.or_else(|| find(Proof::SameFunction, &same));
    if found.is_some() {
        return found;
    }
    // One who waits alone may wait for an event, not for a lock: conditions and semaphores look the same.
    let callbacks: Vec<usize> = suspects.into_iter().filter(|at| threads[*at].serves).collect();
    let queue = waiters.len() > 1 && waiters.iter().any(|at| threads[*at].serves);
    let held_up = |at: &usize| is_held_up(threads[*at].doing);
    let alone = match callbacks[..] {
        [only] => Some(Holder::only(only, Proof::Alone)),
        _ => best(&callbacks, threads, Proof::Alone, held_up, |_| false),
    };
    let of_loops = |fits: &dyn Fn(u64) -> bool| best(&loops, threads, Proof::Alone, |at| names(at, fits), same);
    alone.filter(|_| queue).or_else(|| of_loops(&inside)).or_else(|| of_loops(&shared))
}

/// Whether one of these functions has called the other one in which a thread asks for a lock. A function that calls
/// itself goes from object to object.
fn has_called(thread: &Thread, functions: &HashSet<&str>) -> bool {
    let Some(own) = caller(thread).filter(|_| thread.waits_for.is_some()) else { return false };
    let mut outside = thread.frames.iter().skip_while(|frame| !std::ptr::eq(*frame, own)).skip(1);
    !functions.contains(&*own.function) && outside.any(|frame| functions.contains(&*frame.function))
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
    seen.doing != Doing::Idle && !dumps(seen.thread)
}

/// A goroutine that waits in the very function that it began with, and serves nobody: a loop that waits for its next
/// turn. Its frame names the object that it works on, as each of its methods does, whether it has the lock of it or not:
/// it is asked only where nobody else fits.
pub(super) fn is_between_turns(seen: &Seen<'_>) -> bool {
    let waits = matches!(seen.doing, Doing::Wait | Doing::Sleep) && !seen.serves;
    let program = |frame: &&Frame| {
        let runtime = ["runtime.", "sync.", "time."].iter().any(|package| frame.function.starts_with(package));
        // `go func() { ... }()` is a function of its own.
        !runtime && !frame.function.rsplit('.').next().is_some_and(is_closure)
    };
    waits && seen.thread.is_goroutine() && seen.thread.frames.iter().filter(program).count() <= 1
}

/// `func1`, as Go calls a function without a name.
fn is_closure(name: &str) -> bool {
    name.strip_prefix("func").is_some_and(|number| number.bytes().all(|b| b.is_ascii_digit()))
}

/// Whether it is the thread that takes the dump.
pub fn dumps(thread: &Thread) -> bool {
    thread.frames.iter().take(3).any(|frame| frame.function.starts_with("runtime/pprof."))
}

/// The likeliest of the suspects that fit: one that waits for something else than a lock, since who waits for a lock has
/// only what it named on its way there; then one that closes, then one in a callback.
///
/// Of those that are alike so far one that is `near` comes first, then the oldest.
fn best(
    suspects: &[usize],
    threads: &[Seen<'_>],
    proof: Proof,
    fits: impl Fn(&usize) -> bool,
    near: impl Fn(&usize) -> bool,
) -> Option<Holder> {
    let closes = |at: usize| {
        let words = ["Close", "close", "evict", "Evict", "Release", "release", "Locked", "sweep"];
        threads[at].thread.frames.iter().take(6).any(|f| words.iter().any(|word| f.function.contains(word)))
    };
    let rank = |at: usize| (blocked(threads[at].doing), closes(at), threads[at].op.is_some());
    // The order in which a tool lists them says nothing.
    let age = |at: usize| (threads[at].thread.since_us, Reverse(threads[at].thread.number));
    let mut fitting: Vec<usize> = suspects.iter().copied().filter(fits).collect();
    fitting.sort_by_cached_key(|at| Reverse((rank(*at), near(at), age(*at))));
    let (first, others) = fitting.split_first()?;
    let alike = others.iter().take_while(|at| rank(**at) == rank(*first)).count();
    let others = others[..others.len().min(MOST)].to_vec();
    Some(Holder { at: *first, proof, rivals: alike.min(others.len()), others })
}

/// More others are no help.
const MOST: usize = 100;

/// Whether it waits, and for no lock.
pub(super) fn is_held_up(doing: Doing) -> bool {
    blocked(doing) > 1
}

/// How much what it does speaks for it.
fn blocked(doing: Doing) -> u8 {
    match doing {
        Doing::Network | Doing::Child | Doing::Wait | Doing::Sleep | Doing::Disk | Doing::Notify => 2,
        Doing::Lock => 1,
        Doing::Idle | Doing::Running | Doing::Other => 0,
    }
}

/// What functions of locks have in their names: of a dump with a pile every waiter is asked.
static LOCKING: LazyLock<Words> = LazyLock::new(|| {
    let parts = ["lock", "Lock", "futex", "Semacquire", "syscall", "mutex", "Mutex", "park"];
    let semaphores = ["sem_wait", "sem_timedwait", "sem_clockwait"];
    Words::new(&[&parts[..], &semaphores].concat())
});

/// The frame of the program that asks for the lock.
pub fn caller(thread: &Thread) -> Option<&Frame> {
    let program = |frame: &&Frame| {
        let untyped = untyped(&frame.function);
        let plain = untyped.rsplit(['.', ':']).next().unwrap_or(untyped);
        let runtime = frame.function.starts_with("runtime.") || frame.function.starts_with("sync.(*");
        // What every method of python runs in tells nothing of it.
        let interpreter = plain.trim_start_matches('_').starts_with("Py");
        !runtime && !interpreter && !LOCKING.any(plain) && plain != "??"
    };
    thread.frames.iter().take(12).find(program)
}

/// Whether the lock that a thread waits for belongs to one open file: its reads queue by design.
pub(super) fn of_handle(waiter: usize, threads: &[Seen<'_>]) -> bool {
    let method_of = |frame: &Frame| frame.function.contains("Handle).");
    caller(threads[waiter].thread).is_some_and(method_of)
}

/// The address that a frame's first argument is.
fn first(frame: &Frame) -> Option<u64> {
    addresses(frame.args.split(", ").next()?).next()
}

/// Pointers among arguments; small numbers and lengths are none, and what Go marks with a `?` may be left over from
/// another call.
fn addresses(args: &str) -> impl Iterator<Item = u64> {
    const LEAST: u64 = 0x1_0000_0000;
    args.split("0x").skip(1).filter_map(|rest| {
        let end = rest.bytes().position(|b| !b.is_ascii_hexdigit()).unwrap_or(rest.len());
        let certain = !rest[end..].starts_with('?');
        u64::from_str_radix(&rest[..end], 16).ok().filter(|address| certain && *address >= LEAST)
    })
}
