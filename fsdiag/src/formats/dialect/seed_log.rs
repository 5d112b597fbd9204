//! The seed's log: `[FUSE] Release ENTER (id=456)`, the same without ids, `[watchdog]` and store lines.

mod calls;

use std::iter;

use self::calls::Calls;
use crate::{
    engine::fact::{Call, Done, Fact, Key, Place, What},
    formats::{Line, Mark, Parser, Taken, done, scan, snippet},
};
use fsd_events::op::Op;

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(SeedLog::default())
}

#[derive(Default)]
struct SeedLog {
    /// Calls without an id.
    calls: Calls,
    /// The daemon starts: told once, when all of its first words are known.
    starting: Option<Fact>,
    watch: Option<Watch>,
}

/// The watchdog's report, line by line.
struct Watch {
    place: Place,
    at: crate::engine::fact::At,
    inflight: Vec<(Op, u64)>,
    stalled: Vec<(Key, Op, u64)>,
}

impl Parser for SeedLog {
    fn format(&self) -> &'static str {
        "seed-log"
    }

    fn marks(&self) -> &'static [Mark] {
        &[
            Mark::Has("[FUSE] "),
            Mark::Has("[watchdog] "),
            Mark::Has("[TempFileStore"),
            Mark::Has("[RangeLRUStore"),
            Mark::Has("[fs] "),
            Mark::Has("[Open] "),
            Mark::Has("[Release] "),
            Mark::Has("[logging] "),
            Mark::Has("[Evict"),
        ]
    }

    fn line(&mut self, line: &Line<'_>, out: &mut Vec<Fact>) -> Taken {
        let Some((_, from)) = scan::split(line.text, "[").filter(|(before, _)| before.len() < 64) else {
            return Taken::No;
        };
        if let Some(rest) = from.strip_prefix("FUSE] ") {
            self.reported(out);
            return self.fuse(line, rest, out);
        }
        if let Some(rest) = from.strip_prefix("watchdog] ") {
            return self.watchdog(line, rest, out);
        }
        let told = ["TempFileStore", "RangeLRUStore", "fs] ", "Open] ", "Release] ", "logging] ", "Evict"];
        if !scan::starts(from, &told) {
            return Taken::No;
        }
        self.reported(out);
        self.other(line, from, out)
    }

    fn settle(&mut self, out: &mut Vec<Fact>) {
        out.extend(self.starting.take());
        self.reported(out);
        self.calls.settle(None, out);
    }
}

impl SeedLog {
    fn fuse(&mut self, line: &Line<'_>, rest: &str, out: &mut Vec<Fact>) -> Taken {
        let (name, rest) = scan::word(rest);
        let (step, details) = scan::word(rest);
        match step {
            "ENTER" | "EXIT" => {}
            _ if name == "Logger" => return self.starts(line, None),
            _ if name == "WARNING:" => return Taken::Yes,
            _ => return Taken::No,
        }
        let Some(op) = scan::op(name) else { return Taken::Bad };
        out.extend(self.starting.take());
        match (step, id(details)) {
            ("ENTER", Some(Ok(id))) => line.enter(call(Key::Num(id), op, details), out),
            ("EXIT", Some(Ok(id))) => line.exit(end(Key::Num(id), op, details), out),
            (_, Some(Err(Cut))) => Taken::Bad,
            ("ENTER", None) => self.calls.enter(line, call(line.place.key(), op, details), out),
            _ => self.exit_without_id(line, op, details, out),
        }
    }

    fn exit_without_id(&mut self, line: &Line<'_>, op: Op, details: &str, out: &mut Vec<Fact>) -> Taken {
        let Some(us) = took_us(details) else { return Taken::Bad };
        self.calls.exit(line, end(line.place.key(), op, details), op, us, out)
    }

    fn watchdog(&mut self, line: &Line<'_>, rest: &str, out: &mut Vec<Fact>) -> Taken {
        if scan::has(rest, "stalled operations") {
            self.reported(out);
            self.watch = Some(Watch { place: line.place, at: line.at, inflight: Vec::new(), stalled: Vec::new() });
            return Taken::Yes;
        }
        if let Some(item) = rest.trim_start().strip_prefix("- ") {
            return self.watched(item);
        }
        if !rest.starts_with("In-flight") {
            self.reported(out);
        }
        if rest.starts_with("Started") {
            return self.starts(line, None);
        }
        line.telling(None, out)
    }

    /// `Release#44 (running for 10.6s)` or `Getattr: 3`.
    fn watched(&mut self, item: &str) -> Taken {
        let Some(watch) = &mut self.watch else { return Taken::Yes };
        if let Some((name, rest)) = item.split_once('#') {
            let stalled = scan::op(name).zip(scan::num(rest));
            let age = scan::after(rest, "for ").or_else(|| scan::after(rest, "started ")).and_then(scan::duration_us);
            let Some(((op, (id, _)), age)) = stalled.zip(age) else { return Taken::Bad };
            watch.stalled.push((Key::Num(id), op, age));
            return Taken::Yes;
        }
        let Some((name, count)) = scan::split(item, ": ") else { return Taken::Bad };
        let Some((op, (count, _))) = scan::op(name).zip(scan::num(count)) else { return Taken::Bad };
        watch.inflight.push((op, count));
        Taken::Yes
    }

    fn other(&mut self, line: &Line<'_>, from: &str, out: &mut Vec<Fact>) -> Taken {
        if scan::has(from, "Single-threaded FUSE mode enabled") {
            return self.starts(line, Some(1));
        }
        if scan::has(from, "Starting FUSE mount") {
            return self.starts(line, None);
        }
        line.telling(None, out)
    }

    /// Several lines announce one start; the last names the mount point, any of them the single thread.
    fn starts(&mut self, line: &Line<'_>, single: Option<u32>) -> Taken {
        let earlier = self.starting.take().and_then(|fact| match fact.what {
            What::Session { workers, .. } => workers,
            _ => None,
        });
        let banner = snippet(line.text);
        self.starting = Some(line.fact(What::Session { pid: None, run: None, workers: single.or(earlier), banner }));
        Taken::Yes
    }

    /// Hands over the watchdog's report, which ends where other lines begin.
    fn reported(&mut self, out: &mut Vec<Fact>) {
        if let Some(Watch { place, at, inflight, stalled }) = self.watch.take() {
            out.push(Fact { place, at, what: What::Watch { inflight, stalled } });
        }
    }
}

/// The line ends before the id does.
struct Cut;

/// The id in `(id=456, elapsed=45ms)`; None where the log has no ids.
fn id(details: &str) -> Option<Result<u64, Cut>> {
    let inner = details.strip_prefix('(')?;
    let number = inner.strip_prefix("id=").and_then(scan::num).filter(|(_, rest)| rest.starts_with([')', ',']));
    Some(number.filter(|_| scan::has(inner, ")")).map(|(n, _)| n).ok_or(Cut))
}

/// The `key=value` pairs of `(id=456, elapsed=45ms)` or `fh=1 off=0`.
fn pairs(details: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = details;
    iter::from_fn(move || {
        loop {
            let (pair, equals) = next_pair(rest)?;
            rest = rest.get(pair.len() + 1..).unwrap_or_default();
            if let Some(at) = equals {
                return Some((&pair[..at], &pair[at + 1..]));
            }
        }
    })
}

/// What stands before the next sign that parts, and where its first `=` is: one look at each byte.
fn next_pair(text: &str) -> Option<(&str, Option<usize>)> {
    let mut equals = None;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b' ' | b',' | b'(' | b')' => return Some((&text[..at], equals)),
            b'=' if equals.is_none() => equals = Some(at),
            _ => {}
        }
    }
    (!text.is_empty()).then_some((text, equals))
}

fn call(key: Key, op: Op, details: &str) -> Call {
    let mut call = Call::new(key, op);
    for (name, value) in pairs(details) {
        let number = value.parse().ok();
        match name {
            "path" => call.path = Some(value.trim_matches('"').into()),
            "fh" => call.fh = number.filter(|fh| *fh != u64::MAX),
            "off" | "ofst" => call.off = number,
            "len" | "size" => call.len = number,
            "ino" => call.ino = number,
            "pid" => call.pid = number.and_then(|pid| u32::try_from(pid).ok()),
            _ => {}
        }
    }
    call
}

fn took_us(details: &str) -> Option<u64> {
    let took = pairs(details).find(|(name, _)| matches!(*name, "elapsed" | "took" | "dur" | "duration"));
    took.and_then(|(_, value)| scan::duration_us(value))
}

fn end(key: Key, op: Op, details: &str) -> Done {
    let mut end = Done { op: Some(op), ..done(key) };
    for (name, value) in pairs(details) {
        match name {
            "elapsed" | "took" | "dur" | "duration" => end.us = scan::duration_us(value),
            "errno" | "result" | "err" => {
                let code = value.parse::<i64>().ok();
                let errno = code.map(|code| if code < 0 { code.unsigned_abs() as u32 } else { 0 });
                end.errno = errno.or_else(|| scan::errno(value));
            }
            "bytes" | "n" => end.bytes = value.parse().ok(),
            _ => {}
        }
    }
    end
}
