//! The file system: what each operation means, in types of our own.

mod ask;
mod attr;
mod errno;
mod late;
mod lengths;
mod listing;
mod meta;
mod open;
mod read;
mod staging;
mod trouble;
mod turns;

pub use ask::{Ask, AskBytes, AskOpen, Caller, Entry, Opened, Page, Room};
pub use attr::Attr;
pub use errno::Errno;
pub use open::OpenFlags;

use std::{
    fmt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use fsd_events::{
    flags::{DebugFlags, Flag},
    ids::{Ino, RunId},
    layout,
    names::ROOT,
};
use tokio::runtime::Handle;

use crate::{
    data::{
        closer::Closer,
        origin::{Origin, OriginError},
        source::Source,
        store::{Remember, StoreError, Stores},
        ticker,
    },
    names::{
        KeptListings,
        catalog::Catalog,
        handles::Handles,
        tree::{Listing, Tree},
    },
    observe::{
        journal::{self, record},
        locks,
    },
    platform::clock,
};

use self::{late::Late, lengths::Lengths, listing::Listings, read::Parked, trouble::Trouble};

/// What the mount shows and how long anything may wait.
#[derive(Clone, Debug)]
pub struct FsConfig {
    /// Owner of every file.
    pub uid: u32,
    pub gid: u32,
    /// Permission bits of every file and every directory.
    pub file_mode: u16,
    pub dir_mode: u16,
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
    /// Files of unknown length up to so many bytes are fetched whole, and then shown; 0: none is.
    pub unsized_limit: u64,
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
            file_mode: 0o444,
            dir_mode: 0o555,
            allow_other: false,
            meta_timeout: Duration::from_secs(5),
            meta_timeout_stalled: Duration::from_secs(1),
            read_timeout: Duration::from_secs(60),
            listing_ttl: Duration::from_secs(30),
            unsized_limit: 1 << 30,
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
    #[error("the name table is full before anything was named")]
    Full,
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
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
    #[error("{0} is the URL of a directory: give that of a file, or a file name with --name")]
    NoName(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("nothing is staged as {0:?}: `fsd list` shows what is")]
    NotFound(String),
    #[error("the name table is full: restart fsd to stage more")]
    Full,
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
#[derive(Clone)]
pub struct Fs {
    inner: Arc<Inner>,
}

struct Inner {
    config: FsConfig,
    parts: Parts,
    tree: Arc<Tree>,
    catalog: Catalog,
    handles: Handles,
    listings: Listings,
    /// Where a later worker finds them.
    kept: Option<KeptListings>,
    parked: Parked,
    late: Late,
    lengths: Lengths,
    trouble: Trouble,
    skip_eviction: AtomicBool,
    lock_events: AtomicBool,
    draining: AtomicBool,
    /// Backing files of an earlier worker were taken over.
    adopted: AtomicBool,
    started_us: u64,
}

impl fmt::Debug for Fs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fs({:?})", self.inner.tree)
    }
}

impl Remember for Tree {
    fn version(&self, ino: u64) -> u32 {
        self.settled(Ino(ino))
    }

    fn remember(&self, ino: u64, version: u32) {
        self.settle(Ino(ino), version);
    }

    fn hear(&self, ino: u64, told: u64) {
        Self::hear(self, Ino(ino), told);
    }
}

impl Fs {
    /// Opens or makes the shared tables.
    ///
    /// # Errors
    /// When the shared directory cannot be used, or no thread can be started.
    pub fn new(config: FsConfig, parts: Parts) -> Result<Self, FsError> {
        let dir = config.shared_dir.as_deref();
        let unusable = |why| FsError::Shared { dir: dir.unwrap_or(&PathBuf::new()).to_path_buf(), why };
        let names = dir.map(|dir| dir.join(layout::NAMES));
        let opens = dir.map(|dir| dir.join(layout::OPENS));
        let tree = Arc::new(Tree::open(names.as_deref(), config.mount_run).map_err(unusable)?);
        parts.stores.remember_with(Arc::clone(&tree) as Arc<dyn Remember>);
        let handles = Handles::open(opens.as_deref(), config.mount_run).map_err(unusable)?;
        let staged = dir.map(|dir| (dir.join(layout::STAGED), config.mount_run));
        let catalog = Catalog::new(Arc::clone(&tree), staged).ok_or(FsError::Full)?;
        if parts.source.is_none() {
            let root = tree.directory(ROOT).ok_or(FsError::Full)?;
            root.fix(Arc::new(Listing::new(vec![catalog.node()], 0)));
        }
        let kept = dir.map(|dir| KeptListings::new(dir.join(layout::LISTINGS), config.mount_run));
        let flags = config.flags;
        let (listings, woken) = Listings::new();
        locks::set_verbose(flags.debug_lock_events);
        let inner = Inner {
            tree,
            catalog,
            handles,
            listings,
            kept,
            parked: Parked::new(),
            late: Late::new(),
            lengths: Lengths::new(),
            trouble: Trouble::new(),
            skip_eviction: AtomicBool::new(flags.debug_skip_eviction),
            lock_events: AtomicBool::new(flags.debug_lock_events),
            draining: AtomicBool::new(false),
            adopted: AtomicBool::new(false),
            started_us: clock::now_wall_us(),
            config,
            parts,
        };
        let inner = Arc::new(inner);
        ticker::start("fsd-listings", Arc::downgrade(&inner), woken).map_err(FsError::Thread)?;
        Ok(Self { inner })
    }

    /// Path of an inode as the mount shows it, without a leading slash (empty for the root); for the event writer.
    /// Takes no lock.
    pub fn path_of(&self, ino: u64) -> Option<String> {
        self.inner.tree.path(Ino(ino))
    }

    pub fn status(&self) -> FsStatus {
        let Inner { parts, handles, catalog, parked, .. } = &*self.inner;
        let usage = parts.stores.usage();
        let (open, stores, kept) = handles.counts();
        FsStatus {
            open_handles: open as u64,
            stores: stores as u64,
            kept_stores: kept as u64,
            closing: parts.closer.closing() as u64,
            reaping: parts.closer.reaping() as u64,
            staged: catalog.items().len() as u64,
            disk_used: usage.disk,
            memory_used: usage.memory,
            parked_reads: parked.count() as u64,
        }
    }

    /// Current value of every debug flag.
    pub fn flags(&self) -> DebugFlags {
        DebugFlags {
            debug_skip_eviction: self.inner.skip_eviction.load(Ordering::Relaxed),
            debug_lock_events: self.inner.lock_events.load(Ordering::Relaxed),
            ..self.inner.config.flags
        }
    }

    /// Changes a flag that a running daemon may change; false for the others. Without `debug_skip_eviction` the
    /// stores that it kept are closed.
    pub fn set_flag(&self, flag: Flag, value: bool) -> bool {
        match flag {
            Flag::DebugSkipEviction => self.inner.skip_eviction.store(value, Ordering::Relaxed),
            Flag::DebugLockEvents => {
                self.inner.lock_events.store(value, Ordering::Relaxed);
                locks::set_verbose(value);
            }
            Flag::DebugFskitSingleThread | Flag::DebugAllCallbacks => return false,
        }
        record(&fsd_events::event::Body::FlagChange { flag, value });
        if flag == Flag::DebugSkipEviction && !value {
            self.close_stores(self.inner.handles.take_kept(), journal::next_id());
        }
        true
    }

    /// The kernel forgets so many of the times it was told of the inode. With the last it has let go of all bytes it had
    /// of it.
    pub fn forget(&self, ino: Ino, lookups: u64) {
        if self.inner.tree.forget(ino, lookups) && !self.inner.handles.is_used(ino) {
            self.inner.parts.stores.forget(ino.0);
        }
    }

    /// The mount goes down: nothing is staged any more. Reads go on.
    pub fn drain(&self) {
        self.inner.draining.store(true, Ordering::Relaxed);
    }

    /// After the unmount: detaches every store and hands it to the closer (wait with [`Closer::drain`]).
    /// Returns how many.
    pub fn close_all(&self) -> usize {
        self.inner.parts.stores.forget_left(|_| false);
        self.close_stores(self.inner.handles.take_all(), journal::next_id())
    }
}
