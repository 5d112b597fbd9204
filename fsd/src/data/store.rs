//! A store: the bytes of one open content, and the readers that wait for them.

mod budget;
mod closing;
pub mod extents;
mod failpoint;
mod fetch;
mod held;
mod local;
mod memory;
mod pools;
mod reading;
mod state;
mod temp_file;
mod ticker;
pub mod waiters;
mod writing;

use std::{
    fmt,
    fs::File,
    io,
    ops::Range,
    path::PathBuf,
    sync::{Arc, OnceLock, Weak},
    time::Instant,
};

use fsd_events::ids::OpId;
use tokio::{runtime::Handle, sync::Notify};

use crate::{
    data::{
        origin::{Origin, OriginError, Resource, Validator},
        source::Place,
    },
    observe::{
        journal,
        locks::{Class, Mutex, Permits, Rank, assert_none_held},
    },
    platform::clock,
};

use budget::Budget;
use pools::Pools;
use state::{Keep, Look, State};
use temp_file::TempFile;
use ticker::Ticker;

static STORES: Class = Class::new("stores", Rank::Stores);
static STORE: Class = Class::new("store", Rank::Store);
static FETCHES: Class = Class::new("fetches", Rank::Permits);
static PREFETCHES: Class = Class::new("prefetches", Rank::Permits);

/// Content up to this size stays in memory: a temp file would cost more than it keeps.
const SMALL: u64 = 256 << 10;
const LEAST_CHUNK: u64 = 64 << 10;

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

impl From<OriginError> for StoreError {
    fn from(error: OriginError) -> Self {
        match error {
            OriginError::Changed { .. } => Self::Changed(error.to_string()),
            other => Self::Upstream(other),
        }
    }
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
#[derive(Clone)]
pub struct Stores {
    shared: Arc<Shared>,
}

struct Shared {
    config: StoreConfig,
    origin: Origin,
    runtime: Handle,
    pools: Pools,
    budget: Budget,
    ticker: Ticker,
    open: Mutex<Vec<Weak<Store>>>,
}

impl fmt::Debug for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stores").field("config", &self.shared.config).finish_non_exhaustive()
    }
}

impl Stores {
    /// # Errors
    /// When no thread can be started.
    pub fn new(config: StoreConfig, origin: Origin, runtime: Handle) -> io::Result<Self> {
        let disk = config.disk_budget.or_else(|| temp_file::free_bytes(&config.temp_dir).ok());
        let (ticker, woken) = Ticker::new();
        let shared = Arc::new(Shared {
            budget: Budget::new(disk, config.cache_bytes),
            config,
            origin,
            runtime,
            pools: Pools::new()?,
            ticker,
            open: Mutex::new(&STORES, Vec::new()),
        });
        ticker::start(Arc::downgrade(&shared), woken)?;
        Ok(Self { shared })
    }

    /// A new store for `content`; its download starts now and lives as long as the store. Touches memory only.
    ///
    /// # Errors
    /// [`StoreError::NoRoom`] when the temp file would not fit the budget.
    pub fn open(&self, content: Content, by: OpId) -> Result<Arc<Store>, StoreError> {
        let keep = self.keep(&content);
        if keep == Keep::Disk {
            self.shared.budget.reserve(content.size)?;
        }
        self.shared.budget.join();
        let store = Arc::new(Store::new(Arc::clone(&self.shared), content, keep));
        {
            let mut open = self.shared.open.lock();
            open.retain(|store| store.strong_count() > 0);
            open.push(Arc::downgrade(&store));
        }
        store.begin(by);
        Ok(store)
    }

    fn keep(&self, content: &Content) -> Keep {
        match (&content.place, self.shared.config.mode) {
            (Place::Local(_), _) => Keep::Local,
            _ if content.size <= SMALL.min(self.shared.budget.share()) => Keep::All,
            (_, FetchMode::TempFile) => Keep::Disk,
            (_, FetchMode::RangeLru) => Keep::Lru,
        }
    }

    pub fn usage(&self) -> Usage {
        let mut usage = Usage { disk: self.shared.budget.reserved(), ..Usage::default() };
        for store in self.shared.all() {
            let state = store.state.lock();
            usage.stores += 1;
            usage.memory += state.held.memory.bytes();
            usage.waiting += state.waiters.len();
            usage.requests += state.flights.len();
        }
        usage
    }

    /// Removes temp files of instances that are gone; those of living ones are locked. Returns how many.
    pub fn sweep(&self) -> usize {
        assert_none_held("sweep of temp files");
        temp_file::sweep(&self.shared.config.temp_dir)
    }

    /// Refuses the reader that has waited longest for bytes, so that others can enter; false: none waits.
    pub fn shed_oldest(&self) -> bool {
        for store in self.shared.all() {
            let oldest = store.state.lock().waiters.take_oldest();
            if let Some(reader) = oldest {
                self.shared.ticker.left(1);
                journal::invariant("parked reads shed", &store.content.path);
                reading::answer(reader, Err(StoreError::Crowded));
                return true;
            }
        }
        false
    }
}

impl Shared {
    fn all(&self) -> Vec<Arc<Store>> {
        self.open.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// Answers every reader whose deadline has come.
    fn expire(&self) {
        let now = clock::now();
        for store in self.all() {
            store.expire(now);
        }
    }
}

/// The bytes of one content. Closed only by a [`Closer`](super::closer::Closer).
pub struct Store {
    content: Content,
    stores: Arc<Shared>,
    state: Mutex<State>,
    permits: Permits,
    ahead: Permits,
    temp: OnceLock<TempFile>,
    /// All of the content, readable without the lock.
    complete: OnceLock<Arc<File>>,
    /// The writer has made room.
    room: Notify,
    /// A flight has landed, or a writer has ended.
    idle: Notify,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("content", &self.content).finish_non_exhaustive()
    }
}

impl Store {
    fn new(stores: Arc<Shared>, content: Content, keep: Keep) -> Self {
        let resource = resource(&content.place).cloned();
        let chunk = stores.config.chunk_size.max(LEAST_CHUNK);
        let at_once = stores.config.max_concurrent_requests.max(1);
        let state = State::new(content.size, keep, chunk, content.validator.clone(), resource);
        Self {
            state: Mutex::new(&STORE, state).keyed(content.ino),
            permits: Permits::new(&FETCHES, at_once),
            ahead: Permits::new(&PREFETCHES, at_once - 1),
            content,
            stores,
            temp: OnceLock::new(),
            complete: OnceLock::new(),
            room: Notify::new(),
            idle: Notify::new(),
        }
    }

    fn begin(self: &Arc<Self>, by: OpId) {
        let (keep, start) = {
            let mut state = self.state.lock();
            let downloads = matches!(state.keep, Keep::Disk | Keep::All);
            (state.keep, if downloads { state.start_main() } else { None })
        };
        match keep {
            Keep::Local => self.open_local(),
            _ => self.launch(start.into_iter().collect(), Some(by)),
        }
    }

    pub fn content(&self) -> &Content {
        &self.content
    }

    /// Answers from what is at hand, on this thread; else parks the reader, which costs no thread.
    pub fn read(self: &Arc<Self>, range: Range<u64>, mut reader: Box<dyn Reader>) {
        assert_none_held("store read");
        let range = range.start.min(self.content.size)..range.end.min(self.content.size);
        if range.start >= range.end {
            return reading::answer(reader, Ok(&[]));
        }
        if self.complete.get().is_some() {
            return self.fulfil(vec![held::Part::Disk(range.clone())], range, reader);
        }
        let (by, deadline) = (reader.id(), reader.deadline());
        let (mut again, mut told) = (false, false);
        loop {
            let share = self.stores.budget.share();
            let mut state = self.state.lock();
            match state.look(&range, again, share, clock::now()) {
                Look::Ready(parts, starts) => {
                    drop(state);
                    self.fulfil(parts, range, reader);
                    return self.launch(starts, Some(by));
                }
                Look::Refused(error) => {
                    drop(state);
                    return reading::answer(reader, Err(error));
                }
                Look::Start(starts) => {
                    drop(state);
                    self.launch(starts, Some(by));
                }
                Look::Coming(on, need) if !told => {
                    drop(state);
                    reader.waits(on, need);
                    told = true;
                }
                Look::Coming(..) => {
                    state.waiters.park(range, deadline, reader);
                    drop(state);
                    return self.stores.ticker.parked();
                }
            }
            again = true;
        }
    }

    fn expire(self: &Arc<Self>, now: Instant) {
        let late: Vec<_> = {
            let mut state = self.state.lock();
            let late = state.waiters.take_expired(now);
            late.into_iter().map(|(reader, need)| (reader, state.held.plan(&need), need)).collect()
        };
        self.stores.ticker.left(late.len());
        for (reader, plan, need) in late {
            match plan {
                Some(parts) => {
                    journal::invariant("lost wake-up", &format!("{} {need:?} was there", self.content.path));
                    self.fulfil(parts, need, reader);
                }
                None => reading::answer(reader, Err(StoreError::Deadline)),
            }
        }
    }

    pub fn progress(&self) -> Progress {
        let state = self.state.lock();
        let have = if self.complete.get().is_some() { self.content.size } else { state.held.have().bytes() };
        let word = match () {
            () if state.closing => "closed",
            () if have == self.content.size => "complete",
            () if state.dead.is_some() => "failed",
            () if state.flights.is_empty() => "waiting",
            () => "running",
        };
        let task = state.main().and_then(|flight| flight.task.as_ref()).map(|task| task.id());
        Progress { have, size: self.content.size, state: word, task, waiting: state.waiters.len() }
    }

    /// The complete content as a file, for the kernel to read by itself.
    pub fn complete_file(&self) -> Option<File> {
        self.complete.get()?.try_clone().ok()
    }

    /// The file that has what is on disk.
    fn file(&self) -> Option<Arc<File>> {
        self.complete.get().or_else(|| self.temp.get().map(TempFile::file)).cloned()
    }

    /// From memory to a temp file, when ranges turn out not to be possible.
    fn use_disk(&self) -> Result<(), StoreError> {
        self.stores.budget.reserve(self.content.size)?;
        let mut state = self.state.lock();
        state.keep = Keep::Disk;
        state.restart();
        state.agreed = true;
        Ok(())
    }
}

fn resource(place: &Place) -> Option<&Resource> {
    match place {
        Place::Remote(resource) => Some(resource),
        Place::Local(_) => None,
    }
}

#[cfg(test)]
#[cfg(feature = "failpoints")]
mod tests;
