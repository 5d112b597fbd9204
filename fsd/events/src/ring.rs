//! The ring file: how one thread's records lie in shared memory, and how they are read back from a copy of it.
//!
//! A file is a header of 512 bytes and a power of two of slots of 64 bytes, all of 64-bit words in the machine's
//! order. A record takes one slot, or several when its text is long. The first word of each slot holds a check over
//! the rest and over the slot's position, so a copy that was taken while the owner wrote, or whose owner died in
//! the middle of a record, is recognised slot by slot, whatever the order in which memory was copied.

pub mod tables;

mod body;
mod draft;
mod words;

pub use body::EnterWords;
pub use draft::{Draft, Kind, RecordHead, SMALL, WIDE};
pub use words::{name_words, pack_name};

use std::ops::Range;

use crate::{
    event::{Event, Text},
    ids::RunId,
};

/// First word of a ring file.
pub const MAGIC: u64 = u64::from_le_bytes(*b"FSDRING1");
pub const VERSION: u64 = 1;
pub const HEADER_WORDS: usize = 64;
pub const SLOT_WORDS: usize = 8;
/// Most slots that a ring may have.
pub const MAX_SLOTS: usize = 1 << 20;
/// Most slots that a record takes.
pub const RECORD_SLOTS: u64 = 127;

/// Words of the header. The owner's, the reader's and the watchdog's words lie in cache lines of their own.
pub mod header {
    pub const MAGIC: usize = 0;
    pub const VERSION: usize = 1;
    pub const SLOTS: usize = 2;
    pub const RUN: usize = 3;
    pub const MOUNT_RUN: usize = 4;
    /// Position of the next slot to write.
    pub const HEAD: usize = 8;
    /// Records that found no room.
    pub const DROPPED: usize = 9;
    /// Position up to which the event file has everything.
    pub const TAIL: usize = 16;
    /// Wall clock minus monotonic clock, microseconds, two's complement.
    pub const WALL_OFFSET: usize = 24;
    /// Number of owners so far; the last [`OWNERS`] are remembered.
    pub const OWNER_COUNT: usize = 32;
    /// Per owner: thread id and two words of name.
    pub const FIRST_OWNER: usize = 33;
    pub const OWNERS: usize = 8;
    pub const OWNER_WORDS: usize = 3;
}

/// Words of a ring file with that many slots.
pub const fn file_words(slots: usize) -> usize {
    HEADER_WORDS + slots * SLOT_WORDS
}

/// First word of the slot at `position`; `slots` is a power of two.
pub const fn slot_at(position: u64, slots: usize) -> usize {
    HEADER_WORDS + (position as usize & (slots - 1)) * SLOT_WORDS
}

/// Odd factors, one a word: a sum of products is another sum whichever word changes.
const FACTORS: [u64; SLOT_WORDS] = [
    0x9e37_79b9_7f4a_7c15,
    0xbf58_476d_1ce4_e5b9,
    0x94d0_49bb_1331_11eb,
    0xd6e8_feb8_6659_fd93,
    0xa076_1d64_78bd_642f,
    0xe703_7ed1_a0b4_28db,
    0x8ebc_6af0_9c88_c6e3,
    0x5899_65cc_7537_4cc3,
];

/// First word of a slot: its check, and the low half of `meta` (kind and number of slots; 0 in a continuation).
#[inline]
pub fn stamp(position: u64, meta: u32, rest: &[u64; SLOT_WORDS - 1]) -> u64 {
    let seed = position.wrapping_add(1).wrapping_mul(FACTORS[0]) ^ u64::from(meta);
    let sum =
        rest.iter().zip(&FACTORS[1..]).fold(seed, |sum, (word, factor)| sum.wrapping_add(word.wrapping_mul(*factor)));
    (sum ^ (sum << 32)) & 0xffff_ffff_0000_0000 | u64::from(meta)
}

/// What a ring file says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RingHead {
    pub run: RunId,
    pub mount_run: RunId,
    pub slots: usize,
    pub head: u64,
    pub tail: u64,
    pub dropped: u64,
    /// Wall clock minus monotonic clock, microseconds.
    pub wall_offset: i64,
    /// Threads that owned the ring, newest last.
    pub owners: Vec<(u32, String)>,
}

impl RingHead {
    /// Reads it from the first bytes of a file.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        Self::read(&words::reader(bytes))
    }

    /// Positions whose records the event file may lack, once the owner is dead: the last record may be whole though
    /// the header does not count it yet.
    pub fn unwritten(&self) -> Range<u64> {
        let oldest = self.head.saturating_sub(self.slots as u64);
        self.tail.clamp(oldest, self.head)..self.head.saturating_add(RECORD_SLOTS)
    }

    /// Where positions lie in the file, in bytes: in two parts where the ring begins anew between them.
    pub fn bytes_of(&self, positions: &Range<u64>) -> [Range<usize>; 2] {
        let count = usize::try_from(positions.end - positions.start).unwrap_or(usize::MAX);
        let first = positions.start as usize & (self.slots - 1);
        let end = first.saturating_add(count.min(self.slots));
        let parts = [first..end.min(self.slots), 0..end.saturating_sub(self.slots)];
        parts.map(|part| file_words(part.start) * 8..file_words(part.end) * 8)
    }

    /// Reads it through `word`; None when this is no ring file of this version.
    pub fn read(word: &impl Fn(usize) -> u64) -> Option<Self> {
        let slots = usize::try_from(word(header::SLOTS)).ok()?;
        let known = word(header::MAGIC) == MAGIC && word(header::VERSION) == VERSION;
        (known && slots.is_power_of_two() && slots <= MAX_SLOTS).then(|| Self {
            run: RunId(word(header::RUN)),
            mount_run: RunId(word(header::MOUNT_RUN)),
            slots,
            head: word(header::HEAD),
            tail: word(header::TAIL),
            dropped: word(header::DROPPED),
            wall_offset: word(header::WALL_OFFSET).cast_signed(),
            owners: owners(word),
        })
    }

    /// Name of the thread with that id, when it owned this ring.
    pub fn thread(&self, tid: u32) -> &str {
        let owner = self.owners.iter().rev().find(|(owner, _)| *owner == tid);
        owner.map_or("", |(_, name)| name)
    }

    /// The wall clock at a monotonic time, microseconds.
    pub fn wall_us(&self, mono_us: u64) -> u64 {
        mono_us.saturating_add_signed(self.wall_offset)
    }
}

fn owners(word: &impl Fn(usize) -> u64) -> Vec<(u32, String)> {
    let count = word(header::OWNER_COUNT);
    let first = count.saturating_sub(header::OWNERS as u64);
    let at = |n: u64| header::FIRST_OWNER + (n % header::OWNERS as u64) as usize * header::OWNER_WORDS;
    (first..count.min(first + header::OWNERS as u64))
        .map(|n| (word(at(n)) as u32, words::unpack_name([word(at(n) + 1), word(at(n) + 2)])))
        .collect()
}

/// What lies at one position.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Found {
    Record(RecordHead),
    /// Not written whole, overwritten, or not the start of a record.
    Torn,
}

/// Reads the record at `position` through `word` and puts its payload into `payload`, which is cleared before.
pub fn read_at(word: &impl Fn(usize) -> u64, slots: usize, position: u64, payload: &mut Vec<u64>) -> Found {
    payload.clear();
    let Some((meta, rest)) = slot(word, slots, position) else { return Found::Torn };
    let Some(head) = RecordHead::parse(meta, &rest) else { return Found::Torn };
    payload.extend_from_slice(&rest[draft::HEAD_WORDS..]);
    for next in 1..u64::from(head.slots) {
        match slot(word, slots, position.wrapping_add(next)) {
            Some((0, rest)) => payload.extend_from_slice(&rest),
            _ => return Found::Torn,
        }
    }
    Found::Record(head)
}

/// The slot at `position` without its stamp, when the stamp fits.
fn slot(word: &impl Fn(usize) -> u64, slots: usize, position: u64) -> Option<(u32, [u64; SLOT_WORDS - 1])> {
    let at = slot_at(position, slots);
    let rest = std::array::from_fn(|n| word(at + 1 + n));
    let first = word(at);
    let meta = first as u32;
    (stamp(position, meta, &rest) == first).then_some((meta, rest))
}

/// Turns a record into an event. `names` turns an inode number into a path.
pub fn event(
    ring: &RingHead,
    head: &RecordHead,
    payload: &[u64],
    names: &mut dyn FnMut(u64) -> Option<String>,
) -> Option<Event<'static>> {
    let body = body::decode(head, payload, &mut |tid| Text::Owned(ring.thread(tid).to_owned()), names)?;
    let ts_us = ring.wall_us(head.mono_us);
    let head =
        crate::event::Head { run: ring.run, mount_run: ring.mount_run, seq: head.seq, ts_us, mono_us: head.mono_us };
    Some(Event { head, body, carried: false, late: false })
}

/// A ring file, decoded.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    pub head: RingHead,
    pub records: Vec<Record>,
    /// Slots not yet written to the event file that hold no whole record.
    pub torn: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub event: Event<'static>,
    /// The event file has it, unless that write was lost.
    pub written: bool,
}

/// Decodes a copy of a ring file, oldest record first. Text that the file does not hold comes from `names`, which
/// turns an inode number into a path. None when the bytes are no ring file of this version.
pub fn decode(bytes: &[u8], names: &mut dyn FnMut(u64) -> Option<String>) -> Option<Decoded> {
    let ring = RingHead::parse(bytes)?;
    // The copy's slots may be newer than its header: the owner wrote on meanwhile.
    let newest = ring.head.saturating_add(ring.slots as u64);
    let oldest = ring.head.saturating_sub(ring.slots as u64);
    Some(decode_between(bytes, ring, oldest..newest, names))
}

/// The same for what the event file may lack of a dead owner's ring, of which only [`RingHead::unwritten`] need be
/// there.
pub fn decode_unwritten(bytes: &[u8], names: &mut dyn FnMut(u64) -> Option<String>) -> Option<Decoded> {
    let ring = RingHead::parse(bytes)?;
    let positions = ring.unwritten();
    Some(decode_between(bytes, ring, positions, names))
}

fn decode_between(
    bytes: &[u8],
    ring: RingHead,
    positions: Range<u64>,
    names: &mut dyn FnMut(u64) -> Option<String>,
) -> Decoded {
    let word = words::reader(bytes);
    let (mut records, mut payload, mut torn) = (Vec::new(), Vec::new(), 0);
    let mut position = positions.start;
    while position < positions.end {
        let found = match read_at(&word, ring.slots, position, &mut payload) {
            Found::Record(head) => event(&ring, &head, &payload, names).map(|event| (event, head.slots)),
            Found::Torn => None,
        };
        let written = position < ring.tail;
        match found {
            Some((event, slots)) => {
                records.push(Record { event, written });
                position += u64::from(slots);
            }
            None => {
                torn += u64::from(!written && position < ring.head);
                position += 1;
            }
        }
    }
    Decoded { head: ring, records, torn }
}

#[cfg(test)]
mod tests;
