//! A store: the bytes of one open content, and the readers that wait for them.

use std::{fs::File, ops::Range, path::PathBuf, sync::Arc, time::Instant};

use fsd_events::ids::OpId;
use tokio::runtime::Handle;

use crate::data::{
    origin::{Origin, OriginError, Validator},
    source::Place,
};

/// How remote content is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FetchMode {
    /// A temp file, filled by a background download.
    #[default]
    TempFile,
    /// Ranges in memory, the least recently used are dropped.
    RangeLru,
}

#[derive(Clone, Debug)]
pub struct StoreConfig {
    pub mode: FetchMode,
    /// For temp files; a disk file system, tmpfs costs twice the CPU.
    pub temp_dir: PathBuf,
    /// Bytes of one ranged request, 64 KiB at least.
    pub chunk_size: u64,
    /// Ranged requests at once for one content.
    pub max_concurrent_requests: usize,
    /// Bytes of memory for all stores together.
    pub cache_bytes: u64,
    /// Bytes of disk for all temp files together; None: what the file system has, less a reserve of 5 %.
    pub disk_budget: Option<u64>,
}

/// What a store is to serve.
#[derive(Clone, Debug)]
pub struct Content {
    pub place: Place,
    pub size: u64,
    pub validator: Validator,
    /// As the mount shows it.
    pub path: Arc<str>,
    pub ino: u64,
}

/// Why bytes cannot be had.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StoreError {
    /// The reader's own deadline.
    #[error("the bytes did not come before the reader's deadline")]
    Deadline,
    /// The origin's content is no longer this one.
    #[error("changed on the origin: {0}")]
    Changed(String),
    #[error(transparent)]
    Upstream(OriginError),
    /// Not enough room for the temp file.
    #[error("no room for a temp file of {needs} bytes: {free} bytes are free in the budget or on the disk")]
    NoRoom { needs: u64, free: u64 },
    #[error("temp file: {0}")]
    Disk(String),
    /// The store was closed while the reader waited.
    #[error("closed")]
    Closed,
    /// Too many readers wait; read-ahead gives way first.
    #[error("too many reads wait")]
    Crowded,
}

/// One READ that may have to wait.
pub trait Reader: Send {
    fn id(&self) -> OpId;
    /// Answered by then, whatever happens; progress does not move it.
    fn deadline(&self) -> Instant;
    /// It parks: `need` is missing, the task `on` should deliver it.
    fn waits(&mut self, on: Option<OpId>, need: Range<u64>);
    /// Called exactly once, from any thread, with no lock held. The bytes are the whole range that was asked
    /// for, cut at the end of the content only.
    fn answer(self: Box<Self>, got: Result<&[u8], StoreError>);
}

/// How far a store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes at hand, in memory or on disk.
    pub have: u64,
    pub size: u64,
    /// `running`, `waiting`, `complete`, `failed`, `closed`.
    pub state: &'static str,
    /// The background download.
    pub task: Option<OpId>,
    pub waiting: usize,
}

/// What all stores take together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub stores: usize,
    pub memory: u64,
    /// Reserved for temp files.
    pub disk: u64,
    pub waiting: usize,
    pub requests: usize,
}

/// The stores of a mount. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Stores;

impl Stores {
    pub fn new(_config: StoreConfig, _origin: Origin, _runtime: Handle) -> Self {
        Self
    }

    /// A new store for `content`; its download starts now and lives as long as the store. Touches memory only.
    ///
    /// # Errors
    /// [`StoreError::NoRoom`] when the temp file would not fit the budget.
    pub fn open(&self, content: Content, _by: OpId) -> Result<Arc<Store>, StoreError> {
        Ok(Arc::new(Store { content }))
    }

    pub fn usage(&self) -> Usage {
        Usage::default()
    }

    /// Removes temp files of instances that are gone; those of living ones are locked. Returns how many.
    pub fn sweep(&self) -> usize {
        0
    }
}

/// The bytes of one content. Closed only by a [`Closer`](super::closer::Closer).
#[derive(Debug)]
pub struct Store {
    content: Content,
}

impl Store {
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// Answers from what is at hand, on this thread; else parks the reader, which costs no thread.
    pub fn read(self: &Arc<Self>, _range: Range<u64>, reader: Box<dyn Reader>) {
        reader.answer(Err(StoreError::Closed));
    }

    pub fn progress(&self) -> Progress {
        Progress { have: 0, size: self.content.size, state: "waiting", task: None, waiting: 0 }
    }

    /// The complete content as a file, for the kernel to read by itself.
    pub fn complete_file(&self) -> Option<File> {
        None
    }
}
