//! Reading exactly what `encode` writes: keys in order, no spaces, no escapes. None: let the general parser decide.

use std::borrow::Cow;

use super::stamp;
use crate::{
    event::{
        Body, Enter, Event, Exit, Head, LockKind, LockMode, LockStep, Phase, PhaseChange, Progress, Step, TaskEnd,
        TaskKind, TaskStart, Text, Wait, WaitEnd,
    },
    ids::{Fh, Ino, OpId, RunId, Unique},
    op::Op,
};

pub(super) fn decode(line: &[u8]) -> Option<Event<'_>> {
    let mut scan = Scan { rest: line };
    scan.literal(b"{\"run\":\"")?;
    let run = scan.run()?;
    scan.literal(b"\",\"mount_run\":\"")?;
    let mount_run = scan.run()?;
    scan.literal(b"\",\"seq\":")?;
    let seq = scan.number()?;
    scan.literal(b",\"ts\":\"")?;
    let ts_us = stamp::read(scan.take(stamp::LEN)?)?;
    scan.literal(b"\",\"mono_us\":")?;
    let mono_us = scan.number()?;
    scan.literal(b",\"ev\":")?;
    let body = scan.body()?;
    let carried = scan.optional_true(b",\"carried\":true");
    let late = scan.optional_true(b",\"late\":true");
    (scan.rest == b"}").then_some(Event { head: Head { run, mount_run, seq, ts_us, mono_us }, body, carried, late })
}

struct Scan<'a> {
    rest: &'a [u8],
}

impl<'a> Scan<'a> {
    fn literal(&mut self, text: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(text)?;
        Some(())
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }

    fn optional_true(&mut self, text: &[u8]) -> bool {
        self.literal(text).is_some()
    }

    fn run(&mut self) -> Option<RunId> {
        let digits = self.take(16)?;
        let value = digits.iter().try_fold(0_u64, |n, c| match c {
            b'0'..=b'9' => Some(n << 4 | u64::from(c - b'0')),
            b'a'..=b'f' => Some(n << 4 | u64::from(c - b'a' + 10)),
            _ => None,
        });
        value.map(RunId)
    }

    fn number(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        let mut len = 0;
        for c in self.rest {
            let digit = c.wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            value = value.wrapping_mul(10).wrapping_add(digit.into());
            len += 1;
        }
        let odd = len == 0 || len > 19 || (len > 1 && self.rest[0] == b'0');
        if odd || !matches!(self.rest.get(len), Some(b',' | b'}' | b']')) {
            return None;
        }
        self.rest = &self.rest[len..];
        Some(value)
    }

    fn field(&mut self, key: &[u8]) -> Option<u64> {
        self.literal(key)?;
        self.number()
    }

    fn small(&mut self, key: &[u8]) -> Option<u32> {
        u32::try_from(self.field(key)?).ok()
    }

    /// Outer None: odd; inner None: the key is not there.
    fn maybe(&mut self, key: &[u8]) -> Option<Option<u64>> {
        if self.literal(key).is_none() {
            return Some(None);
        }
        self.number().map(Some)
    }

    fn flag(&mut self, key: &[u8]) -> Option<bool> {
        self.literal(key)?;
        if self.literal(b"true").is_some() {
            return Some(true);
        }
        self.literal(b"false").map(|()| false)
    }

    /// A string without escapes.
    fn string(&mut self) -> Option<&'a str> {
        self.literal(b"\"")?;
        let len = plain_len(self.rest);
        let (text, rest) = self.rest.split_at(len);
        self.rest = rest.strip_prefix(b"\"")?;
        std::str::from_utf8(text).ok()
    }

    fn text(&mut self, key: &[u8]) -> Option<Text<'a>> {
        self.literal(key)?;
        self.string().map(Cow::Borrowed)
    }

    fn maybe_text(&mut self, key: &[u8]) -> Option<Option<Text<'a>>> {
        if self.literal(key).is_none() {
            return Some(None);
        }
        self.string().map(|s| Some(Cow::Borrowed(s)))
    }

    fn word<T>(&mut self, key: &[u8], parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        self.literal(key)?;
        parse(self.string()?)
    }

    fn ids(&mut self) -> Option<Vec<OpId>> {
        self.literal(b"[")?;
        let mut ids = Vec::new();
        if self.literal(b"]").is_some() {
            return Some(ids);
        }
        loop {
            ids.push(OpId(self.number()?));
            if self.literal(b"]").is_some() {
                return Some(ids);
            }
            self.literal(b",")?;
        }
    }

    fn id(&mut self) -> Option<OpId> {
        self.field(b",\"id\":").map(OpId)
    }

    fn body(&mut self) -> Option<Body<'a>> {
        Some(match self.string()? {
            "enter" => Body::Enter(self.enter()?),
            "exit" => Body::Exit(self.exit()?),
            "lock" => Body::Lock(self.lock()?),
            "phase" => Body::Phase(PhaseChange {
                id: self.id()?,
                phase: self.word(b",\"phase\":", Phase::parse)?,
                detail: self.text(b",\"detail\":")?,
            }),
            "progress" => Body::Progress(Progress {
                id: self.id()?,
                have: self.field(b",\"have\":")?,
                want: self.field(b",\"want\":")?,
                state: self.text(b",\"state\":")?,
            }),
            "wait" => Body::Wait(self.wait()?),
            "wait_end" => Body::WaitEnd(WaitEnd { id: self.id()?, us: self.field(b",\"us\":")? }),
            "task" => Body::Task(TaskStart {
                id: self.id()?,
                task: self.word(b",\"task\":", TaskKind::parse)?,
                parent: self.maybe(b",\"parent\":")?.map(OpId),
                fh: self.maybe(b",\"fh\":")?.map(Fh),
                path: self.maybe_text(b",\"path\":")?,
            }),
            "task_end" => Body::TaskEnd(TaskEnd {
                id: self.id()?,
                task: Some(self.word(b",\"task\":", TaskKind::parse)?),
                us: self.field(b",\"us\":")?,
                outcome: self.text(b",\"outcome\":")?,
            }),
            _ => return None,
        })
    }

    fn enter(&mut self) -> Option<Enter<'a>> {
        Some(Enter {
            id: self.id()?,
            op: self.word(b",\"op\":", frequent)?,
            thread: self.text(b",\"thread\":")?,
            tid: self.small(b",\"tid\":")?,
            unique: Unique(self.field(b",\"unique\":")?),
            resent: self.flag(b",\"resent\":")?,
            pid: self.small(b",\"pid\":")?,
            ino: Ino(self.field(b",\"ino\":")?),
            fh: self.maybe(b",\"fh\":")?.map(Fh),
            path: self.maybe_text(b",\"path\":")?,
            off: self.maybe(b",\"off\":")?,
            len: self.maybe(b",\"len\":")?,
            count: self.maybe(b",\"count\":")?,
        })
    }

    fn exit(&mut self) -> Option<Exit> {
        Some(Exit {
            id: self.id()?,
            op: self.word(b",\"op\":", frequent)?,
            us: self.field(b",\"us\":")?,
            errno: self.small(b",\"errno\":")?,
            bytes: self.field(b",\"bytes\":")?,
            detached: self.flag(b",\"detached\":")?,
        })
    }

    fn lock(&mut self) -> Option<LockStep<'a>> {
        Some(LockStep {
            id: self.id()?,
            lock: self.text(b",\"lock\":")?,
            kind: self.word(b",\"kind\":", LockKind::parse)?,
            mode: self.word(b",\"mode\":", LockMode::parse)?,
            step: self.word(b",\"step\":", Step::parse)?,
            holder: self.holder()?,
            us: self.field(b",\"us\":")?,
        })
    }

    fn holder(&mut self) -> Option<Vec<OpId>> {
        self.literal(b",\"holder\":")?;
        if self.rest.first() == Some(&b'[') {
            return self.ids();
        }
        self.number().map(|id| vec![OpId(id)])
    }

    fn wait(&mut self) -> Option<Wait> {
        let (id, on) = (self.id()?, self.maybe(b",\"on\":")?.map(OpId));
        self.literal(b",\"need\":[")?;
        let from = self.number()?;
        self.literal(b",")?;
        let to = self.number()?;
        self.literal(b"]")?;
        Some(Wait { id, on, need: (from, to) })
    }
}

/// The operations of every day without a walk through the table.
fn frequent(name: &str) -> Option<Op> {
    match name {
        "Read" => Some(Op::Read),
        "Getattr" => Some(Op::Getattr),
        "Lookup" => Some(Op::Lookup),
        "Open" => Some(Op::Open),
        "Release" => Some(Op::Release),
        "Readdir" => Some(Op::Readdir),
        "Readdirplus" => Some(Op::Readdirplus),
        _ => Op::from_name(name),
    }
}

/// How many bytes stand before the first quote, backslash or control character; eight at a time.
fn plain_len(text: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let zero_in = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
    let mut at = 0;
    while let Some(chunk) = text[at..].first_chunk::<8>() {
        let word = u64::from_le_bytes(*chunk);
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
        let found = zero_in(word ^ (ONES * u64::from(b'"'))) | zero_in(word ^ (ONES * u64::from(b'\\'))) | control;
        if found != 0 {
            // Borrows run upwards only, so the lowest mark is always a true one.
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let tail = &text[at..];
    at + tail.iter().position(|c| matches!(c, b'"' | b'\\' | 0..=0x1f)).unwrap_or(tail.len())
}
