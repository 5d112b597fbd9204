//! The closer: closes detached stores in the background, with a deadline, and a reaper for the rest.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use fsd_events::{event::TaskKind, ids::OpId};
use tokio::{runtime::Handle, sync::Notify};

use crate::{
    data::store::Store,
    observe::tasks::{self, Spec},
    platform::clock,
};

/// A store that no open file refers to any more. Only `names` takes stores out of its tables.
#[derive(Debug)]
pub struct Detached(Arc<Store>);

impl Detached {
    pub(crate) fn new(store: Arc<Store>) -> Self {
        Self(store)
    }

    /// Closes on this thread and waits for the download: the bug of the Go original, for tests that want its
    /// freeze.
    #[cfg(feature = "failpoints")]
    pub fn close_here(self) {
        self.0.close_waiting_for_download();
    }

    /// Inode of the content.
    pub fn ino(&self) -> u64 {
        self.0.content().ino
    }
}

/// Closes stores. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Closer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    runtime: Handle,
    limit: Duration,
    closing: AtomicUsize,
    reaping: AtomicUsize,
    done: Notify,
}

/// Which of the counts.
#[derive(Clone, Copy, Debug)]
enum Stage {
    Closing,
    Reaping,
}

/// One in a count for as long as it lives, also when its task is cancelled.
struct Counted {
    shared: Arc<Shared>,
    stage: Stage,
}

impl Counted {
    fn new(shared: &Arc<Shared>, stage: Stage) -> Self {
        shared.count(stage).fetch_add(1, Ordering::AcqRel);
        Self { shared: Arc::clone(shared), stage }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.shared.count(self.stage).fetch_sub(1, Ordering::AcqRel);
        self.shared.done.notify_waiters();
    }
}

impl Closer {
    /// A close that takes longer than `limit` is reported and left to the reaper.
    pub fn new(runtime: Handle, limit: Duration) -> Self {
        let (closing, reaping) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { shared: Arc::new(Shared { runtime, limit, closing, reaping, done: Notify::new() }) }
    }

    /// Starts to close; returns the task's id at once.
    pub fn submit(&self, detached: Detached, cause: OpId) -> OpId {
        let store = detached.0;
        let path = Arc::clone(&store.content().path);
        let spec = Spec { kind: TaskKind::Close, parent: Some(cause), fh: None, path: Some(&path) };
        // Counted from here, so that a drain that starts now sees it.
        let counted = Counted::new(&self.shared, Stage::Closing);
        tasks::spawn(&self.shared.runtime, spec, |id| close_with_timeout(counted, store, id)).id()
    }

    /// Closes that run within their limit.
    pub fn closing(&self) -> usize {
        self.shared.closing.load(Ordering::Acquire)
    }

    /// Closes that ran over their limit and are still not done.
    pub fn reaping(&self) -> usize {
        self.shared.reaping.load(Ordering::Acquire)
    }

    /// Waits until nothing is closing or reaping, at most until `deadline`; true when all is done.
    pub async fn drain(&self, deadline: Instant) -> bool {
        loop {
            let changed = self.shared.done.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.closing() == 0 && self.reaping() == 0 {
                return true;
            }
            if tokio::time::timeout_at(deadline.into(), changed).await.is_err() {
                return false;
            }
        }
    }
}

impl Shared {
    fn count(&self, stage: Stage) -> &AtomicUsize {
        match stage {
            Stage::Closing => &self.closing,
            Stage::Reaping => &self.reaping,
        }
    }
}

/// Closes, or warns at the limit and leaves the same close to the reaper.
async fn close_with_timeout(counted: Counted, store: Arc<Store>, id: OpId) -> Result<(), String> {
    let shared = Arc::clone(&counted.shared);
    let path = Arc::clone(&store.content().path);
    let mut close = Box::pin(async move { store.close(id).await });
    if tokio::time::timeout(shared.limit, &mut close).await.is_ok() {
        return Ok(());
    }
    tracing::warn!(task = id.0, %path, limit = ?shared.limit, "a close takes too long; the reaper goes on with it");
    let reaping = Counted::new(&shared, Stage::Reaping);
    drop(counted);
    let since = clock::now();
    let spec = Spec { kind: TaskKind::Close, parent: Some(id), fh: None, path: Some(&path) };
    tasks::spawn(&shared.runtime, spec, |_| async move {
        close.await;
        tracing::info!(task = id.0, late = ?since.elapsed(), "the reaper has finished a close");
        drop(reaping);
        Ok(())
    });
    Err("timeout".to_owned())
}
