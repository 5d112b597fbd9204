//! Writing behind: what is in memory goes to the temp file, after the readers were answered.

use std::{ops::Range, sync::Arc};

use crate::{data::origin::Validator, observe::journal};

use super::{
    Store, StoreError,
    chunk::Chunk,
    extents::Extents,
    failpoint,
    notes::Note,
    reading,
    state::Keep,
    temp_file::{self, TempFile},
};

/// Bytes that are worth a write, and waking who writes.
const BATCH: u64 = 1 << 20;
/// Bytes taken out of the queue at once.
const AT_ONCE: u64 = 4 << 20;

/// Bytes to wait for before writing, with `share` bytes of memory: half of it at most, so that nothing jams.
pub(super) fn batch(share: u64) -> u64 {
    BATCH.min(share / 2)
}

impl Store {
    /// Starts a writer unless one runs.
    pub(super) fn write_behind(self: &Arc<Self>) {
        {
            let mut state = self.state.lock();
            if state.writing || state.dirty.is_empty() || state.closing {
                return;
            }
            state.writing = true;
        }
        let store = Arc::clone(self);
        self.stores.pools.write(move || store.write_out());
    }

    /// With no request under way nothing else will start the writer for the last bytes.
    pub(super) fn flush_if_done(self: &Arc<Self>) {
        let rest = {
            let state = self.state.lock();
            state.keep == Keep::Disk && state.flights.is_empty()
        };
        if rest {
            self.write_behind();
        }
    }

    fn write_out(self: &Arc<Self>) {
        let mut written = self.write_batch();
        // The same thread goes on, which costs no wake-up, but not before others: a file that always has more must not
        // keep a writer from them.
        while written == Ok(true) && !self.stores.pools.others_write() {
            written = self.write_batch();
        }
        match written {
            Ok(true) => {
                let store = Arc::clone(self);
                self.stores.pools.write(move || store.write_out());
            }
            Ok(false) => (),
            Err(error) => self.write_failed(&error),
        }
        self.room.notify_waiters();
        self.idle.notify_waiters();
    }

    /// False: nothing is due, and this writer has ended.
    fn write_batch(self: &Arc<Self>) -> Result<bool, StoreError> {
        let (batch, restarts) = {
            let mut state = self.state.lock();
            let due = state.dirty_bytes >= batch(self.stores.budget.share()) || state.flights.is_empty();
            if !due || state.closing || state.dirty.is_empty() {
                state.writing = false;
                return Ok(false);
            }
            (state.take_dirty(AT_ONCE), state.restarts)
        };
        let turn = if self.temp.get().is_some() { "later" } else { "first" };
        failpoint::hold_thread("store::write", &self.content.path, turn);
        let temp = self.temp()?;
        for (at, bytes) in &batch {
            temp.write(*at, bytes).map_err(|error| StoreError::Disk(error.to_string()))?;
        }
        self.note(temp, &batch);
        self.note_written(&batch, restarts);
        Ok(true)
    }

    fn write_failed(&self, error: &StoreError) {
        self.state.lock().writing = false;
        if !self.leave_disk(|| error.clone()) {
            self.die(error);
        }
    }

    /// The disk takes no more, because of `why`: memory does, where it can. False: the disk is needed.
    pub(super) fn leave_disk(&self, why: impl FnOnce() -> StoreError) -> bool {
        let (left_before, left) = {
            let mut state = self.state.lock();
            (state.keep == Keep::Lru, state.leave_disk())
        };
        if left {
            self.tell_memory(&why());
        }
        // What becomes of a last write to a disk that was left concerns nobody.
        left || left_before
    }

    /// For the next worker. A content without a version is worth nothing before all of it is there: what is missing
    /// could come from another.
    fn note(&self, temp: &TempFile, batch: &[(u64, Chunk)]) {
        let Some(place) = &self.stores.config.notes else { return };
        let mut fresh = Extents::default();
        batch.iter().for_each(|(at, bytes)| fresh.insert(*at..at + bytes.len() as u64));
        if temp.note().is_none() {
            let (validator, held) = {
                let state = self.state.lock();
                (state.validator.clone(), state.held.disk.clone())
            };
            held.iter().for_each(|range| fresh.insert(range));
            if validator == Validator::None && !fresh.covers(&(0..self.content.size)) {
                return;
            }
            match Note::create(place, &self.content, &validator, temp) {
                Ok(note) => temp.keep_note(note),
                Err(error) => return journal::invariant("a temp file without a note", &error.to_string()),
            }
        }
        let note = |range: Range<u64>| temp.note().map_or(Ok(()), |note| note.add(&range));
        if let Err(error) = fresh.iter().try_for_each(note) {
            journal::invariant("a note was not written", &error.to_string());
        }
    }

    fn note_written(self: &Arc<Self>, batch: &[(u64, Chunk)], restarts: u32) {
        let share = self.stores.budget.share();
        let (complete, ready) = {
            let mut state = self.state.lock();
            if state.restarts != restarts {
                // Of an answer that was given up meanwhile: the next one's bytes go there, and none may be missing.
                return;
            }
            let ready = state.written(batch);
            state.shrink(share);
            let complete = state.held.disk.covers(&(0..self.content.size));
            if complete {
                state.shrink(0);
            }
            (complete, ready)
        };
        if complete && let Some(temp) = self.temp.get() {
            drop(self.complete.set(Arc::clone(temp.file())));
        }
        self.room.notify_waiters();
        self.answer_all(ready);
    }

    /// The temp file, made when the first bytes go there.
    fn temp(&self) -> Result<&TempFile, StoreError> {
        if let Some(temp) = self.temp.get() {
            return Ok(temp);
        }
        let disk = |error: std::io::Error| StoreError::Disk(error.to_string());
        let size = self.content.size;
        let dir = &self.stores.config.temp_dir;
        let free = temp_file::free_bytes(dir).map_err(disk)?;
        if free < size {
            return Err(StoreError::NoRoom { needs: size, free });
        }
        let made = TempFile::create(dir, size).map_err(disk)?;
        Ok(self.temp.get_or_init(|| made))
    }

    /// Says that bytes are kept in memory because of `why`.
    pub(super) fn tell_memory(&self, why: &StoreError) {
        tracing::warn!(path = %self.content.path, "read through memory from now on: {why}");
    }

    /// Nothing more can come: what waits is refused, what is at hand stays readable.
    pub(super) fn die(&self, error: &StoreError) {
        let lost = {
            let mut state = self.state.lock();
            state.dead.get_or_insert_with(|| error.clone());
            state.waiters.take_hopeless(|_| true)
        };
        self.stores.ticker.left(lost.len());
        reading::refuse_all(lost, error);
        self.room.notify_waiters();
    }
}
