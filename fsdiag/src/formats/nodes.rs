//! Nodes: which path a node id stands for, as far as a log's lookups told.

use super::REMEMBERED;
use crate::engine::{fact::Name, model::hash::NumberMap};

/// The root of every mount.
const ROOT: u64 = 1;

#[derive(Debug)]
pub(super) struct Nodes {
    root: Name,
    paths: NumberMap<u64, Name>,
}

impl Default for Nodes {
    fn default() -> Self {
        Self { root: "/".into(), paths: NumberMap::default() }
    }
}

impl Nodes {
    pub(super) fn path(&self, ino: u64) -> Option<Name> {
        if ino == ROOT { Some(self.root.clone()) } else { self.paths.get(&ino).cloned() }
    }

    /// The path of `name` in the directory `parent`; the name alone where the directory is not known.
    pub(super) fn child(&self, parent: u64, name: &str) -> Name {
        match self.path(parent) {
            Some(dir) if *dir == *self.root => ["/", name].concat().into(),
            Some(dir) => [&*dir, "/", name].concat().into(),
            None => name.into(),
        }
    }

    /// When full it starts anew: ids repeat soon, and a path is a courtesy.
    pub(super) fn learn(&mut self, ino: u64, path: &Name) {
        if self.paths.get(&ino).is_some_and(|known| known == path) {
            return;
        }
        if self.paths.len() >= REMEMBERED {
            self.paths.clear();
        }
        self.paths.insert(ino, path.clone());
    }

    pub(super) fn clear(&mut self) {
        self.paths.clear();
    }
}
