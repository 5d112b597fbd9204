//! Budget: disk is reserved before it is used, memory is shared by those who are open.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::StoreError;

/// No store gets less memory than this.
const LEAST: u64 = 128 << 10;

#[derive(Debug)]
pub(super) struct Budget {
    disk: Option<u64>,
    reserved: AtomicU64,
    memory: u64,
    sharers: AtomicUsize,
}

impl Budget {
    pub(super) fn new(disk: Option<u64>, memory: u64) -> Self {
        Self { disk, reserved: AtomicU64::new(0), memory, sharers: AtomicUsize::new(0) }
    }

    /// Reserves disk for a temp file, or nothing.
    pub(super) fn reserve(&self, bytes: u64) -> Result<(), StoreError> {
        let limit = self.disk.unwrap_or(u64::MAX);
        let fits = |taken: u64| taken.checked_add(bytes).filter(|sum| *sum <= limit);
        match self.reserved.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits) {
            Ok(_) => Ok(()),
            Err(taken) => Err(StoreError::NoRoom { needs: bytes, free: limit.saturating_sub(taken) }),
        }
    }

    pub(super) fn release(&self, bytes: u64) {
        self.reserved.fetch_sub(bytes, Ordering::AcqRel);
    }

    pub(super) fn reserved(&self) -> u64 {
        self.reserved.load(Ordering::Acquire)
    }

    pub(super) fn join(&self) {
        self.sharers.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn leave(&self) {
        self.sharers.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn sharers(&self) -> usize {
        self.sharers.load(Ordering::Relaxed)
    }

    /// Bytes of memory that one store may hold now.
    pub(super) fn share(&self) -> u64 {
        let sharers = self.sharers.load(Ordering::Relaxed).max(1) as u64;
        (self.memory / sharers).max(LEAST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r38_two_reservations_of_sixty_percent_do_not_both_pass() {
        let budget = Budget::new(Some(100), 0);
        assert_eq!(budget.reserve(60), Ok(()));
        assert_eq!(budget.reserve(60), Err(StoreError::NoRoom { needs: 60, free: 40 }));
        budget.release(60);
        assert_eq!(budget.reserve(60), Ok(()));
        assert_eq!(budget.reserve(u64::MAX), Err(StoreError::NoRoom { needs: u64::MAX, free: 40 }));
    }

    #[test]
    fn memory_is_shared_but_never_nothing() {
        let budget = Budget::new(None, 64 << 20);
        assert_eq!(budget.share(), 64 << 20);
        (0..1000).for_each(|_| budget.join());
        assert_eq!(budget.share(), LEAST);
    }
}
