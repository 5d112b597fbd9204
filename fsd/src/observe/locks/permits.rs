//! Permits: a bounded number of holders at once, each known by its operation.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{
            AtomicU64,
            Ordering::{AcqRel, Relaxed, Release},
        },
    },
};

use fsd_events::{
    event::{LockKind, Step},
    ids::OpId,
    ring::tables::locks::{
        ENTRY_WORDS, PERMIT_ENTRY, PERMIT_HELD, PERMIT_STATE, PERMIT_TAKEN, PERMIT_WAITS, PERMIT_WORDS, permits_at,
    },
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::platform::clock;

use super::{
    super::memory,
    Class, VERBOSE,
    entry::{Entry, Name, TOLD},
    slow::{self, HOLDERS, REPEAT, SHORT},
    view,
};

/// A semaphore whose holders have names. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Permits {
    class: &'static Class,
    name: Name,
    semaphore: Arc<Semaphore>,
}

/// One permit; given back when dropped.
#[derive(Debug)]
pub struct Permit {
    _row: Row,
    _owned: OwnedSemaphorePermit,
}

impl Permits {
    pub fn new(class: &'static Class, n: usize) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let name = Name::new(class.tag(LockKind::Permit), NEXT.fetch_add(1, Relaxed)).write();
        Self { class, name, semaphore: Arc::new(Semaphore::new(n)) }
    }

    /// Waits for a permit, in the order of arrival; cancel it by dropping the future. Needs a runtime with timers.
    pub async fn acquire(&self, for_: OpId) -> Permit {
        if let Some(permit) = self.try_acquire(for_) {
            return permit;
        }
        let mut row = Row::take(self.name, for_, PERMIT_WAITS);
        let mut acquired = pin!(Arc::clone(&self.semaphore).acquire_owned());
        let owned = loop {
            let limit = if row.told() { REPEAT } else { SHORT };
            match tokio::time::timeout(limit, &mut acquired).await {
                Ok(owned) => break owned.expect("the semaphore is never closed"),
                Err(_) => row.tell_wait(),
            }
        };
        row.hold();
        Permit { _row: row, _owned: owned }
    }

    /// A permit if one is free.
    pub fn try_acquire(&self, for_: OpId) -> Option<Permit> {
        let owned = Arc::clone(&self.semaphore).try_acquire_owned().ok()?;
        let mut row = Row::take(self.name, for_, PERMIT_HELD);
        if VERBOSE.load(Relaxed) {
            row.entry.name.tag |= TOLD;
            row.hold();
        }
        Some(Permit { _row: row, _owned: owned })
    }

    pub fn available(&self) -> usize {
        self.semaphore.available_permits()
    }

    pub fn class(&self) -> &'static Class {
        self.class
    }
}

/// A row of the table: who has or wants a permit.
#[derive(Debug)]
struct Row {
    entry: Entry,
    /// None: the table was full.
    words: Option<&'static [AtomicU64; PERMIT_WORDS]>,
}

impl Row {
    fn take(name: Name, op: OpId, state: u64) -> Self {
        let memory = memory::current();
        let rows = memory.locks.get(permits_at(memory.threads.len())..).unwrap_or_default();
        let (rows, _) = rows.as_chunks::<PERMIT_WORDS>();
        let free = |row: &&[AtomicU64; PERMIT_WORDS]| {
            row[PERMIT_STATE].compare_exchange(0, PERMIT_TAKEN, AcqRel, Relaxed).is_ok()
        };
        let row = Self { entry: Entry { name, since_us: clock::now_mono_us(), op }, words: rows.iter().find(free) };
        row.show(state);
        row
    }

    fn show(&self, state: u64) {
        if let Some(words) = self.words {
            if let Some(entry) = words[PERMIT_ENTRY..].first_chunk::<ENTRY_WORDS>() {
                self.entry.write(entry);
            }
            words[PERMIT_STATE].store(state, Release);
        }
    }

    fn told(&self) -> bool {
        self.entry.name.tag & TOLD != 0
    }

    fn tell_wait(&mut self) {
        self.entry.name.tag |= TOLD;
        let mut holders = [OpId(0); HOLDERS];
        let found = view::holders(self.entry.name, &mut holders);
        slow::tell(self.entry.op, self.entry.name, Step::Wait, &holders[..found], self.age_us());
    }

    /// The wait is over: from now on it holds.
    fn hold(&mut self) {
        self.entry.since_us = clock::now_mono_us();
        self.show(PERMIT_HELD);
        if self.told() {
            slow::tell(self.entry.op, self.entry.name, Step::Hold, &[self.entry.op], 0);
        }
    }

    fn age_us(&self) -> u64 {
        clock::now_mono_us().saturating_sub(self.entry.since_us)
    }
}

impl Drop for Row {
    fn drop(&mut self) {
        if let Some(words) = self.words {
            words[PERMIT_STATE].store(0, Release);
        }
        if self.told() {
            slow::tell(self.entry.op, self.entry.name, Step::Free, &[], self.age_us());
        }
    }
}
