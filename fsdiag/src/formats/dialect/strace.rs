//! `strace -f`: the call that each thread has begun and not ended.
//!
//! System calls are no FUSE requests, so the trace gives one dump: every thread with what it is in at the end.

use std::collections::BTreeMap;

use crate::{
    engine::fact::{At, Dump, Fact, Frame, LockRef, LockUse, Place, Thread, What},
    formats::{Line, Mark, Parser, Taken, clock, scan},
};

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(Strace::default())
}

#[derive(Default)]
struct Strace {
    threads: BTreeMap<u64, Last>,
    first: Option<Place>,
    days: clock::Days,
    now: At,
    seen: bool,
    /// Whose lines are those without a number.
    own: u64,
}

/// The last line of one thread.
struct Last {
    place: Place,
    at: At,
    call: Box<str>,
    args: Box<str>,
    open: bool,
}

/// Most threads that are followed; a trace of more is no trace of a daemon.
const MOST: usize = 1 << 14;

impl Parser for Strace {
    fn format(&self) -> &'static str {
        "strace"
    }

    fn marks(&self) -> &'static [Mark] {
        &[Mark::First(b"abcdefghijklmnopqrstuvwxyz_0123456789[<+-")]
    }

    fn is_idle(&self) -> bool {
        !self.seen
    }

    fn line(&mut self, line: &Line<'_>, _out: &mut Vec<Fact>) -> Taken {
        let (tid, rest) = thread(line.text);
        let (at, rest) = match clock::leading(rest) {
            Some((stamp, rest)) => (self.days.at(stamp), rest.strip_prefix(' ').unwrap_or(rest)),
            None => (line.at, rest),
        };
        if line.text.starts_with("strace: Process ") || (self.seen && rest.trim() == "<detached ...>") {
            return Taken::Yes;
        }
        let Some(step) = Step::read(rest, self.seen) else { return Taken::No };
        self.seen = true;
        self.now = later(self.now, at);
        self.first.get_or_insert(line.place);
        let tid = tid.unwrap_or(self.own);
        match step {
            Step::Gone => {
                self.threads.remove(&tid);
            }
            Step::Ended => {
                if let Some(last) = self.threads.get_mut(&tid) {
                    last.open = false;
                }
            }
            Step::Call { call, args, open } => {
                if self.threads.len() < MOST || self.threads.contains_key(&tid) {
                    let args = scan::clip(args, 300).into();
                    let last = Last { place: line.place, at, call: call.into(), args, open };
                    self.threads.insert(tid, last);
                }
            }
        }
        Taken::Yes
    }

    fn named(&mut self, tid: u64) {
        self.own = tid;
        // Each file tells the time of day from its own beginning.
        self.days = clock::Days::default();
    }

    fn finish(&mut self, out: &mut Vec<Fact>) {
        let Some(place) = self.first.take() else { return };
        let now = self.now;
        let threads = std::mem::take(&mut self.threads).into_iter().map(|(tid, last)| last.thread(tid, now)).collect();
        let dump = Dump { format: "strace".into(), threads, ..Dump::default() };
        out.push(Fact { place, at: now, what: What::Dump(Box::new(dump)) });
    }
}

impl Last {
    fn thread(self, number: u64, now: At) -> Thread {
        let since = |now: Option<u64>, then: Option<u64>| now.zip(then).map(|(now, then)| now.saturating_sub(then));
        let key = self.args.split(',').next().filter(|key| self.open && &*self.call == "futex" && !key.is_empty());
        Thread {
            label: format!("thread {number}").into(),
            number,
            state: Some(if self.open { format!("in {}", self.call) } else { "running".to_owned() }.into()),
            since_us: since(now.mono_us, self.at.mono_us).or(since(now.wall_us, self.at.wall_us)).filter(|_| self.open),
            count: 1,
            waits_for: key.map(|key| LockRef { key: key.into(), mode: LockUse::Unknown, owner: None }),
            frames: vec![Frame { function: (&*self.call).into(), args: self.args, ..Frame::default() }],
            input: Some(self.place.input),
            line: self.place.line,
            ..Thread::default()
        }
    }
}

enum Step<'a> {
    Call { call: &'a str, args: &'a str, open: bool },
    Ended,
    Gone,
}

impl<'a> Step<'a> {
    fn read(rest: &'a str, seen: bool) -> Option<Self> {
        if rest.starts_with("<... ") {
            return scan::has(rest, " resumed>").then_some(Self::Ended);
        }
        if let Some(note) = rest.strip_prefix("+++ ") {
            let gone = note.starts_with("exited with") || note.starts_with("killed by");
            return gone.then_some(Self::Gone);
        }
        if rest.starts_with("--- ") && rest.ends_with(" ---") {
            return Some(Self::Ended);
        }
        let (call, args) = scan::split(rest, "(")?;
        let named = !call.is_empty()
            && call.len() < 32
            && call.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !named {
            return None;
        }
        if let Some(args) = args.strip_suffix("<unfinished ...>").or_else(|| args.strip_suffix("<detached ...>")) {
            return Some(Self::Call { call, args: args.trim_end(), open: true });
        }
        match scan::rfind(args, " = ")
            .filter(|at| args[..*at].trim_end().ends_with(')') || args[..*at].ends_with("..."))
        {
            Some(at) => Some(Self::Call { call, args: args[..at].trim_end().trim_end_matches(')'), open: false }),
            // Cut in the middle: the last line of a trace that was stopped.
            None => {
                let args = scan::split(args, "strace: Process ").map_or(args, |(own, _)| own).trim_end();
                seen.then_some(Self::Call { call, args, open: true })
            }
        }
    }
}

/// Threads with files of their own are read one after the other: the last line is not the latest.
fn later(one: At, other: At) -> At {
    At { mono_us: one.mono_us.max(other.mono_us), wall_us: one.wall_us.max(other.wall_us) }
}

/// `[pid 123] `, or the bare number of a trace that goes to a file.
fn thread(text: &str) -> (Option<u64>, &str) {
    if let Some(rest) = text.strip_prefix("[pid ") {
        if let Some((tid, rest)) = scan::num(rest.trim_start()) {
            return (Some(tid), rest.strip_prefix("] ").unwrap_or(rest));
        }
        return (None, text);
    }
    match scan::num(text) {
        Some((tid, rest)) if rest.starts_with(' ') => (Some(tid), rest.trim_start()),
        _ => (None, text),
    }
}
