//! Nodes: which path a node id stands for, as far as a log's lookups told.

use super::REMEMBERED;
use crate::engine::model::hash::NumberMap;

/// The root of every mount.
const ROOT: u64 = 1;

#[derive(Debug, Default)]
pub(super) struct Nodes {
    paths: NumberMap<u64, Box<str>>,
}

impl Nodes {
    pub(super) fn path(&self, ino: u64) -> Option<&str> {
        if ino == ROOT { Some("/") } else { self.paths.get(&ino).map(AsRef::as_ref) }
    }

    /// The path of `name` in the directory `parent`; the name alone where the directory is not known.
    pub(super) fn child(&self, parent: u64, name: &str) -> String {
        match self.path(parent) {
            Some("/") => format!("/{name}"),
            Some(dir) => format!("{dir}/{name}"),
            None => name.to_owned(),
        }
    }

    /// When full it starts anew: ids repeat soon, and a path is a courtesy.
    pub(super) fn learn(&mut self, ino: u64, path: &str) {
        if self.paths.get(&ino).is_some_and(|known| **known == *path) {
            return;
        }
        if self.paths.len() >= REMEMBERED {
            self.paths.clear();
        }
        self.paths.insert(ino, path.into());
    }

    pub(super) fn clear(&mut self) {
        self.paths.clear();
    }
}
