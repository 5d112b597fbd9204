//! A listing: the names of one directory, in an order that every worker gives them.

use std::sync::Arc;

use fsd_events::{ids::Ino, names};

use crate::data::{origin::Validator, source::Place};

/// Cookie of `.`; `..` has the next one, and every name a higher one.
pub const DOT: u64 = 1;
pub const DOT_DOT: u64 = 2;
const FIRST_COOKIE: u64 = 16;
/// Names of one directory whose cookies would be the same get following ones, at most so many.
const COLLISIONS: u64 = 16;

/// The names of one directory at one time, in the order of their cookies. Never changes.
#[derive(Debug, Default)]
pub struct Listing {
    pub(super) nodes: Vec<Node>,
    /// Names that are not shown, because the origin does not tell their length.
    pub hidden: usize,
}

/// One name of a listing.
#[derive(Clone, Debug)]
pub struct Node {
    /// Place in the directory: a function of the name alone, so it is the same in every listing and every worker.
    pub cookie: u64,
    pub name: Box<str>,
    pub ino: Ino,
    /// None: a directory.
    pub file: Option<Arc<FileInfo>>,
}

/// What is known of a file without opening it. Never changes for one inode.
#[derive(Clone, Debug)]
pub struct FileInfo {
    pub size: u64,
    pub modified_us: Option<u64>,
    pub validator: Validator,
    pub place: Place,
    /// Nothing tells its versions apart: the kernel must ask each time, and what it has of the file after its last close
    /// is worth nothing.
    pub unversioned: bool,
    /// Shown because somebody staged it.
    pub staged: bool,
}

impl Node {
    pub fn dir(name: &str, ino: Ino) -> Self {
        Self { cookie: cookie(name), name: name.into(), ino, file: None }
    }

    pub fn file(name: &str, ino: Ino, info: FileInfo) -> Self {
        Self { cookie: cookie(name), name: name.into(), ino, file: Some(Arc::new(info)) }
    }

    pub(super) fn is_unversioned(&self, size: u64) -> bool {
        self.file.as_ref().is_some_and(|file| file.unversioned && file.size == size)
    }
}

fn cookie(name: &str) -> u64 {
    (names::hash(7, name.as_bytes()) >> 2).max(FIRST_COOKIE)
}

impl Listing {
    /// Of two nodes with one name the first stays.
    pub fn new(mut nodes: Vec<Node>, hidden: usize) -> Self {
        nodes.sort_by(|a, b| a.cookie.cmp(&b.cookie).then_with(|| a.name.cmp(&b.name)));
        nodes.dedup_by(|b, a| a.name == b.name);
        for n in 1..nodes.len() {
            nodes[n].cookie = nodes[n].cookie.max(nodes[n - 1].cookie + 1);
        }
        Self { nodes, hidden }
    }

    /// The same with one node more, which takes the place of one with the same name.
    #[must_use]
    pub fn with(mut self, node: Node) -> Self {
        self.nodes.retain(|old| old.name != node.name);
        self.nodes.push(node);
        Self::new(self.nodes, self.hidden)
    }

    pub fn find(&self, name: &str) -> Option<&Node> {
        let first = cookie(name);
        let start = self.nodes.partition_point(|node| node.cookie < first);
        self.nodes[start..].iter().take_while(|node| node.cookie < first + COLLISIONS).find(|node| *node.name == *name)
    }

    /// The nodes behind a cookie.
    pub fn after(&self, cookie: u64) -> &[Node] {
        &self.nodes[self.nodes.partition_point(|node| node.cookie <= cookie)..]
    }

    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
}
