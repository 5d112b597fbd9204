//! The sections beside the threads, as the engine takes them.

use fsd_events::{
    ids::OpId,
    stacks::{LockBlock, LockUser, OpLine, OpWait, StackDump, TaskBlock},
};

use crate::engine::{
    model::hash::NumberMap,
    tables::{LockParty, LockRow, OpRow, Tables, TaskRow},
};

/// Where each operation and task stands; the start of the dump for one that is not there.
pub(super) struct Lines<'a> {
    pub(super) rows: &'a NumberMap<u64, u64>,
    pub(super) start: u64,
}

impl Lines<'_> {
    fn of(&self, id: OpId) -> u64 {
        self.rows.get(&id.0).copied().unwrap_or(self.start)
    }
}

pub(super) fn of(read: &StackDump<'_>, lines: &Lines<'_>) -> Tables {
    Tables {
        ops: read.ops.iter().map(|op| row(op, lines)).collect(),
        tasks: read.tasks.iter().map(|block| task(block, lines)).collect(),
        locks: read.locks.iter().map(lock).collect(),
    }
}

fn row(op: &OpLine<'_>, lines: &Lines<'_>) -> OpRow {
    OpRow {
        id: op.id.0,
        op: op.op,
        age_us: op.age_ms.saturating_mul(1000),
        thread: op.thread,
        ino: op.ino.0,
        fh: op.fh.map(|fh| fh.0),
        path: op.path.as_deref().map(Into::into),
        task: if let OpWait::Task(task) = op.wait { Some(task.0) } else { None },
        need: op.need,
        phase: op.phase,
        line: lines.of(op.id),
    }
}

fn task(block: &TaskBlock<'_>, lines: &Lines<'_>) -> TaskRow {
    TaskRow {
        id: block.id.0,
        kind: block.kind,
        age_us: block.age_ms.saturating_mul(1000),
        parent: block.parent.map(|parent| parent.0),
        fh: block.fh.map(|fh| fh.0),
        path: block.path.as_deref().map(Into::into),
        phase: block.phase.map(|(phase, ms)| (phase, ms.saturating_mul(1000))),
        have: block.have,
        want: block.want,
        line: lines.of(block.id),
    }
}

fn lock(block: &LockBlock<'_>) -> LockRow {
    let party = |user: &LockUser<'_>| LockParty {
        id: user.op.0,
        thread: user.thread,
        for_us: user.for_ms.saturating_mul(1000),
    };
    LockRow {
        key: super::key(&block.head.name, block.head.key),
        holders: block.holders.iter().map(party).collect(),
        waiters: block.waiters.iter().map(party).collect(),
    }
}
