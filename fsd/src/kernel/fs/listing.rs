//! Listings: directories are fetched when somebody looks, once for all who wait, and nobody waits too long.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use fsd_events::{
    event::{Phase, TaskKind},
    ids::OpId,
    names::ROOT,
};

use crate::{
    data::source::{Listed, SourceError},
    names::tree::{Age, Directory, Listing},
    observe::{
        Span,
        locks::{Class, Mutex, Rank},
        tasks::{self, Spec},
    },
    platform::clock,
};

use super::{Errno, Fs, Inner};

/// Who waits for which listing.
static LISTINGS: Class = Class::new("listings", Rank::Session);

/// After a listing failed, the old one is shown so long before the source is asked again.
const RETRY: Duration = Duration::from_secs(1);
/// How often expired waiters are looked for while a listing is under way.
const TICK: Duration = Duration::from_millis(100);

type Then = Box<dyn FnOnce(Result<Arc<Listing>, Errno>) + Send>;

struct Waiter {
    deadline: Instant,
    then: Then,
}

/// One fetch under way.
struct Round {
    task: OpId,
    waiters: Vec<Waiter>,
}

/// Every fetch under way, by directory.
pub(super) struct Listings {
    rounds: Mutex<HashMap<u64, Round>>,
}

impl Listings {
    pub(super) fn new() -> Self {
        Self { rounds: Mutex::new(&LISTINGS, HashMap::new()) }
    }

    fn take(&self, dir: &Directory) -> Vec<Waiter> {
        self.rounds.lock().remove(&dir.ino.0).map(|round| round.waiters).unwrap_or_default()
    }

    fn take_expired(&self, dir: &Directory, now: Instant) -> Vec<Waiter> {
        let mut rounds = self.rounds.lock();
        let Some(round) = rounds.get_mut(&dir.ino.0) else { return Vec::new() };
        round.waiters.extract_if(.., |waiter| waiter.deadline <= now).collect()
    }
}

impl Fs {
    /// Calls `then` with the directory's listing: at once when it is young enough, else when the source has
    /// answered, at the latest after the metadata timeout, and then with the old listing if there is one.
    pub(super) fn listed<A: Send + 'static>(
        &self,
        ask: A,
        span: impl Fn(&A) -> &Span,
        dir: &Arc<Directory>,
        age: Age,
        then: impl FnOnce(A, Result<Arc<Listing>, Errno>) + Send + 'static,
    ) {
        if let Some(listing) = dir.listing(age) {
            return then(ask, Ok(listing));
        }
        let Some(_) = &self.inner.parts.source else { return then(ask, Err(Errno::ENOENT)) };
        let mut rounds = self.inner.listings.rounds.lock();
        let round =
            rounds.entry(dir.ino.0).or_insert_with(|| Round { task: self.fetch(dir, span(&ask)), waiters: vec![] });
        span(&ask).phase(Phase::Listing, &dir.path);
        span(&ask).wait(Some(round.task), 0..0);
        let deadline = span(&ask).started() + self.meta_timeout();
        let then: Then = Box::new(move |got| then(ask, got));
        round.waiters.push(Waiter { deadline, then });
    }

    fn meta_timeout(&self) -> Duration {
        let Inner { config, parts, .. } = &*self.inner;
        if parts.origin.stalled() { config.meta_timeout_stalled } else { config.meta_timeout }
    }

    fn fetch(&self, dir: &Arc<Directory>, span: &Span) -> OpId {
        let spec = Spec { kind: TaskKind::Listing, parent: Some(span.id()), fh: None, path: Some(&dir.path) };
        let (fs, dir) = (Arc::downgrade(&self.inner), Arc::clone(dir));
        tasks::spawn(&self.inner.parts.runtime, spec, |id| fetch(fs, dir, id)).id()
    }

    fn answer_waiters(&self, dir: &Directory, waiters: Vec<Waiter>, otherwise: Errno) {
        for waiter in waiters {
            (waiter.then)(dir.current().ok_or(otherwise));
        }
    }

    fn show(&self, dir: &Arc<Directory>, listed: Vec<Listed>) {
        let listed = self.with_lengths(dir, listed);
        let mut listing = self.inner.tree.listing(dir, listed);
        if listing.hidden > 0 {
            tracing::info!(directory = %dir.path, hidden = listing.hidden, "files of unknown length are not shown yet");
        }
        if dir.ino == ROOT {
            listing = listing.with(self.inner.catalog.node());
        }
        dir.set(Arc::new(listing));
    }
}

/// Whatever happens to the task, nobody waits for it for ever.
struct Answering {
    fs: Weak<Inner>,
    dir: Arc<Directory>,
}

impl Drop for Answering {
    fn drop(&mut self) {
        let Some(inner) = self.fs.upgrade() else { return };
        let waiters = inner.listings.take(&self.dir);
        Fs { inner }.answer_waiters(&self.dir, waiters, Errno::EIO);
    }
}

async fn fetch(fs: Weak<Inner>, dir: Arc<Directory>, id: OpId) -> Result<(), String> {
    let answering = Answering { fs: fs.clone(), dir: Arc::clone(&dir) };
    let source = fs.upgrade().and_then(|inner| inner.parts.source.clone()).ok_or("the mount is gone")?;
    let listing = source.list(&dir.path, id);
    tokio::pin!(listing);
    let got = loop {
        tokio::select! {
            got = &mut listing => break got,
            () = tokio::time::sleep(TICK) => {
                let Some(inner) = fs.upgrade() else { return Err("the mount is gone".to_owned()) };
                let expired = inner.listings.take_expired(&dir, clock::now());
                Fs { inner }.answer_waiters(&dir, expired, Errno::ETIMEDOUT);
            }
        }
    };
    let fs = Fs { inner: fs.upgrade().ok_or("the mount is gone")? };
    let outcome = fs.fetched(&dir, got);
    drop(answering);
    outcome
}

impl Fs {
    fn fetched(&self, dir: &Arc<Directory>, got: Result<Vec<Listed>, SourceError>) -> Result<(), String> {
        match got {
            Ok(listed) => {
                self.show(dir, listed);
                Ok(())
            }
            Err(error) => {
                if matches!(error, SourceError::NoDirectory(_)) {
                    dir.forget();
                } else {
                    self.tell_trouble("list", dir.ino, &error);
                    dir.stay_until(clock::now() + RETRY, self.inner.config.listing_ttl);
                }
                let errno = Errno::from(&error);
                let waiters = self.inner.listings.take(dir);
                self.answer_waiters(dir, waiters, errno);
                Err(error.to_string())
            }
        }
    }

    /// Listings that were fetched before this time are too old for a new look.
    pub(super) fn fresh(&self) -> Age {
        let now = clock::now();
        Age::Since(now.checked_sub(self.inner.config.listing_ttl).unwrap_or(now))
    }
}
