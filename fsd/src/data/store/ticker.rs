//! The ticker: ends waits whose deadline has come, from a thread of its own, also when the runtime hangs.

use std::{
    io,
    sync::{
        Weak,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    time::Duration,
};

use super::stores::Shared;

/// How exact a deadline is.
const TICK: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(super) struct Ticker {
    waiting: AtomicUsize,
    wake: SyncSender<()>,
}

impl Ticker {
    pub(super) fn new() -> (Self, Receiver<()>) {
        let (wake, woken) = sync_channel(1);
        (Self { waiting: AtomicUsize::new(0), wake }, woken)
    }

    /// One more reader is parked.
    pub(super) fn parked(&self) {
        if self.waiting.fetch_add(1, Ordering::AcqRel) == 0 {
            // Full: it has been woken already.
            let _full = self.wake.try_send(());
        }
    }

    /// `n` readers are no longer parked.
    pub(super) fn left(&self, n: usize) {
        self.waiting.fetch_sub(n, Ordering::AcqRel);
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }
}

/// Starts the thread; it ends with the stores.
pub(super) fn start(stores: Weak<Shared>, woken: Receiver<()>) -> io::Result<()> {
    std::thread::Builder::new().name("fsd-deadlines".to_owned()).spawn(move || run(&stores, &woken)).map(drop)
}

fn run(stores: &Weak<Shared>, woken: &Receiver<()>) {
    while woken.recv().is_ok() {
        loop {
            let Some(shared) = stores.upgrade() else { return };
            shared.expire();
            if shared.ticker.waiting() == 0 {
                break;
            }
            drop(shared);
            if woken.recv_timeout(TICK) == Err(RecvTimeoutError::Disconnected) {
                return;
            }
        }
    }
}
