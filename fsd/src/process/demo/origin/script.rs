//! The script: what the origin serves, which faults wait, and what has happened.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
    sync::{Condvar, PoisonError},
    time::{Duration, Instant},
};

use crate::platform::clock;

use super::{Fault, IndexStyle};

/// What answers say about the version of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Versions {
    /// A strong tag and a date.
    #[default]
    Tag,
    /// A weak tag and a date.
    Weak,
    /// A date only.
    Date,
    Nothing,
}

/// A request as it came.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    pub method: String,
    /// Without the query.
    pub path: String,
    pub query: Option<String>,
    /// Of a single `Range: bytes=a-b`, end exclusive; an open end is `u64::MAX`.
    pub range: Option<Range<u64>>,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|header| header.0 == name).map(|header| header.1.as_str())
    }
}

/// A body received by PUT.
#[derive(Clone, Debug, PartialEq)]
pub struct Upload {
    pub path: String,
    pub bytes: u64,
    /// [`super::Checksum`] of the bytes.
    pub checksum: u64,
    /// All of the announced length arrived.
    pub complete: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) version: u64,
    pub(super) versions: Versions,
    pub(super) ranges: bool,
    pub(super) required: Option<(String, String)>,
    pub(super) queued: VecDeque<Option<Fault>>,
    pub(super) always: Option<Fault>,
}

#[derive(Clone, Debug, Default)]
pub(super) enum Kind {
    #[default]
    Absent,
    File {
        size: u64,
    },
    Page {
        media_type: String,
        text: String,
    },
}

impl Default for Entry {
    fn default() -> Self {
        Self {
            kind: Kind::Absent,
            version: 0,
            versions: Versions::Tag,
            ranges: true,
            required: None,
            queued: VecDeque::new(),
            always: None,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) entries: BTreeMap<String, Entry>,
    pub(super) index: IndexStyle,
    pub(super) latency: Duration,
    pub(super) connecting: Duration,
    pub(super) bandwidth: u64,
    pub(super) releases: u64,
    pub(super) stalled: usize,
    pub(super) sent: u64,
    pub(super) requests: Vec<Request>,
    pub(super) uploads: Vec<Upload>,
    ended: bool,
}

impl Book {
    pub(super) fn entry(&mut self, path: &str) -> &mut Entry {
        self.entries.entry(path.trim_start_matches('/').to_owned()).or_default()
    }

    pub(super) fn put_file(&mut self, path: &str, size: u64) {
        let entry = self.entry(path);
        entry.kind = Kind::File { size };
        entry.version += 1;
    }

    pub(super) fn put_page(&mut self, path: &str, media_type: &str, text: &str) {
        let entry = self.entry(path);
        entry.kind = Kind::Page { media_type: media_type.to_owned(), text: text.to_owned() };
        entry.version += 1;
    }

    pub(super) fn remove(&mut self, path: &str) {
        self.entry(path).kind = Kind::Absent;
    }

    pub(super) fn heal(&mut self) {
        for entry in self.entries.values_mut() {
            entry.queued.clear();
            entry.always = None;
        }
    }

    pub(super) fn version(&self, path: &str) -> u64 {
        self.entries.get(path.trim_start_matches('/')).map_or(1, |entry| entry.version)
    }
}

/// The book behind a lock of its own: the origin is another program that happens to live in this process.
#[derive(Debug, Default)]
pub(super) struct Script {
    #[expect(clippy::disallowed_types, reason = "the scripted origin is not the product; its waits are no evidence")]
    book: std::sync::Mutex<Book>,
    changed: Condvar,
    /// For those who stall: a thousand of them must not wake for each request of others.
    released: Condvar,
    /// For those who only let time pass: a hundred answers at a limited rate must not wake each other.
    ended: Condvar,
}

impl Script {
    pub(super) fn edit<R>(&self, edit: impl FnOnce(&mut Book) -> R) -> R {
        let (result, released) = {
            let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
            let before = book.releases;
            (edit(&mut book), book.releases != before)
        };
        self.changed.notify_all();
        if released {
            self.released.notify_all();
        }
        result
    }

    pub(super) fn look<R>(&self, look: impl FnOnce(&Book) -> R) -> R {
        look(&self.book.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn end(&self) {
        self.edit(|book| book.ended = true);
        self.ended.notify_all();
        self.released.notify_all();
    }

    pub(super) fn ended(&self) -> bool {
        self.look(|book| book.ended)
    }

    /// Releases so far.
    pub(super) fn releases(&self) -> u64 {
        self.look(|book| book.releases)
    }

    /// Stalls until the next release or the end of the origin.
    pub(super) fn stall(&self) {
        let before = self.edit(|book| {
            book.stalled += 1;
            book.releases
        });
        self.pause(&self.released, None, |book| book.releases != before);
        self.edit(|book| book.stalled -= 1);
    }

    /// Lets time pass; less when the origin ends.
    pub(super) fn rest(&self, time: Duration) {
        if !time.is_zero() {
            self.pause(&self.ended, Some(clock::now() + time), |_| false);
        }
    }

    /// Waits until `ready` or `limit`. `ready` may look at the origin: the lock is not held.
    pub(super) fn wait(&self, limit: Duration, ready: impl Fn() -> bool) -> bool {
        let until = clock::now() + limit;
        while !ready() {
            if clock::now() >= until {
                return false;
            }
            self.pause(&self.changed, Some(clock::now() + Duration::from_millis(5)), |_| false);
        }
        true
    }

    fn pause(&self, woken_by: &Condvar, until: Option<Instant>, done: impl Fn(&Book) -> bool) {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        while !book.ended && !done(&book) {
            let left = until.map_or(Duration::from_secs(60), |until| until.saturating_duration_since(clock::now()));
            if left.is_zero() {
                return;
            }
            book = woken_by.wait_timeout(book, left).map_or_else(|e| e.into_inner().0, |woken| woken.0);
        }
    }
}
