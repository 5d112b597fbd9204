//! One thread, stopped: registers and a copy of the stack, then it goes on.
#![expect(unsafe_code, reason = "ptrace and memory of another process")]

use std::{
    io, mem, ptr,
    time::{Duration, Instant},
};

use fsd_unwind::{Memory, Registers};

/// A process whose memory can be read.
pub(super) struct Process {
    pid: u32,
}

/// What a stopped thread left.
pub(super) struct Stopped {
    pub(super) registers: Registers,
    /// From the stack pointer upwards.
    stack: Vec<u8>,
    /// How long it was stopped.
    pub(super) pause: Duration,
}

impl Stopped {
    /// Eight bytes of the stack, where they were copied.
    pub(super) fn word(&self, address: u64) -> Option<u64> {
        let at = usize::try_from(address.checked_sub(self.registers.sp)?).ok()?;
        self.stack.get(at..at.checked_add(8)?)?.try_into().ok().map(u64::from_ne_bytes)
    }
}

impl Process {
    pub(super) fn new(pid: u32) -> Self {
        Self { pid }
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Stops one thread, copies at most `most` bytes of its stack, and lets it go. None when it does not stop within
    /// the limit: the end of the calling thread lets it go too.
    pub(super) fn stop(&self, tid: u32, limit: Duration, most: usize) -> io::Result<Option<Stopped>> {
        let tid = libc::pid_t::try_from(tid).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut stack = vec![0; most];
        let begun = now();
        request(libc::PTRACE_SEIZE, tid, 0)?;
        request(libc::PTRACE_INTERRUPT, tid, 0)?;
        let Some(signal) = wait(tid, begun, limit)? else { return Ok(None) };
        let registers = registers(tid);
        if let Ok(registers) = registers {
            let got = self.read(registers.sp, &mut stack);
            stack.truncate(got);
        }
        request(libc::PTRACE_DETACH, tid, signal)?;
        Ok(Some(Stopped { registers: registers?, stack, pause: begun.elapsed() }))
    }
}

impl Memory for Process {
    fn read(&self, address: u64, into: &mut [u8]) -> usize {
        let Ok(pid) = libc::pid_t::try_from(self.pid) else { return 0 };
        let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
        let remote = libc::iovec { iov_base: ptr::without_provenance_mut(address as usize), iov_len: into.len() };
        // SAFETY: the kernel writes at most `into.len()` bytes to `into`, and checks the other process's range.
        let got = unsafe { libc::process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 0) };
        usize::try_from(got).unwrap_or(0)
    }
}

/// How long a thread is waited for without giving the processor away.
const SPIN: Duration = Duration::from_micros(100);

#[expect(clippy::disallowed_methods, reason = "waitpid knows no limit, and a thread in state D never stops")]
fn nap() {
    std::thread::sleep(Duration::from_micros(50));
}

/// Monotonic now, to measure and limit pauses.
#[expect(clippy::disallowed_methods, reason = "a pause is measured where it is made")]
pub(super) fn now() -> Instant {
    Instant::now()
}

fn request(what: libc::c_uint, tid: libc::pid_t, data: usize) -> io::Result<()> {
    let none = ptr::null_mut::<libc::c_void>();
    // SAFETY: these requests take a number as data and read or write no memory of ours.
    let result = unsafe { libc::ptrace(what, tid, none, ptr::without_provenance_mut::<libc::c_void>(data)) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Waits until the thread stands still; returns the signal that must be given back to it, 0 for none.
fn wait(tid: libc::pid_t, begun: Instant, limit: Duration) -> io::Result<Option<usize>> {
    loop {
        let mut status = 0;
        // SAFETY: the kernel writes one status.
        match unsafe { libc::waitpid(tid, &raw mut status, libc::__WALL | libc::WNOHANG) } {
            -1 => return Err(io::Error::last_os_error()),
            0 if begun.elapsed() > limit => return Ok(None),
            // Most threads stop within microseconds; for the others the processor is given away, for a moment that
            // ends sooner on a busy machine than a turn of everybody else would.
            0 if begun.elapsed() < SPIN => std::hint::spin_loop(),
            0 => nap(),
            _ if !libc::WIFSTOPPED(status) => return Err(io::Error::from_raw_os_error(libc::ESRCH)),
            // Stopped by us, or standing still by a SIGSTOP before: nothing to give back.
            _ if status >> 16 == libc::PTRACE_EVENT_STOP => return Ok(Some(0)),
            // A signal was just on its way to it.
            _ => return Ok(Some(usize::try_from(libc::WSTOPSIG(status)).unwrap_or(0))),
        }
    }
}

fn registers(tid: libc::pid_t) -> io::Result<Registers> {
    // SAFETY: plain numbers, for which zero is a value.
    let mut all: libc::user_regs_struct = unsafe { mem::zeroed() };
    let mut part = libc::iovec { iov_base: (&raw mut all).cast(), iov_len: mem::size_of_val(&all) };
    let set = ptr::without_provenance_mut::<libc::c_void>(libc::NT_PRSTATUS as usize);
    // SAFETY: the kernel writes at most `iov_len` bytes to `all`.
    let result = unsafe { libc::ptrace(libc::PTRACE_GETREGSET, tid, set, &raw mut part) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(of(&all)) }
}

#[cfg(target_arch = "x86_64")]
fn of(all: &libc::user_regs_struct) -> Registers {
    Registers { pc: all.rip, sp: all.rsp, fp: all.rbp, lr: 0 }
}

#[cfg(target_arch = "aarch64")]
fn of(all: &libc::user_regs_struct) -> Registers {
    Registers { pc: all.pc, sp: all.sp, fp: all.regs[29], lr: all.regs[30] }
}
