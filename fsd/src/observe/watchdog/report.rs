//! The report: what a `beat` and a `stall` say, collected into memory that is reused.

use fsd_events::{
    event::{Beat, Stall, StalledLock, StalledOp, Text},
    op::{Class, Op},
};

use super::super::{inflight, locks};

/// Operations and locks that a report names.
const OPS: usize = 256;
const LOCKS: usize = 16;
const IDS: usize = 16;

/// Everything has its memory from the start; nothing here allocates later.
#[derive(Debug)]
pub(super) struct Report {
    beat: Beat,
    ops: Vec<StalledOp>,
    locks: Vec<StalledLock<'static>>,
}

impl Report {
    pub(super) fn new() -> Self {
        let lock = || StalledLock {
            lock: Text::Borrowed(""),
            holder: Vec::with_capacity(IDS),
            since_us: 0,
            waiters: Vec::with_capacity(IDS),
        };
        let beat = Beat { inflight: Vec::with_capacity(Op::all().len()), ..Beat::default() };
        Self { beat, ops: Vec::with_capacity(OPS), locks: (0..LOCKS).map(|_| lock()).collect() }
    }

    /// Counts what is in flight.
    pub(super) fn count(&mut self) {
        let counts = &mut self.beat.inflight;
        counts.clear();
        inflight::visit_counts(&mut |op, count| push(counts, (op, count)));
    }

    pub(super) fn inflight(&self) -> &[(Op, u64)] {
        &self.beat.inflight
    }

    pub(super) fn beat(&mut self) -> &mut Beat {
        &mut self.beat
    }

    /// Collects the operations older than the limit, oldest first, and the locks that somebody waits for.
    pub(super) fn stalled(&mut self, now_us: u64, limit_us: u64) {
        let ops = &mut self.ops;
        ops.clear();
        inflight::visit(&mut |op| {
            let us = now_us.saturating_sub(op.since_us);
            if us >= limit_us && op.op.class() != Class::Control {
                push(ops, StalledOp { id: op.id, op: op.op, us });
            }
        });
        ops.sort_unstable_by_key(|op| std::cmp::Reverse(op.us));
        self.locks.iter_mut().for_each(clear);
        locks::visit(&mut |lock| {
            if lock.waiting && !lock.unstable {
                self.row(lock).into_iter().for_each(|row| push(&mut row.waiters, lock.op));
            }
        });
        locks::visit(&mut |lock| {
            if !lock.waiting && !lock.unstable && self.is_wanted(lock) {
                let since_us = now_us.saturating_sub(lock.since_us);
                if let Some(row) = self.row(lock) {
                    row.since_us = row.since_us.max(since_us);
                    push(&mut row.holder, lock.op);
                }
            }
        });
    }

    fn is_wanted(&self, lock: &locks::LockState) -> bool {
        self.locks.iter().any(|row| row.lock == lock.class.name())
    }

    /// The row of this lock, or a free one.
    fn row(&mut self, lock: &locks::LockState) -> Option<&mut StalledLock<'static>> {
        let name = lock.class.name();
        let found = self.locks.iter().position(|row| row.lock == name || row.lock.is_empty())?;
        let row = &mut self.locks[found];
        row.lock = Text::Borrowed(name);
        Some(row)
    }

    /// Gives the stall to `use_it` without copying the lists; the dump's name comes back.
    pub(super) fn with_stall<R>(
        &mut self,
        kernel_waiting: Option<u64>,
        stacks: Option<String>,
        use_it: impl FnOnce(&Stall<'static>) -> R,
    ) -> (R, Option<String>) {
        let stall = Stall {
            ops: std::mem::take(&mut self.ops),
            inflight: std::mem::take(&mut self.beat.inflight),
            kernel_waiting,
            locks: std::mem::take(&mut self.locks),
            stacks: stacks.map(Text::Owned),
        };
        let result = use_it(&stall);
        (self.ops, self.beat.inflight, self.locks) = (stall.ops, stall.inflight, stall.locks);
        (result, stall.stacks.map(Text::into_owned))
    }
}

/// Adds as long as there is room.
fn push<T>(to: &mut Vec<T>, value: T) {
    if to.len() < to.capacity() {
        to.push(value);
    }
}

fn clear(lock: &mut StalledLock<'_>) {
    lock.lock = Text::Borrowed("");
    lock.holder.clear();
    lock.waiters.clear();
    lock.since_us = 0;
}
