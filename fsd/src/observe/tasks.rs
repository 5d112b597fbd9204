//! Background tasks: each has an id, a parent and an end that is recorded.

use std::{
    any::Any,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{
        AtomicBool, AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
    task::Poll,
};

use fsd_events::{
    event::{Phase, TaskKind},
    ids::OpId,
    ring::{
        Draft, SMALL, WIDE, pack_name,
        tables::{
            HEADER_WORDS, NONE, TaskRow,
            tasks::{
                FH, HAVE, ID, ID_AGAIN, PARENT, PATH, PATH_WORDS, PHASE_SINCE_US, POLLED_BY, POLLS, ROW_WORDS,
                SINCE_US, STATE, TOLD_US, UNTOLD, WANT, WHAT,
            },
        },
    },
};
use tokio::{runtime::Handle, task::JoinHandle};

use crate::platform::{clock, thread};

use super::{journal, memory, memory::Memory, span::Scope};

pub use fsd_events::ring::tables::TaskRow as TaskState;

/// Between two `progress` events of one task.
const PROGRESS_US: u64 = 250_000;
/// Being filled by somebody.
const TAKEN: u64 = u64::MAX;
/// In [`POLLED_BY`]: it polls right now.
const POLLING: u64 = 1 << 32;

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
        // How it ended stands in the journal.
        drop(self.handle.await);
    }

    pub fn is_running(&self) -> bool {
        !self.handle.is_finished()
    }
}

/// Starts `make(id)` on `rt`, the one way to start a task. Its `Err` text becomes the recorded outcome; a panic is caught and recorded.
#[expect(clippy::disallowed_methods, reason = "the one home of tasks")]
pub fn spawn<F>(rt: &Handle, spec: Spec<'_>, make: impl FnOnce(OpId) -> F) -> Task
where
    F: Future<Output = Result<(), String>> + Send + 'static,
{
    let id = journal::next_id();
    let mut life = Life::begin(id, spec);
    let mut future = Box::pin(make(id));
    let tracked = poll_fn(move |context| {
        let polled = life.poll(|| future.as_mut().poll(context));
        polled.map(|outcome| life.end(&outcome))
    });
    Task { id, handle: rt.spawn(tracked) }
}

/// A task from its start to its end; dropped before the end, it was cancelled.
struct Life {
    id: OpId,
    kind: TaskKind,
    since_us: u64,
    row: Option<&'static [AtomicU64; ROW_WORDS]>,
    ended: bool,
}

impl Life {
    fn begin(id: OpId, spec: Spec<'_>) -> Self {
        let since_us = clock::now_mono_us();
        let row = fill(id, spec, since_us);
        journal::tell(since_us, || Draft::<WIDE>::task(id, spec.kind, spec.parent, spec.fh, spec.path));
        Self { id, kind: spec.kind, since_us, row, ended: false }
    }

    /// One poll, on behalf of the task; a panic becomes its outcome.
    fn poll(&self, poll: impl FnOnce() -> Poll<Result<(), String>>) -> Poll<String> {
        let _scope = Scope::of(self.id);
        if let Some(row) = self.row {
            row[POLLS].fetch_add(1, Relaxed);
            row[POLLED_BY].store(POLLING | u64::from(thread::tid()), Relaxed);
        }
        let polled = catch_unwind(AssertUnwindSafe(poll));
        if let Some(row) = self.row {
            row[POLLED_BY].fetch_and(!POLLING, Relaxed);
        }
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(Ok(()))) => Poll::Ready("ok".into()),
            Ok(Poll::Ready(Err(text))) => Poll::Ready(text),
            Err(panic) => {
                journal::invariant("panic in a task", text_of(&*panic));
                Poll::Ready("panic".into())
            }
        }
    }

    fn end(&mut self, outcome: &str) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let now_us = clock::now_mono_us();
        if let Some(row) = self.row.take() {
            tell(self.id, row, now_us);
            row[ID].store(0, Release);
        }
        let us = now_us.saturating_sub(self.since_us);
        journal::tell(now_us, || Draft::<SMALL>::task_end(self.id, Some(self.kind), us, outcome));
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.end("cancelled");
    }
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

fn fill(id: OpId, spec: Spec<'_>, since_us: u64) -> Option<&'static [AtomicU64; ROW_WORDS]> {
    let (rows, _) = memory::current().tasks.get(HEADER_WORDS..)?.as_chunks::<ROW_WORDS>();
    let row = rows.iter().find(|row| row[ID].compare_exchange(0, TAKEN, AcqRel, Relaxed).is_ok())?;
    row[SINCE_US..].iter().for_each(|word| word.store(0, Relaxed));
    let fields = [
        (SINCE_US, since_us),
        (WHAT, spec.kind as u64),
        (PARENT, spec.parent.map_or(NONE, |id| id.0)),
        (FH, spec.fh.unwrap_or(NONE)),
        (ID_AGAIN, id.0),
    ];
    fields.into_iter().for_each(|(at, value)| row[at].store(value, Relaxed));
    let path = spec.path.unwrap_or_default();
    let end = path.ceil_char_boundary(path.len().saturating_sub(PATH_WORDS * 8));
    for (word, bytes) in row[PATH..PATH + PATH_WORDS].iter().zip(path.as_bytes()[end..].chunks(8)) {
        let mut whole = [0; 8];
        whole[..bytes.len()].copy_from_slice(bytes);
        word.store(u64::from_ne_bytes(whole), Relaxed);
    }
    row[ID].store(id.0, Release);
    Some(row)
}

fn row_of(id: OpId) -> Option<&'static [AtomicU64; ROW_WORDS]> {
    memory::every().find_map(|memory| {
        let (rows, _) = memory.tasks.get(HEADER_WORDS..)?.as_chunks::<ROW_WORDS>();
        rows.iter().find(|row| row[ID].load(Acquire) == id.0)
    })
}

/// Whether some task has a state that no event tells yet.
static ANY_UNTOLD: AtomicBool = AtomicBool::new(false);

/// How far a task is: at most four records a second and task, the last state is never lost.
/// `state` is one of `running`, `waiting`, `complete`, `failed`, `closed`.
pub fn progress(id: OpId, have: u64, want: u64, state: &str) {
    let Some(row) = row_of(id) else { return };
    row[HAVE].store(have, Relaxed);
    row[WANT].store(want, Relaxed);
    for (word, value) in row[STATE..].iter().zip(pack_name(state)) {
        word.store(value, Relaxed);
    }
    row[UNTOLD].store(1, Release);
    let now_us = clock::now_mono_us();
    if now_us.saturating_sub(row[TOLD_US].load(Relaxed)) >= PROGRESS_US {
        tell(id, row, now_us);
    } else {
        ANY_UNTOLD.store(true, Release);
    }
}

/// Tells the newest state, when no event has told it.
fn tell(id: OpId, row: &[AtomicU64; ROW_WORDS], now_us: u64) {
    if row[UNTOLD].swap(0, AcqRel) == 0 {
        return;
    }
    row[TOLD_US].store(now_us, Relaxed);
    let mut state = [0; 16];
    for (to, word) in state.chunks_exact_mut(8).zip(&row[STATE..]) {
        to.copy_from_slice(&word.load(Relaxed).to_ne_bytes());
    }
    let len = state.iter().position(|b| *b == 0).unwrap_or(state.len());
    let state = std::str::from_utf8(&state[..len]).unwrap_or("?");
    let (have, want) = (row[HAVE].load(Relaxed), row[WANT].load(Relaxed));
    journal::tell(now_us, || Draft::<SMALL>::progress(id, have, want, state));
}

/// Tells the states that came too fast to be told at once. The writer thread calls it in every round.
pub(super) fn tell_progress() {
    if !ANY_UNTOLD.swap(false, AcqRel) {
        return;
    }
    let now_us = clock::now_mono_us();
    for memory in memory::every() {
        for row in Memory::rows(memory.tasks, HEADER_WORDS, ROW_WORDS).filter_map(|row| row.first_chunk()) {
            let id = row[ID].load(Acquire);
            if id == 0 || id == TAKEN || row[UNTOLD].load(Acquire) == 0 {
                continue;
            }
            if now_us.saturating_sub(row[TOLD_US].load(Relaxed)) >= PROGRESS_US {
                tell(OpId(id), row, now_us);
            } else {
                ANY_UNTOLD.store(true, Release);
            }
        }
    }
}

/// The task changes what it waits for; `detail` never holds a query string.
pub fn phase(id: OpId, phase: Phase, detail: &str) {
    let now_us = clock::now_mono_us();
    if let Some(row) = row_of(id) {
        let what = row[WHAT].load(Relaxed) & 0xff;
        row[WHAT].store(what | (phase as u64 + 1) << 8, Relaxed);
        row[PHASE_SINCE_US].store(now_us, Relaxed);
    }
    journal::tell(now_us, || Draft::<SMALL>::phase(id, phase, detail));
}

/// Shows every running task; neither allocates nor locks.
pub fn visit(each: &mut dyn FnMut(&TaskState)) {
    for memory in memory::every() {
        for row in Memory::rows(memory.tasks, HEADER_WORDS, ROW_WORDS) {
            if row[ID].load(Acquire) != 0
                && let Some(task) = TaskRow::read(|at| row[at].load(Acquire))
            {
                each(&task);
            }
        }
    }
}

/// Whether the task runs, or the id is a thread's pseudo-task.
pub(super) fn is_alive(id: OpId) -> bool {
    row_of(id).is_some() || memory::every().any(|memory| memory.threads.iter().any(|slot| slot.is_pseudo(id)))
}
