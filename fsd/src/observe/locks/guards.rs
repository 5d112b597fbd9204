//! Mutex and RwLock of the product, and their guards.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    panic::Location,
    sync::atomic::Ordering::Relaxed,
};

use fsd_events::event::LockKind;

use super::{
    super::{local, local::ThreadSlot, tick},
    Class, TOLD_FROM_US, VERBOSE,
    entry::{self, Entry, Name, TOLD},
    slow,
};

/// A mutual exclusion of the product.
pub struct Mutex<T: ?Sized> {
    name: Name,
    #[expect(clippy::disallowed_types, reason = "the home of the product's locks")]
    raw: parking_lot::Mutex<T>,
}

/// Many readers or one writer.
pub struct RwLock<T: ?Sized> {
    name: Name,
    #[expect(clippy::disallowed_types, reason = "the home of the product's locks")]
    raw: parking_lot::RwLock<T>,
}

macro_rules! lock {
    ($lock:ident, $kind:expr) => {
        impl<T> $lock<T> {
            #[expect(clippy::disallowed_types, reason = "the home of the product's locks")]
            pub fn new(class: &'static Class, value: T) -> Self {
                Self { name: Name::new(class.tag($kind), 0), raw: parking_lot::$lock::new(value) }
            }

            /// The same lock, told from others of its class by `key` (an inode, say).
            #[must_use]
            pub fn keyed(mut self, key: u64) -> Self {
                self.name.key = key;
                self
            }
        }

        impl<T: ?Sized> fmt::Debug for $lock<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({}:{})", stringify!($lock), slow::class_name(self.name), self.name.key)
            }
        }
    };
}

lock!(Mutex, LockKind::Mutex);
lock!(RwLock, LockKind::RwLock);

impl<T: ?Sized> Mutex<T> {
    #[inline]
    #[track_caller]
    pub fn lock(&self) -> Guard<'_, T> {
        let name = self.name.write();
        let (slot, site) = (arrive(name), Location::caller());
        let (raw, told) = match self.raw.try_lock() {
            Some(raw) => (raw, 0),
            None => slow::wait(slot, name, site, |limit| self.raw.try_lock_for(limit)),
        };
        Guard { held: Held::new(slot, name, told, site), raw, end: End(None) }
    }
}

impl<T: ?Sized> RwLock<T> {
    #[inline]
    #[track_caller]
    pub fn read(&self) -> ReadGuard<'_, T> {
        let name = self.name;
        let (slot, site) = (arrive(name), Location::caller());
        let (raw, told) = match self.raw.try_read() {
            Some(raw) => (raw, 0),
            None => slow::wait(slot, name, site, |limit| self.raw.try_read_for(limit)),
        };
        ReadGuard { held: Held::new(slot, name, told, site), raw, end: End(None) }
    }

    #[inline]
    #[track_caller]
    pub fn write(&self) -> WriteGuard<'_, T> {
        let name = self.name.write();
        let (slot, site) = (arrive(name), Location::caller());
        let (raw, told) = match self.raw.try_write() {
            Some(raw) => (raw, 0),
            None => slow::wait(slot, name, site, |limit| self.raw.try_write_for(limit)),
        };
        WriteGuard { held: Held::new(slot, name, told, site), raw, end: End(None) }
    }
}

/// This thread is about to take the lock: checks the order.
#[inline]
#[track_caller]
fn arrive(name: Name) -> Option<&'static ThreadSlot> {
    let slot = local::slot();
    if let Some(slot) = slot
        && !entry::in_order(slot, name)
    {
        slow::out_of_order(slot, name);
    }
    slot
}

/// The entry of a held lock.
struct Held {
    slot: Option<&'static ThreadSlot>,
    name: Name,
}

impl Held {
    #[inline]
    fn new(slot: Option<&'static ThreadSlot>, name: Name, told: u64, site: &'static Location<'static>) -> Self {
        if let Some(slot) = slot {
            let mut told = told;
            if VERBOSE.load(Relaxed) && told == 0 {
                slow::tell_hold(slot, name);
                told = TOLD;
            }
            let name = Name::new(name.tag | told, name.key);
            entry::push(slot, Entry { name, since_us: tick::now_us(), op: slot.works_for() }, site);
        }
        Self { slot, name }
    }

    /// Takes the entry out; it comes back when its end must be told.
    #[inline]
    fn pop(&self) -> Option<Entry> {
        self.slot.and_then(|slot| entry::pop(slot, self.name, tick::now_us(), TOLD_FROM_US.load(Relaxed)))
    }
}

/// Tells the end of a long hold, after the lock is free.
struct End(Option<Entry>);

impl Drop for End {
    #[inline]
    fn drop(&mut self) {
        if let Some(ended) = self.0.take() {
            slow::tell_free(&ended);
        }
    }
}

macro_rules! guard {
    ($(#[$doc:meta])* $name:ident, $raw:ident) => {
        $(#[$doc])*
        #[must_use]
        pub struct $name<'a, T: ?Sized> {
            held: Held,
            raw: parking_lot::$raw<'a, T>,
            /// Dropped behind `raw`, so that nothing is told while the lock is held.
            end: End,
        }

        impl<T: ?Sized> Drop for $name<'_, T> {
            #[inline]
            fn drop(&mut self) {
                if let Some(ended) = self.held.pop() {
                    self.end.0 = Some(ended);
                }
            }
        }

        impl<T: ?Sized> Deref for $name<'_, T> {
            type Target = T;

            #[inline]
            fn deref(&self) -> &T {
                &self.raw
            }
        }

        impl<T: ?Sized + fmt::Debug> fmt::Debug for $name<'_, T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                (**self).fmt(f)
            }
        }
    };
}

guard!(
    /// A held mutex. Never keep it across I/O: not `Send`.
    Guard,
    MutexGuard
);
guard!(
    /// A lock held for reading. Never keep it across I/O: not `Send`.
    ReadGuard,
    RwLockReadGuard
);
guard!(
    /// A lock held for writing. Never keep it across I/O: not `Send`.
    WriteGuard,
    RwLockWriteGuard
);

impl<T: ?Sized> DerefMut for Guard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.raw
    }
}

impl<T: ?Sized> DerefMut for WriteGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.raw
    }
}
