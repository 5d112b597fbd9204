//! Listings: directories are fetched when somebody looks, once for all who wait, and nobody waits too long.

use std::{
    collections::HashMap,
    sync::{Arc, Weak, mpsc::Receiver},
    time::{Duration, Instant},
};

use fsd_events::{
    event::{Phase, TaskKind},
    ids::OpId,
    names::ROOT,
};

use tokio::task::spawn_blocking;

use crate::{
    data::{
        source::{Listed, Source, SourceError},
        ticker::{Expire, Ticker},
    },
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

type Then = Box<dyn FnOnce(Result<Arc<Listing>, Errno>) + Send>;

struct Waiter {
    deadline: Instant,
    age: Age,
    then: Then,
}

/// One fetch under way.
struct Round {
    dir: Arc<Directory>,
    task: OpId,
    waiters: Vec<Waiter>,
}

/// Every fetch under way, by directory.
pub(super) struct Listings {
    rounds: Mutex<HashMap<u64, Round>>,
    ticker: Ticker,
}

impl Listings {
    /// The second is for the thread that ends waits.
    pub(super) fn new() -> (Self, Receiver<()>) {
        let (ticker, woken) = Ticker::new();
        (Self { rounds: Mutex::new(&LISTINGS, HashMap::new()), ticker }, woken)
    }

    fn take(&self, dir: &Directory) -> Vec<Waiter> {
        let waiters = self.rounds.lock().remove(&dir.ino.0).map(|round| round.waiters).unwrap_or_default();
        self.ticker.left(waiters.len());
        waiters
    }

    /// Those for whom what was fetched then is new enough.
    fn take_content(&self, dir: &Directory, fetched: Option<Instant>) -> Vec<Waiter> {
        let content = |waiter: &mut Waiter| waiter.age.allows(fetched);
        let waiters: Vec<_> = match self.rounds.lock().get_mut(&dir.ino.0) {
            Some(round) => round.waiters.extract_if(.., content).collect(),
            None => Vec::new(),
        };
        self.ticker.left(waiters.len());
        waiters
    }

    fn take_expired(&self, now: Instant) -> Vec<(Arc<Directory>, Vec<Waiter>)> {
        let mut rounds = self.rounds.lock();
        let expired = |round: &mut Round| round.waiters.extract_if(.., |waiter| waiter.deadline <= now).collect();
        let all: Vec<_> = rounds.values_mut().map(|round| (Arc::clone(&round.dir), expired(round))).collect();
        drop(rounds);
        self.ticker.left(all.iter().map(|(_, waiters): &(_, Vec<Waiter>)| waiters.len()).sum());
        all
    }
}

/// Also while the runtime hangs, or is busy with the page of one directory: nobody waits for a listing beyond his time.
impl Expire for Inner {
    fn ticker(&self) -> &Ticker {
        &self.listings.ticker
    }

    fn expire(&self) {
        for (dir, waiters) in self.listings.take_expired(clock::now()) {
            answer_waiters(&dir, waiters, Errno::ETIMEDOUT);
        }
    }
}

fn answer_waiters(dir: &Directory, waiters: Vec<Waiter>, otherwise: Errno) {
    for waiter in waiters {
        (waiter.then)(dir.current().ok_or(otherwise));
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
        let round = rounds.entry(dir.ino.0).or_insert_with(|| Round {
            dir: Arc::clone(dir),
            task: self.fetch(dir, span(&ask)),
            waiters: vec![],
        });
        span(&ask).phase(Phase::Listing, &dir.path);
        span(&ask).wait(Some(round.task), 0..0);
        let deadline = span(&ask).started() + self.meta_timeout();
        let then: Then = Box::new(move |got| then(ask, got));
        round.waiters.push(Waiter { deadline, age, then });
        self.inner.listings.ticker.parked();
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

    /// The directory had changed so often before the source was asked.
    async fn show(&self, source: &Source, dir: &Arc<Directory>, listed: Vec<Listed>, changes: u64) {
        let listed = self.with_lengths(dir, listed);
        let mut listing = self.inner.tree.listing(dir, listed);
        if listing.hidden > 0 {
            tracing::info!(directory = %dir.path, hidden = listing.hidden, "files of unknown length are not shown yet");
        }
        if dir.ino == ROOT {
            listing = listing.with(self.inner.catalog.node());
        }
        let listing = Arc::new(listing);
        self.keep(source, dir, &listing).await;
        dir.set(listing, changes);
    }

    /// Keeps it for the next worker, before anybody hears of it.
    async fn keep(&self, source: &Source, dir: &Directory, listing: &Arc<Listing>) {
        let Some(kept) = self.inner.kept.clone() else { return };
        let (source, ino, listing) = (source.clone(), dir.ino, Arc::clone(listing));
        // Whether that works is its own business.
        let _ended = spawn_blocking(move || kept.keep(&source, ino, &listing)).await;
    }

    /// Shows what the worker before showed, to everybody for whom it is new enough; true when it is so for whoever
    /// comes.
    async fn recall(&self, source: &Source, dir: &Arc<Directory>) -> bool {
        let Some(kept) = self.inner.kept.clone().filter(|_| dir.current().is_none()) else { return false };
        let (source, tree, of) = (source.clone(), Arc::clone(&self.inner.tree), Arc::clone(dir));
        let recalled = spawn_blocking(move || kept.recall(&source, &tree, &of)).await;
        let Some((mut listing, fetched)) = recalled.ok().flatten() else { return false };
        if dir.ino == ROOT {
            listing = listing.with(self.inner.catalog.node());
        }
        dir.recall(Arc::new(listing), fetched);
        answer_waiters(dir, self.inner.listings.take_content(dir, fetched), Errno::EIO);
        self.fresh().allows(fetched)
    }
}

/// Whatever happens to the task, nobody waits for it for ever.
struct Answering {
    fs: Weak<Inner>,
    dir: Arc<Directory>,
    /// For those to whom nothing can be shown.
    otherwise: Errno,
}

impl Drop for Answering {
    fn drop(&mut self) {
        let Some(inner) = self.fs.upgrade() else { return };
        // Once: who comes from now on waits for another fetch, and must hear of that one alone.
        let waiters = inner.listings.take(&self.dir);
        answer_waiters(&self.dir, waiters, self.otherwise);
    }
}

async fn fetch(fs: Weak<Inner>, dir: Arc<Directory>, id: OpId) -> Result<(), String> {
    let mut answering = Answering { fs: fs.clone(), dir: Arc::clone(&dir), otherwise: Errno::EIO };
    let source = fs.upgrade().and_then(|inner| inner.parts.source.clone()).ok_or("the mount is gone")?;
    #[cfg(feature = "failpoints")]
    fail::fail_point!("listing::fetch");
    if (Fs { inner: fs.upgrade().ok_or("the mount is gone")? }).recall(&source, &dir).await {
        return Ok(());
    }
    let changes = dir.changes();
    let got = source.list(&dir.path, id).await;
    let fs = Fs { inner: fs.upgrade().ok_or("the mount is gone")? };
    match got {
        Ok(listed) => {
            fs.show(&source, &dir, listed, changes).await;
            Ok(())
        }
        Err(error) => {
            answering.otherwise = fs.not_fetched(&dir, &error).await;
            Err(error.to_string())
        }
    }
}

impl Fs {
    /// What those hear to whom nothing can be shown.
    async fn not_fetched(&self, dir: &Directory, error: &SourceError) -> Errno {
        if matches!(error, SourceError::NoDirectory(_)) {
            dir.forget();
            if let Some(kept) = self.inner.kept.clone() {
                let ino = dir.ino;
                let _ended = spawn_blocking(move || kept.forget(ino)).await;
            }
        } else {
            self.tell_trouble("list", dir.ino, error);
            dir.stay_until(clock::now() + RETRY, self.inner.config.listing_ttl);
        }
        Errno::from(error)
    }

    /// Listings that were fetched before this time are too old for a new look.
    pub(super) fn fresh(&self) -> Age {
        let now = clock::now();
        Age::Since(now.checked_sub(self.inner.config.listing_ttl).unwrap_or(now))
    }
}
