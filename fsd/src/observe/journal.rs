//! The journal: events go into the flight recorder, and from there into the event file.
//!
//! An operation only ever stores words into the ring of its thread. Everything that can wait (names, text, files) is
//! the writer thread's business; when it cannot keep up, records are dropped and counted.

mod carry;
mod drain;
mod file;
mod ring;
mod writer;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
        mpsc,
    },
    time::Duration,
};

use fsd_events::{
    event::{Body, Start},
    ids::{OpId, RunId},
    layout,
    ring::{Draft, SMALL, WIDE},
};

use crate::platform::clock;

use super::{local, locks, memory, tick};

pub use drain::{Handed, drain, drain_with};
pub(super) use ring::Ring;

/// How the recorder of this process is set up.
#[derive(Clone, Debug, Default)]
pub struct RecorderConfig {
    pub run: RunId,
    pub mount_run: RunId,
    /// `<runtime>/<mount-slug>`: rings and tables go into `<run>` below it. None: heap, not readable after a crash.
    pub runtime_dir: Option<PathBuf>,
    /// Where `events-<run>.jsonl` goes. None: no event file.
    pub state_dir: Option<PathBuf>,
    /// First line of each event file; its `recorder` is filled in.
    pub start: Start<'static>,
    /// Bytes after which the event file is rotated; 0 for the default (64 MiB).
    pub file_limit: u64,
    /// Bytes that all event files of the mount may take together; 0 for the default (512 MiB).
    pub total_limit: u64,
    /// Also print ENTER and EXIT as the Go original did, on the human log.
    pub seed_log: bool,
    pub form: Form,
    /// An earlier run has written there: the event file may come later, when its disk answers.
    pub takes_over: bool,
}

/// Where events are kept, and which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// In shared files, readable while the daemon hangs and after its death.
    #[default]
    Shared,
    /// In private memory: only the event file can be read.
    Heap,
    /// What operations, tasks and locks do is not recorded. The shared tables of what is in flight stay, so the
    /// watchdog still notices a stall, dumps, and writes its own events.
    Off,
}

/// The installed recorder; stop it last.
#[derive(Debug)]
pub struct Recorder {
    orders: mpsc::Sender<Order>,
    file: Option<PathBuf>,
    dir: Option<&'static Path>,
    form: Form,
}

/// What the writer thread is asked for.
#[derive(Debug)]
enum Order {
    Restate(Box<Start<'static>>),
    Flush(mpsc::Sender<()>),
    /// Write everything, then the `stop` line, and end. The answer tells whether all of it is in the file.
    Stop(String, mpsc::Sender<bool>),
}

/// How long a caller waits for the writer at most: its disk may be stuck.
pub const PATIENCE: Duration = Duration::from_secs(2);
/// For the disk to open the event file of the first run.
const OPEN_LIMIT: Duration = Duration::from_secs(10);

impl Recorder {
    /// Replaces what `start` says (the effective `max_background` is known only after INIT); writes it again.
    pub fn restate(&self, mut start: Start<'static>) {
        start.recorder = self.kind().into();
        // A writer that has ended needs no start line.
        drop(self.orders.send(Order::Restate(Box::new(start))));
    }

    /// `shared`; `heap`: not readable after a crash; `off`: operations are not recorded.
    pub fn kind(&self) -> &'static str {
        match (self.form, self.dir) {
            (Form::Off, _) => "off",
            (_, Some(_)) => "shared",
            (_, None) => "heap",
        }
    }

    /// The event file, when there is one.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Where rings and tables are, when they are shared.
    pub fn run_dir(&self) -> Option<&Path> {
        self.dir
    }

    /// Records dropped so far.
    pub fn lost(&self) -> u64 {
        lost()
    }

    /// Writes what is in the rings now and waits for it, two seconds at most; false when it took longer.
    pub fn flush(&self) -> bool {
        let (done, is_done) = mpsc::channel();
        self.orders.send(Order::Flush(done)).is_ok() && is_done.recv_timeout(PATIENCE).is_ok()
    }

    /// Writes the `stop` line and ends the writer; waits two seconds at most. What did not get into the file then stays
    /// in the run's directory, for [`drain()`].
    pub fn stop(self, reason: &str) {
        let (done, is_done) = mpsc::channel();
        let asked = self.orders.send(Order::Stop(reason.to_owned(), done)).is_ok();
        let written = asked && is_done.recv_timeout(PATIENCE).unwrap_or(false);
        if let Some(dir) = self.dir.filter(|_| written) {
            // A leftover directory is drained, and found empty, by the next mount.
            drop(std::fs::remove_dir_all(dir));
        }
    }
}

/// Sets up rings, tables and the writer of this process; once, before any other thread is started.
///
/// Before it, or without it, every observer works and records nowhere.
///
/// # Errors
/// When it was called before, or the state directory cannot be written, unless `takes_over`. A runtime directory that
/// is too small or missing is no error: the recorder gets smaller, at worst private (see [`Recorder::kind`]).
pub fn install(config: RecorderConfig) -> io::Result<Recorder> {
    let file = config.state_dir.as_ref().map(|dir| dir.join(layout::events_file(config.run)));
    OFF.store(config.form == Form::Off, Relaxed);
    let runtime = config.runtime_dir.as_deref().filter(|_| config.form != Form::Heap);
    let memory = memory::install(runtime, config.run, config.mount_run, config.form)?;
    let (orders, received) = mpsc::channel();
    let dir = memory.dir.as_ref().map(|dir| dir.path.as_path());
    let recorder = Recorder { orders, file, dir, form: config.form };
    let config = RecorderConfig { start: Start { recorder: recorder.kind().into(), ..config.start }, ..config };
    locks::publish(memory);
    local::start_over();
    let (tried, opened) = mpsc::channel();
    let opened = (!config.takes_over).then_some(opened);
    writer::start(memory, config, received, tried)?;
    if let Some(opened) = opened {
        let no_answer = || io::Error::new(io::ErrorKind::TimedOut, "the disk does not answer");
        opened.recv_timeout(OPEN_LIMIT).map_err(|_| no_answer())??;
    }
    tick::start();
    Ok(recorder)
}

pub use super::memory::populate;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);
static NEXT_SEQ: AtomicU64 = AtomicU64::new(0);
/// Only the watchdog's own events are recorded, and what is rare.
static OFF: AtomicBool = AtomicBool::new(false);
/// Records that were lost outside any ring of their own.
static LOST: AtomicU64 = AtomicU64::new(0);

/// Puts one event into the ring of this thread. Never blocks: without room it is dropped and counted.
/// `start` is not for it: see [`Recorder::restate`].
pub fn record(body: &Body<'_>) {
    if memory::installed().is_none() {
        return;
    }
    if let Some(draft) = Draft::<WIDE>::of(body) {
        push(&draft, clock::now_mono_us());
    }
}

/// A rule of the daemon was broken; `detail` never holds a query string.
pub fn invariant(what: &str, detail: &str) {
    push(&Draft::<SMALL>::invariant(what, detail), clock::now_mono_us());
}

/// Records dropped so far.
pub(super) fn lost() -> u64 {
    let rings = memory::installed().map_or(0, |memory| memory.rings.iter().map(Ring::dropped).sum());
    rings + LOST.load(Relaxed)
}

/// Turns an inode number into a path.
pub type Names = Arc<dyn Fn(u64) -> Option<String> + Send + Sync>;

static NAMES: OnceLock<Names> = OnceLock::new();

/// How the writer thread turns an inode number into a path; never called on the way of an operation. The first one
/// given stays.
pub fn set_names(names: Names) {
    drop(NAMES.set(names));
}

fn name_of(ino: u64) -> Option<String> {
    NAMES.get().and_then(|names| names(ino))
}

/// A new id in the one space of operations, tasks and pseudo-tasks.
#[inline]
pub fn next_id() -> OpId {
    OpId(NEXT_ID.fetch_add(1, Relaxed))
}

/// A new record number; it is used up even when the record is lost, so that a gap tells how many were.
fn next_seq() -> u64 {
    NEXT_SEQ.fetch_add(1, Relaxed)
}

/// Records what an operation, a task or a lock does, unless the recorder is off.
#[inline]
pub(super) fn tell<const N: usize>(mono_us: u64, make: impl FnOnce() -> Draft<N>) {
    if !OFF.load(Relaxed) {
        push(&make(), mono_us);
    }
}

/// Puts a record into the ring of this thread.
#[inline]
pub(super) fn push<const N: usize>(draft: &Draft<N>, mono_us: u64) {
    match local::ring() {
        Some(ring) => {
            ring.push(draft, next_seq(), mono_us);
        }
        None => push_shared(draft, mono_us),
    }
}

/// The way of a thread without a ring: the ring that all such threads share, unless somebody is writing there for long.
#[cold]
fn push_shared<const N: usize>(draft: &Draft<N>, mono_us: u64) {
    /// Tries before the record is lost; a push takes about a hundred of them.
    const TRIES: u32 = 1000;
    static BUSY: AtomicBool = AtomicBool::new(false);
    let Some(ring) = memory::installed().and_then(|memory| memory.rings.first()) else { return };
    let seq = next_seq();
    for _ in 0..TRIES {
        if BUSY.compare_exchange_weak(false, true, Acquire, Relaxed).is_ok() {
            ring.push(draft, seq, mono_us);
            BUSY.store(false, Release);
            return;
        }
        std::hint::spin_loop();
    }
    LOST.fetch_add(1, Relaxed);
}

/// How far the writer is behind: the time since it last had nothing left to write, microseconds.
pub(super) fn writer_lag_us(now_us: u64) -> u64 {
    writer::lag_us(now_us)
}
