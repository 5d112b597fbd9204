//! Permits: a bounded number of holders at once, each known by its operation.

use std::sync::Arc;

use fsd_events::ids::OpId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Class;

/// A semaphore whose holders have names. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Permits {
    class: &'static Class,
    semaphore: Arc<Semaphore>,
}

/// One permit; given back when dropped.
#[derive(Debug)]
pub struct Permit {
    _owned: Option<OwnedSemaphorePermit>,
}

impl Permits {
    pub fn new(class: &'static Class, n: usize) -> Self {
        Self { class, semaphore: Arc::new(Semaphore::new(n)) }
    }

    /// Waits for a permit; cancel it by dropping the future.
    pub async fn acquire(&self, _for: OpId) -> Permit {
        Permit { _owned: Arc::clone(&self.semaphore).acquire_owned().await.ok() }
    }

    /// A permit if one is free.
    pub fn try_acquire(&self, _for: OpId) -> Option<Permit> {
        let owned = Arc::clone(&self.semaphore).try_acquire_owned().ok()?;
        Some(Permit { _owned: Some(owned) })
    }

    pub fn available(&self) -> usize {
        self.semaphore.available_permits()
    }

    pub fn class(&self) -> &'static Class {
        self.class
    }
}
