//! Copies of stacks: each thread, asked by a queued signal, copies its own registers and stack into a slot.
//!
//! The handler unwinds nothing, allocates nothing and takes no lock: it claims its slot, copies, and returns.
#![expect(unsafe_code, reason = "the signal handler and the memory it writes to")]

use std::{
    cell::UnsafeCell,
    ffi::{c_int, c_void},
    io, mem,
    ptr::{self, NonNull},
    sync::atomic::{
        AtomicPtr, AtomicU64, AtomicUsize,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
};

use fsd_unwind::Registers;

use super::{registers, system};
use crate::platform::thread;

/// Threads that one dump can ask.
pub(super) const SLOTS: usize = 1024;
/// Bytes of each stack that are copied; the walk reads on in the live stack above them.
const COPY: usize = 32 * 1024;

/// Nobody uses the slot.
const FREE: u64 = 0;
/// A thread was asked.
const ASKED: u64 = 1;
/// Its handler is copying.
const COPYING: u64 = 2;
const DONE: u64 = 3;
/// Asked, but given up: a signal that arrives now must change nothing.
const ABANDONED: u64 = 4;

/// Zeroed memory is a valid, free slot.
struct Slot {
    /// One of the states above, and above its eight bits the epoch of the request: a signal that comes late, even
    /// after its slot was given to another thread, finds another number.
    state: AtomicU64,
    registers: [AtomicU64; 4],
    len: AtomicUsize,
    /// What the copy took of the thread's time.
    took_ns: AtomicU64,
    stack: UnsafeCell<[u8; COPY]>,
}

/// Start of the slots; null until they exist. They are never freed.
static SLOTS_AT: AtomicPtr<Slot> = AtomicPtr::new(ptr::null_mut());

fn slot(number: usize) -> Option<&'static Slot> {
    let start = NonNull::new(SLOTS_AT.load(Acquire))?;
    // SAFETY: the pointer leads to `SLOTS` zeroed slots that live as long as the process, and the number is checked;
    // all fields but `stack` are atomic, and `stack` is only reached by whoever the state machine allows.
    (number < SLOTS).then(|| unsafe { start.add(number).as_ref() })
}

/// The slots and the signal, ready for use.
#[derive(Debug)]
pub(super) struct Copies {
    signal: c_int,
    epoch: u64,
}

/// A thread that was asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    slot: usize,
    epoch: u64,
}

/// Epochs wrap at 32 bits.
const EPOCHS: u64 = u32::MAX as u64;

impl Copies {
    /// Reserves the slots (memory is used only where a dump touches it) and installs the handler.
    ///
    /// # Errors
    /// When there is no address space, or no free signal.
    pub(super) fn install() -> io::Result<Self> {
        let size = SLOTS * mem::size_of::<Slot>();
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new private mapping at an address of the kernel's choice; failure is checked.
        let start = unsafe { libc::mmap(ptr::null_mut(), size, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        SLOTS_AT.store(start.cast(), Release);
        Ok(Self { signal: system::handle(on_signal)?, epoch: 0 })
    }

    pub(super) fn signal(&self) -> c_int {
        self.signal
    }

    /// Brings in the memory for the copies of so many threads, and the handler's code, by asking this thread. Where the
    /// kernel cannot bring memory in at once, it comes when it is first used.
    pub(super) fn warm(&mut self, threads: usize) {
        let bytes = threads.min(SLOTS) * mem::size_of::<Slot>();
        // SAFETY: the start of the mapping made in `install`, whose contents stay as they are.
        unsafe { libc::madvise(SLOTS_AT.load(Acquire).cast(), bytes, libc::MADV_POPULATE_WRITE) };
        self.begin();
        if let Some(own) = self.ask(thread::tid(), 0) {
            own.abandon();
        }
    }

    /// Begins a new dump; requests of the one before are void.
    pub(super) fn begin(&mut self) {
        self.epoch = (self.epoch + 1) & EPOCHS;
        for slot in (0..SLOTS).filter_map(slot) {
            // A slot whose thread is still copying stays out of use until it is done.
            if slot.state() != COPYING {
                slot.state.store(FREE, Release);
            }
        }
    }

    /// Asks a thread for its stack; None when it cannot be asked.
    pub(super) fn ask(&self, tid: u32, from: usize) -> Option<Asked> {
        let number =
            (from..SLOTS).chain(0..from.min(SLOTS)).find(|n| slot(*n).is_some_and(|slot| slot.state() == FREE))?;
        let asked = slot(number)?;
        asked.state.store(self.epoch << 8 | ASKED, Release);
        if system::queue(tid, self.signal, self.epoch << 16 | number as u64) {
            return Some(Asked { slot: number, epoch: self.epoch });
        }
        asked.state.store(FREE, Release);
        None
    }
}

impl Slot {
    fn state(&self) -> u64 {
        self.state.load(Acquire) & 0xff
    }
}

impl Asked {
    /// The thread has answered.
    pub(super) fn is_done(self) -> bool {
        slot(self.slot).is_some_and(|slot| slot.state() == DONE)
    }

    /// For how long the handler kept the thread from its work, nanoseconds, once it has answered.
    pub(super) fn took_ns(self) -> Option<u64> {
        slot(self.slot).filter(|slot| slot.state() == DONE).map(|slot| slot.took_ns.load(Relaxed))
    }

    /// Gives the thread up, unless it has answered meanwhile.
    pub(super) fn abandon(self) {
        if let Some(slot) = slot(self.slot) {
            let _answered = move_on(slot, self.epoch, ASKED, ABANDONED);
        }
    }

    /// What the thread copied: registers, and its stack from the stack pointer upwards.
    pub(super) fn copy(self) -> Option<(Registers, &'static [u8])> {
        let slot = slot(self.slot).filter(|slot| slot.state() == DONE)?;
        let [pc, sp, fp, lr] = [0, 1, 2, 3].map(|i: usize| slot.registers[i].load(Relaxed));
        // SAFETY: in state DONE no handler writes to the slot, and it leaves that state only in `begin`, which needs
        // the dumper for itself; the copy below is not kept across dumps.
        let stack: &'static [u8; COPY] = unsafe { &*slot.stack.get() };
        Some((Registers { pc, sp, fp, lr }, stack.get(..slot.len.load(Relaxed))?))
    }
}

/// Copies the registers and the stack of the interrupted thread into the slot that the signal names.
extern "C" fn on_signal(_signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let errno = system::errno();
    // SAFETY: errno of this thread; the kernel passes valid pointers to a handler installed with SA_SIGINFO, and the
    // union of `siginfo_t` holds pid and value because the code is SI_QUEUE.
    unsafe {
        let before = *errno;
        if (*info).si_code == libc::SI_QUEUE && (*info).si_pid() == libc::getpid() {
            answer((*info).si_value().sival_ptr.addr() as u64, &*context.cast::<libc::ucontext_t>());
        }
        *errno = before;
    }
}

fn answer(value: u64, context: &libc::ucontext_t) {
    let Some(slot) = slot((value & 0xffff) as usize) else { return };
    let epoch = value >> 16;
    if !move_on(slot, epoch, ASKED, COPYING) {
        return;
    }
    let begun = system::used_ns();
    let from = registers::of(context);
    let values = [from.pc, from.sp, from.fp, from.lr];
    slot.registers.iter().zip(values).for_each(|(register, value)| register.store(value, Relaxed));
    // The kernel copies, so that memory which another thread unmaps right now is a short copy and no fault.
    let len = system::copy(from.sp, slot.stack.get().cast(), COPY);
    slot.len.store(len, Relaxed);
    slot.took_ns.store(system::used_ns().saturating_sub(begun), Relaxed);
    slot.state.store(epoch << 8 | DONE, Release);
}

/// Takes the slot from one state to the next, within one request.
fn move_on(slot: &Slot, epoch: u64, from: u64, to: u64) -> bool {
    slot.state.compare_exchange(epoch << 8 | from, epoch << 8 | to, AcqRel, Relaxed).is_ok()
}
