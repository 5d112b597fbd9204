//! `jstack`, and what a JVM prints on SIGQUIT: monitors with their owners, and the cycles that the JVM itself finds.

use super::{Draft, hand_over, location};
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
            if rest.starts_with(':') && !draft.dump.stated_cycle.iter().any(|known| **known == *name) {
                draft.dump.stated_cycle.push(name.into());
            }
            return Taken::Yes;
        }
        self.synchronizers = false;
        self.given_up.clear();
        let native =
            scan::after(rest, "nid=").and_then(|n| if n.starts_with("0x") { scan::hex(n) } else { scan::num(n) });
        let number = native.map(|(n, _)| n).or_else(|| scan::num_after(rest, "#")).unwrap_or(line.place.line);
        let label = format!("thread {name}").into();
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
        if !given_up.contains(&key) && !thread.holds.iter().any(|held| held.key == key) {
            thread.holds.push(lock());
        }
    } else if note.starts_with("waiting to lock ")
        || note.starts_with("waiting to re-lock")
        || (note.starts_with("parking to wait for ") && is_lock(class))
    {
        thread.waits_for = Some(lock());
    } else if note.starts_with("waiting on ") {
        given_up.push(key);
    }
    if note.starts_with("waiting to re-lock") {
        given_up.extend(thread.waits_for.as_ref().map(|lock| lock.key.clone()));
    }
}

/// Parking for a queue or a latch is idling; only these have an owner.
fn is_lock(class: &str) -> bool {
    scan::has(class, "ReentrantLock") || scan::has(class, "ReentrantReadWriteLock") || scan::has(class, "StampedLock")
}

/// Writes the owner, where the dump shows one, into each waiter.
fn own(threads: &mut [Thread]) {
    let held: Vec<(Box<str>, Box<str>)> =
        threads.iter().flat_map(|t| t.holds.iter().map(|lock| (lock.key.clone(), t.label.clone()))).collect();
    for thread in threads {
        let shared = thread.frames.iter().take(8).any(|frame| frame.function.ends_with("acquireShared"));
        let Some(lock) = thread.waits_for.as_mut() else { continue };
        if shared {
            lock.mode = LockUse::Read;
        }
        lock.owner = held.iter().find(|(key, _)| *key == lock.key).map(|(_, owner)| owner.clone());
    }
}
