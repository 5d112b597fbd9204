//! The file system: what each operation means, in types of our own.

mod errno;

pub use errno::Errno;

use std::{path::PathBuf, sync::Arc, time::Duration};

use fsd_events::{
    control,
    flags::{DebugFlags, Flag},
    ids::RunId,
};
use tokio::runtime::Handle;

use crate::data::{
    closer::Closer,
    origin::{Origin, OriginError, Resource},
    source::Source,
    store::{StoreError, Stores},
};

/// What the mount shows and how long anything may wait.
#[derive(Clone, Debug)]
pub struct FsConfig {
    /// Owner of every file.
    pub uid: u32,
    pub gid: u32,
    /// Users other than the owner may come in.
    pub allow_other: bool,
    /// A metadata operation waits at most so long for a listing.
    pub meta_timeout: Duration,
    /// The same while the origin is marked stalled.
    pub meta_timeout_stalled: Duration,
    /// A READ is answered by then, with bytes or an error.
    pub read_timeout: Duration,
    /// A listing older than this is fetched again when somebody looks.
    pub listing_ttl: Duration,
    /// How long the kernel may keep a name.
    pub entry_ttl: Duration,
    /// How long the kernel may keep attributes; they never change for one inode.
    pub attr_ttl: Duration,
    /// Directory for the shared tables (`names`, `opens`); None: private memory, lost with the process.
    pub shared_dir: Option<PathBuf>,
    pub mount_run: RunId,
    pub flags: DebugFlags,
}

impl Default for FsConfig {
    fn default() -> Self {
        Self {
            uid: 0,
            gid: 0,
            allow_other: false,
            meta_timeout: Duration::from_secs(5),
            meta_timeout_stalled: Duration::from_secs(1),
            read_timeout: Duration::from_secs(60),
            listing_ttl: Duration::from_secs(30),
            entry_ttl: Duration::from_secs(5),
            attr_ttl: Duration::from_secs(3600),
            shared_dir: None,
            mount_run: RunId(0),
            flags: DebugFlags::default(),
        }
    }
}

/// What the file system stands on.
#[derive(Clone, Debug)]
pub struct Parts {
    /// None: only what is staged is shown.
    pub source: Option<Source>,
    pub origin: Origin,
    pub stores: Stores,
    pub closer: Closer,
    pub runtime: Handle,
}

/// Why the tables of a mount cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum FsError {
    #[error("cannot set up the shared tables in {dir}: {why}; name another directory with --runtime-dir")]
    Shared { dir: PathBuf, why: std::io::Error },
}

/// Why a URL was not staged or unstaged.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    #[error("the mount is going down: nothing can be staged any more")]
    Draining,
    #[error(transparent)]
    Upstream(#[from] OriginError),
    #[error("{0} does not tell its length, so it cannot be shown before all of it has come")]
    NoLength(String),
    #[error("{0:?} is not a file name: give one with --name (one component, not `.` or `..`)")]
    BadName(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("nothing is staged as {0:?}: `fsd list` shows what is")]
    NotFound(String),
}

/// Numbers for status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FsStatus {
    pub open_handles: u64,
    pub stores: u64,
    /// Kept because of `debug_skip_eviction`.
    pub kept_stores: u64,
    pub closing: u64,
    pub reaping: u64,
    pub staged: u64,
    pub disk_used: u64,
    pub memory_used: u64,
    /// READs that wait for bytes.
    pub parked_reads: u64,
}

/// The file system of one mount. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Fs {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: FsConfig,
    parts: Parts,
}

impl Fs {
    /// Opens or makes the shared tables.
    ///
    /// # Errors
    /// When the shared directory cannot be used.
    pub fn new(config: FsConfig, parts: Parts) -> Result<Self, FsError> {
        Ok(Self { inner: Arc::new(Inner { config, parts }) })
    }

    /// Path of an inode as the mount shows it, without a leading slash (empty for the root); for the event writer.
    pub fn path_of(&self, _ino: u64) -> Option<String> {
        None
    }

    /// Shows `resource` as `Staged/<id>/<name>`.
    ///
    /// # Errors
    /// When the origin does not tell its length, does not answer, or the mount is going down.
    pub async fn stage(&self, resource: Resource, _name: Option<String>) -> Result<control::Staged, StageError> {
        Err(StageError::NoLength(resource.to_string()))
    }

    /// Takes back the staged reference; the content goes when nobody has it open any more.
    ///
    /// # Errors
    /// When nothing is staged under `id`.
    pub fn unstage(&self, id: &str) -> Result<(), StageError> {
        Err(StageError::NotFound(id.to_owned()))
    }

    /// Everything that is staged, oldest first.
    pub fn staged(&self) -> Vec<control::Staged> {
        Vec::new()
    }

    pub fn status(&self) -> FsStatus {
        let usage = self.inner.parts.stores.usage();
        FsStatus { disk_used: usage.disk, memory_used: usage.memory, ..FsStatus::default() }
    }

    /// Current value of every debug flag.
    pub fn flags(&self) -> DebugFlags {
        self.inner.config.flags
    }

    /// Changes a flag that a running daemon may change; false for the others.
    pub fn set_flag(&self, flag: Flag, _value: bool) -> bool {
        flag.live()
    }

    /// The mount goes down: nothing is staged any more. Reads go on.
    pub fn drain(&self) {}

    /// After the unmount: detaches every store and hands it to the closer (wait with [`Closer::drain`]).
    /// Returns how many.
    pub fn close_all(&self) -> usize {
        0
    }
}
