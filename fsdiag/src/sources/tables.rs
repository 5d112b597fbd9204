//! Shared tables of an fsd, joined to a dump of its threads: what each works for, holds and waits for.
//!
//! A process that is stopped, or whose watchdog is dead, cannot read its tables; its files on tmpfs say the same.

use std::{collections::BTreeMap, path::PathBuf};

use fsd_events::{
    ids::{Fh, Ino},
    layout,
    names::Names,
    ring::tables::{self, InFlight, InFlightTable, LockRow, TaskRow},
    stacks::{
        Doing, Fuse, LockBlock, LockHead, LockHold, LockUser, LockWait, OpLine, OpWait, StackDump, TaskBlock,
        ThreadBlock,
    },
};

use super::{
    kernel::{fusectl::Fusectl, holders, mountinfo, sys},
    owned,
    rings::{self, Mount},
};

/// What one fsd left in shared memory, as it was at one moment.
#[derive(Debug)]
pub struct Shared {
    pub mount: Mount,
    ops: InFlightTable,
    tasks: Vec<(TaskRow, String)>,
    locks: Vec<LockRow>,
    names: Option<Names>,
    now_us: u64,
}

/// The tables of the fsd that runs as `pid`; None for any other program, or where they may not be read.
pub fn of_process(pid: u32) -> Option<Shared> {
    let owner = holders::owner(pid)?;
    rings::mounts().into_iter().rev().filter(|mount| mount.owner == owner).find_map(|mount| of_mount(mount, pid))
}

fn of_mount(mount: Mount, pid: u32) -> Option<Shared> {
    let dir = mount.dir.join(mount.run.to_string());
    let read = |name: &str| owned::read(&dir.join(name), mount.owner).ok();
    let ops = tables::decode_inflight(&read(layout::INFLIGHT)?).filter(|table| table.pid == pid)?;
    Some(Shared {
        ops,
        tasks: read(layout::TASKS).and_then(|bytes| tables::decode_tasks(&bytes)).unwrap_or_default(),
        locks: read(layout::LOCKS).and_then(|bytes| tables::decode_locks(&bytes)).unwrap_or_default(),
        names: owned::open(&mount.dir.join(layout::NAMES), mount.owner).and_then(Names::read_from).ok(),
        now_us: sys::mono_ns() / 1000,
        mount,
    })
}

impl Shared {
    pub fn mount_point(&self) -> PathBuf {
        PathBuf::from(&self.mount.mount)
    }

    /// Puts operations, locks and tasks into the dump, and into its threads what they wait for and hold.
    pub fn join(&self, dump: &mut StackDump<'static>) {
        let locks = self.numbered();
        for block in &mut dump.threads {
            self.join_thread(block, &locks);
        }
        dump.header.fuse = self.fuse(&dump.threads);
        dump.ops = self.ops.ops.iter().map(|op| self.op(op, &locks)).collect();
        dump.ops.sort_by_key(|op| std::cmp::Reverse(op.age_ms));
        dump.tasks = self.tasks.iter().map(|(row, path)| self.task(row, path)).collect();
        dump.locks = locks;
    }

    fn ms_since(&self, then_us: u64) -> u64 {
        self.now_us.saturating_sub(then_us) / 1000
    }

    /// Each lock once, with those who hold and want it.
    fn numbered(&self) -> Vec<LockBlock<'static>> {
        let mut by_lock: BTreeMap<(&str, u64), Vec<&LockRow>> = BTreeMap::new();
        for row in &self.locks {
            by_lock.entry((&row.lock, row.key)).or_default().push(row);
        }
        let numbered = by_lock.into_iter().zip(1..);
        let block = |(((name, key), rows), number): (((&str, u64), Vec<&LockRow>), u32)| {
            let users = |waiting: bool| -> Vec<LockUser<'static>> {
                rows.iter().filter(|row| row.waiting == waiting).map(|row| self.user(row)).collect()
            };
            let head = LockHead { number, name: name.to_owned().into(), kind: rows.first()?.kind, key };
            Some(LockBlock { head, holders: users(false), waiters: users(true) })
        };
        numbered.filter_map(block).collect()
    }

    fn user(&self, row: &LockRow) -> LockUser<'static> {
        LockUser {
            op: row.op,
            thread: Some(row.tid).filter(|tid| *tid != 0),
            mode: row.mode,
            for_ms: self.ms_since(row.since_us),
            // The place in the code is known inside the process only.
            at: None,
            unstable: false,
        }
    }

    fn join_thread(&self, block: &mut ThreadBlock<'static>, locks: &[LockBlock<'static>]) {
        let tid = block.head.tid;
        let is = |user: &&LockUser<'_>| user.thread == Some(tid);
        for lock in locks {
            if let Some(waiter) = lock.waiters.iter().find(is) {
                block.waiting = Some(wait(lock, waiter));
                block.head.doing = Doing::LockWait;
                (block.head.age_ms, block.head.op) = (Some(waiter.for_ms), Some(waiter.op).filter(|op| op.0 != 0));
            }
            let holding = lock.holders.iter().filter(is).map(|holder| hold(lock, holder));
            block.holding.extend(holding);
        }
        // A parked operation keeps the number of the loop that read it: only one inside a callback is at work on it.
        let own = self.ops.ops.iter().find(|op| op.tid == tid).filter(|_| is_busy(block) && block.waiting.is_none());
        if let Some(op) = own {
            (block.head.age_ms, block.head.op) = (Some(self.ms_since(op.since_us)), Some(op.id));
        }
    }

    fn op(&self, op: &InFlight, locks: &[LockBlock<'static>]) -> OpLine<'static> {
        let waits = |lock: &&LockBlock<'_>| lock.waiters.iter().any(|waiter| waiter.op == op.id);
        let lock = locks.iter().find(waits).map(|lock| OpWait::Lock(lock.head.number));
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
            path: self.path(op.ino).map(Into::into),
        }
    }

    fn path(&self, ino: Ino) -> Option<String> {
        self.names.as_ref()?.path(ino)
    }

    fn task(&self, row: &TaskRow, path: &str) -> TaskBlock<'static> {
        TaskBlock {
            id: row.id,
            kind: row.kind,
            polling: row.polling,
            age_ms: self.ms_since(row.since_us),
            parent: row.parent,
            fh: row.fh.map(Fh),
            polls: row.polls,
            last_thread: row.last_tid,
            phase: row.phase.map(|phase| (phase, self.ms_since(row.phase_since_us))),
            have: row.have,
            want: row.want,
            path: Some(path).filter(|path| !path.is_empty()).map(|path| path.to_owned().into()),
        }
    }

    /// The connection as the kernel counts it.
    fn fuse(&self, threads: &[ThreadBlock<'_>]) -> Option<Fuse> {
        let loops = || threads.iter().filter(|thread| thread.head.comm.starts_with(LOOP));
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let mounts = mountinfo::read().unwrap_or_default();
        let waiting = Fusectl::open(&mounts).and_then(|control| control.waiting(self.mount.connection));
        Some(Fuse {
            major: 0,
            minor: u32::try_from(self.mount.connection).ok()?,
            waiting: waiting.ok(),
            inflight: self.ops.ops.len() as u64,
            workers: count(loops().count()),
            busy: count(loops().filter(|block| is_busy(block)).count()),
        })
    }
}

/// How the threads of the loops are called.
const LOOP: &str = "fuse";

/// Inside a callback, as far as it can be told from outside: of one that is stopped only its locks tell.
fn is_busy(block: &ThreadBlock<'_>) -> bool {
    let locks = block.waiting.is_some() || !block.holding.is_empty();
    locks || !matches!(block.head.doing, Doing::FuseIdle | Doing::Stopped)
}

fn wait(lock: &LockBlock<'_>, waiter: &LockUser<'_>) -> LockWait<'static> {
    LockWait {
        lock: lock.head.number,
        name: lock.head.name.clone().into_owned().into(),
        mode: waiter.mode,
        held_by: lock.holders.first().map(|holder| (holder.op, holder.thread)),
        more: lock.holders.len().saturating_sub(1) as u64,
    }
}

fn hold(lock: &LockBlock<'_>, holder: &LockUser<'_>) -> LockHold<'static> {
    LockHold {
        lock: lock.head.number,
        name: lock.head.name.clone().into_owned().into(),
        key: lock.head.key,
        mode: holder.mode,
        for_ms: holder.for_ms,
    }
}
