//! Versions: what the first answer said of a content whose listing names no version.
//!
//! The kernel keeps bytes of an inode beyond its last close. So all stores of one inode must be of one version, also
//! when the origin's file changes before anybody lists it again.

use std::collections::{HashMap, HashSet};

use crate::{
    data::origin::Validator,
    observe::locks::{Class, Mutex, Rank},
};

static VERSIONS: Class = Class::new("versions", Rank::Stores);

/// By inode, until the kernel forgets it.
pub(super) struct Versions {
    settled: Mutex<HashMap<u64, Validator>>,
    /// Opened here before.
    met: Mutex<HashSet<u64>>,
}

impl Versions {
    pub(super) fn new() -> Self {
        Self { settled: Mutex::new(&VERSIONS, HashMap::new()), met: Mutex::new(&VERSIONS, HashSet::new()) }
    }

    pub(super) fn of(&self, ino: u64) -> Validator {
        self.settled.lock().get(&ino).cloned().unwrap_or_default()
    }

    /// The first to say so counts.
    pub(super) fn settle(&self, ino: u64, version: &Validator) {
        if *version != Validator::None {
            self.settled.lock().entry(ino).or_insert_with(|| version.clone());
        }
    }

    /// True for the first time.
    pub(super) fn meet(&self, ino: u64) -> bool {
        self.met.lock().insert(ino)
    }

    pub(super) fn forget(&self, ino: u64) {
        self.settled.lock().remove(&ino);
        self.met.lock().remove(&ino);
    }
}
