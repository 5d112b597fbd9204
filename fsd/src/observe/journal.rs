//! The journal: events go into the flight recorder, and from there into the event file.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use fsd_events::{
    event::{Body, Start},
    ids::{OpId, RunId},
};

/// How the recorder of this process is set up.
#[derive(Clone, Debug, Default)]
pub struct RecorderConfig {
    pub run: RunId,
    pub mount_run: RunId,
    /// `<runtime>/<mount-slug>`: rings and tables go into `<run>` below it. None: heap, not readable after a crash.
    pub runtime_dir: Option<PathBuf>,
    /// Where `events-<run>.jsonl` goes. None: no event file.
    pub state_dir: Option<PathBuf>,
    /// First line of each event file.
    pub start: Start<'static>,
    /// Bytes after which the event file is rotated; 0 for the default (64 MiB).
    pub file_limit: u64,
    /// Bytes that all event files of the mount may take together; 0 for the default (512 MiB).
    pub total_limit: u64,
    /// Also print ENTER and EXIT as the Go original did, on the human log.
    pub seed_log: bool,
}

/// The installed recorder; stop it last.
#[derive(Debug)]
pub struct Recorder {
    file: Option<PathBuf>,
}

impl Recorder {
    /// Replaces what `start` says (the effective `max_background` is known only after INIT); writes it again.
    pub fn restate(&self, _start: Start<'static>) {}

    /// `shared`, or `heap`: not readable after a crash.
    pub fn kind(&self) -> &'static str {
        "heap"
    }

    /// The event file, when there is one.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Records dropped so far.
    pub fn lost(&self) -> u64 {
        0
    }

    /// Writes what is in the rings now and waits for it, two seconds at most; false when it took longer.
    pub fn flush(&self) -> bool {
        true
    }

    /// Writes the `stop` line and ends the writer; waits two seconds at most.
    pub fn stop(self, _reason: &str) {}
}

/// Sets up rings, tables and the writer of this process; once, before any other thread is started.
///
/// Before it, or without it, every observer works and records nowhere.
///
/// # Errors
/// When the state directory cannot be written. A runtime directory that is too small or missing is no error:
/// the recorder gets smaller, at worst private (see [`Recorder::kind`]).
pub fn install(config: RecorderConfig) -> io::Result<Recorder> {
    Ok(Recorder { file: config.state_dir })
}

/// Puts one event into the ring of this thread. Never blocks: without room it is dropped and counted.
pub fn record(_body: &Body<'_>) {}

/// A rule of the daemon was broken; `detail` never holds a query string.
pub fn invariant(what: &str, detail: &str) {
    record(&Body::Invariant { what: what.into(), detail: detail.into() });
}

/// How the writer thread turns an inode number into a path; never called on the way of an operation.
pub fn set_names(_names: Arc<dyn Fn(u64) -> Option<String> + Send + Sync>) {}

/// Appends what a dead run left unwritten in `run_dir` to its event file in `state_dir`, then removes `run_dir`.
/// Returns the number of records appended.
///
/// # Errors
/// When the event file cannot be written; `run_dir` stays then.
pub fn drain(_run_dir: &Path, _state_dir: &Path) -> io::Result<u64> {
    Ok(0)
}

/// A new id in the one space of operations, tasks and pseudo-tasks.
pub fn next_id() -> OpId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    OpId(NEXT.fetch_add(1, Ordering::Relaxed))
}
