//! An ask: one operation under way, with the place that its answer goes to.

use std::{fs::File, sync::Arc, time::Duration};

use fsd_events::ids::{Fh, Ino};

use crate::{
    names::{
        handles::{Backing, Mode},
        tree::{Listing, Node},
    },
    observe::Span,
};

use super::{Attr, Errno};

/// An operation that wants a `T`. Consumed by the answer; dropped without one it answers EIO.
pub trait Ask<T>: Send + Sized + 'static {
    fn span(&self) -> &Span;
    fn answer(self, got: Result<T, Errno>);
}

/// An operation that wants bytes.
pub trait AskBytes: Send + Sized + 'static {
    fn span(&self) -> &Span;
    /// All that was asked for, cut at the end of the file only; or an error.
    fn answer_bytes(self, got: Result<&[u8], Errno>);
}

/// An operation that wants a handle.
pub trait AskOpen: Ask<Opened> {
    /// Hands a complete file to the kernel; None when it cannot take it.
    fn back(&self, file: &File) -> Option<Backing>;
}

/// Who asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    pub uid: u32,
    pub gid: u32,
}

/// What a name leads to, and how long the kernel may believe it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry {
    pub attr: Attr,
    pub entry_ttl: Duration,
    pub attr_ttl: Duration,
}

/// An open file.
#[derive(Clone, Debug)]
pub struct Opened {
    pub fh: Fh,
    pub mode: Mode,
    /// The kernel need not send FLUSH.
    pub no_flush: bool,
    /// What the kernel has of the file may be of another version than what comes.
    pub stale: bool,
}

/// Part of a directory, from one cookie on; the reply takes as much as fits. Holds no lock.
pub struct Page {
    pub(super) listing: Arc<Listing>,
    pub(super) cookie: u64,
    pub(super) here: Entry,
    pub(super) above: Entry,
    pub(super) entry_of: Box<dyn Fn(&Node) -> Entry + Send>,
    pub(super) look_up: Box<dyn Fn(Ino) + Send>,
}

impl Page {
    /// The same for a reply that gives the kernel the inodes too, each as a lookup would; not those of the dots.
    pub fn fill_plus(&self, mut take: impl FnMut(u64, &str, &Entry) -> bool) {
        use crate::names::tree::DOT_DOT;
        self.fill(|cookie, name, entry| {
            let full = take(cookie, name, entry);
            if !full && cookie > DOT_DOT {
                (self.look_up)(entry.attr.ino);
            }
            full
        });
    }

    /// Gives `take` each entry (cookie, name, what it is) until it returns true: full.
    pub fn fill(&self, mut take: impl FnMut(u64, &str, &Entry) -> bool) {
        use crate::names::tree::{DOT, DOT_DOT};
        let dots = [(DOT, ".", &self.here), (DOT_DOT, "..", &self.above)];
        let full = dots.into_iter().filter(|dot| dot.0 > self.cookie).any(|(at, name, entry)| take(at, name, entry));
        if !full {
            let nodes = self.listing.after(self.cookie.max(DOT_DOT));
            let _ = nodes.iter().any(|node| take(node.cookie, &node.name, &(self.entry_of)(node)));
        }
    }
}

/// Room and names, for statfs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    pub blocks: u64,
    pub files: u64,
    pub block_size: u32,
    pub name_max: u32,
}
