//! Reading exactly what `encode` writes: keys in order, no spaces, no escapes. None: let the general parser decide.

use std::borrow::Cow;

use super::{digits, stamp};
use crate::{
    event::{
        Body, Enter, Event, Exit, Head, LockKind, LockMode, LockStep, Phase, PhaseChange, Progress, Step, TaskEnd,
        TaskKind, TaskStart, Text, Wait, WaitEnd,
    },
    ids::{Fh, Ino, OpId, RunId, Unique},
    op::Op,
};

/// What the lines of one worker have in common, and those of one second.
#[derive(Debug, Default)]
pub(super) struct Before {
    /// The bytes up to the sequence number, and the two runs in them.
    runs: Option<([u8; START], (RunId, RunId))>,
    /// Date and time without the fraction, and its microseconds since 1970.
    second: Option<([u8; SECOND], u64)>,
}

/// `{"run":"0123456789abcdef","mount_run":"0123456789abcdef","seq":`
const START: usize = 8 + 16 + 15 + 16 + 8;
/// `2026-11-23T21:45:44`
const SECOND: usize = 19;

#[inline]
pub(super) fn decode<'a>(line: &'a [u8], before: &mut Before) -> Option<Event<'a>> {
    let mut scan = Scan { rest: line };
    let (run, mount_run) = scan.runs(before)?;
    let seq = scan.number()?;
    scan.literal(b",\"ts\":\"")?;
    let ts_us = scan.stamp(before)?;
    scan.literal(b"\",\"mono_us\":")?;
    let mono_us = scan.number()?;
    scan.literal(b",\"ev\":\"")?;
    let body = scan.body()?;
    let carried = scan.optional_true(b",\"carried\":true");
    let late = scan.optional_true(b",\"late\":true");
    (scan.rest == b"}").then_some(Event { head: Head { run, mount_run, seq, ts_us, mono_us }, body, carried, late })
}

struct Scan<'a> {
    rest: &'a [u8],
}

impl<'a> Scan<'a> {
    /// The length is part of the type, so that the comparison is a few instructions and no call.
    #[inline(always)]
    fn literal<const N: usize>(&mut self, text: &[u8; N]) -> Option<()> {
        let (head, rest) = self.rest.split_first_chunk::<N>()?;
        if head != text {
            return None;
        }
        self.rest = rest;
        Some(())
    }

    fn optional_true<const N: usize>(&mut self, text: &[u8; N]) -> bool {
        self.literal(text).is_some()
    }

    #[inline]
    fn runs(&mut self, before: &mut Before) -> Option<(RunId, RunId)> {
        let (start, rest) = self.rest.split_first_chunk::<START>()?;
        self.rest = rest;
        match &before.runs {
            Some((known, runs)) if known == start => Some(*runs),
            _ => {
                let runs = Scan { rest: start }.new_runs()?;
                before.runs = Some((*start, runs));
                Some(runs)
            }
        }
    }

    fn new_runs(&mut self) -> Option<(RunId, RunId)> {
        self.literal(b"{\"run\":\"")?;
        let run = self.run()?;
        self.literal(b"\",\"mount_run\":\"")?;
        let mount_run = self.run()?;
        self.literal(b"\",\"seq\":")?;
        Some((run, mount_run))
    }

    #[inline]
    fn stamp(&mut self, before: &mut Before) -> Option<u64> {
        let (stamp, rest) = self.rest.split_first_chunk::<{ stamp::LEN }>()?;
        self.rest = rest;
        let (second, fraction) = stamp.split_first_chunk::<SECOND>()?;
        match &before.second {
            Some((known, us)) if known == second => Some(us + stamp::fraction(fraction.first_chunk()?)?),
            _ => {
                let us = stamp::read(stamp)?;
                before.second = Some((*second, us - us % 1_000_000));
                Some(us)
            }
        }
    }

    fn run(&mut self) -> Option<RunId> {
        let (high, rest) = self.rest.split_first_chunk::<8>()?;
        let (low, rest) = rest.split_first_chunk::<8>()?;
        self.rest = rest;
        Some(RunId(u64::from(digits::hex(*high)?) << 32 | u64::from(digits::hex(*low)?)))
    }

    #[inline]
    fn number(&mut self) -> Option<u64> {
        let Some((value, len, next)) = self.rest.first_chunk().and_then(|chunk| digits::short(*chunk)) else {
            return self.long_number();
        };
        if !matches!(next, b',' | b'}' | b']') || (len > 1 && self.rest[0] == b'0') {
            return None;
        }
        self.rest = &self.rest[len..];
        Some(value)
    }

    /// One of eight digits or more, or near the end of the line.
    fn long_number(&mut self) -> Option<u64> {
        let (value, len) = digits::decimal(self.rest);
        let odd = len == 0 || len > 19 || (len > 1 && self.rest[0] == b'0');
        if odd || !matches!(self.rest.get(len), Some(b',' | b'}' | b']')) {
            return None;
        }
        self.rest = &self.rest[len..];
        Some(value)
    }

    #[inline]
    fn field<const N: usize>(&mut self, key: &[u8; N]) -> Option<u64> {
        self.literal(key)?;
        self.number()
    }

    #[inline]
    fn small<const N: usize>(&mut self, key: &[u8; N]) -> Option<u32> {
        u32::try_from(self.field(key)?).ok()
    }

    /// Outer None: odd; inner None: the key is not there.
    #[inline]
    fn maybe<const N: usize>(&mut self, key: &[u8; N]) -> Option<Option<u64>> {
        if self.literal(key).is_none() {
            return Some(None);
        }
        self.number().map(Some)
    }

    #[inline]
    fn flag<const N: usize>(&mut self, key: &[u8; N]) -> Option<bool> {
        self.literal(key)?;
        if self.literal(b"true").is_some() {
            return Some(true);
        }
        self.literal(b"false").map(|()| false)
    }

    /// A string without escapes.
    #[inline]
    fn string(&mut self) -> Option<&'a str> {
        self.literal(b"\"")?;
        std::str::from_utf8(self.plain()?).ok()
    }

    /// What stands before the next quote, which is passed.
    #[inline]
    fn plain(&mut self) -> Option<&'a [u8]> {
        let len = plain_len(self.rest);
        let (text, rest) = self.rest.split_at(len);
        self.rest = rest.strip_prefix(b"\"")?;
        Some(text)
    }

    #[inline]
    fn text<const N: usize>(&mut self, key: &[u8; N]) -> Option<Text<'a>> {
        self.literal(key)?;
        self.string().map(Cow::Borrowed)
    }

    #[inline]
    fn maybe_text<const N: usize>(&mut self, key: &[u8; N]) -> Option<Option<Text<'a>>> {
        if self.literal(key).is_none() {
            return Some(None);
        }
        self.string().map(|s| Some(Cow::Borrowed(s)))
    }

    fn word<const N: usize, T>(&mut self, key: &[u8; N], parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        self.literal(key)?;
        parse(self.string()?)
    }

    #[inline]
    fn op(&mut self) -> Option<Op> {
        self.literal(b",\"op\":\"")?;
        let name = self.plain()?;
        frequent(name).or_else(|| Op::from_name(std::str::from_utf8(name).ok()?))
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

    #[inline]
    fn id(&mut self) -> Option<OpId> {
        self.field(b",\"id\":").map(OpId)
    }

    #[inline(always)]
    fn body(&mut self) -> Option<Body<'a>> {
        Some(match self.plain()? {
            b"enter" => Body::Enter(self.enter()?),
            b"exit" => Body::Exit(self.exit()?),
            b"lock" => Body::Lock(self.lock()?),
            b"phase" => Body::Phase(PhaseChange {
                id: self.id()?,
                phase: self.word(b",\"phase\":", Phase::parse)?,
                detail: self.text(b",\"detail\":")?,
            }),
            b"progress" => Body::Progress(Progress {
                id: self.id()?,
                have: self.field(b",\"have\":")?,
                want: self.field(b",\"want\":")?,
                state: self.text(b",\"state\":")?,
            }),
            b"wait" => Body::Wait(self.wait()?),
            b"wait_end" => Body::WaitEnd(WaitEnd { id: self.id()?, us: self.field(b",\"us\":")? }),
            b"task" => Body::Task(TaskStart {
                id: self.id()?,
                task: self.word(b",\"task\":", TaskKind::parse)?,
                parent: self.maybe(b",\"parent\":")?.map(OpId),
                fh: self.maybe(b",\"fh\":")?.map(Fh),
                path: self.maybe_text(b",\"path\":")?,
            }),
            b"task_end" => Body::TaskEnd(TaskEnd {
                id: self.id()?,
                task: Some(self.word(b",\"task\":", TaskKind::parse)?),
                us: self.field(b",\"us\":")?,
                outcome: self.text(b",\"outcome\":")?,
            }),
            _ => return None,
        })
    }

    #[inline(always)]
    fn enter(&mut self) -> Option<Enter<'a>> {
        Some(Enter {
            id: self.id()?,
            op: self.op()?,
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

    #[inline(always)]
    fn exit(&mut self) -> Option<Exit> {
        Some(Exit {
            id: self.id()?,
            op: self.op()?,
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
#[inline]
fn frequent(name: &[u8]) -> Option<Op> {
    match name {
        b"Read" => Some(Op::Read),
        b"Getattr" => Some(Op::Getattr),
        b"Lookup" => Some(Op::Lookup),
        b"Open" => Some(Op::Open),
        b"Release" => Some(Op::Release),
        b"Readdir" => Some(Op::Readdir),
        b"Readdirplus" => Some(Op::Readdirplus),
        _ => None,
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
