//! Lengths: files whose length the origin does not tell. They are fetched whole in the background, and shown then.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use fsd_events::{event::TaskKind, ids::OpId};
use tokio::sync::Semaphore;

use crate::{
    data::{
        origin::{Resource, Validator},
        source::{Listed, ListedKind, Place},
        store::{StoreError, Whole},
    },
    names::tree::Directory,
    observe::{
        locks::{Class, Mutex, Rank},
        tasks::{self, Spec},
    },
    platform::clock,
};

use super::{Fs, Inner};

/// What is known of files of unknown length.
static LENGTHS: Class = Class::new("lengths", Rank::Session);

/// Fetched at once for the whole mount, so that demand has the rest of the line.
const AT_ONCE: usize = 2;
/// Content that nothing tells apart is fetched anew only after so many times what the last fetch took.
const REST: u32 = 10;

/// Files of unknown length, by directory and name.
pub(super) struct Lengths {
    known: Mutex<HashMap<(u64, String), Known>>,
    turns: Arc<Semaphore>,
}

#[derive(Default)]
struct Known {
    /// What is shown.
    here: Option<Here>,
    coming: bool,
    /// It is larger than the limit.
    too_large: bool,
}

struct Here {
    whole: Arc<Whole>,
    /// As the listing had it: the origin's own word.
    told: Validator,
    at: Instant,
    took: Duration,
}

impl Here {
    /// Whether it is still what `told` says, as far as that can be known.
    fn is_current(&self, told: &Validator, ttl: Duration) -> bool {
        match told {
            Validator::None => clock::now() < self.at + ttl.max(self.took * REST),
            told => *told == self.told,
        }
    }
}

impl Lengths {
    pub(super) fn new() -> Self {
        Self { known: Mutex::new(&LENGTHS, HashMap::new()), turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Lets go of what `dir` does not list any more.
    fn keep_listed(&self, dir: &Directory, listed: &[Listed]) {
        let names: HashSet<&str> = listed.iter().map(|one| one.name.as_str()).collect();
        let gone: Vec<_> = {
            let mut known = self.known.lock();
            known.extract_if(|(ino, name), _| *ino == dir.ino.0 && !names.contains(name.as_str())).collect()
        };
        // Files are closed without the lock.
        drop(gone);
    }

    /// The fetch of `key` has ended; nothing happens if it is not listed any more.
    fn know(&self, key: (u64, String), change: impl FnOnce(&mut Known)) {
        if let Some(known) = self.known.lock().get_mut(&key) {
            known.coming = false;
            change(known);
        }
    }

    /// What is shown under that name now, and whether a fetch should start.
    fn look(&self, key: &(u64, String), told: &Validator, ttl: Duration) -> (Option<Arc<Whole>>, bool) {
        let mut all = self.known.lock();
        let known = all.entry(key.clone()).or_default();
        let current = known.here.as_ref().is_some_and(|here| here.is_current(told, ttl));
        let start = !current && !known.coming && !known.too_large;
        known.coming |= start;
        (known.here.as_ref().map(|here| Arc::clone(&here.whole)), start)
    }
}

impl Fs {
    /// Gives files of unknown length the length that they turned out to have, and starts to fetch the others.
    pub(super) fn with_lengths(&self, dir: &Arc<Directory>, mut listed: Vec<Listed>) -> Vec<Listed> {
        let (lengths, limit) = (&self.inner.lengths, self.inner.config.unsized_limit);
        lengths.keep_listed(dir, &listed);
        for one in &mut listed {
            let Some((resource, told)) = unknown(one).filter(|_| limit > 0) else { continue };
            let key = (dir.ino.0, one.name.clone());
            let (whole, start) = lengths.look(&key, &told, self.inner.config.listing_ttl);
            if start {
                self.fetch_whole(dir, key.1, resource, told);
            }
            if let Some(whole) = whole {
                one.kind = shown(&whole);
            }
        }
        listed
    }

    fn fetch_whole(&self, dir: &Arc<Directory>, name: String, resource: Resource, told: Validator) {
        let path = below(dir, &name);
        let spec = Spec { kind: TaskKind::Download, parent: None, fh: None, path: Some(&path) };
        let fetch = Fetch {
            fs: Arc::downgrade(&self.inner),
            dir: Arc::clone(dir),
            name,
            resource,
            told,
            turns: Arc::clone(&self.inner.lengths.turns),
        };
        // It ends with the runtime at the latest.
        drop(tasks::spawn(&self.inner.parts.runtime, spec, |id| fetch.run(id)));
    }
}

/// One file on its way.
struct Fetch {
    fs: Weak<Inner>,
    dir: Arc<Directory>,
    name: String,
    resource: Resource,
    told: Validator,
    turns: Arc<Semaphore>,
}

impl Fetch {
    async fn run(self, id: OpId) -> Result<(), String> {
        let _turn = self.turns.acquire().await.map_err(|closed| closed.to_string())?;
        let (stores, limit) = {
            let fs = self.fs.upgrade().ok_or("the mount is gone")?;
            (fs.parts.stores.clone(), fs.config.unsized_limit)
        };
        let started = clock::now();
        let got = stores.whole(&self.resource, limit, id).await;
        let fs = Fs { inner: self.fs.upgrade().ok_or("the mount is gone")? };
        self.end(&fs, got, started)
    }

    /// Shows it, or says why not.
    fn end(&self, fs: &Fs, got: Result<Option<Whole>, StoreError>, started: Instant) -> Result<(), String> {
        let too_large = matches!(got, Ok(None));
        let why = match got {
            Ok(Some(whole)) => {
                self.show(fs, Arc::new(whole), started.elapsed());
                return Ok(());
            }
            Ok(None) => "it is larger than unsized_limit".to_owned(),
            Err(error) => error.to_string(),
        };
        fs.inner.lengths.know(self.key(), |known| known.too_large = too_large);
        tracing::warn!("{} is of unknown length and not shown: {why}", below(&self.dir, &self.name));
        Err(why)
    }

    fn show(&self, fs: &Fs, whole: Arc<Whole>, took: Duration) {
        let here = Here { whole: Arc::clone(&whole), told: self.told.clone(), at: clock::now(), took };
        let mut before = None;
        fs.inner.lengths.know(self.key(), |known| before = known.here.replace(here));
        // The old file is closed without the lock.
        drop(before);
        fs.inner.tree.reveal(&self.dir, Listed { name: self.name.clone(), kind: shown(&whole) });
    }

    fn key(&self) -> (u64, String) {
        (self.dir.ino.0, self.name.clone())
    }
}

fn below(dir: &Directory, name: &str) -> String {
    if dir.path.is_empty() { name.to_owned() } else { format!("{}/{name}", dir.path) }
}

/// Where a file is whose length is not known, and its version.
fn unknown(one: &Listed) -> Option<(Resource, Validator)> {
    match &one.kind {
        ListedKind::File { size: None, validator, place: Place::Remote(resource), .. } => {
            Some((resource.clone(), validator.clone()))
        }
        _ => None,
    }
}

fn shown(whole: &Arc<Whole>) -> ListedKind {
    ListedKind::File {
        size: Some(whole.size()),
        validator: whole.validator().clone(),
        modified_us: whole.modified_us(),
        place: Place::Whole(Arc::clone(whole)),
    }
}
