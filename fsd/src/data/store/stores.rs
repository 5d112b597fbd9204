//! The stores of a mount: what they share, and who is open.

use std::{
    collections::{HashMap, HashSet},
    fmt, io,
    sync::{Arc, Weak},
};

use fsd_events::ids::OpId;
use tokio::runtime::Handle;

use crate::{
    data::{
        origin::{Origin, Validator},
        source::Place,
        ticker::{self, Expire, Ticker},
    },
    observe::locks::{Class, Mutex, Rank, assert_none_held},
    platform::clock,
};

use super::{
    Content, FetchMode, Store, StoreConfig, StoreError, Usage,
    budget::Budget,
    notes::{self, Left},
    pools::Pools,
    slab::Slab,
    state::Keep,
    temp_file::{self, TempFile},
    versions::{Remember, Versions},
};

static STORES: Class = Class::new("stores", Rank::Stores);
static LEFT: Class = Class::new("left_temp_files", Rank::Stores);

/// Content up to this size stays in memory: a temp file would cost more than it keeps.
const SMALL: u64 = 256 << 10;

/// Memory beyond the budget for blocks that are not full.
const SLACK: u64 = 16 << 20;

/// The stores of a mount. Cheap to clone.
#[derive(Clone)]
pub struct Stores {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) config: StoreConfig,
    pub(super) origin: Origin,
    pub(super) runtime: Handle,
    pub(super) pools: Pools,
    pub(super) budget: Budget,
    pub(super) slab: Slab,
    pub(super) ticker: Ticker,
    pub(super) versions: Versions,
    open: Mutex<Vec<Weak<Store>>>,
    /// Temp files of an earlier worker that nobody has asked for yet, by inode.
    left: Mutex<HashMap<u64, Left>>,
}

/// A store that nothing has begun to fill yet.
#[derive(Debug)]
#[must_use = "nothing comes before it has begun"]
pub struct Fresh {
    store: Arc<Store>,
    /// What an earlier worker left, and is of no use.
    unfit: Option<Left>,
    /// Why it is kept in memory.
    no_room: Option<StoreError>,
}

impl Fresh {
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Its download starts now and lives as long as the store. No lock is held.
    pub fn begin(self, by: OpId) -> Arc<Store> {
        assert_none_held("begin of a store");
        drop(self.unfit);
        if let Some(why) = &self.no_room {
            self.store.tell_memory(why);
        }
        self.store.stores.settle();
        self.store.begin(by);
        self.store
    }
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
        let notes = config.notes.as_ref();
        let mut left = HashMap::new();
        for one in notes.map_or_else(Vec::new, |place| notes::take_over(place, &config.temp_dir)) {
            keep_better(&mut left, one);
        }
        let (ticker, woken) = Ticker::new();
        let shared = Arc::new(Shared {
            budget: Budget::new(disk, config.cache_bytes),
            slab: Slab::new(config.cache_bytes.saturating_add(SLACK)),
            config,
            origin,
            runtime,
            pools: Pools::new()?,
            ticker,
            versions: Versions::new(),
            open: Mutex::new(&STORES, Vec::new()),
            left: Mutex::new(&LEFT, left),
        });
        ticker::start("fsd-deadlines", Arc::downgrade(&shared), woken)?;
        Ok(Self { shared })
    }

    /// A new store for `content`. Touches memory only, so that a lock may be held meanwhile.
    ///
    /// # Errors
    /// [`StoreError::NoRoom`] when the temp file would not fit the budget.
    pub fn make(&self, content: Content) -> Result<Fresh, StoreError> {
        let keep = self.keep(&content);
        if keep == Keep::Disk {
            self.shared.budget.reserve(content.size)?;
        }
        Ok(self.with(content, keep, None))
    }

    /// As [`make`](Self::make), where the disk has no room because of `why`: ranges are kept in memory. A content
    /// whose ranges cannot be had, or not be told apart, will find no room when its first answer comes.
    pub fn make_in_memory(&self, content: Content, why: StoreError) -> Fresh {
        self.with(content, Keep::Lru, Some(why))
    }

    fn with(&self, mut content: Content, keep: Keep, no_room: Option<StoreError>) -> Fresh {
        self.shared.budget.join();
        if content.validator == Validator::None {
            content.validator = self.shared.versions.of(content.ino);
        }
        let left = (keep == Keep::Disk).then(|| self.shared.left.lock().remove(&content.ino)).flatten();
        let (left, unfit) = match left {
            Some(left) if self.fits(&left, &content) => (Some(left), None),
            unfit => (None, unfit),
        };
        #[cfg(feature = "failpoints")]
        if left.is_some() {
            fail::fail_point!("store::take_over");
        }
        let store = Arc::new(Store::new(Arc::clone(&self.shared), content, keep, left));
        {
            let mut open = self.shared.open.lock();
            open.retain(|store| store.strong_count() > 0);
            open.push(Arc::downgrade(&store));
        }
        Fresh { store, unfit, no_room }
    }

    /// Whether an earlier worker left that of the content: of this version, and complete where no version is known.
    fn fits(&self, left: &Left, content: &Content) -> bool {
        let whole = left.ranges.covers(&(0..content.size));
        let known = left.validator != Validator::None || whole;
        let same = content.validator == Validator::None || content.validator == left.validator;
        let of_it = left.size == content.size && known && same;
        of_it && self.shared.versions.settle(content.ino, &left.validator)
    }

    /// Removes what an earlier worker left of every inode that is not `wanted` any more. Touches the disk.
    pub fn forget_left(&self, wanted: impl Fn(u64) -> bool) {
        let known: Vec<u64> = self.shared.left.lock().keys().copied().collect();
        // Who asks for one meanwhile takes it out: nobody is asked under our lock, and nothing is added.
        let gone: Vec<u64> = known.into_iter().filter(|ino| !wanted(*ino)).collect();
        let gone: Vec<Left> = {
            let mut left = self.shared.left.lock();
            gone.iter().filter_map(|ino| left.remove(ino)).collect()
        };
        assert_none_held("removal of temp files");
        drop(gone);
    }

    /// Who remembers the versions of inodes for the next worker. The first one given stays.
    pub fn remember_with(&self, beyond: Arc<dyn Remember>) {
        self.shared.versions.remember_with(beyond);
    }

    /// The kernel has no byte of that inode any more: its next store may be of another version.
    pub fn forget(&self, ino: u64) {
        self.shared.versions.forget(ino);
    }

    fn keep(&self, content: &Content) -> Keep {
        match (&content.place, self.shared.config.mode) {
            (Place::Local(_) | Place::Whole(_), _) => Keep::Local,
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
    /// A file that came from an earlier worker may have lost its lock with the backing file that held it.
    pub fn sweep(&self) -> usize {
        assert_none_held("sweep of temp files");
        let mut ours: HashSet<String> =
            self.shared.left.lock().values().map(|left| left.temp.name().to_owned()).collect();
        ours.extend(self.shared.all().iter().filter_map(|store| store.temp.get().map(TempFile::lock_again)));
        temp_file::sweep(&self.shared.config.temp_dir, &ours)
    }
}

/// Of two temp files of one inode the one with more in it stays.
fn keep_better(all: &mut HashMap<u64, Left>, one: Left) {
    match all.get(&one.ino) {
        Some(other) if other.ranges.bytes() >= one.ranges.bytes() => (),
        _ => drop(all.insert(one.ino, one)),
    }
}

/// Removes temp files in `dir` whose instance is gone; returns how many.
pub fn sweep(dir: &std::path::Path) -> usize {
    temp_file::sweep(dir, &HashSet::new())
}

impl Shared {
    /// Shares have become smaller: idle stores give up what is over theirs. Once for each doubling is enough.
    fn settle(&self) {
        if !self.budget.sharers().is_power_of_two() {
            return;
        }
        let share = self.budget.share();
        for store in self.all() {
            store.state.lock().shrink(share);
        }
    }

    fn all(&self) -> Vec<Arc<Store>> {
        self.open.lock().iter().filter_map(Weak::upgrade).collect()
    }
}

impl Expire for Shared {
    fn ticker(&self) -> &Ticker {
        &self.ticker
    }

    fn expire(&self) {
        let now = clock::now();
        for store in self.all() {
            store.expire(now);
        }
    }
}
