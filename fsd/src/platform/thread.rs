//! The thread as the kernel knows it.

use std::cell::Cell;

thread_local! {
    static TID: Cell<u32> = const { Cell::new(0) };
}

/// Kernel id of this thread; asked once a thread.
pub fn tid() -> u32 {
    TID.with(|cell| match cell.get() {
        0 => {
            let tid = ask();
            cell.set(tid);
            tid
        }
        tid => tid,
    })
}

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "std does not give the kernel's thread id")]
fn ask() -> u32 {
    // SAFETY: gettid takes nothing and cannot fail.
    unsafe { libc::gettid() }.unsigned_abs()
}

#[cfg(not(target_os = "linux"))]
fn ask() -> u32 {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
