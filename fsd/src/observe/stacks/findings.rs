//! The findings: what the tables prove, found by walking from waiter to lock to holder.

use std::borrow::Cow;

use fsd_events::{
    event::LockMode,
    ids::OpId,
    stacks::{Doing, Finding, Fuse, Syscall},
};
use fsd_unwind::procfs::does_io;

use super::{
    tables::{Lock, Tables},
    threads::{Thread, Threads},
};
use crate::observe::locks::LockState;

/// Milliseconds below which a wait or a hold is nothing to speak of.
const NOTABLE_MS: u64 = 1000;
/// Locks on the longest chain that is followed.
const CHAIN: usize = 32;

/// One finding; a cycle's members stand in the buffers of [`Findings`].
#[derive(Clone, Copy)]
enum Found {
    Pileup { lock: u32, waiters: u64, blocked_ops: u64, root_thread: Option<u32>, root_op: OpId, root_doing: Doing },
    Cycle { from: usize, to: usize },
    LockAcrossIo { lock: u32, thread: u32, op: OpId, syscall: i64, for_ms: u64 },
    PoolStarved { workers: u32, busy: u32, kernel_waiting: u64 },
    Orphan { op: OpId, thread: u32 },
}

/// Buffers that a dump fills and never enlarges.
pub(super) struct Findings {
    all: Vec<Found>,
    /// Members of all cycles: each lock, and the thread that holds it.
    cycle_locks: Vec<u32>,
    cycle_threads: Vec<u32>,
    /// Locks that a pile-up reaches; operations that it blocks.
    reached: Vec<u32>,
    blocked: Vec<OpId>,
}

impl Findings {
    pub(super) fn new() -> Self {
        Self {
            all: Vec::with_capacity(256),
            cycle_locks: Vec::with_capacity(1024),
            cycle_threads: Vec::with_capacity(1024),
            reached: Vec::with_capacity(2048),
            blocked: Vec::with_capacity(2048),
        }
    }

    /// As the file says them.
    pub(super) fn all(&self) -> impl ExactSizeIterator<Item = Finding<'_>> {
        self.all.iter().map(|found| match *found {
            Found::Pileup { lock, waiters, blocked_ops, root_thread, root_op, root_doing } => {
                Finding::Pileup { lock, waiters, blocked_ops, root_thread, root_op, root_doing }
            }
            Found::Cycle { from, to } => Finding::Cycle {
                threads: Cow::Borrowed(&self.cycle_threads[from..to]),
                locks: Cow::Borrowed(&self.cycle_locks[from..to]),
            },
            Found::LockAcrossIo { lock, thread, op, syscall, for_ms } => {
                Finding::LockAcrossIo { lock, thread, op, syscall, for_ms }
            }
            Found::PoolStarved { workers, busy, kernel_waiting } => {
                Finding::PoolStarved { workers, busy, kernel_waiting }
            }
            Found::Orphan { op, thread } => Finding::Orphan { op, thread },
        })
    }

    pub(super) fn find(&mut self, tables: &Tables, threads: &Threads, fuse: Option<Fuse>) {
        self.all.clear();
        self.cycle_locks.clear();
        self.cycle_threads.clear();
        for lock in tables.locks() {
            self.cycle(&lock, tables);
            self.pileup(&lock, tables, threads);
            for holder in lock.holders {
                let found = across_io(&lock, holder, tables, threads);
                self.push(found);
            }
        }
        self.push(fuse.and_then(starved));
        for op in &tables.ops {
            let waits = op.waits_on.is_some() || op.need.is_some() || op.phase.is_some();
            let notable = tables.ms_since(op.since_us) >= NOTABLE_MS && !waits;
            let idle = || threads.get(op.tid).is_none_or(|thread| thread.doing == Doing::FuseIdle);
            if notable && tables.waiting(|waiter| waiter.op == op.id).is_none() && idle() {
                self.push(Some(Found::Orphan { op: op.id, thread: op.tid }));
            }
        }
    }

    fn push(&mut self, found: Option<Found>) {
        if self.all.len() < self.all.capacity() {
            self.all.extend(found);
        }
    }

    /// A cycle is told once, from the lock with the lowest number in it.
    fn cycle(&mut self, start: &Lock<'_>, tables: &Tables) {
        let from = self.cycle_locks.len();
        let mut at = Some(*start);
        while let Some((holder, next)) = at.and_then(|lock| waiting_holder(&lock, tables)) {
            let full = self.cycle_locks.len() - from == CHAIN || self.cycle_locks.len() == self.cycle_locks.capacity();
            let Some(lock) = at.filter(|lock| !full && lock.number >= start.number) else { break };
            self.cycle_locks.push(lock.number);
            self.cycle_threads.push(holder.tid);
            if next == start.number {
                return self.push(Some(Found::Cycle { from, to: self.cycle_locks.len() }));
            }
            at = tables.lock(next);
        }
        self.cycle_locks.truncate(from);
        self.cycle_threads.truncate(from);
    }

    /// Told for the lock at the end of a chain: its holder waits for no lock.
    fn pileup(&mut self, lock: &Lock<'_>, tables: &Tables, threads: &Threads) {
        let notable = lock.waiters.iter().any(|waiter| tables.ms_since(waiter.since_us) >= NOTABLE_MS);
        let free = |holder: &&LockState| tables.waits_for(holder).is_none();
        let Some(root) = lock.holders.iter().find(free).filter(|_| notable) else { return };
        let thread = threads.get(root.tid);
        let found = Found::Pileup {
            lock: lock.number,
            waiters: lock.waiters.len() as u64,
            blocked_ops: self.blocked_behind(lock, tables),
            root_thread: Some(root.tid).filter(|tid| *tid != 0),
            root_op: root.op,
            root_doing: thread.map_or(Doing::Other, |thread| thread.doing),
        };
        self.push(Some(found));
    }

    /// Operations and tasks that wait for the lock, or for a lock whose holder does.
    fn blocked_behind(&mut self, lock: &Lock<'_>, tables: &Tables) -> u64 {
        self.reached.clear();
        self.blocked.clear();
        self.reached.push(lock.number);
        let mut at = 0;
        while let Some(lock) = self.reached.get(at).and_then(|number| tables.lock(*number)) {
            for waiter in lock.waiters {
                push_new(&mut self.blocked, waiter.op);
                let holds = |other: &Lock<'_>| other.holders.iter().any(|holder| same(holder, waiter));
                tables.locks().filter(holds).for_each(|other| push_new(&mut self.reached, other.number));
            }
            at += 1;
        }
        self.blocked.len() as u64
    }
}

fn push_new<T: PartialEq>(into: &mut Vec<T>, item: T) {
    if into.len() < into.capacity() && !into.contains(&item) {
        into.push(item);
    }
}

fn same(a: &LockState, b: &LockState) -> bool {
    if a.tid == 0 || b.tid == 0 { a.op == b.op && a.op != OpId(0) } else { a.tid == b.tid }
}

/// A holder of the lock that itself waits, and for which lock.
fn waiting_holder<'t>(lock: &Lock<'t>, tables: &Tables) -> Option<(&'t LockState, u32)> {
    let mode = lock.waiters.first().map_or(LockMode::Write, |waiter| waiter.mode);
    let mut blockers = lock.holders.iter().filter(|holder| lock.blockers(mode).any(|b| same(b, holder)));
    blockers.find_map(|holder| Some((holder, tables.waits_for(holder)?.0)))
}

fn across_io(lock: &Lock<'_>, holder: &LockState, tables: &Tables, threads: &Threads) -> Option<Found> {
    let for_ms = tables.ms_since(holder.since_us);
    let Thread { syscall: Syscall::Number(syscall), .. } = *threads.get(holder.tid)? else { return None };
    (for_ms >= NOTABLE_MS && does_io(syscall)).then_some(Found::LockAcrossIo {
        lock: lock.number,
        thread: holder.tid,
        op: holder.op,
        syscall,
        for_ms,
    })
}

fn starved(fuse: Fuse) -> Option<Found> {
    let kernel_waiting = fuse.waiting?;
    let starved = fuse.workers > 0 && fuse.busy >= fuse.workers && kernel_waiting > fuse.inflight;
    starved.then_some(Found::PoolStarved { workers: fuse.workers, busy: fuse.busy, kernel_waiting })
}

#[cfg(test)]
mod tests {
    use fsd_events::{
        event::LockKind,
        ids::{Ino, Unique},
        op::Op,
    };

    use super::*;
    use crate::observe::{
        inflight::InFlight,
        locks::{Class, Rank},
        stacks::{fixed::Fixed, threads::Stack},
    };

    static A: Class = Class::new("a", Rank::Tree);
    static B: Class = Class::new("b", Rank::Handles);
    static C: Class = Class::new("c", Rank::Store);

    const NOW_US: u64 = 60_000_000;

    /// Operation 100 + tid on thread tid holds, or waits for, a lock since the 48th second.
    fn record(class: &'static Class, waiting: bool, tid: u32) -> LockState {
        LockState {
            class,
            key: 0,
            kind: LockKind::Mutex,
            mode: LockMode::Write,
            waiting,
            op: OpId(100 + u64::from(tid)),
            tid,
            since_us: 48_000_000,
            site: None,
            unstable: false,
        }
    }

    fn thread(tid: u32, doing: Doing, syscall: i64) -> Thread {
        Thread {
            tid,
            comm: Fixed::new(),
            state: 'S',
            wchan: Fixed::new(),
            syscall: Syscall::Number(syscall),
            cpu_ms: 0,
            doing,
            stack: Stack::None(fsd_events::stacks::NoStack::NoAnswer),
        }
    }

    fn assert_found(
        records: Vec<LockState>,
        ops: Vec<InFlight>,
        known: &[Thread],
        fuse: Option<Fuse>,
        expected: &[Finding<'_>],
    ) {
        let mut threads = Threads::new(16).unwrap();
        threads.all.extend(known);
        let mut findings = Findings::new();
        findings.find(&Tables::of(NOW_US, records, ops), &threads, fuse);
        assert_eq!(findings.all().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_pile_up_names_its_root_and_counts_who_waits_behind_others() {
        // 1 holds A in recv; 2 and 3 wait for A; 3 holds B, for which 4 waits.
        let records = vec![
            record(&A, false, 1),
            record(&A, true, 2),
            record(&A, true, 3),
            record(&B, false, 3),
            record(&B, true, 4),
        ];
        let pileup = Finding::Pileup {
            lock: 1,
            waiters: 2,
            blocked_ops: 3,
            root_thread: Some(1),
            root_op: OpId(101),
            root_doing: Doing::Net,
        };
        let across =
            Finding::LockAcrossIo { lock: 1, thread: 1, op: OpId(101), syscall: libc::SYS_recvfrom, for_ms: 12_000 };
        let known = [thread(1, Doing::Net, libc::SYS_recvfrom)];
        assert_found(records, Vec::new(), &known, None, &[pileup, across]);
    }

    #[test]
    fn a_cycle_is_told_once_with_all_its_members() {
        // 1 -> B -> 2 -> C -> 3 -> A -> 1
        let records = vec![
            record(&A, false, 1),
            record(&A, true, 3),
            record(&B, false, 2),
            record(&B, true, 1),
            record(&C, false, 3),
            record(&C, true, 2),
        ];
        let cycle = Finding::Cycle { threads: vec![1, 2, 3].into(), locks: vec![1, 2, 3].into() };
        assert_found(records, Vec::new(), &[], None, &[cycle]);
    }

    #[test]
    fn a_short_wait_is_nothing() {
        let just_now = |waiting, tid| LockState { since_us: NOW_US - 500_000, ..record(&A, waiting, tid) };
        let io = thread(1, Doing::FileIo, libc::SYS_read);
        assert_found(vec![just_now(false, 1), just_now(true, 2)], Vec::new(), &[io], None, &[]);
    }

    #[test]
    fn unread_requests_and_forgotten_operations_are_found() {
        let op = |id, waits_on: Option<u64>| InFlight {
            id: OpId(id),
            op: Op::Read,
            since_us: 48_000_000,
            tid: 9,
            pid: 0,
            unique: Unique(id),
            resent: false,
            ino: Ino(1),
            fh: None,
            off: None,
            len: None,
            phase: None,
            phase_since_us: 0,
            waits_on: waits_on.map(OpId),
            need: None,
        };
        let fuse = Fuse { waiting: Some(23), inflight: 2, workers: 4, busy: 4, ..Fuse::default() };
        let starved = Finding::PoolStarved { workers: 4, busy: 4, kernel_waiting: 23 };
        let orphan = Finding::Orphan { op: OpId(2), thread: 9 };
        let ops = vec![op(1, Some(7)), op(2, None)];
        assert_found(Vec::new(), ops, &[thread(9, Doing::FuseIdle, 0)], Some(fuse), &[starved, orphan]);
    }
}
