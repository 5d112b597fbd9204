//! The late signal: a thread that could not answer in time answers when its dump is long over.
#![expect(unsafe_code, reason = "state D is made with clone")]

use std::{
    ffi::{c_int, c_void},
    ptr,
    sync::atomic::{AtomicBool, AtomicI32, Ordering},
    thread,
};

use fsd::observe::stacks;
use fsd_events::stacks::Reason;

use crate::crowd::nap;

static CHILD: AtomicI32 = AtomicI32::new(0);
static BACK: AtomicBool = AtomicBool::new(false);

/// Dumps while a thread is in state D, wakes it (its signal arrives now), and dumps again.
pub(crate) fn run() {
    let waiter = thread::Builder::new().name("late".into()).spawn(wait_for_child).unwrap();
    while CHILD.load(Ordering::SeqCst) == 0 {
        nap();
    }
    (0..10).for_each(|_| nap());
    println!("{}", stacks::dump(Reason::default()).unwrap());
    let before = std::fs::read_to_string("/proc/self/maps").unwrap().len();
    // SAFETY: kills the one child that this process made.
    unsafe { libc::kill(CHILD.load(Ordering::SeqCst), libc::SIGKILL) };
    while !BACK.load(Ordering::SeqCst) {
        nap();
    }
    assert!(before > 0);
    println!("{}", stacks::dump(Reason::default()).unwrap());
    waiter.thread().unpark();
    waiter.join().unwrap();
}

fn wait_for_child() {
    extern "C" fn child(_: *mut c_void) -> c_int {
        // SAFETY: none of these touches memory; the child dies with its parent at the latest.
        unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            CHILD.store(libc::getpid(), Ordering::SeqCst);
            loop {
                libc::pause();
            }
        }
    }
    let mut stack = vec![0_u8; 64 * 1024];
    let top = stack.as_mut_ptr_range().end;
    // SAFETY: the child runs on a stack of its own, which this thread keeps alive while it waits.
    unsafe { libc::clone(child, top.cast(), libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD, ptr::null_mut()) };
    BACK.store(true, Ordering::SeqCst);
    thread::park();
}
