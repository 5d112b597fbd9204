//! Row: one packed request, some thirty bytes: numbers that hardly differ from those of its neighbours.

use std::sync::LazyLock;

use fsd_events::{event::Phase, op::Op};

use super::{super::ops::PhaseAt, Glance, names::Names};
use crate::engine::{
    fact::{Call, InputId, Key, Name, Place},
    model::ops::{Micros, OpenOp},
};

/// A request with numbers for its texts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Row {
    key: Key,
    op: Op,
    order: u64,
    place: Place,
    at: Option<Micros>,
    unique: Option<u64>,
    thread: Option<u32>,
    path: Option<u32>,
    tid: Option<u32>,
    pid: Option<u32>,
    ino: Option<u64>,
    fh: Option<u64>,
    off: Option<u64>,
    len: Option<u64>,
    phase: Option<Doing>,
    asynchronous: bool,
    resent: bool,
    ambiguous: bool,
    interrupted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Doing {
    phase: Phase,
    detail: u32,
    since: Option<Micros>,
    place: Place,
}

/// What the numbers of neighbours are told from.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Base {
    key: u64,
    order: u64,
    line: u64,
    at: u64,
    unique: u64,
}

/// Most bytes of one row: every number at its longest.
pub(super) const LONGEST: usize = 160;

impl Row {
    pub(super) fn of(op: OpenOp, names: &mut Names) -> Self {
        let OpenOp { call, place, at, order, phase, interrupted } = op;
        // What it does from the begin on is its phase now.
        let Call {
            key, op, thread, tid, pid, ino, fh, path, off, len, unique, resent, asynchronous, ambiguous, ..
        } = *call;
        let (thread, path) = (thread.map(|text| names.keep(text)), path.map(|text| names.keep(text)));
        let phase = phase.map(|doing| Doing {
            phase: doing.phase,
            detail: names.keep(doing.detail),
            since: doing.since,
            place: doing.place,
        });
        Self {
            key,
            op,
            order,
            place,
            at,
            unique,
            thread,
            path,
            tid,
            pid,
            ino,
            fh,
            off,
            len,
            phase,
            asynchronous,
            resent,
            ambiguous,
            interrupted,
        }
    }

    /// The request again, with the texts that `text` gives for its numbers.
    pub(super) fn into_op(self, mut text: impl FnMut(u32) -> Name) -> OpenOp {
        let call = Call {
            thread: self.thread.map(&mut text),
            tid: self.tid,
            pid: self.pid,
            ino: self.ino,
            fh: self.fh,
            path: self.path.map(&mut text),
            off: self.off,
            len: self.len,
            unique: self.unique,
            resent: self.resent,
            asynchronous: self.asynchronous,
            ambiguous: self.ambiguous,
            ..Call::new(self.key, self.op)
        };
        let phase = self.phase.map(|doing| {
            let Doing { phase, detail, since, place } = doing;
            PhaseAt { phase, detail: text(detail), since, place }
        });
        let Self { place, at, order, interrupted, .. } = self;
        OpenOp { call: Box::new(call), place, at, order, phase, interrupted }
    }

    pub(super) fn glance(&self) -> Glance {
        let Self { key, op, at, order, unique, .. } = *self;
        Glance { key, op, at, order, unique }
    }

    pub(super) fn base(&self) -> Base {
        let (_, key) = split(self.key);
        let at = self.at.unwrap_or(0).cast_unsigned();
        Base { key, order: self.order, line: self.place.line, at, unique: self.unique.unwrap_or(key) }
    }

    pub(super) fn write(&self, base: &Base, out: &mut Vec<u8>) {
        let (kind, key) = split(self.key);
        put(out, self.flags(kind));
        out.push(self.op as u8);
        put(out, apart(key, base.key));
        put(out, apart(self.order, base.order));
        put(out, self.place.input.0.into());
        put(out, apart(self.place.line, base.line));
        let since = |at: Micros| apart(at.cast_unsigned(), base.at);
        let near = [self.at.map(since), self.unique.map(|n| apart(n, base.unique))];
        let small = [self.thread, self.path, self.tid, self.pid].map(|n| n.map(u64::from));
        let plain = [self.ino, self.fh, self.off, self.len];
        near.into_iter().chain(small).chain(plain).flatten().for_each(|n| put(out, n));
        if let Some(doing) = &self.phase {
            out.push(doing.phase as u8);
            put(out, doing.detail.into());
            put(out, doing.place.input.0.into());
            put(out, apart(doing.place.line, base.line));
            doing.since.into_iter().for_each(|at| put(out, since(at)));
        }
    }

    /// Which numbers are there; the rare ones above, so that the others fit into two bytes.
    fn flags(&self, kind: u64) -> u64 {
        let there = [
            self.at.is_some(),
            self.unique.is_some(),
            self.thread.is_some(),
            self.path.is_some(),
            self.tid.is_some(),
            self.pid.is_some(),
            self.ino.is_some(),
            self.fh.is_some(),
            self.off.is_some(),
            self.len.is_some(),
            self.asynchronous,
            self.resent,
            self.ambiguous,
            self.interrupted,
            self.phase.is_some(),
            self.phase.is_some_and(|doing| doing.since.is_some()),
        ];
        there.iter().rev().fold(0, |flags, flag| (flags << 1) | u64::from(*flag)) << 2 | kind
    }

    /// The key of the row that `bytes` start with.
    pub(super) fn key_of(base: &Base, bytes: &[u8]) -> Key {
        Reader { bytes, at: 0 }.head(base).2
    }

    /// The row that `bytes` start with, and how long it is.
    pub(super) fn read(base: &Base, bytes: &[u8]) -> (Self, usize) {
        let mut from = Reader { bytes, at: 0 };
        let (flags, op, key) = from.head(base);
        let has = |bit: u32| flags & (4 << bit) != 0;
        let order = from.near(base.order);
        let place = Place { input: from.input(), line: from.near(base.line), part: 0 };
        let at = has(0).then(|| from.near(base.at).cast_signed());
        let unique = has(1).then(|| from.near(base.unique));
        let [thread, path, tid, pid] = [2, 3, 4, 5].map(|bit| has(bit).then(|| from.number() as u32));
        let [ino, fh, off, len] = [6, 7, 8, 9].map(|bit| has(bit).then(|| from.number()));
        let phase = has(14).then(|| Doing {
            phase: Phase::ALL[usize::from(from.byte())],
            detail: from.number() as u32,
            place: Place { input: from.input(), line: from.near(base.line), part: 0 },
            since: has(15).then(|| from.near(base.at).cast_signed()),
        });
        let [asynchronous, resent, ambiguous, interrupted] = [10, 11, 12, 13].map(has);
        let row = Self {
            key,
            op: OPS[usize::from(op)],
            order,
            place,
            at,
            unique,
            thread,
            path,
            tid,
            pid,
            ino,
            fh,
            off,
            len,
            phase,
            asynchronous,
            resent,
            ambiguous,
            interrupted,
        };
        (row, from.at)
    }

    pub(super) fn key(&self) -> Key {
        self.key
    }
}

/// Operations by their number.
static OPS: LazyLock<[Op; 256]> = LazyLock::new(|| {
    let mut ops = [Op::Lookup; 256];
    Op::all().for_each(|op| ops[op as usize] = op);
    ops
});

fn split(key: Key) -> (u64, u64) {
    match key {
        Key::Num(n) => (0, n),
        Key::Hex(n) => (1, n),
        Key::Line(n) => (2, n),
        Key::Thread(n) => (3, n),
    }
}

fn key(kind: u64, number: u64) -> Key {
    match kind {
        0 => Key::Num(number),
        1 => Key::Hex(number),
        2 => Key::Line(number),
        _ => Key::Thread(number),
    }
}

/// How far a number is from another, the sign in the last bit.
fn apart(number: u64, from: u64) -> u64 {
    let far = number.wrapping_sub(from);
    (far << 1) ^ (far.cast_signed() >> 63).cast_unsigned()
}

/// Seven bits a byte, the lowest first; the eighth says that more follow.
fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    /// What each row begins with: its flags, the number of its operation, its key.
    fn head(&mut self, base: &Base) -> (u64, u8, Key) {
        let (flags, op) = (self.number(), self.byte());
        (flags, op, key(flags & 3, self.near(base.key)))
    }

    fn byte(&mut self) -> u8 {
        self.at += 1;
        self.bytes[self.at - 1]
    }

    fn number(&mut self) -> u64 {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = self.byte();
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return number;
            }
            shift += 7;
        }
    }

    fn near(&mut self, base: u64) -> u64 {
        let number = self.number();
        base.wrapping_add((number >> 1) ^ (number & 1).wrapping_neg())
    }

    fn input(&mut self) -> InputId {
        InputId(self.number() as u16)
    }
}
