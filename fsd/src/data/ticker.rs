//! The ticker: ends waits whose deadline has come, from a thread of its own, also when the runtime hangs.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Weak,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    time::Duration,
};

use crate::observe::journal;

/// How exact a deadline is.
const TICK: Duration = Duration::from_millis(50);

/// Who has waits that end.
pub trait Expire: Send + Sync + 'static {
    /// The count of its waits.
    fn ticker(&self) -> &Ticker;
    /// Ends those whose deadline has come. Waits for nobody.
    fn expire(&self);
}

/// Counts waits; while there are any the thread looks at them.
#[derive(Debug)]
pub struct Ticker {
    waiting: AtomicUsize,
    wake: SyncSender<()>,
}

impl Ticker {
    /// The second is for [`start`].
    pub fn new() -> (Self, Receiver<()>) {
        let (wake, woken) = sync_channel(1);
        (Self { waiting: AtomicUsize::new(0), wake }, woken)
    }

    /// One more waits.
    pub fn parked(&self) {
        if self.waiting.fetch_add(1, Ordering::AcqRel) == 0 {
            // Full: it has been woken already.
            let _full = self.wake.try_send(());
        }
    }

    /// `n` wait no longer.
    pub fn left(&self, n: usize) {
        self.waiting.fetch_sub(n, Ordering::AcqRel);
    }

    /// So many wait.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }
}

/// Starts the thread `name`; it ends with `of`.
///
/// # Errors
/// When the system has no room for a thread.
pub fn start<T: Expire>(name: &str, of: Weak<T>, woken: Receiver<()>) -> io::Result<()> {
    std::thread::Builder::new().name(name.to_owned()).spawn(move || run(&of, &woken)).map(drop)
}

fn run<T: Expire>(of: &Weak<T>, woken: &Receiver<()>) {
    while woken.recv().is_ok() {
        loop {
            let Some(all) = of.upgrade() else { return };
            // Whoever panics in an answer ends no other's wait.
            if catch_unwind(AssertUnwindSafe(|| all.expire())).is_err() {
                journal::invariant("panic at a deadline", "whoever was being answered got an error");
            }
            if all.ticker().waiting() == 0 {
                break;
            }
            drop(all);
            if woken.recv_timeout(TICK) == Err(RecvTimeoutError::Disconnected) {
                return;
            }
        }
    }
}
