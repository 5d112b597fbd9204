//! Index: where the record of each inode is in the table.

use std::sync::{
    OnceLock,
    atomic::{AtomicU32, AtomicUsize, Ordering},
};

use super::NameTable;

/// Open addressing, grown by doubling, read without a lock. A smaller level stays
/// valid for the readers that still look at it.
pub(super) struct Index {
    levels: [OnceLock<Box<[AtomicU32]>>; 24],
    level: AtomicUsize,
}

impl Index {
    const FIRST: usize = 1024;

    pub(super) fn new() -> Self {
        let index = Self { levels: [const { OnceLock::new() }; 24], level: AtomicUsize::new(0) };
        index.slots(0);
        index
    }

    fn slots(&self, level: usize) -> &[AtomicU32] {
        self.levels[level].get_or_init(|| (0..Self::FIRST << level).map(|_| AtomicU32::new(0)).collect())
    }

    pub(super) fn find(&self, ino: u64, ino_at: impl Fn(usize) -> u64) -> Option<usize> {
        loop {
            let level = self.level.load(Ordering::Acquire);
            let slots = self.slots(level);
            let start = ino as usize & (slots.len() - 1);
            let around = slots[start..].iter().chain(&slots[..start]);
            let used = around.map(|slot| slot.load(Ordering::Acquire) as usize).take_while(|at| *at != 0);
            if let Some(at) = used.into_iter().find(|at| ino_at(*at) == ino) {
                return Some(at);
            }
            if self.level.load(Ordering::Acquire) == level {
                return None;
            }
        }
    }

    /// Only under the lock of appending. `entries` are in it so far.
    pub(super) fn insert(&self, ino: u64, at: usize, entries: u64, table: &NameTable) {
        let mut level = self.level.load(Ordering::Relaxed);
        if (entries + 1) * 4 > self.slots(level).len() as u64 * 3 && level + 1 < self.levels.len() {
            for slot in self.slots(level) {
                let at = slot.load(Ordering::Relaxed);
                if at != 0 {
                    put(self.slots(level + 1), table.word(at as usize).load(Ordering::Relaxed), at);
                }
            }
            level += 1;
            self.level.store(level, Ordering::Release);
        }
        // 2^32 words are 32 GiB of names.
        put(self.slots(level), ino, u32::try_from(at).unwrap_or(u32::MAX));
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.levels.iter().filter_map(|level| level.get()).map(|slots| slots.len() * 4).sum()
    }
}

fn put(slots: &[AtomicU32], ino: u64, at: u32) {
    let start = ino as usize & (slots.len() - 1);
    let free = slots[start..].iter().chain(&slots[..start]).find(|slot| slot.load(Ordering::Relaxed) == 0);
    if let Some(slot) = free {
        slot.store(at, Ordering::Release);
    }
}
