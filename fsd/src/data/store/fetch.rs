//! Fetching: the tasks that bring a store's bytes. They live as long as the store, whoever started them.

use std::{
    ops::{ControlFlow, Range},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use fsd_events::{
    event::{Phase, TaskKind},
    ids::OpId,
};

use crate::{
    data::origin::{Body, OriginError, Piece, Validator},
    observe::{
        locks::Permit,
        tasks::{self, Spec},
    },
    platform::clock,
};

use super::{
    Store, StoreError,
    chunk::Chunk,
    download::Pace,
    failpoint, reading,
    slab::Filler,
    state::{Flight, Keep, Kind, Lost, Start},
    writing,
};

/// Answers in a row that brought nothing before a fetch gives up.
const FRUITLESS: u32 = 3;

/// Bytes that a store may have taken in and not written yet, at most: more of them gains nothing.
const UNWRITTEN: u64 = 64 << 20;

/// A disk that takes no byte for so long, while a download waits for it, is done without.
const STUCK: Duration = Duration::from_secs(2);

/// Ends the flight however its task ends.
struct Flying {
    store: Arc<Store>,
    key: u64,
    result: Option<Result<(), StoreError>>,
}

impl Drop for Flying {
    fn drop(&mut self) {
        let lost = || Err(StoreError::Upstream(OriginError::Client("the fetch ended".to_owned())));
        let result = self.result.take().unwrap_or_else(lost);
        self.store.landed(self.key, result);
    }
}

/// Why a stream of pieces stopped before its end.
pub(super) enum Stop {
    /// The store closes or has failed.
    Store,
    Origin(OriginError),
}

impl Store {
    /// Starts requests that the state has registered. No lock is held.
    pub(super) fn launch(self: &Arc<Self>, starts: Vec<Start>, by: Option<OpId>) {
        for start in starts {
            failpoint::hold_thread("store::launch", &self.content.path, start.kind.name());
            let permits = match start.kind {
                Kind::Ahead => self.try_ahead(by),
                Kind::Main | Kind::Demand => Some(Vec::new()),
            };
            let Some(permits) = permits else {
                // Somebody may have begun to wait for it.
                let (_, starts) = self.take_off(start.key, false);
                self.launch(starts, by);
                continue;
            };
            let kind = if start.kind == Kind::Ahead { TaskKind::Prefetch } else { TaskKind::Download };
            let spec = Spec { kind, parent: by, fh: None, path: Some(&self.content.path) };
            let flying = Flying { store: Arc::clone(self), key: start.key, result: None };
            let task = tasks::spawn(&self.stores.runtime, spec, |id| fly(flying, start.clone(), permits, id));
            self.state.lock().launched(start.key, task);
        }
    }

    /// Prefetch only tries for permits, and the last one is for demand.
    fn try_ahead(&self, by: Option<OpId>) -> Option<Vec<Permit>> {
        let by = by.unwrap_or_default();
        let ahead = self.ahead.try_acquire(by)?;
        Some(vec![ahead, self.permits.try_acquire(by)?])
    }

    /// One ranged fetch, taken up again where it breaks.
    async fn fetch(self: &Arc<Self>, key: u64, range: Range<u64>, id: OpId) -> Result<(), StoreError> {
        let mut fruitless = 0;
        let mut at = range.start;
        while at < range.end {
            match self.stream(key, &(at..range.end), false, id).await {
                Ok(()) => return Ok(()),
                Err(Stop::Store) => return Err(self.why()),
                Err(Stop::Origin(error @ OriginError::NoRanges { .. })) => return self.without_ranges(error),
                Err(Stop::Origin(error)) => {
                    let reached = self.reached(key).max(at);
                    fruitless = if reached > at { 0 } else { fruitless + 1 };
                    at = reached;
                    self.broken(&error, fruitless)?;
                    tasks::phase(id, Phase::Backoff, "");
                    tokio::time::sleep(pause(fruitless)).await;
                }
            }
        }
        Ok(())
    }

    /// One answer, piece by piece. `whole`: without a range, so that any server can answer.
    pub(super) async fn stream(
        self: &Arc<Self>,
        key: u64,
        range: &Range<u64>,
        whole: bool,
        id: OpId,
    ) -> Result<(), Stop> {
        let (resource, validator) = {
            let state = self.state.lock();
            (state.resource.clone(), state.validator.clone())
        };
        let Some(resource) = resource else { return Err(Stop::Store) };
        let validator = if self.state.lock().single { Validator::None } else { validator };
        let asked = (!whole).then(|| range.clone());
        let asked_at = clock::now();
        let mut body = self.stores.origin.get(&resource, asked, &validator, id).await.map_err(Stop::Origin)?;
        let mut pace = Pace::after(asked_at.elapsed());
        self.agree(&body)?;
        let mut filler = self.stores.slab.filler(range.end.saturating_sub(body.at()), self.stores.budget.share());
        while body.at() < range.end {
            failpoint::hold("store::stalled_download", &self.content.path).await;
            self.room(id).await;
            let (at, asked) = (body.at(), clock::now());
            let came = receive(&mut body, &mut filler).await.map_err(Stop::Origin)?;
            pace.add(asked.elapsed(), usize::try_from(body.at() - at).unwrap_or(usize::MAX));
            self.within(&mut body).await?;
            let delivered = match came {
                None => break,
                Some(Piece::Filled(filled)) => self.deliver(key, at, &Chunk::Block(filled)),
                Some(Piece::Own(frame)) => self.deliver_all(key, at, frame, &mut filler),
            };
            if delivered.is_break() {
                return Err(Stop::Store);
            }
            self.report(id, "running");
            if self.is_superfluous(key, &mut pace, body.at()) {
                return Ok(());
            }
        }
        if body.at() < self.content.size.min(range.end) {
            let at = self.content.path.to_string();
            let why = "it ended".to_owned();
            return Err(Stop::Origin(OriginError::Short { at, got: body.at(), want: range.end, why }));
        }
        Ok(())
    }

    /// The first answer settles size and version; from then on others may fetch beside it.
    fn agree(self: &Arc<Self>, body: &Body) -> Result<(), Stop> {
        let (first, version) = {
            let state = self.state.lock();
            (!state.agreed, state.version_by(body.meta()))
        };
        if let Some(told) = body.meta().size.filter(|_| first) {
            self.stores.versions.hear(self.content.ino, told);
        }
        let version = version.map_err(|why| self.changed(why))?;
        // Before anybody sees that it is agreed on, and before anything is registered, which would have to be started.
        if first {
            self.settle(&version)?;
        }
        let (restart, lru, starts) = {
            let mut state = self.state.lock();
            if let Some(renewed) = body.renewed() {
                state.resource = Some(renewed.clone());
            }
            state.agree(version);
            let starts = if first { state.kick(clock::now(), Flight::soon) } else { Vec::new() };
            (state.single && !first, state.single && state.keep == Keep::Lru, starts)
        };
        self.launch(starts, None);
        if restart {
            self.begin_again()?;
        }
        if lru {
            return Err(Stop::Origin(OriginError::NoRanges { at: self.content.path.to_string() }));
        }
        Ok(())
    }

    /// A content that is listed without a version is of the one that was given out first.
    fn settle(&self, version: &Validator) -> Result<(), Stop> {
        if self.content.given && *version == Validator::None {
            let why = "bytes were given out before, and without a version these cannot be told from others";
            return Err(self.changed(why.to_owned()));
        }
        let listed = self.content.validator != Validator::None;
        if listed || self.stores.versions.settle(self.content.ino, version) {
            return Ok(());
        }
        Err(self.changed("bytes of another version were given out before".to_owned()))
    }

    fn changed(&self, why: String) -> Stop {
        Stop::Origin(OriginError::Changed { at: self.content.path.to_string(), why })
    }

    /// An answer that does not tell its length may be longer than what was listed: it is of another version then. Its
    /// last bytes are nobody's before its end has come.
    async fn within(&self, body: &mut Body) -> Result<(), Stop> {
        let size = self.content.size;
        if body.at() == size && body.is_open_ended() {
            body.chunk().await.map_err(Stop::Origin)?;
        }
        if body.at() <= size {
            return Ok(());
        }
        Err(self.changed(format!("it has more than {size} bytes")))
    }

    /// A second answer of a content without a version: only if no byte of the first was given away.
    fn begin_again(&self) -> Result<(), Stop> {
        let mut state = self.state.lock();
        if state.served {
            let why = "the answer broke, and without a version its rest cannot be told from another";
            return Err(self.changed(why.to_owned()));
        }
        state.restart();
        state.agreed = true;
        Ok(())
    }

    fn deliver_all(self: &Arc<Self>, key: u64, mut at: u64, mut frame: Bytes, filler: &mut Filler) -> ControlFlow<()> {
        while let Some(chunk) = filler.next(at, &mut frame) {
            self.deliver(key, at, &chunk)?;
            at += chunk.len() as u64;
        }
        ControlFlow::Continue(())
    }

    /// Takes in a piece and answers who waited for it.
    fn deliver(self: &Arc<Self>, key: u64, at: u64, bytes: &Chunk) -> ControlFlow<()> {
        let share = self.stores.budget.share();
        let (ready, write) = {
            let mut state = self.state.lock();
            if state.closing || state.dead.is_some() {
                return ControlFlow::Break(());
            }
            let ready = if failpoint::is_set("store::lost_wakeup", &self.content.path) {
                state.absorb(key, at, bytes);
                Vec::new()
            } else {
                state.arrive(key, at, bytes)
            };
            state.shrink(share);
            (ready, state.keep == Keep::Disk && !state.writing && state.dirty_bytes >= writing::batch(share))
        };
        self.answer_all(ready);
        if write {
            self.write_behind();
        }
        ControlFlow::Continue(())
    }

    /// Waits until the writer has kept up; never for a reader, and not for a disk that takes nothing.
    async fn room(self: &Arc<Self>, id: OpId) {
        let mut stuck_at = None;
        loop {
            let freed = self.room.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            let Some(written) = self.written_while_full() else { return };
            let why = || StoreError::Disk(format!("nothing was written for {STUCK:?}"));
            if stuck_at == Some(written) && self.leave_disk(why) {
                return;
            }
            // Shares may have become smaller since the last piece came, which was too little to write then.
            self.write_behind();
            tasks::phase(id, Phase::Disk, "write behind");
            self.report(id, "waiting");
            stuck_at = tokio::time::timeout(STUCK, freed).await.is_err().then_some(written);
        }
    }

    /// Bytes that are on disk, while no more may be taken in before some are written.
    fn written_while_full(&self) -> Option<u64> {
        let state = self.state.lock();
        let full = state.keep == Keep::Disk
            && state.dirty_bytes >= self.stores.budget.share().min(UNWRITTEN)
            && state.dead.is_none()
            && !state.closing;
        full.then(|| state.held.disk.bytes())
    }

    /// Decides whether a broken answer is worth another.
    pub(super) fn broken(&self, error: &OriginError, fruitless: u32) -> Result<(), StoreError> {
        let failure = StoreError::from(error.clone());
        if matches!(failure, StoreError::Changed(_)) {
            self.die(&failure);
            return Err(failure);
        }
        if !error.passing() || fruitless >= FRUITLESS { Err(failure) } else { Ok(()) }
    }

    /// The origin serves no ranges: everything comes through one download from the start.
    fn without_ranges(self: &Arc<Self>, error: OriginError) -> Result<(), StoreError> {
        let reserved = if self.state.lock().keep == Keep::Lru { self.use_disk() } else { Ok(()) };
        self.state.lock().rangeless = true;
        if let Err(error) = reserved {
            self.die(&error);
            return Err(error);
        }
        drop(error);
        Ok(())
    }

    fn landed(self: &Arc<Self>, key: u64, result: Result<(), StoreError>) {
        let (lost, starts) = self.take_off(key, result.is_err());
        if let Err(error) = &result {
            self.stores.ticker.left(lost.len());
            reading::refuse_all(lost, error);
        }
        self.launch(starts, None);
        self.flush_if_done();
    }

    /// Ends the flight in the state, and tells a close that waits for the last one.
    fn take_off(&self, key: u64, failed: bool) -> (Vec<Lost>, Vec<Start>) {
        let landed = self.state.lock().land(key, failed, clock::now());
        self.idle.notify_waiters();
        landed
    }

    pub(super) fn report(&self, id: OpId, state: &str) {
        tasks::progress(id, self.have(), self.content.size, state);
    }

    pub(super) fn have(&self) -> u64 {
        self.state.lock().held.have().bytes()
    }

    pub(super) fn have_until(&self, at: u64) -> u64 {
        self.state.lock().held.have().run_from(at)
    }

    pub(super) fn reached(&self, key: u64) -> u64 {
        let state = self.state.lock();
        state.flights.iter().find(|flight| flight.key == key).map_or(0, |flight| flight.at)
    }

    pub(super) fn why(&self) -> StoreError {
        self.state.lock().dead.clone().unwrap_or(StoreError::Closed)
    }
}

/// The next bytes of a body, read to where they stay if body and memory allow.
async fn receive(body: &mut Body, filler: &mut Filler) -> Result<Option<Piece>, OriginError> {
    let Some(filling) = filler.filling(body.at()) else { return Ok(body.chunk().await?.map(Piece::Own)) };
    let piece = body.fill(filling).await?;
    if let Some(Piece::Filled(filled)) = &piece {
        filler.took(filled.len());
    }
    Ok(piece)
}

async fn fly(mut flying: Flying, start: Start, mut permits: Vec<Permit>, id: OpId) -> Result<(), String> {
    let store = Arc::clone(&flying.store);
    let result = match start.kind {
        Kind::Main => store.download(start.key, id).await,
        Kind::Demand => {
            tasks::phase(id, Phase::Permit, "");
            permits.push(store.permits.acquire(id).await);
            store.fetch(start.key, start.range, id).await
        }
        Kind::Ahead => store.fetch(start.key, start.range, id).await,
    };
    drop(permits);
    let state = match &result {
        Ok(()) => "complete",
        Err(StoreError::Closed) => "closed",
        Err(_) => "failed",
    };
    store.report(id, state);
    let told = result.clone().map_err(|error| error.to_string());
    flying.result = Some(result);
    drop(flying);
    told
}

/// Between answers that broke.
pub(super) fn pause(fruitless: u32) -> Duration {
    Duration::from_millis(50) * 4_u32.pow(fruitless.min(4))
}
