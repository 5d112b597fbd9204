//! Locks: the only ones of `fsd`. Each has a name and a rank, and knows its holder and its waiters.
//!
//! No shared bookkeeping: a thread writes what it holds and waits for into its own cache lines, and whoever wants to
//! know reads everybody's. Uncontended that costs a handful of plain stores. See `docs/LOCKS.md`.

mod class;
mod entry;
mod guards;
mod label;
mod permits;
mod rank;
mod slow;
mod view;

pub use class::Class;
pub use guards::{Guard, Mutex, ReadGuard, RwLock, WriteGuard};
pub use permits::{Permit, Permits};
pub use rank::Rank;
pub use view::{LockState, snapshot, visit};

pub(super) use class::publish;
pub(super) use label::Label;
pub(super) use view::tell_long_holds;

use std::{
    cell::Cell,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use super::{journal, local};

/// Holds at least so long are events, microseconds; the tick is exact to 50 ms.
const LONG_US: u64 = 100_000;

static VERBOSE: AtomicBool = AtomicBool::new(false);
/// Holds at least so long are events.
static TOLD_FROM_US: AtomicU64 = AtomicU64::new(LONG_US);

/// `debug_lock_events`: every step of every lock becomes an event.
pub fn set_verbose(on: bool) {
    TOLD_FROM_US.store(if on { 0 } else { LONG_US }, Relaxed);
    VERBOSE.store(on, Relaxed);
}

thread_local! {
    static INJECTED: Cell<bool> = const { Cell::new(false) };
}

/// An I/O boundary: this thread holds no lock here. Otherwise a panic in tests, an `invariant` event in production.
#[inline]
#[track_caller]
pub fn assert_none_held(at: &'static str) {
    if local::slot().is_some_and(|slot| entry::count(slot) > 0) {
        held_across(at);
    }
}

#[cold]
#[track_caller]
fn held_across(at: &'static str) {
    let mut detail = String::from(at);
    if let Some(slot) = local::slot() {
        view::of_thread(slot, &mut |lock| detail.push_str(&format!(", {} held", lock.class.name())));
    }
    broken("lock held across I/O", &detail);
}

/// A rule of locking is broken: recorded, and fatal where tests run, unless it was broken on purpose.
#[cold]
#[track_caller]
fn broken(what: &'static str, detail: &str) {
    journal::invariant(what, detail);
    let fatal = cfg!(any(test, feature = "failpoints")) && !INJECTED.get() && !std::thread::panicking();
    assert!(!fatal, "{what}: {detail}");
}

/// Runs the one site that breaks the rule on purpose: there a broken rule is only recorded.
pub fn allow_injected<R>(work: impl FnOnce() -> R) -> R {
    /// Restores what was allowed before, also when `work` panics.
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            INJECTED.set(self.0);
        }
    }
    let _restore = Restore(INJECTED.replace(true));
    work()
}

#[cfg(test)]
mod tests;
