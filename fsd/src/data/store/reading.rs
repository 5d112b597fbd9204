//! Reading: an answer is put together from memory, from the page cache, or by the disk pool, and sent.

use std::{cell::Cell, fs::File, io, ops::Range, os::unix::fs::FileExt, sync::Arc, time::Duration};

use crate::observe::locks;

use super::{Reader, Store, StoreError, failpoint, held::Part, state::Complete};

/// An answer of so many bytes is copied to the kernel on another thread than the one that receives: less is copied
/// sooner than handed over.
const WORTH_A_THREAD: u64 = 64 << 10;

/// Replies from page-aligned memory cost the kernel one page pin a page and not two.
const PAGE: usize = 4096;

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Lends this thread's buffer of `len` bytes, page-aligned.
fn with_scratch<R>(len: usize, work: impl FnOnce(&mut [u8]) -> R) -> R {
    let mut scratch = SCRATCH.take();
    if scratch.len() < len + PAGE {
        scratch.resize((len + PAGE).next_power_of_two(), 0);
    }
    let skip = scratch.as_ptr().align_offset(PAGE).min(PAGE);
    let result = work(&mut scratch[skip..skip + len]);
    SCRATCH.set(scratch);
    result
}

pub(super) fn answer(reader: Box<dyn Reader>, got: Result<&[u8], StoreError>) {
    locks::assert_none_held("answer to a reader");
    reader.answer(got);
}

pub(super) fn refuse_all(readers: Vec<(Box<dyn Reader>, Range<u64>)>, error: &StoreError) {
    for (reader, _) in readers {
        answer(reader, Err(error.clone()));
    }
}

impl Store {
    /// Answers from `parts`: on this thread, unless the disk has to be waited for.
    pub(super) fn fulfil(self: &Arc<Self>, parts: Vec<Part>, range: Range<u64>, reader: Box<dyn Reader>) {
        if let [Part::Memory(bytes)] = parts.as_slice() {
            return answer(reader, Ok(&**bytes));
        }
        let file = self.file();
        let reader = with_scratch(length(&range), |into| {
            let cached = |at, into: &mut [u8]| !self.disk_hangs() && read_cached(file.as_deref(), at, into);
            if !copy(&parts, into, cached) || !self.is_current() {
                return Some(reader);
            }
            answer(reader, Ok(into));
            None
        });
        if let Some(reader) = reader {
            self.fulfil_from_disk(parts, range, reader);
        }
    }

    /// The same for who receives: the next bytes are not to wait until these are copied.
    pub(super) fn fulfil_beside(self: &Arc<Self>, parts: Vec<Part>, range: Range<u64>, reader: Box<dyn Reader>) {
        if range.end - range.start < WORTH_A_THREAD {
            return self.fulfil(parts, range, reader);
        }
        let store = Arc::clone(self);
        self.stores.pools.answer(move || store.fulfil(parts, range, reader));
    }

    /// Answers readers that have waited until now.
    pub(super) fn answer_all(self: &Arc<Self>, ready: Vec<Complete>) {
        self.stores.ticker.left(ready.len());
        for (reader, range, parts) in ready {
            self.fulfil_beside(parts, range, reader);
        }
    }

    /// The same with a thread of the disk pool; the deadline holds there too.
    fn fulfil_from_disk(self: &Arc<Self>, parts: Vec<Part>, range: Range<u64>, reader: Box<dyn Reader>) {
        let deadline = reader.deadline();
        let ticket = self.state.lock().waiters.park_for_disk(range.clone(), deadline, reader);
        self.stores.ticker.parked();
        let store = Arc::clone(self);
        self.stores.pools.read(move || {
            while store.disk_hangs() {
                std::thread::park_timeout(Duration::from_millis(20));
            }
            let file = store.file();
            with_scratch(length(&range), |into| {
                let mut failure = None;
                let done = copy(&parts, into, |at, into| match read_exact(file.as_deref(), at, into) {
                    Ok(()) => true,
                    Err(error) => {
                        failure = Some(StoreError::Disk(error.to_string()));
                        false
                    }
                });
                let vouched = store.vouch();
                let reader = store.state.lock().waiters.take_ticket(ticket);
                let Some(reader) = reader else { return };
                store.stores.ticker.left(1);
                let got = if done { Ok(&*into) } else { Err(failure.unwrap_or(StoreError::Closed)) };
                answer(reader, vouched.and(got));
            });
        });
    }

    /// A disk that answers no read, as a bug on purpose.
    fn disk_hangs(&self) -> bool {
        failpoint::is_set("store::disk_hangs", &self.content.path)
    }
}

fn length(range: &Range<u64>) -> usize {
    usize::try_from(range.end - range.start).unwrap_or(usize::MAX)
}

/// Puts the parts one after another; false when `disk` could not deliver.
fn copy(parts: &[Part], mut into: &mut [u8], mut disk: impl FnMut(u64, &mut [u8]) -> bool) -> bool {
    for part in parts {
        let (here, rest) = into.split_at_mut(usize::try_from(part.len()).unwrap_or(usize::MAX));
        match part {
            Part::Memory(bytes) => here.copy_from_slice(bytes),
            Part::Disk(range) if !disk(range.start, here) => return false,
            Part::Disk(_) => {}
        }
        into = rest;
    }
    true
}

/// Reads what the page cache has; never waits for the disk.
#[cfg(target_os = "linux")]
fn read_cached(file: Option<&File>, at: u64, into: &mut [u8]) -> bool {
    let Some(file) = file else { return false };
    let len = into.len();
    let got = rustix::io::preadv2(file, &mut [io::IoSliceMut::new(into)], at, rustix::io::ReadWriteFlags::NOWAIT);
    got.is_ok_and(|got| got == len)
}

/// There is no such call: the disk pool reads.
#[cfg(not(target_os = "linux"))]
fn read_cached(_file: Option<&File>, _at: u64, _into: &mut [u8]) -> bool {
    false
}

fn read_exact(file: Option<&File>, at: u64, into: &mut [u8]) -> io::Result<()> {
    file.ok_or(io::ErrorKind::NotFound)?.read_exact_at(into, at)
}
