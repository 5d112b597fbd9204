//! The entry: one lock that a thread holds or waits for, in the thread's slot.

use std::{
    panic::Location,
    sync::atomic::{
        AtomicU64,
        Ordering::{Relaxed, Release},
    },
};

use fsd_events::{
    event::LockMode,
    ids::OpId,
    ring::tables::locks::{ENTRY_WORDS, HELD, HELD_AT, MAX_HELD, WAIT_AT},
};

use super::super::local::ThreadSlot;

const TAG: usize = 0;
const KEY: usize = 1;
const SINCE: usize = 2;
const OP: usize = 3;

/// Bit of a tag: this hold has been told to the journal, so its end must be too.
pub(super) const TOLD: u64 = 1 << 40;
/// Bit of a tag: held or wanted for writing.
const WRITE: u64 = (LockMode::Write as u64) << 24;
const RANK_SHIFT: u32 = 32;

/// Which lock, and how: what an entry is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) tag: u64,
    pub(super) key: u64,
}

impl Name {
    pub(super) fn new(tag: u64, key: u64) -> Self {
        Self { tag, key }
    }

    /// The same lock for writing.
    #[inline]
    pub(super) fn write(self) -> Self {
        Self { tag: self.tag | WRITE, key: self.key }
    }

    /// Whether both are the same lock, held in whatever way.
    pub(super) fn is_lock(self, other: Self) -> bool {
        let class = |tag: u64| tag & 0xffff;
        class(self.tag) == class(other.tag) && self.key == other.key
    }

    #[inline]
    fn order(self) -> (u64, u64) {
        ((self.tag & !TOLD) >> RANK_SHIFT, self.key)
    }
}

/// What an entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: Name,
    pub(super) since_us: u64,
    pub(super) op: OpId,
}

impl Entry {
    pub(super) fn read(words: &[AtomicU64]) -> Self {
        let word = |at: usize| words[at].load(Relaxed);
        Self { name: Name::new(word(TAG), word(KEY)), since_us: word(SINCE), op: OpId(word(OP)) }
    }

    #[inline]
    pub(super) fn write(&self, words: &[AtomicU64; ENTRY_WORDS]) {
        words[KEY].store(self.name.key, Relaxed);
        words[SINCE].store(self.since_us, Relaxed);
        words[OP].store(self.op.0, Relaxed);
        words[TAG].store(self.name.tag, Release);
    }
}

/// Number of locks that the thread holds.
#[inline]
pub(super) fn count(slot: &ThreadSlot) -> usize {
    slot.words[HELD].load(Relaxed) as usize
}

#[inline]
fn words(slot: &ThreadSlot, index: usize) -> Option<&'static [AtomicU64; ENTRY_WORDS]> {
    slot.words.get(HELD_AT + index * ENTRY_WORDS..)?.first_chunk()
}

/// The entry of the lock that the thread took as number `index`.
pub(super) fn held(slot: &ThreadSlot, index: usize) -> Option<Entry> {
    (index < MAX_HELD).then(|| words(slot, index).map(|w| Entry::read(w)))?
}

/// What the thread waits for.
pub(super) fn waited(slot: &ThreadSlot) -> Option<Entry> {
    let entry = Entry::read(&slot.words[WAIT_AT..]);
    (entry.name.tag != 0).then_some(entry)
}

/// Whether the thread may take this lock after those it holds.
#[inline]
pub(super) fn in_order(slot: &ThreadSlot, name: Name) -> bool {
    match count(slot) {
        0 => true,
        n => held(slot, n - 1).is_none_or(|last| last.name.order() < name.order()),
    }
}

#[inline]
pub(super) fn push(slot: &ThreadSlot, entry: Entry, site: &'static Location<'static>) {
    let n = count(slot);
    if n < MAX_HELD
        && let Some(words) = words(slot, n)
    {
        slot.places[n].set(site);
        entry.write(words);
    }
    slot.words[HELD].store(n as u64 + 1, Release);
}

/// Takes the entry out. It comes back when it was told, or is `long_us` old at `now_us`.
#[inline]
pub(super) fn pop(slot: &ThreadSlot, name: Name, now_us: u64, long_us: u64) -> Option<Entry> {
    let last = count(slot).checked_sub(1)?;
    if last < MAX_HELD
        && let Some(words) = words(slot, last)
        && words[TAG].load(Relaxed) == name.tag
        && words[KEY].load(Relaxed) == name.key
    {
        slot.words[HELD].store(last as u64, Release);
        let long = now_us.saturating_sub(words[SINCE].load(Relaxed)) >= long_us;
        return if long { held_before(words) } else { None };
    }
    pop_odd(slot, last, name).filter(|e| e.name.tag & TOLD != 0 || now_us.saturating_sub(e.since_us) >= long_us)
}

/// What the words said until now; the thread has not used them again.
#[cold]
fn held_before(words: &[AtomicU64; ENTRY_WORDS]) -> Option<Entry> {
    Some(Entry::read(words))
}

/// Told, too deep, or released in another order than taken: the gap is closed.
#[cold]
fn pop_odd(slot: &ThreadSlot, last: usize, name: Name) -> Option<Entry> {
    let same = |e: &Entry| e.name.tag & !TOLD == name.tag && e.name.key == name.key;
    let found = (0..=last.min(MAX_HELD - 1)).rev().find_map(|n| held(slot, n).filter(same).map(|e| (n, e)));
    if let Some((gap, _)) = found {
        for n in gap..last.min(MAX_HELD - 1) {
            if let (Some(next), Some(words)) = (held(slot, n + 1), words(slot, n)) {
                next.write(words);
                slot.places[n + 1].get().into_iter().for_each(|place| slot.places[n].set(place));
            }
        }
    }
    slot.words[HELD].store(last as u64, Release);
    found.map(|(_, entry)| entry)
}

/// Shows what the thread waits for.
pub(super) fn set_wait(slot: &ThreadSlot, entry: Entry, site: &'static Location<'static>) {
    slot.places[MAX_HELD].set(site);
    if let Some(words) = slot.words[WAIT_AT..].first_chunk() {
        entry.write(words);
    }
}

pub(super) fn clear_wait(slot: &ThreadSlot) {
    slot.words[WAIT_AT].store(0, Release);
}
