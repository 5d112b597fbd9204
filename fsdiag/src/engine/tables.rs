//! Tables of a dump: the operations, locks and tasks of the daemon as it kept them itself.

use fsd_events::{
    event::{Phase, TaskKind},
    op::Op,
};

/// What stands in a dump beside the threads; empty where the tool knows nothing of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    pub ops: Vec<OpRow>,
    pub tasks: Vec<TaskRow>,
    pub locks: Vec<LockRow>,
}

/// An operation without an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpRow {
    pub id: u64,
    pub op: Op,
    pub age_us: u64,
    pub thread: u32,
    pub ino: u64,
    pub fh: Option<u64>,
    pub path: Option<Box<str>>,
    /// Task that it waits for.
    pub task: Option<u64>,
    /// Bytes that it waits for, end exclusive.
    pub need: Option<(u64, u64)>,
    pub phase: Option<Phase>,
    /// Where it stands in the input.
    pub line: u64,
}

/// Work in the background.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskRow {
    pub id: u64,
    pub kind: TaskKind,
    pub age_us: u64,
    pub parent: Option<u64>,
    pub fh: Option<u64>,
    pub path: Option<Box<str>>,
    /// What it does, and for how long, microseconds.
    pub phase: Option<(Phase, u64)>,
    pub have: u64,
    pub want: u64,
    pub line: u64,
}

/// A lock somebody holds or waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockRow {
    /// Name, and the number of the instance where there are several.
    pub key: Box<str>,
    pub holders: Vec<LockParty>,
    pub waiters: Vec<LockParty>,
}

/// One holder or waiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockParty {
    /// Operation, task or pseudo-task; 0 where it is not known.
    pub id: u64,
    /// None where a task has it, and no thread.
    pub thread: Option<u32>,
    pub for_us: u64,
}

impl Tables {
    /// Whether they tell the same, wherever they stand.
    pub fn tell_the_same(&self, other: &Self) -> bool {
        self.anywhere() == other.anywhere()
    }

    fn anywhere(&self) -> Self {
        let mut tables = self.clone();
        tables.ops.iter_mut().for_each(|row| row.line = 0);
        tables.tasks.iter_mut().for_each(|row| row.line = 0);
        tables
    }

    pub fn op(&self, id: u64) -> Option<&OpRow> {
        self.ops.iter().find(|op| op.id == id)
    }

    pub fn task(&self, id: u64) -> Option<&TaskRow> {
        self.tasks.iter().find(|task| task.id == id)
    }

    /// The lock that an operation, task or thread waits for.
    pub fn wanted_by(&self, id: u64, thread: Option<u32>) -> Option<&LockRow> {
        let is = |party: &LockParty| party.id == id && id != 0 || thread.is_some() && party.thread == thread;
        self.locks.iter().find(|lock| lock.waiters.iter().any(is))
    }
}
