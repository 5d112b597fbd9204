//! Waiters: readers that are parked, each until its bytes, its deadline, or the end of the store.
//!
//! Pure: no clock and no lock, so that every schedule can be tried.

use std::{ops::Range, time::Instant};

/// What a waiter waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum For {
    Bytes,
    /// Bytes that are there, and are being read from the disk.
    Disk,
}

#[derive(Debug)]
struct Parked<R> {
    ticket: u64,
    need: Range<u64>,
    deadline: Instant,
    what: For,
    reader: R,
}

/// Parked readers `R`.
#[derive(Debug)]
pub(super) struct Waiters<R> {
    parked: Vec<Parked<R>>,
    tickets: u64,
}

impl<R> Default for Waiters<R> {
    fn default() -> Self {
        Self { parked: Vec::new(), tickets: 0 }
    }
}

impl<R> Waiters<R> {
    /// Parks until [`Waiters::take_ready`] finds all of `need` present.
    pub(super) fn park(&mut self, need: Range<u64>, deadline: Instant, reader: R) {
        self.add(need, deadline, For::Bytes, reader);
    }

    /// Parks while the disk works; the ticket takes it out again.
    pub(super) fn park_for_disk(&mut self, need: Range<u64>, deadline: Instant, reader: R) -> u64 {
        self.add(need, deadline, For::Disk, reader)
    }

    fn add(&mut self, need: Range<u64>, deadline: Instant, what: For, reader: R) -> u64 {
        self.tickets += 1;
        self.parked.push(Parked { ticket: self.tickets, need, deadline, what, reader });
        self.tickets
    }

    /// Takes out whom the new bytes `fresh` complete: `ready` is the one predicate for "is there".
    pub(super) fn take_ready<P>(
        &mut self,
        fresh: &Range<u64>,
        ready: impl Fn(&Range<u64>) -> Option<P>,
    ) -> Vec<(R, Range<u64>, P)> {
        let mut taken = Vec::new();
        let mut n = 0;
        while n < self.parked.len() {
            let waiter = &self.parked[n];
            let touched = waiter.what == For::Bytes && waiter.need.start < fresh.end && fresh.start < waiter.need.end;
            match touched.then(|| ready(&waiter.need)).flatten() {
                Some(plan) => {
                    let waiter = self.parked.swap_remove(n);
                    taken.push((waiter.reader, waiter.need, plan));
                }
                None => n += 1,
            }
        }
        taken
    }

    /// Takes out who waits for the disk under `ticket`, unless its deadline came first.
    pub(super) fn take_ticket(&mut self, ticket: u64) -> Option<R> {
        let n = self.parked.iter().position(|waiter| waiter.ticket == ticket)?;
        Some(self.parked.swap_remove(n).reader)
    }

    /// Takes out whose deadline has come, while it waited for bytes to come.
    pub(super) fn take_expired(&mut self, now: Instant) -> Vec<(R, Range<u64>)> {
        self.take(|waiter| waiter.what == For::Bytes && waiter.deadline <= now)
    }

    /// Takes out whose deadline has come, while the disk kept bytes that are there.
    pub(super) fn take_expired_at_disk(&mut self, now: Instant) -> Vec<(R, Range<u64>)> {
        self.take(|waiter| waiter.what == For::Disk && waiter.deadline <= now)
    }

    /// Takes out who waits for bytes and for whom `hopeless` holds.
    pub(super) fn take_hopeless(&mut self, hopeless: impl Fn(&Range<u64>) -> bool) -> Vec<(R, Range<u64>)> {
        self.take(|waiter| waiter.what == For::Bytes && hopeless(&waiter.need))
    }

    pub(super) fn take_all(&mut self) -> Vec<(R, Range<u64>)> {
        self.take(|_| true)
    }

    fn take(&mut self, which: impl Fn(&Parked<R>) -> bool) -> Vec<(R, Range<u64>)> {
        self.parked.extract_if(.., |waiter| which(waiter)).map(|waiter| (waiter.reader, waiter.need)).collect()
    }

    /// What is waited for.
    pub(super) fn needs(&self) -> impl Iterator<Item = &Range<u64>> {
        self.parked.iter().filter(|waiter| waiter.what == For::Bytes).map(|waiter| &waiter.need)
    }

    pub(super) fn len(&self) -> usize {
        self.parked.len()
    }
}
