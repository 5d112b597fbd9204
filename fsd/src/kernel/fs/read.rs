//! Reads: bytes from the store, parked without a thread when they are not there yet.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use fsd_events::ids::{Fh, Ino, OpId};

use crate::{
    data::store::{Reader, Store, StoreError},
    names::tree::FileInfo,
    observe::{
        journal,
        locks::{Class, Mutex, Rank},
    },
    platform::clock,
};

use super::{AskBytes, Errno, Fs};

/// READs that wait for bytes, oldest first.
static PARKED: Class = Class::new("parked", Rank::Session);
/// One parked READ's answer: the store and the limit may both want to give it.
static PARKED_ASK: Class = Class::new("parked_ask", Rank::Usage);

impl Fs {
    /// Answers with `size` bytes from `off`, cut at the end of the file only, or with an error.
    pub fn read<A: AskBytes>(&self, ask: A, ino: Ino, fh: Fh, off: u64, size: u32) {
        if let Some(store) = self.inner.handles.store(ino, fh) {
            return self.read_store(ask, &store, off, size);
        }
        if !self.inner.handles.is_open(ino, fh) {
            return ask.answer_bytes(Err(Errno::ESTALE));
        }
        // An earlier worker opened it.
        let fs = self.clone();
        self.known(ask, AskBytes::span, ino, move |ask, got| {
            match got.map(|file| fs.reopen(ino, fh, &file, ask.span().id())) {
                Ok(store) => fs.read_store(ask, &store, off, size),
                Err(errno) => ask.answer_bytes(Err(errno)),
            }
        });
    }

    fn reopen(&self, ino: Ino, fh: Fh, file: &FileInfo, by: OpId) -> Arc<Store> {
        loop {
            self.store(ino, file, by);
            // Unless the mount closes all stores.
            if let Some(joined) = self.inner.handles.join(ino, fh, None) {
                self.unpin_if_unstaged(ino, file);
                return joined.store;
            }
        }
    }

    fn read_store<A: AskBytes>(&self, ask: A, store: &Arc<Store>, off: u64, size: u32) {
        let total = store.content().size;
        let range = off.min(total)..off.saturating_add(u64::from(size)).min(total);
        if range.is_empty() {
            return ask.answer_bytes(Ok(&[]));
        }
        let id = ask.span().id();
        let (ino, started) = (Ino(store.content().ino), ask.span().started());
        let deadline = self.inner.late.deadline(started, ino, &range, started + self.inner.config.read_timeout);
        let pending = Pending { fs: self.clone(), ino, range: range.clone(), id, deadline, state: State::Own(ask) };
        store.read(range, Box::new(pending));
        self.inner.parked.trim();
    }

    /// READs may park up to 80 % of what the kernel allows in the background, so that other files, RELEASEs and
    /// further reads still reach the daemon.
    pub fn limit_parked(&self, max_background: u32) {
        let limit = (max_background as usize * 4 / 5).max(1);
        self.inner.parked.limit.store(limit, Ordering::Relaxed);
    }
}

/// READs that wait for bytes.
pub(super) struct Parked {
    reads: Mutex<BTreeMap<u64, Arc<dyn GiveUp>>>,
    limit: AtomicUsize,
    next: AtomicU64,
    count: AtomicUsize,
}

/// A parked READ that can be answered with an error.
trait GiveUp: Send + Sync {
    fn give_up(&self);
}

impl Parked {
    pub(super) fn new() -> Self {
        let limit = AtomicUsize::new(usize::from(u16::MAX) * 4 / 5);
        let reads = Mutex::new(&PARKED, BTreeMap::new());
        Self { reads, limit, next: AtomicU64::new(0), count: AtomicUsize::new(0) }
    }

    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    fn add(&self, read: Arc<dyn GiveUp>) -> u64 {
        let key = self.next.fetch_add(1, Ordering::Relaxed);
        let mut reads = self.reads.lock();
        reads.insert(key, read);
        self.count.store(reads.len(), Ordering::Relaxed);
        key
    }

    fn remove(&self, key: u64) {
        let mut reads = self.reads.lock();
        drop(reads.remove(&key));
        self.count.store(reads.len(), Ordering::Relaxed);
    }

    /// Above the limit the oldest give way.
    fn trim(&self) {
        let limit = self.limit.load(Ordering::Relaxed);
        while self.count() > limit {
            let mut reads = self.reads.lock();
            let Some((_, oldest)) = reads.pop_first() else { return };
            self.count.store(reads.len(), Ordering::Relaxed);
            drop(reads);
            journal::invariant("too many parked reads", "the oldest one got EIO, so that the kernel can go on");
            oldest.give_up();
        }
    }
}

/// One READ on its way through a store.
struct Pending<A: AskBytes> {
    fs: Fs,
    ino: Ino,
    range: Range<u64>,
    id: OpId,
    deadline: Instant,
    state: State<A>,
}

enum State<A: AskBytes> {
    /// Not parked: nobody else can answer it.
    Own(A),
    /// Parked, and listed under this number.
    Shared(Arc<Slot<A>>, u64),
    Gone,
}

struct Slot<A> {
    ask: Mutex<Option<A>>,
}

impl<A> Slot<A> {
    /// The ask answers when it is dropped, and that must be without the lock.
    fn abandon(&self) {
        let ask = self.ask.lock().take();
        drop(ask);
    }
}

impl<A: AskBytes> GiveUp for Slot<A> {
    fn give_up(&self) {
        let ask = self.ask.lock().take();
        if let Some(ask) = ask {
            ask.answer_bytes(Err(Errno::EIO));
        }
    }
}

impl<A: AskBytes> Reader for Pending<A> {
    fn id(&self) -> OpId {
        self.id
    }

    fn deadline(&self) -> Instant {
        self.deadline
    }

    fn waits(&mut self, on: Option<OpId>, need: Range<u64>) {
        match &self.state {
            State::Own(ask) => ask.span().wait(on, need),
            State::Shared(slot, _) => {
                if let Some(ask) = slot.ask.lock().as_ref() {
                    ask.span().wait(on, need);
                }
                return;
            }
            State::Gone => return,
        }
        if let State::Own(ask) = std::mem::replace(&mut self.state, State::Gone) {
            let slot = Arc::new(Slot { ask: Mutex::new(&PARKED_ASK, Some(ask)) });
            let key = self.fs.inner.parked.add(Arc::clone(&slot) as Arc<dyn GiveUp>);
            self.state = State::Shared(slot, key);
        }
    }

    fn answer(mut self: Box<Self>, got: Result<&[u8], StoreError>) {
        match &got {
            Err(StoreError::Changed(_)) => self.fs.inner.tree.forsake(self.ino),
            Err(StoreError::Deadline) => self.fs.inner.late.note(clock::now(), self.ino, self.range.clone()),
            _ => {}
        }
        if let Some(error) = got.as_ref().err().filter(|error| **error != StoreError::Closed) {
            self.fs.tell_trouble("read", self.ino, error);
        }
        let ask = match std::mem::replace(&mut self.state, State::Gone) {
            State::Own(ask) => Some(ask),
            State::Shared(slot, key) => {
                self.fs.inner.parked.remove(key);
                let ask = slot.ask.lock().take();
                ask.inspect(|ask| ask.span().wait_end())
            }
            State::Gone => None,
        };
        if let Some(ask) = ask {
            ask.answer_bytes(got.map_err(|error| Errno::from(&error)));
        }
    }
}

impl<A: AskBytes> Drop for Pending<A> {
    fn drop(&mut self) {
        // Dropped without an answer: the ask answers EIO by itself.
        if let State::Shared(slot, key) = &self.state {
            self.fs.inner.parked.remove(*key);
            slot.abandon();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::locks;

    #[test]
    fn a_read_that_nobody_answers_is_refused_without_its_lock() {
        struct Last;
        impl Drop for Last {
            fn drop(&mut self) {
                locks::assert_none_held("reply");
            }
        }
        let slot = Slot { ask: Mutex::new(&PARKED_ASK, Some(Last)) };
        slot.abandon();
        assert!(slot.ask.lock().is_none());
    }
}
