//! Versions: what the first answer said of a content whose listing names no version.
//!
//! The kernel keeps bytes of an inode beyond its last close, and beyond this worker. So all stores of one inode must be
//! of one version, also when the origin's file changes before anybody lists it again.

use std::{
    collections::HashMap,
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
    /// The first answer to a store of that inode told its length, in bytes; it may be another than was listed.
    fn hear(&self, ino: u64, told: u64);
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

    /// The first to say so counts. False: bytes of another version were given out, by this worker or an earlier one,
    /// and the kernel may have them.
    pub(super) fn settle(&self, ino: u64, version: &Validator) -> bool {
        let number = number(version);
        // Two stores of one inode may hear their first answers at once: whoever comes second sees what the first kept.
        let mut settled = self.settled.lock();
        let known = self.beyond.get().map_or(0, |beyond| beyond.version(ino));
        if number == 0 || known != 0 && known != number {
            return known == number;
        }
        let kept = settled.entry(ino).or_insert_with(|| version.clone()) == version;
        if kept && known == 0 {
            self.remember(ino, number);
        }
        kept
    }

    pub(super) fn hear(&self, ino: u64, told: u64) {
        if let Some(beyond) = self.beyond.get() {
            beyond.hear(ino, told);
        }
    }

    pub(super) fn forget(&self, ino: u64) {
        let mut settled = self.settled.lock();
        settled.remove(&ino);
        self.remember(ino, 0);
    }

    /// Under the lock, so that both are of one version: a word in shared memory, for which nobody waits.
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

        fn hear(&self, _ino: u64, _told: u64) {}
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

    #[test]
    fn of_two_first_answers_at_once_one_counts() {
        let [one, two] = ["\"1\"", "\"2\""].map(|tag| Validator::Strong(tag.to_owned()));
        let versions = worker(&Arc::new(Table::default()));
        let start = std::sync::Barrier::new(2);
        let settle = |version: &Validator| {
            (0..2000)
                .map(|ino| {
                    versions.forget(ino);
                    start.wait();
                    let settled = versions.settle(ino, version);
                    start.wait();
                    settled
                })
                .collect::<Vec<_>>()
        };
        let (first, second) = std::thread::scope(|scope| {
            let other = scope.spawn(|| settle(&two));
            (settle(&one), other.join().unwrap())
        });
        let both = first.iter().zip(&second).filter(|(a, b)| a == b).count();
        assert_eq!(both, 0, "each inode is of one version");
    }
}
