//! `jstack`, and what a JVM prints on SIGQUIT: monitors with their owners, and the cycles that the JVM itself finds.

use std::collections::HashMap;

use super::{DEEPEST, Draft, hand_over, location};
use crate::{
    engine::fact::{Fact, Frame, LockRef, LockUse, Thread},
    formats::{Line, Mark, Parser, Taken, scan},
};

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(Jstack::default())
}

#[derive(Default)]
struct Jstack {
    draft: Option<Draft>,
    /// Below `Locked ownable synchronizers:`.
    synchronizers: bool,
    /// Below `Found one Java-level deadlock:`.
    cycle: bool,
    /// Monitors that the current thread gave up in `Object.wait`; frames further out still say `locked`.
    given_up: Vec<Box<str>>,
}

impl Parser for Jstack {
    fn format(&self) -> &'static str {
        "jstack"
    }

    fn marks(&self) -> &'static [Mark] {
        &[Mark::Starts("Full thread dump ")]
    }

    fn is_idle(&self) -> bool {
        self.draft.is_none()
    }

    fn line(&mut self, line: &Line<'_>, out: &mut Vec<Fact>) -> Taken {
        let text = line.text;
        if text.starts_with("Full thread dump ") {
            self.finish(out);
            self.draft = Some(Draft::start(line, "jstack"));
            return Taken::Yes;
        }
        let Some(draft) = &mut self.draft else { return Taken::No };
        if text.starts_with("Found ") && scan::has(text, "deadlock") {
            draft.in_thread = false;
            self.cycle = text.ends_with(':');
            return Taken::Yes;
        }
        if text.starts_with('"') {
            return self.header(line);
        }
        if text.is_empty() {
            // The synchronizers of a thread stand behind a blank line.
            self.synchronizers = false;
            return Taken::Yes;
        }
        self.inner(text)
    }

    fn finish(&mut self, out: &mut Vec<Fact>) {
        if let Some(draft) = &mut self.draft {
            own(&mut draft.dump.threads);
        }
        (self.synchronizers, self.cycle) = (false, false);
        hand_over(&mut self.draft, out);
    }
}

impl Jstack {
    fn header(&mut self, line: &Line<'_>) -> Taken {
        let Some(draft) = &mut self.draft else { return Taken::No };
        // The name may hold quotes of its own: the last one closes.
        let Some((name, rest)) = scan::rsplit(&line.text[1..], "\"") else { return Taken::Bad };
        if self.cycle {
            if rest.starts_with(':') {
                add(&mut draft.dump.stated_cycle, name.into());
            }
            return Taken::Yes;
        }
        self.synchronizers = false;
        self.given_up.clear();
        let native =
            scan::after(rest, "nid=").and_then(|n| if n.starts_with("0x") { scan::hex(n) } else { scan::num(n) });
        let number = native.map(|(n, _)| n).or_else(|| scan::num_after(rest, "#")).unwrap_or(line.place.line);
        let label = format!("thread {name}").into();
        if draft.dump.counted.is_empty() {
            draft.dump.counted = counted(rest).into();
        }
        draft.thread(line, Thread { label, number, name: Some(name.into()), ..Thread::default() });
        Taken::Yes
    }

    fn inner(&mut self, text: &str) -> Taken {
        let inner = text.trim_start();
        let Some(draft) = &mut self.draft else { return Taken::No };
        if self.cycle {
            return Taken::Yes;
        }
        if inner.starts_with("Locked ownable synchronizers") {
            self.synchronizers = true;
            return Taken::Yes;
        }
        let Some(thread) = draft.current() else {
            let chatter = ["Threads class SMR", "_java_thread_list", "0x", "}", "JNI global", "Heap", " "];
            return if chatter.iter().any(|c| text.starts_with(c)) { Taken::Yes } else { Taken::No };
        };
        if let Some(state) = inner.strip_prefix("java.lang.Thread.State: ") {
            thread.state = Some(state.into());
        } else if let Some(call) = inner.strip_prefix("at ") {
            draft.frame(frame(call));
        } else if let Some(note) = inner.strip_prefix("- ") {
            note_lock(thread, note, self.synchronizers, &mut self.given_up);
        } else {
            return Taken::No;
        }
        Taken::Yes
    }
}

/// `cpu=70.32ms elapsed=3.88s`, which older machines do not say.
fn counted(header: &str) -> &str {
    let counted = |text| scan::split(text, " tid=").map(|(counted, _)| counted);
    scan::after(header, " cpu=").and_then(counted).unwrap_or_default()
}

/// `Pile.release(Pile.java:4)`.
fn frame(call: &str) -> Frame {
    let (function, place) = scan::split(call, "(").unwrap_or((call, ""));
    let place = place.trim_end_matches(')');
    let (file, line) = if scan::has(place, ":") { location(place) } else { (None, None) };
    Frame { function: function.into(), file, line, ..Frame::default() }
}

/// `locked <0x..> (a X)`, `waiting to lock <0x..>`, `parking to wait for  <0x..>`; waiting *on* gives the lock up.
fn note_lock(thread: &mut Thread, note: &str, synchronizer: bool, given_up: &mut Vec<Box<str>>) {
    let Some(address) = scan::between(note, "<", '>') else { return };
    let class = scan::between(note, "(a ", ')').unwrap_or("lock");
    let key: Box<str> = format!("{address} ({class})").into();
    let lock = || LockRef { key: key.clone(), mode: LockUse::Write, owner: None };
    if synchronizer || note.starts_with("locked ") {
        if !given_up.contains(&key) {
            add(&mut thread.holds, lock());
        }
    } else if note.starts_with("waiting to lock ")
        || note.starts_with("waiting to re-lock")
        || (note.starts_with("parking to wait for ") && is_lock(class))
    {
        thread.waits_for = Some(lock());
    } else if note.starts_with("waiting on ") {
        add(given_up, key.clone());
    }
    if note.starts_with("waiting to re-lock") {
        add(given_up, key);
    }
}

/// Adds what is new to a list that is as long as a stack at most: each is compared with all others.
fn add<T: PartialEq>(known: &mut Vec<T>, new: T) {
    if known.len() < DEEPEST && !known.contains(&new) {
        known.push(new);
    }
}

/// Parking for a queue or a latch is idling; only these have an owner.
fn is_lock(class: &str) -> bool {
    scan::has(class, "ReentrantLock") || scan::has(class, "ReentrantReadWriteLock") || scan::has(class, "StampedLock")
}

/// Writes the owner, where the dump shows one, into each waiter.
fn own(threads: &mut [Thread]) {
    let mut held: HashMap<Box<str>, Box<str>> = HashMap::new();
    for thread in threads.iter() {
        for lock in &thread.holds {
            held.entry(lock.key.clone()).or_insert_with(|| thread.label.clone());
        }
    }
    for thread in threads {
        let shared = thread.frames.iter().take(8).any(|frame| frame.function.ends_with("acquireShared"));
        let Some(lock) = thread.waits_for.as_mut() else { continue };
        if shared {
            lock.mode = LockUse::Read;
        }
        lock.owner = held.get(&lock.key).cloned();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::fact::{At, Dump, Place, What};

    fn dump(lines: impl Iterator<Item = String>) -> Dump {
        let (mut jstack, mut out) = (Jstack::default(), Vec::new());
        for text in std::iter::once("Full thread dump OpenJDK 64-Bit Server VM:".to_owned()).chain(lines) {
            jstack.line(&Line { place: Place::default(), text: &text, at: At::default(), host: "" }, &mut out);
        }
        jstack.finish(&mut out);
        match out.pop().map(|fact| fact.what) {
            Some(What::Dump(dump)) => *dump,
            other => panic!("{other:?}"),
        }
    }

    /// Each is compared with all others: without an end to them a garbled file of 3 MB takes half a minute.
    #[test]
    fn monitors_and_members_of_a_deadlock_are_kept_as_far_as_a_stack_is_deep() {
        let thread = || std::iter::once("\"main\" #1 prio=5 nid=0x1".to_owned());
        let locked = (0..9999).map(|n| format!("\t- locked <0x{n:08x}> (a Cache)"));
        let waited = (0..9999).map(|n| format!("\t- waiting on <0x{n:08x}> (a Cache)"));
        assert_eq!(dump(thread().chain(waited).chain(locked)).threads[0].holds.len(), DEEPEST);
        let found = std::iter::once("Found one Java-level deadlock:".to_owned());
        let members = (0..9999).map(|n| format!("\"pool-{n}\":"));
        assert_eq!(dump(thread().chain(found).chain(members)).stated_cycle.len(), DEEPEST);
    }

    #[test]
    fn the_first_who_has_a_monitor_is_its_owner() {
        let text =
            "\"one\" #1 nid=0x1\n\t- locked <0x0a> (a Cache)\n\"two\" #2 nid=0x2\n\t- waiting to lock <0x0a> (a Cache)";
        let dump = dump(text.lines().map(str::to_owned));
        let owner = dump.threads[1].waits_for.as_ref().and_then(|lock| lock.owner.as_deref());
        assert_eq!(owner, Some("thread one"));
    }
}
