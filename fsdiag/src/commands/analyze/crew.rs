//! One input read by several threads: each takes the next block, reads it and leaves it in its place in the queue;
//! whoever finds the first of them there, and nobody folding, folds all that are ready. So nobody waits for a turn.

#![expect(clippy::disallowed_types, reason = "no request waits for a lock of fsdiag, and it has no journal")]

use std::{
    collections::VecDeque,
    io, mem,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use crate::sources::blocks::Blocks;

/// Runs `read` on any thread, for many blocks at once, and `fold` with its result in the order of the input.
///
/// # Errors
/// When the input cannot be read; what was read so far is folded.
pub(super) fn run<R: Send>(
    blocks: Blocks,
    threads: usize,
    read: impl Fn(&[u8]) -> R + Sync,
    fold: impl FnMut(&[u8], R) + Send,
) -> io::Result<()> {
    let source = Mutex::new(Source { blocks, taken: 0, ended: None });
    let state =
        State { first: 0, read: VecDeque::new(), spare: Vec::new(), waiting: 0, failed: false, fold: Some(fold) };
    let queue = Queue { state: Mutex::new(state), folded: Condvar::new(), most: AHEAD * threads };
    let work = || queue.work(&source, &read);
    if threads < 2 {
        work();
    } else {
        thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    }
    source.into_inner().unwrap_or_else(PoisonError::into_inner).ended.unwrap_or(Ok(()))
}

/// So many blocks of each thread may be read and not folded: one that reads faster than another folds waits then.
const AHEAD: usize = 4;

struct Source {
    blocks: Blocks,
    taken: u64,
    ended: Option<io::Result<()>>,
}

impl Source {
    /// The number of the next block and its length.
    fn take(&mut self, buffer: &mut Vec<u8>) -> Option<(u64, usize)> {
        if self.ended.is_some() {
            return None;
        }
        match self.blocks.next(buffer) {
            Ok(0) => self.ended = Some(Ok(())),
            Ok(len) => {
                self.taken += 1;
                return Some((self.taken - 1, len));
            }
            Err(error) => self.ended = Some(Err(error)),
        }
        None
    }
}

/// What was read and not yet folded.
struct Queue<R, F> {
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
    fn work(&self, source: &Mutex<Source>, read: &impl Fn(&[u8]) -> R) {
        let mut buffer = Vec::new();
        let _alarm = Alarm(self);
        loop {
            let Some((number, len)) = lock(source).take(&mut buffer) else { return };
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use super::*;

    fn joined(text: &str, threads: usize) -> (Vec<String>, io::Result<()>) {
        let source = Box::new(io::Cursor::new(text.to_owned().into_bytes()));
        let mut got = Vec::new();
        let read = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let ended = run(Blocks::new(source, 8), threads, read, |_, text| got.push(text));
        (got, ended)
    }

    #[test]
    fn blocks_are_folded_in_order_whoever_read_them() {
        let text: String = (0..2000).map(|n| format!("{n}\n")).collect();
        for threads in [1, 2, 7] {
            assert_eq!(joined(&text, threads).0.concat(), text, "{threads} threads");
        }
    }

    #[test]
    fn threads_that_read_faster_than_one_folds_wait_before_they_take_much_memory() {
        let source = Box::new(io::Cursor::new(b"1234567\n".repeat(500)));
        let unfolded = AtomicUsize::new(0);
        let most = AtomicUsize::new(0);
        let read = |_: &[u8]| _ = most.fetch_max(unfolded.fetch_add(1, SeqCst) + 1, SeqCst);
        let fold = |_: &[u8], ()| {
            thread::yield_now();
            unfolded.fetch_sub(1, SeqCst);
        };
        run(Blocks::new(source, 8), 4, read, fold).unwrap();
        assert_eq!(unfolded.into_inner(), 0);
        // Each thread has read one more when it waits.
        let most = most.into_inner();
        assert!(most <= (AHEAD + 1) * 4, "{most} blocks");
    }

    #[test]
    #[should_panic(expected = "scoped thread")]
    fn a_panic_ends_all_threads() {
        let source = Box::new(io::Cursor::new(b"1\n2\n3\n4\n5\n6\n7\n8\n".repeat(50)));
        let read = |bytes: &[u8]| assert!(!bytes.starts_with(b"5"), "a panic");
        let _ended = run(Blocks::new(source, 2), 3, read, |_, ()| ());
    }
}
