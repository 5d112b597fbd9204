//! The span: one callback's life, from ENTER to EXIT.

use std::{
    marker::PhantomData,
    ops::Range,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use fsd_events::{
    event::{Exit, Phase},
    ids::OpId,
    op::Op,
    ring::{Draft, EnterWords, SMALL},
};

use crate::platform::{clock, thread};

use super::{inflight::Row, journal, local};

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
    tid: u32,
    entered_us: u64,
    /// Since when it waits for bytes; 0 while it does not.
    waiting_us: AtomicU64,
    row: Row,
    open: bool,
}

impl Span {
    /// Records ENTER and shows the operation in the in-flight table.
    pub fn enter(op: Op, target: &Target<'_>) -> Self {
        let (id, tid, entered_us) = (journal::next_id(), thread::tid(), clock::now_mono_us());
        let row = Row::fill(id, op, target, entered_us);
        let Target { unique, pid, ino, fh, name, off, len, count } = *target;
        let words = EnterWords { tid, unique, pid, ino, fh, off, len, count, name };
        if name.is_some() {
            journal::tell(entered_us, || Draft::<SMALL>::enter(id, op, &words));
        } else {
            journal::tell(entered_us, || Draft::<NAMELESS>::enter(id, op, &words));
        }
        Self { id, op, tid, entered_us, waiting_us: AtomicU64::new(0), row, open: true }
    }

    pub fn id(&self) -> OpId {
        self.id
    }

    pub fn op(&self) -> Op {
        self.op
    }

    /// Whether the kernel sent it to an earlier worker before.
    #[cfg(feature = "failpoints")]
    pub fn resent(&self) -> bool {
        self.row.resent()
    }

    /// When it was entered.
    pub fn started(&self) -> Instant {
        let age = Duration::from_micros(clock::now_mono_us().saturating_sub(self.entered_us));
        let now = clock::now();
        now.checked_sub(age).unwrap_or(now)
    }

    /// The operation changes what it waits for; `detail` never holds a query string.
    pub fn phase(&self, phase: Phase, detail: &str) {
        self.row.set_phase(phase);
        journal::tell(clock::now_mono_us(), || Draft::<SMALL>::phase(self.id, phase, detail));
    }

    /// Parks for the bytes `need`, which the task `on` should deliver.
    pub fn wait(&self, on: Option<OpId>, need: Range<u64>) {
        let now_us = clock::now_mono_us();
        self.waiting_us.store(now_us, Relaxed);
        self.row.set_wait(Some((on, need.start, need.end)));
        journal::tell(now_us, || Draft::<NAMELESS>::wait(self.id, on, (need.start, need.end)));
    }

    /// Has the bytes, or has given up; nothing happens when it did not wait.
    pub fn wait_end(&self) {
        let since_us = self.waiting_us.swap(0, Relaxed);
        if since_us != 0 {
            let now_us = clock::now_mono_us();
            self.row.set_wait(None);
            journal::tell(now_us, || Draft::<NAMELESS>::wait_end(self.id, now_us.saturating_sub(since_us)));
        }
    }

    /// Records EXIT: call it after the answer to the kernel. `errno` is 0 or positive.
    pub fn exit(mut self, errno: u32, bytes: u64) {
        self.close(errno, bytes);
    }

    fn close(&mut self, errno: u32, bytes: u64) {
        if !std::mem::take(&mut self.open) {
            return;
        }
        self.wait_end();
        let now_us = clock::now_mono_us();
        let us = now_us.saturating_sub(self.entered_us);
        let exit = Exit { id: self.id, op: self.op, us, errno, bytes, detached: thread::tid() != self.tid };
        self.row.clear();
        journal::tell(now_us, || Draft::<NAMELESS>::exit(&exit));
    }

    /// This thread works for this operation until the guard is dropped; its locks name it as holder.
    pub fn scope(&self) -> Scope {
        Scope::of(self.id)
    }
}

/// Payload words of the records that hold no text.
const NAMELESS: usize = 11;

impl Drop for Span {
    fn drop(&mut self) {
        self.close(libc::EIO.unsigned_abs(), 0);
    }
}

/// While it lives, this thread works for one operation or task. Not `Send`.
#[must_use]
#[derive(Debug)]
pub struct Scope {
    before: OpId,
    here: PhantomData<*const ()>,
}

impl Scope {
    #[inline]
    pub fn of(id: OpId) -> Self {
        Self { before: local::work_for(id), here: PhantomData }
    }
}

impl Drop for Scope {
    #[inline]
    fn drop(&mut self) {
        local::work_for(self.before);
    }
}
