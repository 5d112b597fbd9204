//! Stacks: what the threads of one dump do, which locks they wait for, who holds these, and what follows.
//!
//! A dump often names no owner. Then the holder is the thread whose frames share the lock's object without waiting
//! for it, else the only thread that works where the waiters wait; how it was found is part of the answer. Waiters
//! without any holder in the dump are never called a deadlock.

mod circle;
mod dispatch;
pub mod doing;
mod holder;
mod logging;
mod serves;

use std::collections::{BTreeMap, BTreeSet};

use fsd_events::op::Op;

use super::{
    fact::{Dump, Key, LockRef, Thread},
    report::{Cause, Confidence},
};
use doing::Doing;
pub use doing::{listens, reads};
pub use holder::{Holder, Proof, caller, dumps};
pub use serves::{is_of_libc, shows_library};

/// One dump, understood.
pub struct Stacks<'a> {
    pub dump: &'a Dump,
    pub threads: Vec<Seen<'a>>,
    /// Most waiters first.
    pub piles: Vec<Pile<'a>>,
    /// The pile that each thread waits in.
    waits_in: Vec<Option<usize>>,
}

/// One thread, understood.
pub struct Seen<'a> {
    pub thread: &'a Thread,
    pub doing: Doing,
    /// The FUSE operation whose callback it runs.
    pub op: Option<Op>,
    pub key: Option<Key>,
    /// Whether it runs a callback, perhaps of a name that tells no operation.
    pub serves: bool,
    /// Whether it stands in a write of its own log.
    pub logs: bool,
}

/// Threads that wait for one lock; indices into [`Stacks::threads`].
pub struct Pile<'a> {
    pub lock: &'a LockRef,
    pub waiters: Vec<usize>,
    pub holder: Option<Holder>,
}

/// What one dump proves.
pub struct Conclusion {
    pub cause: Cause,
    pub confidence: Confidence,
    /// Index of the thread to blame.
    pub culprit: usize,
    /// Threads that wait because of it, directly or behind others.
    pub waiters: Vec<usize>,
    /// Members of a cycle, in order; empty where there is none.
    pub cycle: Vec<usize>,
    /// Who else it could be, best first.
    pub others: Vec<usize>,
    pub lock: Option<Box<str>>,
    /// The dump itself names the holder.
    pub stated: bool,
    /// Who is blamed may as well wait for its next turn: no time that passes tells that.
    pub rests: bool,
}

impl Conclusion {
    /// The threads that it is about.
    pub fn about(&self) -> impl Iterator<Item = usize> {
        [&self.waiters, &self.cycle, &self.others].into_iter().flatten().chain([&self.culprit]).copied()
    }
}

/// Each pile's holder is looked for among all threads, and a dump may have tens of thousands of both: then only the
/// greater piles are asked about, so many that it takes about a second.
const LOOKS: usize = 1 << 21;
/// Piles that are asked about in any case.
const FEW: usize = 16;

impl<'a> Stacks<'a> {
    pub fn of(dump: &'a Dump) -> Self {
        let mut threads: Vec<Seen<'a>> = dump.threads.iter().map(Seen::of).collect();
        if dump.process.as_deref().is_some_and(|name| name.ends_with("sshfs")) {
            // Its callbacks wait for the server on semaphores; a thread of its own reads the socket.
            let waits = |seen: &&mut Seen<'_>| seen.op.is_some() && seen.doing == Doing::Wait;
            threads.iter_mut().filter(waits).for_each(|seen| seen.doing = Doing::Network);
        }
        let waits_in = vec![None; threads.len()];
        let mut stacks = Self { dump, threads, piles: Vec::new(), waits_in };
        stacks.piles = stacks.pile_up();
        for (at, pile) in stacks.piles.iter().enumerate() {
            pile.waiters.iter().for_each(|waiter| stacks.waits_in[*waiter] = Some(at));
        }
        stacks
    }

    /// Groups the waiters by lock; one pass, however many threads there are.
    fn pile_up(&self) -> Vec<Pile<'a>> {
        let mut waiting: BTreeMap<&str, Pile<'a>> = BTreeMap::new();
        for (at, seen) in self.threads.iter().enumerate() {
            let Some(lock) = &seen.thread.waits_for else { continue };
            if !seen.serves && doing::awaits_in_python(seen.thread) {
                continue;
            }
            let pile = waiting.entry(&*lock.key).or_insert_with(|| Pile { lock, waiters: Vec::new(), holder: None });
            pile.waiters.push(at);
        }
        let mut piles: Vec<Pile<'a>> = waiting.into_values().collect();
        piles.sort_by_key(|pile| std::cmp::Reverse(pile.waiters.len()));
        let asked = FEW.max(LOOKS / self.threads.len().max(1));
        for pile in piles.iter_mut().take(asked) {
            pile.holder = holder::of(pile.lock, &pile.waiters, &self.threads);
        }
        piles
    }

    /// Who holds the lock that `at` waits for.
    fn waits_for(&self, at: usize) -> Option<&Holder> {
        self.piles[self.waits_in[at]?].holder.as_ref()
    }

    /// All threads that wait for `root`, directly or behind others.
    pub fn behind(&self, root: usize) -> Vec<usize> {
        let leads_to_root = |at: usize| {
            let mut seen = BTreeSet::from([at]);
            let mut now = at;
            while let Some(holder) = self.waits_for(now) {
                if holder.at == root {
                    return true;
                }
                if !seen.insert(holder.at) {
                    break;
                }
                now = holder.at;
            }
            false
        };
        (0..self.threads.len()).filter(|at| *at != root && leads_to_root(*at)).collect()
    }

    /// The holder at the end of the chain behind a pile, as far as each step can be trusted.
    fn root(&self, pile: &Pile<'_>) -> Option<Holder> {
        let mut root = pile.holder.clone()?;
        let mut seen = BTreeSet::new();
        while let Some(next) = self.waits_for(root.at).filter(|_| seen.insert(root.at)) {
            root = root.then(next);
        }
        Some(root)
    }

    /// What this dump proves, then callbacks that wait for the network and have nothing to do with that.
    pub fn conclusions(&self) -> Vec<Conclusion> {
        const MOST: usize = 5;
        let mut all: Vec<Conclusion> = self.conclude().into_iter().collect();
        let apart = match all.first() {
            Some(first) if matches!(first.cause, Cause::LockPileup | Cause::UpstreamStall | Cause::DeadlockCycle) => {
                let waiters: BTreeSet<usize> = first.waiters.iter().copied().collect();
                // Who may have a lock of a circle that may be none waits for something else in any case.
                let open = first.cause == Cause::DeadlockCycle && first.rests;
                let named = |at: &usize| first.cycle.contains(at) || !open && first.others.contains(at);
                let known = |at: &usize| *at == first.culprit || waiters.contains(at) || named(at);
                let fetches = |at: &usize| self.threads[*at].serves && self.threads[*at].doing == Doing::Network;
                (0..self.threads.len()).filter(|at| fetches(at) && !known(at)).take(MOST).collect()
            }
            _ => Vec::new(),
        };
        all.extend(apart.into_iter().map(|at| self.blame(Cause::UpstreamStall, Confidence::Low, at)));
        all
    }

    /// What this dump proves, if anything is wrong at all.
    pub fn conclude(&self) -> Option<Conclusion> {
        self.crashed()
            .or_else(|| self.deadlocked())
            .or_else(|| self.interlocked())
            .or_else(|| self.piled_up())
            .or_else(|| self.interlocked_beside())
            .or_else(|| self.stalled())
            .or_else(|| self.not_reading())
    }

    fn crashed(&self) -> Option<Conclusion> {
        let culprit = self.threads.iter().position(|seen| seen.thread.state.as_deref() == Some("running"))?;
        (&*self.dump.format == "go-panic").then(|| self.blame(Cause::DaemonGone, Confidence::Certain, culprit))
    }

    fn piled_up(&self) -> Option<Conclusion> {
        let known = self.piles.iter().filter_map(|pile| Some((pile, self.root(pile)?)));
        let ranked = known.map(|(pile, root)| (self.behind(root.at), pile, root));
        let (waiters, pile, holder) = ranked.max_by_key(|(behind, _, root)| (behind.len(), root.proof))?;
        let root = holder.at;
        if self.threads[root].doing == Doing::Idle {
            return None;
        }
        let others: Vec<usize> = holder.rivals().iter().copied().filter(|at| !waiters.contains(at)).collect();
        // Reads of one handle wait for each other by design: what they all wait for is what the first one does.
        let own_handle = pile.lock.key.contains("Handle(") || holder::of_handle(pile.waiters[0], &self.threads);
        let cause = match self.threads[root].doing {
            Doing::Notify => Cause::ReverseNotify,
            Doing::Network | Doing::Wait if own_handle => Cause::UpstreamStall,
            _ => Cause::LockPileup,
        };
        let lock = (cause == Cause::LockPileup).then(|| pile.lock.key.clone());
        let stated = holder.proof == Proof::Stated;
        let rests = !stated && holder::is_between_turns(&self.threads[root]);
        // What it waits for may be another origin of trouble: nobody is seen to fetch anything.
        let blind = cause == Cause::UpstreamStall && self.threads[root].doing == Doing::Wait && !self.fetches();
        let confidence = match others[..] {
            [] if !blind => confidence(holder.proof, self.threads[root].doing),
            _ => Confidence::Low,
        };
        Some(Conclusion { cause, confidence, culprit: root, waiters, cycle: Vec::new(), others, lock, stated, rests })
    }

    /// No lock is waited for, but a callback sits in something slow.
    fn stalled(&self) -> Option<Conclusion> {
        let slow = |seen: &Seen<'_>| match seen.doing {
            // Of a program without names the library tells that it is a callback.
            Doing::Network | Doing::Child => seen.serves,
            Doing::Sleep | Doing::Wait => seen.op.is_some(),
            _ => false,
        };
        let age = |seen: &Seen<'_>| seen.thread.since_us.unwrap_or(0);
        let callbacks = self.threads.iter().enumerate().filter(|(_, seen)| slow(seen));
        let (culprit, seen) = callbacks.rev().max_by_key(|(_, seen)| (seen.doing == Doing::Network, age(seen)))?;
        if serves::is_only_loop(seen.thread, &self.threads) {
            return Some(self.blame(Cause::WorkerStarvation, Confidence::Medium, culprit));
        }
        let outside = matches!(seen.doing, Doing::Network | Doing::Child) || seen.doing == Doing::Wait && self.hears();
        outside.then(|| self.blame(Cause::UpstreamStall, Confidence::Low, culprit))
    }

    /// Whether any thread is in network code.
    fn fetches(&self) -> bool {
        self.threads.iter().any(|seen| seen.doing == Doing::Network) || self.hears()
    }

    /// Whether a thread that serves nobody reads from something else than the device: an answer, most likely.
    fn hears(&self) -> bool {
        self.threads.iter().any(|seen| seen.op.is_none() && seen.doing == Doing::Other && doing::reads(seen.thread))
    }

    /// Kernel stacks name no callback; but the only thread of a daemon should be reading its device.
    fn not_reading(&self) -> Option<Conclusion> {
        let [only] = &self.threads[..] else { return None };
        if self.dump.partial {
            return None;
        }
        let waits = |name: &str| only.thread.frames.iter().any(|frame| frame.function.contains(name));
        let elsewhere =
            ["do_sys_poll", "do_select", "sk_wait_data", "unix_stream_read", "hrtimer_nanosleep", "inet_csk"];
        let blocked = elsewhere.iter().any(|name| waits(name)) && !waits("fuse_dev_do_read");
        let kernel = &*self.dump.format == "proc-stacks" && blocked;
        kernel.then(|| self.blame(Cause::WorkerStarvation, Confidence::Low, 0))
    }

    fn blame(&self, cause: Cause, confidence: Confidence, culprit: usize) -> Conclusion {
        let waiters = self.behind(culprit);
        let none = Vec::new;
        let (cycle, others) = (none(), none());
        Conclusion { cause, confidence, culprit, waiters, cycle, others, lock: None, stated: false, rests: false }
    }
}

impl<'a> Seen<'a> {
    fn of(thread: &'a Thread) -> Self {
        let op = thread.op.map(|(_, op)| op).or_else(|| serves::operation(thread));
        let (doing, logs) = (doing::of(thread, op), logging::logs(thread));
        let serves = op.is_some() || doing != Doing::Idle && serves::is_called(thread);
        Self { thread, doing, op, key: thread.op.and_then(|(key, _)| key), serves, logs }
    }
}

/// One dump alone cannot tell a wait from a hang: a busy daemon's threads queue for locks too, for moments. So this is
/// one level less than what an age or a second dump makes of it.
fn confidence(proof: Proof, holder: Doing) -> Confidence {
    let works = matches!(holder, Doing::Running | Doing::Other);
    match proof {
        Proof::Stated if !works => Confidence::High,
        Proof::Stated => Confidence::Medium,
        Proof::SameObject if !works => Confidence::Medium,
        Proof::SameObject | Proof::Inside | Proof::SameFunction | Proof::Alone => Confidence::Low,
    }
}

#[cfg(test)]
mod tests;
