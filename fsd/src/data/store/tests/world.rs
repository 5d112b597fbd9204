//! A scripted origin, the stores of a mount, and readers that tell what they got.

use std::{
    ops::Range,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use fsd_events::ids::OpId;
use tokio::runtime::{Builder, Runtime};

use crate::{
    data::{
        closer::{Closer, Detached},
        origin::{Origin, OriginConfig, Resource, Validator},
        source::Place,
        store::{Content, FetchMode, Reader, Store, StoreConfig, StoreError, Stores},
    },
    platform::clock,
    process::demo::origin as scripted,
};

pub(super) const KIB: u64 = 1 << 10;
pub(super) const MIB: u64 = 1 << 20;
/// Longer than anything here may take.
pub(super) const LIMIT: Duration = Duration::from_secs(20);
pub(super) const MODES: [FetchMode; 2] = [FetchMode::TempFile, FetchMode::RangeLru];

pub(super) struct World {
    pub(super) origin: scripted::Origin,
    pub(super) stores: Stores,
    pub(super) closer: Closer,
    pub(super) dir: tempfile::TempDir,
    pub(super) runtime: Runtime,
}

pub(super) struct Settings {
    pub(super) mode: FetchMode,
    pub(super) inactivity: Duration,
    pub(super) cache: u64,
    pub(super) disk: Option<u64>,
    pub(super) close: Duration,
    pub(super) at_once: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mode: FetchMode::TempFile,
            inactivity: Duration::from_millis(400),
            cache: 64 * MIB,
            disk: None,
            close: LIMIT,
            at_once: 8,
        }
    }
}

impl World {
    pub(super) fn new(settings: &Settings) -> Self {
        let dir = tempfile::tempdir().expect("a temp dir");
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let limits = OriginConfig {
            connect: Duration::from_secs(1),
            first_byte: settings.inactivity,
            inactivity: settings.inactivity,
            retries: 1,
            backoff: Duration::from_millis(5),
            ..OriginConfig::default()
        };
        let config = StoreConfig {
            mode: settings.mode,
            temp_dir: dir.path().to_owned(),
            chunk_size: MIB,
            max_concurrent_requests: settings.at_once,
            cache_bytes: settings.cache,
            disk_budget: settings.disk,
            notes: None,
        };
        let client = Origin::new(limits).expect("a client");
        let stores = Stores::new(config, client, runtime.handle().clone()).expect("stores");
        let closer = Closer::new(runtime.handle().clone(), settings.close);
        Self { origin: scripted::Origin::start().expect("an origin"), stores, closer, dir, runtime }
    }

    pub(super) fn of(mode: FetchMode) -> Self {
        Self::new(&Settings { mode, ..Settings::default() })
    }

    pub(super) fn content(&self, path: &str, size: u64, validator: Validator) -> Content {
        let resource = Resource::parse(&self.origin.url(path)).expect("a URL");
        let ino = fsd_events::names::hash(7, path.as_bytes());
        let (place, path) = (Place::Remote(resource), path.into());
        Content { place, size, modified_us: None, validator, path, ino, given: false }
    }

    /// Opens the first version of `path`, which the origin serves with `size` bytes.
    pub(super) fn open(&self, path: &str, size: u64) -> Arc<Store> {
        self.origin.file(path, size);
        self.open_as(path, size, v1())
    }

    pub(super) fn open_as(&self, path: &str, size: u64, validator: Validator) -> Arc<Store> {
        self.stores.make(self.content(path, size, validator)).expect("room for it").begin(OpId(1))
    }

    pub(super) fn close(&self, store: Arc<Store>) -> OpId {
        self.closer.submit(Detached::new(store), OpId(2))
    }

    pub(super) fn drained(&self) -> bool {
        self.runtime.block_on(self.closer.drain(clock::now() + LIMIT))
    }

    pub(super) fn temp_files(&self) -> usize {
        std::fs::read_dir(self.dir.path()).map_or(0, Iterator::count)
    }

    pub(super) fn until(&self, what: impl Fn() -> bool) -> bool {
        self.origin.wait(LIMIT, |_| what())
    }

    /// Reads and compares; what a reader sees when all is well.
    pub(super) fn check(&self, store: &Arc<Store>, range: Range<u64>) {
        let got = read(store, range.clone(), LIMIT).wait();
        let bytes = got.unwrap_or_else(|error| panic!("{range:?}: {error}"));
        let end = range.end.min(store.content().size);
        assert_eq!(bytes.len() as u64, end - range.start, "{range:?}: a short read shrinks the file");
        let wrong = scripted::first_difference(&store.content().path, range.start, &bytes);
        assert_eq!(wrong, None, "{range:?}");
    }

    /// Reads everything in order.
    pub(super) fn check_all(&self, store: &Arc<Store>) {
        let mut at = 0;
        while at < store.content().size {
            self.check(store, at..at + 128 * KIB);
            at += 128 * KIB;
        }
    }
}

pub(super) fn v1() -> Validator {
    Validator::Strong("\"v1\"".to_owned())
}

pub(super) type Got = Result<Vec<u8>, StoreError>;

struct Asked {
    deadline: Instant,
    tell: mpsc::Sender<Got>,
    parked: mpsc::Sender<Range<u64>>,
}

impl Reader for Asked {
    fn id(&self) -> OpId {
        OpId(3)
    }

    fn deadline(&self) -> Instant {
        self.deadline
    }

    fn waits(&mut self, _on: Option<OpId>, need: Range<u64>) {
        drop(self.parked.send(need));
    }

    fn answer(self: Box<Self>, got: Result<&[u8], StoreError>) {
        drop(self.tell.send(got.map(<[u8]>::to_vec)));
    }
}

/// A read under way.
pub(super) struct Answer {
    told: mpsc::Receiver<Got>,
    parked: mpsc::Receiver<Range<u64>>,
}

pub(super) fn read(store: &Arc<Store>, range: Range<u64>, patience: Duration) -> Answer {
    let (tell, told) = mpsc::channel();
    let (park, parked) = mpsc::channel();
    store.read(range, Box::new(Asked { deadline: clock::now() + patience, tell, parked: park }));
    Answer { told, parked }
}

impl Answer {
    /// The answer; a reader that gets none is lost, whatever the reason.
    pub(super) fn wait(&self) -> Got {
        self.told.recv_timeout(LIMIT + LIMIT).expect("every reader is answered")
    }

    pub(super) fn now(&self) -> Option<Got> {
        self.told.try_recv().ok()
    }

    pub(super) fn has_parked(&self) -> bool {
        self.parked.try_recv().is_ok()
    }
}
