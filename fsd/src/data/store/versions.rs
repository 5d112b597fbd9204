//! Versions: what the first answer said of a content whose listing names no version.
//!
//! The kernel keeps bytes of an inode beyond its last close, and beyond this worker. So all stores of one inode must be
//! of one version, also when the origin's file changes before anybody lists it again.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, OnceLock},
};

use fsd_events::names::hash;

use crate::{
    data::origin::Validator,
    observe::locks::{Class, Mutex, Rank},
};

static VERSIONS: Class = Class::new("versions", Rank::Stores);

/// Remembers a version of each inode, as a number, for the next worker.
pub trait Remember: Send + Sync {
    /// 0: nobody knows it.
    fn version(&self, ino: u64) -> u32;
    /// 0: forget it.
    fn remember(&self, ino: u64, version: u32);
}

/// By inode, until the kernel forgets it.
pub(super) struct Versions {
    settled: Mutex<HashMap<u64, Validator>>,
    beyond: OnceLock<Arc<dyn Remember>>,
}

impl Versions {
    pub(super) fn new() -> Self {
        Self { settled: Mutex::new(&VERSIONS, HashMap::new()), beyond: OnceLock::new() }
    }

    /// The first one given stays.
    pub(super) fn remember_with(&self, beyond: Arc<dyn Remember>) {
        drop(self.beyond.set(beyond));
    }

    pub(super) fn of(&self, ino: u64) -> Validator {
        self.settled.lock().get(&ino).cloned().unwrap_or_default()
    }

    /// The first to say so counts. False: an earlier worker gave bytes of another version, which the kernel may have.
    pub(super) fn settle(&self, ino: u64, version: &Validator) -> bool {
        let number = number(version);
        let known = self.beyond.get().map_or(0, |beyond| beyond.version(ino));
        if number != 0 && self.keep(ino, version) && known == 0 {
            self.remember(ino, number);
        }
        known == 0 || known == number
    }

    /// True for the first.
    fn keep(&self, ino: u64, version: &Validator) -> bool {
        match self.settled.lock().entry(ino) {
            Entry::Occupied(_) => false,
            Entry::Vacant(free) => {
                free.insert(version.clone());
                true
            }
        }
    }

    pub(super) fn forget(&self, ino: u64) {
        self.settled.lock().remove(&ino);
        self.remember(ino, 0);
    }

    fn remember(&self, ino: u64, version: u32) {
        if let Some(beyond) = self.beyond.get() {
            beyond.remember(ino, version);
        }
    }
}

/// 0 for none.
fn number(version: &Validator) -> u32 {
    let sum = match version {
        Validator::Strong(tag) => hash(1, tag.as_bytes()),
        Validator::Dated { modified, .. } => hash(2, modified.as_bytes()),
        Validator::None => return 0,
    };
    // Neither nothing nor the number of what is forsaken.
    (sum as u32 >> 1).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Table(std::sync::atomic::AtomicU32);

    impl Remember for Table {
        fn version(&self, _ino: u64) -> u32 {
            self.0.load(std::sync::atomic::Ordering::Relaxed)
        }

        fn remember(&self, _ino: u64, version: u32) {
            self.0.store(version, std::sync::atomic::Ordering::Relaxed);
        }
    }

    fn worker(table: &Arc<Table>) -> Versions {
        let versions = Versions::new();
        versions.remember_with(Arc::clone(table) as Arc<dyn Remember>);
        versions
    }

    #[test]
    fn a_version_outlives_the_worker_that_settled_it() {
        let table = Arc::new(Table::default());
        let [one, two] = ["\"1\"", "\"2\""].map(|tag| Validator::Strong(tag.to_owned()));
        let first = worker(&table);
        assert!(first.settle(7, &one) && first.settle(7, &one) && !first.settle(7, &two));
        assert_eq!(first.of(7), one);
        assert!(worker(&table).settle(7, &one) && !worker(&table).settle(7, &two));
        assert!(!worker(&table).settle(7, &Validator::None), "it had a version");
        worker(&table).forget(7);
        assert!(worker(&table).settle(7, &Validator::None) && worker(&table).settle(7, &two));
    }
}
