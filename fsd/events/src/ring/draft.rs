//! The draft: a record on the way into a ring, built on the stack without allocating.

use crate::ids::OpId;

use super::{RECORD_SLOTS, SLOT_WORDS, words};

/// Words of a record's first slot before its payload: stamp excluded.
pub(super) const HEAD_WORDS: usize = 3;
const FIRST: usize = SLOT_WORDS - 1 - HEAD_WORDS;
const NEXT: usize = SLOT_WORDS - 1;

/// Payload words of a draft for what happens per operation.
pub const SMALL: usize = FIRST + NEXT * 8;
/// Payload words of a draft for everything; as many as a record can have.
pub const WIDE: usize = FIRST + NEXT * (RECORD_SLOTS as usize - 1);

/// Kinds of records: the bodies of events, except `start`, which only the writer makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    Enter = 1,
    Exit,
    Phase,
    Lock,
    Task,
    TaskEnd,
    Progress,
    Wait,
    WaitEnd,
    Beat,
    Stall,
    StallEnd,
    Handover,
    Interrupt,
    Flag,
    Invariant,
    Stop,
}

impl Kind {
    const ALL: [Self; 17] = [
        Self::Enter,
        Self::Exit,
        Self::Phase,
        Self::Lock,
        Self::Task,
        Self::TaskEnd,
        Self::Progress,
        Self::Wait,
        Self::WaitEnd,
        Self::Beat,
        Self::Stall,
        Self::StallEnd,
        Self::Handover,
        Self::Interrupt,
        Self::Flag,
        Self::Invariant,
        Self::Stop,
    ];
}

/// What a record says before its payload.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RecordHead {
    pub kind: Kind,
    /// Small number whose meaning depends on the kind: an operation, a phase, a task kind.
    pub small: u8,
    pub slots: u8,
    pub seq: u64,
    pub mono_us: u64,
    pub id: OpId,
}

impl RecordHead {
    pub(super) fn parse(meta: u32, rest: &[u64; SLOT_WORDS - 1]) -> Option<Self> {
        let [kind, slots, small, _] = meta.to_le_bytes();
        let kind = Kind::ALL.into_iter().find(|k| *k as u8 == kind)?;
        (slots > 0).then_some(Self { kind, small, slots, seq: rest[0], mono_us: rest[1], id: OpId(rest[2]) })
    }
}

/// A record without its number and time yet; `N` payload words at most.
#[derive(Debug)]
pub struct Draft<const N: usize> {
    kind: Kind,
    small: u8,
    id: OpId,
    payload: [u64; N],
    len: usize,
}

impl<const N: usize> Draft<N> {
    #[inline]
    pub fn new(kind: Kind, small: u8, id: OpId) -> Self {
        Self { kind, small, id, payload: [0; N], len: 0 }
    }

    /// Room left, in words.
    pub fn room(&self) -> usize {
        N - self.len
    }

    /// Adds a word; nothing happens without room.
    #[inline]
    pub fn word(&mut self, word: u64) {
        if let Some(to) = self.payload.get_mut(self.len) {
            *to = word;
            self.len += 1;
        }
    }

    /// Adds text with its length before it, cut at a character when there is no room for all of it.
    pub fn text(&mut self, text: &str) {
        let fits = self.room().saturating_sub(1) * 8;
        let text = &text[..text.floor_char_boundary(fits.min(text.len()))];
        self.word(text.len() as u64);
        for bytes in text.as_bytes().chunks(8) {
            self.word(words::word_of(bytes));
        }
    }

    /// Slots that the record takes.
    #[inline]
    pub fn slots(&self) -> u8 {
        let rest = self.len.saturating_sub(FIRST).div_ceil(NEXT);
        u8::try_from(1 + rest).unwrap_or(u8::MAX)
    }

    /// Gives each slot's stamp and words to `put`, with the number of the slot in the record.
    #[inline]
    pub fn write(&self, position: u64, seq: u64, mono_us: u64, mut put: impl FnMut(u64, u64, &[u64; SLOT_WORDS - 1])) {
        let slots = self.slots();
        let meta = u32::from_le_bytes([self.kind as u8, slots, self.small, 0]);
        let mut rest = [0; SLOT_WORDS - 1];
        rest[..HEAD_WORDS].copy_from_slice(&[seq, mono_us, self.id.0]);
        fill(&mut rest[HEAD_WORDS..], &self.payload[..self.len]);
        put(0, super::stamp(position, meta, &rest), &rest);
        for n in 1..u64::from(slots) {
            let from = FIRST + (n as usize - 1) * NEXT;
            fill(&mut rest, self.payload.get(from..self.len).unwrap_or_default());
            put(n, super::stamp(position + n, 0, &rest), &rest);
        }
    }
}

#[inline]
fn fill(to: &mut [u64], from: &[u64]) {
    for (n, to) in to.iter_mut().enumerate() {
        *to = from.get(n).copied().unwrap_or(0);
    }
}
