//! Blocks that were read and not yet folded, and who waits for room among them.

use std::{collections::VecDeque, mem, sync::PoisonError, thread};

use super::sync::{Condvar, Mutex, MutexGuard};

/// What was read and not yet folded.
pub(super) struct Queue<R, F> {
    state: Mutex<State<R, F>>,
    /// A block was folded, and somebody waits for that.
    folded: Condvar,
    /// Most blocks in it, counted from the next one to be folded.
    most: usize,
}

struct State<R, F> {
    /// The number of the next block to be folded.
    first: u64,
    /// From that one on; None: it is being read.
    read: VecDeque<Option<Ready<R>>>,
    /// Buffers of folded blocks.
    spare: Vec<Vec<u8>>,
    /// Threads that are too far ahead.
    waiting: usize,
    /// A thread panicked: nobody waits any more.
    failed: bool,
    /// None: a thread folds.
    fold: Option<F>,
}

/// A block that was read: its buffer, how much of that it fills, and what came of it.
struct Ready<R> {
    buffer: Vec<u8>,
    len: usize,
    result: R,
}

impl<R, F: FnMut(&[u8], R)> Queue<R, F> {
    /// With room for so many.
    pub(super) fn new(most: usize, fold: F) -> Self {
        let (read, spare, fold) = (VecDeque::new(), Vec::new(), Some(fold));
        let state = State { first: 0, read, spare, waiting: 0, failed: false, fold };
        Self { state: Mutex::new(state), folded: Condvar::new(), most }
    }

    /// What each thread does: `take` gives the number of the next block and its length.
    pub(super) fn work(&self, take: impl Fn(&mut Vec<u8>) -> Option<(u64, usize)>, read: &impl Fn(&[u8]) -> R) {
        let mut buffer = Vec::new();
        let _alarm = Alarm(self);
        loop {
            let Some((number, len)) = take(&mut buffer) else { return };
            let result = read(&buffer[..len]);
            let block = Ready { buffer: mem::take(&mut buffer), len, result };
            let Some(mut state) = self.leave(number, block) else { return };
            buffer = state.spare.pop().unwrap_or_default();
            self.fold_ready(state);
        }
    }

    /// Puts a block in its place, once there is room for it; None: another thread failed.
    fn leave(&self, number: u64, block: Ready<R>) -> Option<MutexGuard<'_, State<R, F>>> {
        let mut state = lock(&self.state);
        while !state.failed && number - state.first >= self.most as u64 {
            state.waiting += 1;
            state = self.folded.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
        if state.failed {
            return None;
        }
        let at = (number - state.first) as usize;
        if state.read.len() <= at {
            state.read.resize_with(at + 1, || None);
        }
        state.read[at] = Some(block);
        Some(state)
    }

    /// Folds from the first on what is ready, unless another thread does.
    fn fold_ready<'q>(&'q self, mut state: MutexGuard<'q, State<R, F>>) {
        let Some(mut fold) = state.fold.take() else { return };
        while let Some(Ready { buffer, len, result }) = state.read.front_mut().and_then(Option::take) {
            drop(state);
            fold(&buffer[..len], result);
            state = lock(&self.state);
            state.read.pop_front();
            state.first += 1;
            state.spare.push(buffer);
            if state.waiting > 0 {
                self.folded.notify_all();
            }
        }
        state.fold = Some(fold);
    }
}

/// Wakes the others when its thread panics.
struct Alarm<'q, R, F>(&'q Queue<R, F>);

impl<R, F> Drop for Alarm<'_, R, F> {
    fn drop(&mut self) {
        if thread::panicking() {
            lock(&self.0.state).failed = true;
            self.0.folded.notify_all();
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
