//! A store: the bytes of one open content, and the readers that wait for them.

mod budget;
mod chunk;
mod closing;
mod download;
mod error;
mod extents;
mod failpoint;
mod fetch;
mod held;
mod local;
mod memory;
mod notes;
mod pools;
mod reading;
mod slab;
mod state;
mod stores;
mod temp_file;
mod versions;
mod waiters;
mod wanted;
mod whole;
mod writing;

pub use error::StoreError;
pub use notes::NotesPlace;
pub use stores::{Fresh, Stores, sweep};
pub use temp_file::try_directory;
pub use versions::Remember;
pub use whole::Whole;

use std::{
    fmt,
    fs::File,
    ops::Range,
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use fsd_events::ids::OpId;
use tokio::sync::Notify;

use crate::{
    data::{
        origin::{Resource, Validator},
        source::Place,
    },
    observe::{
        journal,
        locks::{Class, Mutex, Permits, Rank, assert_none_held},
    },
    platform::clock,
};

use notes::Left;
use state::{Keep, Look, State};
use stores::Shared;
use temp_file::TempFile;

static STORE: Class = Class::new("store", Rank::Store);
static FETCHES: Class = Class::new("fetches", Rank::Permits);
static PREFETCHES: Class = Class::new("prefetches", Rank::Permits);

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
    /// Bytes of disk for all temp files together; None: what the file system has, less a reserve of 5 %,
    /// 1 GiB at most.
    pub disk_budget: Option<u64>,
    /// Where it is noted which bytes of a temp file are right; None: a later worker fetches everything again.
    pub notes: Option<NotesPlace>,
}

/// What a store is to serve.
#[derive(Clone, Debug)]
pub struct Content {
    pub place: Place,
    pub size: u64,
    /// Microseconds since 1970, where the listing told it.
    pub modified_us: Option<u64>,
    pub validator: Validator,
    /// As the mount shows it.
    pub path: Arc<str>,
    pub ino: u64,
    /// Who has it open may have bytes of it from an earlier worker.
    pub given: bool,
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

/// The bytes of one content. Closed only by a [`Closer`](super::closer::Closer).
pub struct Store {
    content: Content,
    stores: Arc<Shared>,
    state: Mutex<State>,
    permits: Permits,
    ahead: Permits,
    temp: OnceLock<TempFile>,
    /// Somebody has asked for bytes.
    asked: AtomicBool,
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
    /// With what an earlier worker `left` of the content, if anything.
    fn new(stores: Arc<Shared>, content: Content, keep: Keep, left: Option<Left>) -> Self {
        let resource = resource(&content.place).cloned();
        let chunk = stores.config.chunk_size.max(LEAST_CHUNK);
        let at_once = stores.config.max_concurrent_requests.max(1);
        let mut state = State::new(content.size, keep, chunk, content.validator.clone(), resource);
        state.at_once = at_once as u64;
        let (temp, complete) = (OnceLock::new(), OnceLock::new());
        if let Some(left) = left {
            if left.ranges.covers(&(0..content.size)) {
                drop(complete.set(Arc::clone(left.temp.file())));
            }
            state.take_over(&left.ranges, left.validator);
            drop(temp.set(left.temp));
        }
        Self {
            state: Mutex::new(&STORE, state).keyed(content.ino),
            permits: Permits::new(&FETCHES, at_once),
            ahead: Permits::new(&PREFETCHES, at_once - 1),
            content,
            stores,
            temp,
            asked: AtomicBool::new(false),
            complete,
            room: Notify::new(),
            idle: Notify::new(),
        }
    }

    /// Others may have read from it and closed it before.
    fn begin(self: &Arc<Self>, by: OpId) {
        let (keep, start) = {
            let mut state = self.state.lock();
            let downloads = matches!(state.keep, Keep::Disk | Keep::All) && state.main().is_none() && !state.closing;
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

    /// Whether anybody has asked for its bytes.
    pub fn was_asked(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }

    /// Answers from what is at hand, on this thread; else parks the reader, which costs no thread.
    pub fn read(self: &Arc<Self>, range: Range<u64>, mut reader: Box<dyn Reader>) {
        assert_none_held("store read");
        if !self.was_asked() {
            self.asked.store(true, Ordering::Release);
        }
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
        let (late, at_disk): (Vec<_>, _) = {
            let mut state = self.state.lock();
            let (late, at_disk) = (state.waiters.take_expired(now), state.waiters.take_expired_at_disk(now));
            (late.into_iter().map(|(reader, need)| (reader, state.held.plan(&need), need)).collect(), at_disk)
        };
        self.stores.ticker.left(late.len() + at_disk.len());
        reading::refuse_all(at_disk, &StoreError::Deadline);
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
        let had = self.state.lock().reserved;
        if !had {
            self.stores.budget.reserve(self.content.size)?;
        }
        let twice = {
            let mut state = self.state.lock();
            state.keep = Keep::Disk;
            state.restart();
            state.agreed = true;
            std::mem::replace(&mut state.reserved, true) && !had
        };
        if twice {
            self.stores.budget.release(self.content.size);
        }
        Ok(())
    }
}

fn resource(place: &Place) -> Option<&Resource> {
    match place {
        Place::Remote(resource) => Some(resource),
        Place::Local(_) | Place::Whole(_) => None,
    }
}

#[cfg(test)]
#[cfg(feature = "failpoints")]
mod tests;
