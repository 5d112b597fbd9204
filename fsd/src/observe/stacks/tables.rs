//! The tables: operations, locks and tasks at the moment of the dump, joined by number.

use fsd_events::{
    event::LockMode,
    ids::OpId,
    stacks::{LockHead, LockUser, LockWait, OpLine, OpWait, TaskBlock},
};

use crate::{
    observe::{
        inflight::{self, InFlight},
        locks::{self, LockState},
        tasks::{self, TaskState},
    },
    platform::clock,
};

/// Room for each table; what is beyond it is left out.
const OPS: usize = 4096;
const LOCKS: usize = 2048;
const TASKS: usize = 4096;

/// Buffers that a dump fills and never enlarges.
pub(super) struct Tables {
    pub(super) now_us: u64,
    pub(super) ops: Vec<InFlight>,
    /// Sorted: the records of one lock stand together, holders first.
    records: Vec<LockState>,
    /// Where each lock's records begin; a lock's number is its place here plus one.
    starts: Vec<usize>,
    pub(super) tasks: Vec<TaskState>,
}

impl Tables {
    pub(super) fn new() -> Self {
        Self {
            now_us: 0,
            ops: Vec::with_capacity(OPS),
            records: Vec::with_capacity(LOCKS),
            starts: Vec::with_capacity(LOCKS),
            tasks: Vec::with_capacity(TASKS),
        }
    }

    /// Reads the tables as they are now.
    pub(super) fn fill(&mut self) {
        self.now_us = clock::now_mono_us();
        let Self { ops, records, tasks, .. } = self;
        ops.clear();
        inflight::visit(&mut |op| push(ops, *op));
        ops.sort_unstable_by_key(|op| op.since_us);
        records.clear();
        locks::visit(&mut |state| push(records, *state));
        tasks.clear();
        tasks::visit(&mut |task| push(tasks, *task));
        tasks.sort_unstable_by_key(|task| task.since_us);
        self.number_locks();
    }

    fn number_locks(&mut self) {
        let Self { records, starts, .. } = self;
        records.sort_unstable_by_key(|r| (identity(r), r.waiting, r.since_us));
        starts.clear();
        let firsts = (0..records.len()).filter(|i| *i == 0 || identity(&records[*i]) != identity(&records[i - 1]));
        starts.extend(firsts.take(LOCKS));
    }

    /// Tables that say this, `now_us` after the clock began.
    #[cfg(test)]
    pub(super) fn of(now_us: u64, records: Vec<LockState>, ops: Vec<InFlight>) -> Self {
        let mut tables = Self { now_us, records, ops, ..Self::new() };
        tables.number_locks();
        tables
    }

    /// Milliseconds from then to now.
    pub(super) fn ms_since(&self, then_us: u64) -> u64 {
        self.now_us.saturating_sub(then_us) / 1000
    }

    /// Every lock, in the order of their numbers.
    pub(super) fn locks(&self) -> impl ExactSizeIterator<Item = Lock<'_>> {
        (0..self.starts.len()).map(|at| self.at(at))
    }

    fn at(&self, at: usize) -> Lock<'_> {
        let end = self.starts.get(at + 1).copied().unwrap_or(self.records.len());
        let records = &self.records[self.starts[at]..end];
        let (holders, waiters) = records.split_at(records.partition_point(|r| !r.waiting));
        Lock { number: number(at), holders, waiters }
    }

    /// The lock of that number.
    pub(super) fn lock(&self, number: u32) -> Option<Lock<'_>> {
        let at = usize::try_from(number).ok()?.checked_sub(1)?;
        (at < self.starts.len()).then(|| self.at(at))
    }

    /// The lock that this holder or waiter waits for: found by its thread, else by its operation.
    pub(super) fn waits_for(&self, who: &LockState) -> Option<(u32, &LockState)> {
        self.waiting(
            |waiter| if who.tid == 0 { waiter.op == who.op && who.op != OpId(0) } else { waiter.tid == who.tid },
        )
    }

    /// The lock that a waiter of that description waits for.
    pub(super) fn waiting(&self, is: impl Fn(&LockState) -> bool) -> Option<(u32, &LockState)> {
        self.locks().find_map(|lock| Some((lock.number, lock.waiters.iter().find(|waiter| is(waiter))?)))
    }

    pub(super) fn op(&self, op: &InFlight) -> OpLine<'static> {
        let lock = self.waiting(|waiter| waiter.op == op.id).map(|(number, _)| OpWait::Lock(number));
        OpLine {
            id: op.id,
            op: op.op,
            age_ms: self.ms_since(op.since_us),
            thread: op.tid,
            pid: op.pid,
            unique: op.unique,
            ino: op.ino,
            fh: op.fh,
            wait: lock.or(op.waits_on.map(OpWait::Task)).unwrap_or_default(),
            need: op.need,
            phase: op.phase,
            path: None,
        }
    }

    pub(super) fn user(&self, record: &LockState) -> LockUser<'static> {
        LockUser {
            op: record.op,
            thread: Some(record.tid).filter(|tid| *tid != 0),
            mode: record.mode,
            for_ms: self.ms_since(record.since_us),
            at: record.site.map(|site| (site.file().into(), site.line())),
            unstable: record.unstable,
        }
    }

    /// The wait of a thread, as its block tells it.
    pub(super) fn wait_of(&self, tid: u32) -> Option<(LockWait<'static>, &LockState)> {
        let (number, waiter) = self.waiting(|waiter| waiter.tid == tid)?;
        let lock = self.lock(number)?;
        let first = lock.holders.first();
        let wait = LockWait {
            lock: number,
            name: waiter.class.name().into(),
            mode: waiter.mode,
            held_by: first.map(|holder| (holder.op, Some(holder.tid).filter(|tid| *tid != 0))),
            more: lock.holders.len().saturating_sub(1) as u64,
        };
        Some((wait, waiter))
    }

    pub(super) fn task(&self, task: &TaskState) -> TaskBlock<'static> {
        TaskBlock {
            id: task.id,
            kind: task.kind,
            polling: task.polling,
            age_ms: self.ms_since(task.since_us),
            parent: task.parent,
            fh: task.fh.map(fsd_events::ids::Fh),
            polls: task.polls,
            last_thread: task.last_tid,
            phase: task.phase.map(|phase| (phase, self.ms_since(task.phase_since_us))),
            have: task.have,
            want: task.want,
            path: None,
        }
    }
}

/// One lock with its users.
#[derive(Clone, Copy)]
pub(super) struct Lock<'t> {
    pub(super) number: u32,
    pub(super) holders: &'t [LockState],
    pub(super) waiters: &'t [LockState],
}

impl Lock<'_> {
    /// None for a lock without users, which the tables never have.
    pub(super) fn head(&self) -> Option<LockHead<'static>> {
        let any = self.holders.first().or(self.waiters.first())?;
        Some(LockHead { number: self.number, name: any.class.name().into(), kind: any.kind, key: any.key })
    }

    /// Holders that keep a waiter of that mode out.
    pub(super) fn blockers(&self, mode: LockMode) -> impl Iterator<Item = &LockState> {
        self.holders.iter().filter(move |holder| mode == LockMode::Write || holder.mode == LockMode::Write)
    }
}

fn number(at: usize) -> u32 {
    u32::try_from(at + 1).unwrap_or(u32::MAX)
}

fn identity(record: &LockState) -> (&'static str, u64) {
    (record.class.name(), record.key)
}

fn push<T>(into: &mut Vec<T>, item: T) {
    if into.len() < into.capacity() {
        into.push(item);
    }
}
