//! The gate: an allocator that a test can lock, as a thread stopped inside malloc would.
#![expect(unsafe_code, reason = "an allocator is unsafe by its trait")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicBool, Ordering},
};

static LOCKED: AtomicBool = AtomicBool::new(false);

pub(crate) struct Gate;

/// From here on every malloc and free of every thread waits.
pub(crate) fn lock() {
    LOCKED.store(true, Ordering::SeqCst);
}

pub(crate) fn unlock() {
    LOCKED.store(false, Ordering::SeqCst);
}

fn pass() {
    while LOCKED.load(Ordering::Acquire) {
        let time = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000 };
        // SAFETY: reads one timespec on this stack.
        unsafe { libc::nanosleep(&raw const time, std::ptr::null_mut()) };
    }
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Gate {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        pass();
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        pass();
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}
