//! One input read by several threads: each takes the next block, reads it and leaves it in its place in the queue;
//! whoever finds the first of them there, and nobody folding, folds all that are ready. So nobody waits for a turn.

#![expect(clippy::disallowed_types, reason = "no request waits for a lock of fsdiag, and it has no journal")]

mod queue;
#[cfg(test)]
mod shuttled;

/// What waits and wakes: the tests have another one, whose threads run in any order that they may.
mod sync {
    pub(super) use std::sync::{Condvar, Mutex, MutexGuard};
}

use std::{io, thread};

use self::{
    queue::{Queue, lock},
    sync::Mutex,
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
    let queue = Queue::new(AHEAD * threads, fold);
    let work = || queue.work(|buffer| lock(&source).take(buffer), &read);
    if threads < 2 {
        work();
    } else {
        thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    }
    lock(&source).ended.take().unwrap_or(Ok(()))
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
