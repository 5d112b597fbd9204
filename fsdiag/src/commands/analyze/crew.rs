//! One input read by several threads: each takes the next block and reads it, then they fold their blocks in turn.

#![expect(clippy::disallowed_types, reason = "no request waits for a lock of fsdiag, and it has no journal")]

use std::{
    io,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use crate::sources::blocks::Blocks;

/// Runs `read` on any thread, for many blocks at once, and `fold` with its result in the order of the input.
///
/// # Errors
/// When the input cannot be read; what was read so far is folded.
pub(super) fn run<R>(
    blocks: Blocks,
    threads: usize,
    read: impl Fn(&[u8]) -> R + Sync,
    fold: impl FnMut(&[u8], R) + Send,
) -> io::Result<()> {
    let source = Mutex::new(Source { blocks, taken: 0, ended: None });
    let turns = Turns { state: Mutex::new(Turn { folded: 0, failed: false, fold }), passed: Condvar::new() };
    let work = || turns.work(&source, &read);
    if threads < 2 {
        work();
    } else {
        thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    }
    source.into_inner().unwrap_or_else(PoisonError::into_inner).ended.unwrap_or(Ok(()))
}

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

struct Turns<F> {
    state: Mutex<Turn<F>>,
    passed: Condvar,
}

struct Turn<F> {
    folded: u64,
    /// A thread panicked: nobody waits for its turn any more.
    failed: bool,
    fold: F,
}

impl<F> Turns<F> {
    fn work<R>(&self, source: &Mutex<Source>, read: &impl Fn(&[u8]) -> R)
    where
        F: FnMut(&[u8], R),
    {
        let mut buffer = Vec::new();
        let _alarm = Alarm(self);
        loop {
            let Some((number, len)) = lock(source).take(&mut buffer) else { return };
            let result = read(&buffer[..len]);
            let waiting = |turn: &mut Turn<F>| turn.folded != number && !turn.failed;
            let turn = self.passed.wait_while(lock(&self.state), waiting);
            let mut turn = turn.unwrap_or_else(PoisonError::into_inner);
            if turn.failed {
                return;
            }
            (turn.fold)(&buffer[..len], result);
            turn.folded += 1;
            drop(turn);
            self.passed.notify_all();
        }
    }
}

/// Wakes the others when its thread panics.
struct Alarm<'t, F>(&'t Turns<F>);

impl<F> Drop for Alarm<'_, F> {
    fn drop(&mut self) {
        if thread::panicking() {
            lock(&self.0.state).failed = true;
            self.0.passed.notify_all();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
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
    #[should_panic(expected = "scoped thread")]
    fn a_panic_ends_all_threads() {
        let source = Box::new(io::Cursor::new(b"1\n2\n3\n4\n5\n6\n7\n8\n".repeat(50)));
        let read = |bytes: &[u8]| assert!(!bytes.starts_with(b"5"), "a panic");
        let _ended = run(Blocks::new(source, 2), 3, read, |_, ()| ());
    }
}
