//! The view: who holds and who waits, read from everybody's slots without a lock.

use std::{panic::Location, sync::atomic::Ordering::Acquire};

use fsd_events::{
    event::{LockKind, LockMode, Step},
    ids::OpId,
    ring::tables::{
        Tag,
        locks::{MAX_HELD, PERMIT_ENTRY, PERMIT_HELD, PERMIT_STATE, PERMIT_WAITS, PERMIT_WORDS, permits_at},
    },
};

use crate::platform::clock;

use super::{
    super::{
        local::ThreadSlot,
        memory::{self, Memory},
    },
    Class, LONG_US,
    entry::{self, Entry, Name},
    slow,
};

/// One holding or waiting, as a thread's slot tells it.
#[derive(Clone, Copy, Debug)]
pub struct LockState {
    pub class: &'static Class,
    pub key: u64,
    pub kind: LockKind,
    pub mode: LockMode,
    /// Waiting for it; else holding it.
    pub waiting: bool,
    /// Operation or task on whose behalf; a pseudo-task for a thread outside any.
    pub op: OpId,
    /// 0 for a permit: its holder is a task.
    pub tid: u32,
    /// Monotonic microseconds, exact to 50 ms.
    pub since_us: u64,
    pub site: Option<&'static Location<'static>>,
    /// Changed while it was read.
    pub unstable: bool,
}

/// Every lock held or waited for; allocates.
pub fn snapshot() -> Vec<LockState> {
    let mut all = Vec::new();
    visit(&mut |state| all.push(*state));
    all
}

/// Shows every lock held or waited for; neither allocates nor locks.
pub fn visit(each: &mut dyn FnMut(&LockState)) {
    for memory in memory::every() {
        memory.threads.iter().filter(|slot| slot.tid() != 0).for_each(|slot| of_thread(slot, each));
        visit_permits(memory, each);
    }
}

/// Shows what one thread waits for and holds.
pub(super) fn of_thread(slot: &ThreadSlot, each: &mut dyn FnMut(&LockState)) {
    let tid = slot.tid();
    let read = |waiting: bool, index: usize| if waiting { entry::waited(slot) } else { entry::held(slot, index) };
    let held = entry::count(slot).min(MAX_HELD);
    for (waiting, index) in std::iter::once((true, MAX_HELD)).chain((0..held).map(|n| (false, n))) {
        let Some(entry) = read(waiting, index) else { continue };
        let site = slot.places[index].get();
        let unstable = read(waiting, index) != Some(entry) || (!waiting && entry::count(slot) <= index);
        if let Some(state) = state(entry, waiting, tid) {
            each(&LockState { site, unstable, ..state });
        }
    }
}

fn state(entry: Entry, waiting: bool, tid: u32) -> Option<LockState> {
    let tag = Tag::unpack(entry.name.tag)?;
    Some(LockState {
        class: Class::numbered(tag.class)?,
        key: entry.name.key,
        kind: tag.kind,
        mode: tag.mode,
        waiting,
        op: entry.op,
        tid,
        since_us: entry.since_us,
        site: None,
        unstable: false,
    })
}

fn visit_permits(memory: &Memory, each: &mut dyn FnMut(&LockState)) {
    let rows = memory.locks.get(permits_at(memory.threads.len())..).unwrap_or_default();
    for row in rows.chunks_exact(PERMIT_WORDS) {
        let before = row[PERMIT_STATE].load(Acquire);
        if !matches!(before, PERMIT_HELD | PERMIT_WAITS) {
            continue;
        }
        let entry = Entry::read(&row[PERMIT_ENTRY..]);
        if let Some(state) = state(entry, before == PERMIT_WAITS, 0) {
            each(&LockState { unstable: row[PERMIT_STATE].load(Acquire) != before, ..state });
        }
    }
}

/// Operations and tasks that hold the lock now; returns how many were put into `into`.
pub(super) fn holders(name: Name, into: &mut [OpId]) -> usize {
    let mut found = 0;
    for memory in memory::every() {
        for slot in memory.threads.iter().filter(|slot| slot.tid() != 0) {
            let held = (0..entry::count(slot).min(MAX_HELD)).filter_map(|n| entry::held(slot, n));
            for entry in held.filter(|entry| entry.name.is_lock(name)) {
                slot.announce();
                found += usize::from(into.get_mut(found).map(|to| *to = entry.op).is_some());
            }
        }
        visit_permits(memory, &mut |permit| {
            let same = slow::class(name).is_some_and(|class| std::ptr::eq(class, permit.class));
            if same && permit.key == name.key && !permit.waiting {
                found += usize::from(into.get_mut(found).map(|to| *to = permit.op).is_some());
            }
        });
    }
    found
}

/// Tells the journal of every mutex and rwlock that has been held for long; permits are meant to be.
pub(in super::super) fn tell_long_holds() {
    let now_us = clock::now_mono_us();
    for memory in memory::every() {
        for slot in memory.threads.iter().filter(|slot| slot.tid() != 0) {
            for entry in (0..entry::count(slot).min(MAX_HELD)).filter_map(|n| entry::held(slot, n)) {
                let us = now_us.saturating_sub(entry.since_us);
                // Read again: what was released and taken anew meanwhile has another time.
                let still = (0..entry::count(slot).min(MAX_HELD)).any(|n| entry::held(slot, n) == Some(entry));
                if us >= 2 * LONG_US && still {
                    slot.announce();
                    slow::tell(entry.op, entry.name, Step::Hold, &[entry.op], us);
                }
            }
        }
    }
}
