//! The queue under shuttle's schedulers: whatever the order of its threads, nobody waits for ever and no block is left.

#[path = "queue.rs"]
#[expect(clippy::duplicate_mod, reason = "the same code with what waits under shuttle")]
mod queue;

mod sync {
    pub(super) use shuttle::sync::{Condvar, Mutex, MutexGuard};
}

use std::sync::Arc;

use shuttle::thread;

use self::{
    queue::{Queue, lock},
    sync::Mutex,
};

/// So many threads read blocks, with room for so many.
fn all_are_folded(threads: usize, most: usize, blocks: u64) {
    let (next, folded) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(Vec::new())));
    let got = folded.clone();
    let queue = Arc::new(Queue::new(most, move |bytes: &[u8], number: u64| {
        assert_eq!(bytes, number.to_le_bytes(), "it is folded with its own bytes");
        lock(&got).push(number);
    }));
    let worker = |_| {
        let (queue, next) = (queue.clone(), next.clone());
        thread::spawn(move || {
            let take = |buffer: &mut Vec<u8>| {
                let mut next = lock(&next);
                let number: u64 = *next;
                *next += 1;
                *buffer = number.to_le_bytes().to_vec();
                (number < blocks).then_some((number, buffer.len()))
            };
            let read = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
            queue.work(take, &read);
        })
    };
    let workers: Vec<_> = (0..threads).map(worker).collect();
    workers.into_iter().for_each(|worker| worker.join().expect("no thread fails"));
    assert_eq!(*lock(&folded), (0..blocks).collect::<Vec<u64>>());
}

#[test]
fn nobody_waits_for_ever_and_no_block_is_left_in_any_order_of_threads() {
    for (threads, most, blocks) in [(2, 1, 4), (3, 1, 5), (3, 2, 7)] {
        shuttle::check_random(move || all_are_folded(threads, most, blocks), 2000);
        shuttle::check_pct(move || all_are_folded(threads, most, blocks), 1000, 3);
    }
}
