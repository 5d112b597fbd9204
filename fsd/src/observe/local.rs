//! This thread's place in the shared tables: its ring, its slot among the locks, and what it works for.

use std::{
    cell::Cell,
    sync::atomic::{
        AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
};

use fsd_events::{
    event::TaskKind,
    ids::OpId,
    ring::{
        Draft, SMALL, name_words,
        tables::locks::{ANNOUNCED, CHANGES, HELD, MAX_HELD, NAME, PSEUDO, THREAD_WORDS, TID, WAIT_AT, WORKS_FOR},
    },
};

use crate::platform::{clock, place::PlaceCell, thread};

use super::{
    journal::{self, Ring},
    memory,
};

/// What one thread holds, waits for and works for. Written by that thread alone, read by everybody.
pub(super) struct ThreadSlot {
    pub(super) words: &'static [AtomicU64; THREAD_WORDS],
    /// Where in the source: what it holds, then what it waits for. Means nothing to another process.
    pub(super) places: [PlaceCell; MAX_HELD + 1],
}

impl ThreadSlot {
    pub(super) fn new(words: &'static [AtomicU64; THREAD_WORDS]) -> Self {
        Self { words, places: std::array::from_fn(|_| PlaceCell::new()) }
    }

    pub(super) fn tid(&self) -> u32 {
        self.words[TID].load(Acquire) as u32
    }

    /// The operation or task that the thread works for; its pseudo-task outside any.
    #[inline]
    pub(super) fn works_for(&self) -> OpId {
        match self.words[WORKS_FOR].load(Relaxed) {
            0 => OpId(self.words[PSEUDO].load(Relaxed)),
            id => OpId(id),
        }
    }

    /// Whether the thread is inside an operation or task.
    pub(super) fn busy(&self) -> bool {
        self.words[WORKS_FOR].load(Relaxed) != 0
    }

    pub(super) fn name(&self) -> [u8; 16] {
        let mut name = [0; 16];
        for (to, word) in name.chunks_exact_mut(8).zip(&self.words[NAME..]) {
            to.copy_from_slice(&word.load(Relaxed).to_ne_bytes());
        }
        name
    }

    /// Whether that is the pseudo-task of this thread.
    pub(super) fn is_pseudo(&self, id: OpId) -> bool {
        self.tid() != 0 && self.words[PSEUDO].load(Relaxed) == id.0
    }

    fn claim(&self) -> bool {
        let tid = thread::tid();
        if self.words[TID].compare_exchange(0, tid.into(), AcqRel, Relaxed).is_err() {
            return false;
        }
        let name = name_words(thread::name());
        self.words[NAME].store(name[0], Relaxed);
        self.words[NAME + 1].store(name[1], Relaxed);
        self.words[PSEUDO].store(journal::next_id().0, Relaxed);
        true
    }

    fn release(&self) {
        for at in [HELD, WORKS_FOR, PSEUDO, ANNOUNCED, WAIT_AT] {
            self.words[at].store(0, Relaxed);
        }
        self.words[CHANGES].fetch_add(1, Relaxed);
        self.words[TID].store(0, Release);
    }

    /// Tells the journal once that the thread is a pseudo-task, because an event is about to name it.
    pub(super) fn announce(&self) {
        if !self.busy() && self.words[ANNOUNCED].swap(1, Relaxed) == 0 {
            let name = self.name();
            let len = name.iter().position(|b| *b == 0).unwrap_or(name.len());
            let name = std::str::from_utf8(&name[..len]).unwrap_or("?");
            let id = OpId(self.words[PSEUDO].load(Relaxed));
            journal::tell(clock::now_mono_us(), || Draft::<SMALL>::task(id, TaskKind::Thread, None, None, Some(name)));
        }
    }
}

thread_local! {
    static SLOT: Cell<Option<&'static ThreadSlot>> = const { Cell::new(None) };
    static RING: Cell<Option<&'static Ring>> = const { Cell::new(None) };
    /// Nothing was free, or the thread is ending: it does without.
    static NO_SLOT: Cell<bool> = const { Cell::new(false) };
    static NO_RING: Cell<bool> = const { Cell::new(false) };
    static RETURN: Return = const { Return };
}

/// Gives back what the thread has claimed when it ends.
struct Return;

impl Drop for Return {
    fn drop(&mut self) {
        NO_SLOT.set(true);
        NO_RING.set(true);
        SLOT.take().into_iter().for_each(ThreadSlot::release);
        RING.take().into_iter().for_each(Ring::release);
    }
}

/// Whether what this thread claims will be given back at its end.
fn returns() -> bool {
    RETURN.try_with(|_| ()).is_ok()
}

/// This thread's slot; None when all are taken.
#[inline]
pub(super) fn slot() -> Option<&'static ThreadSlot> {
    match SLOT.get() {
        None => claim_slot(),
        some => some,
    }
}

#[cold]
fn claim_slot() -> Option<&'static ThreadSlot> {
    if NO_SLOT.get() || !returns() {
        return None;
    }
    let found = memory::current().threads.iter().find(|slot| slot.claim());
    NO_SLOT.set(found.is_none());
    SLOT.set(found);
    found
}

/// This thread's ring; None when all are taken or there are none yet.
#[inline]
pub(super) fn ring() -> Option<&'static Ring> {
    match RING.get() {
        None => claim_ring(),
        some => some,
    }
}

#[cold]
fn claim_ring() -> Option<&'static Ring> {
    let memory = memory::installed()?;
    if NO_RING.get() || !returns() {
        return None;
    }
    let found = memory.rings.iter().skip(1).find(|ring| ring.claim());
    found.into_iter().for_each(|ring| ring.set_owner(thread::tid(), name_words(thread::name())));
    NO_RING.set(found.is_none());
    RING.set(found);
    found
}

/// Forgets what this thread claimed before there was shared memory.
pub(super) fn start_over() {
    if let Some(slot) = SLOT.get().filter(|slot| slot.words[HELD].load(Relaxed) == 0) {
        slot.release();
        SLOT.set(None);
    }
    NO_SLOT.set(false);
    NO_RING.set(false);
}

/// Sets what this thread works for and returns what it worked for before; 0 is nothing.
#[inline]
pub(super) fn work_for(id: OpId) -> OpId {
    slot().map_or(OpId(0), |slot| {
        let before = slot.words[WORKS_FOR].load(Relaxed);
        slot.words[WORKS_FOR].store(id.0, Relaxed);
        OpId(before)
    })
}
