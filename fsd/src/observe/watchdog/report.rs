//! The report: what a `beat` and a `stall` say, collected into memory that is reused.

use fsd_events::{
    event::{Beat, Stall, StalledLock, StalledOp, Text},
    op::{Class, Op},
};

use super::super::{
    inflight,
    locks::{self, Label},
};

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
            lock: Text::Owned(String::with_capacity(size_of::<Label>())),
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
                keep_oldest(ops, StalledOp { id: op.id, op: op.op, us });
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
        let label = Label::of(lock.class.name(), lock.key);
        self.locks.iter().any(|row| row.lock == label.as_str())
    }

    /// The row of this lock, or a free one.
    fn row(&mut self, lock: &locks::LockState) -> Option<&mut StalledLock<'static>> {
        let label = Label::of(lock.class.name(), lock.key);
        let found = self.locks.iter().position(|row| row.lock == label.as_str() || row.lock.is_empty())?;
        let row = &mut self.locks[found];
        if let Text::Owned(name) = &mut row.lock {
            name.clear();
            name.push_str(label.as_str());
        }
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

/// Adds it as long as there is room, and then in the place of the youngest, if that is younger.
fn keep_oldest(to: &mut Vec<StalledOp>, op: StalledOp) {
    if to.len() < to.capacity() {
        to.push(op);
    } else if let Some(youngest) = to.iter_mut().min_by_key(|kept| kept.us).filter(|kept| kept.us < op.us) {
        *youngest = op;
    }
}

fn clear(lock: &mut StalledLock<'_>) {
    if let Text::Owned(name) = &mut lock.lock {
        name.clear();
    }
    lock.holder.clear();
    lock.waiters.clear();
    lock.since_us = 0;
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread::scope};

    use fsd_events::ids::OpId;

    use super::*;
    use crate::observe::locks::{Class, Mutex, Rank};

    #[test]
    fn who_waits_for_one_lock_does_not_wait_for_another_of_its_class() {
        static CLASS: Class = Class::new("test keyed", Rank::Store);
        let (wanted, other) = (Mutex::new(&CLASS, ()).keyed(7), Mutex::new(&CLASS, ()).keyed(8));
        let mut report = Report::new();
        scope(|threads| {
            let ((held, is_held), (let_go, may_go)) = (mpsc::channel(), mpsc::channel::<()>());
            let other = &other;
            threads.spawn(move || {
                let _other = other.lock();
                held.send(()).unwrap();
                may_go.recv()
            });
            is_held.recv().unwrap();
            let first = wanted.lock();
            threads.spawn(|| drop(wanted.lock()));
            let waits = |lock: &locks::LockState| lock.class.name() == "test keyed" && lock.waiting;
            while !locks::snapshot().iter().any(waits) {
                std::thread::yield_now();
            }
            report.stalled(0, 0);
            drop(first);
            drop(let_go);
        });
        let rows = report.locks.iter().filter(|row| row.lock.starts_with("test keyed"));
        let rows: Vec<_> = rows.map(|row| (&*row.lock, row.holder.len(), row.waiters.len())).collect();
        assert_eq!(rows, [("test keyed#7", 1, 1)]);
    }

    #[test]
    fn where_there_is_no_room_for_all_the_oldest_are_named() {
        let mut ops = Vec::with_capacity(OPS);
        let room = u64::try_from(ops.capacity()).unwrap();
        (0..3 * room).for_each(|us| keep_oldest(&mut ops, StalledOp { id: OpId(us), op: Op::Read, us }));
        keep_oldest(&mut ops, StalledOp { id: OpId(0), op: Op::Read, us: 0 });
        let mut kept: Vec<u64> = ops.iter().map(|op| op.us).collect();
        kept.sort_unstable();
        assert_eq!(kept, (2 * room..3 * room).collect::<Vec<_>>());
    }
}
