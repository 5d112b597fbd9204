//! Lengths: files whose length the origin does not tell. They are fetched whole in the background, and shown then.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use fsd_events::{event::TaskKind, ids::OpId};

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

use super::{
    Fs, Inner,
    turns::{QUICK, SLOW, Turns, Undone},
};

/// What is known of files of unknown length.
static LENGTHS: Class = Class::new("lengths", Rank::Session);

/// Content that nothing tells apart is fetched anew only after so many times what the last fetch took.
const REST: u32 = 10;

/// None: it is too large.
type Fetched = Result<Option<Whole>, StoreError>;

/// Files of unknown length, by directory and name.
pub(super) struct Lengths {
    known: Mutex<HashMap<(u64, String), Known>>,
    turns: Arc<Turns>,
}

#[derive(Default)]
struct Known {
    /// What is shown.
    here: Option<Arc<Whole>>,
    coming: bool,
    /// The last fetch that came to an end: there it is, or it is none to be shown.
    tried: Option<Tried>,
}

struct Tried {
    /// As the listing had it: the origin's own word.
    told: Validator,
    at: Instant,
    took: Duration,
}

impl Tried {
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
        Self { known: Mutex::new(&LENGTHS, HashMap::new()), turns: Arc::new(Turns::new(QUICK, SLOW)) }
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
        let current = known.tried.as_ref().is_some_and(|tried| tried.is_current(told, ttl));
        let start = !current && !known.coming;
        known.coming |= start;
        (known.here.clone(), start)
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
    turns: Arc<Turns>,
}

impl Fetch {
    async fn run(self, id: OpId) -> Result<(), String> {
        let gone = || "the mount is gone".to_owned();
        let mut started = clock::now();
        let fetch = async {
            let (stores, limit) = {
                let fs = self.fs.upgrade().ok_or_else(gone)?;
                (fs.parts.stores.clone(), fs.config.unsized_limit)
            };
            started = clock::now();
            Ok::<_, String>(stores.whole(&self.resource, limit, id).await)
        };
        let got = self.turns.give(fetch).await.map_or_else(|undone| Ok(Err(undone)), |got| got.map(Ok))?;
        let fs = Fs { inner: self.fs.upgrade().ok_or_else(gone)? };
        let tried = Tried { told: self.told.clone(), at: clock::now(), took: started.elapsed() };
        self.end(&fs, got, tried)
    }

    /// Shows it, or says why not.
    fn end(&self, fs: &Fs, got: Result<Fetched, Undone>, tried: Tried) -> Result<(), String> {
        let (why, tried) = match got {
            Ok(Ok(Some(whole))) => {
                self.show(fs, Arc::new(whole), tried);
                return Ok(());
            }
            Ok(Ok(None)) => ("it is larger than unsized_limit".to_owned(), Some(tried)),
            Err(Undone::Endless) => ("it does not end".to_owned(), Some(tried)),
            Err(Undone::GaveWay) => ("it takes long, others wait, and it comes with a later listing".to_owned(), None),
            Ok(Err(error)) => (error.to_string(), None),
        };
        fs.inner.lengths.know(self.key(), |known| known.tried = tried);
        tracing::warn!("{} is of unknown length and not shown: {why}", below(&self.dir, &self.name));
        Err(why)
    }

    fn show(&self, fs: &Fs, whole: Arc<Whole>, tried: Tried) {
        let mut before = None;
        fs.inner.lengths.know(self.key(), |known| {
            before = known.here.replace(Arc::clone(&whole));
            known.tried = Some(tried);
        });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_none_to_be_shown_is_tried_again_when_it_is_another() {
        let tag = |text: &str| Validator::Strong(text.to_owned());
        let (at, took, ttl) = (clock::now(), Duration::from_secs(100), Duration::ZERO);
        let tried = |told: Validator, at| Tried { told, at, took };
        assert!(tried(tag("1"), at).is_current(&tag("1"), ttl) && !tried(tag("1"), at).is_current(&tag("2"), ttl));
        assert!(tried(Validator::None, at).is_current(&Validator::None, ttl));
        let long_ago = at.checked_sub(took * REST).unwrap_or(at);
        assert!(!tried(Validator::None, long_ago).is_current(&Validator::None, ttl));
    }
}
