//! The system calls that std does without only by allocating, or not at all.
#![expect(unsafe_code, reason = "signals, raw directories and a process that may not allocate")]

use std::{
    ffi::{CStr, c_char, c_int},
    fs::File,
    io, mem,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    ptr,
};

use fsd_unwind::Memory;

/// Memory of this process, read so that an address that is gone is no fault.
#[derive(Clone, Copy, Debug)]
pub(super) struct Own;

impl Memory for Own {
    fn read(&self, address: u64, into: &mut [u8]) -> usize {
        copy(address, into.as_mut_ptr(), into.len())
    }
}

/// Copies memory of this process to `to`, which must have room for `len` bytes, with one system call; returns how
/// many bytes could be read. Async-signal-safe; changes errno.
pub(super) fn copy(from: u64, to: *mut u8, len: usize) -> usize {
    let local = libc::iovec { iov_base: to.cast(), iov_len: len };
    let remote = libc::iovec { iov_base: ptr::without_provenance_mut(from as usize), iov_len: len };
    // SAFETY: the kernel checks both ranges and answers EFAULT; `to` has room by contract, nothing else is written.
    let got = unsafe { libc::process_vm_readv(libc::getpid(), &raw const local, 1, &raw const remote, 1, 0) };
    usize::try_from(got).unwrap_or(0)
}

/// Runs `each` for every name in a directory, the first `limit` bytes of it; neither allocates nor locks.
pub(super) fn names(dir: &File, each: &mut dyn FnMut(&CStr)) {
    #[repr(align(8))]
    struct Entries([u8; 16384]);
    let mut entries = Entries([0; 16384]);
    // SAFETY: lseek touches no memory.
    unsafe { libc::lseek(dir.as_raw_fd(), 0, libc::SEEK_SET) };
    loop {
        // SAFETY: the kernel writes at most as many bytes as the buffer has.
        let got =
            unsafe { libc::syscall(libc::SYS_getdents64, dir.as_raw_fd(), entries.0.as_mut_ptr(), entries.0.len()) };
        let Some(mut rest) = usize::try_from(got).ok().and_then(|got| entries.0.get(..got)) else { return };
        if rest.is_empty() {
            return;
        }
        // d_ino, d_off: 8 bytes each; d_reclen: 2; d_type: 1; then the name, NUL-terminated.
        while let Some(size) = rest.get(16..18).map(|b| usize::from(u16::from_ne_bytes([b[0], b[1]]))) {
            let name = rest.get(19..size).and_then(|name| CStr::from_bytes_until_nul(name).ok());
            name.into_iter().for_each(&mut *each);
            rest = rest.get(size.max(19)..).unwrap_or_default();
        }
    }
}

/// Makes a new file below a directory.
///
/// # Errors
/// The errno.
pub(super) fn create(dir: &File, name: &CStr) -> Result<File, i32> {
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_CLOEXEC | libc::O_NOFOLLOW;
    // SAFETY: a NUL-terminated name; the descriptor belongs to the directory that is borrowed.
    let fd = unsafe { libc::openat(dir.as_raw_fd(), name.as_ptr(), flags, 0o600) };
    if fd < 0 {
        return Err(io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO));
    }
    // SAFETY: the descriptor was just made and belongs to nobody else.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// Removes a file below a directory; that it is gone already is no matter.
pub(super) fn remove(dir: &File, name: &CStr) {
    // SAFETY: a NUL-terminated name; no memory is written.
    unsafe { libc::unlinkat(dir.as_raw_fd(), name.as_ptr(), 0) };
}

/// What `rt_tgsigqueueinfo` takes: the head of the kernel's `siginfo_t` for a queued signal.
#[repr(C)]
struct Queued {
    signo: c_int,
    errno: c_int,
    code: c_int,
    pad: c_int,
    pid: libc::pid_t,
    uid: libc::uid_t,
    value: u64,
    rest: [u64; 12],
}

const _: () = assert!(mem::size_of::<Queued>() == mem::size_of::<libc::siginfo_t>());

/// Queues a signal with a value for a thread of this process; false when the kernel refuses.
pub(super) fn queue(tid: u32, signal: c_int, value: u64) -> bool {
    // SAFETY: both take nothing and cannot fail.
    let (pid, uid) = unsafe { (libc::getpid(), libc::getuid()) };
    let info = Queued { signo: signal, errno: 0, code: libc::SI_QUEUE, pad: 0, pid, uid, value, rest: [0; 12] };
    // SAFETY: the kernel reads one siginfo, whose size and layout `Queued` has.
    unsafe { libc::syscall(libc::SYS_rt_tgsigqueueinfo, pid, tid, signal, &raw const info) == 0 }
}

/// A signal handler with the sender's information.
pub(super) type Handler = extern "C" fn(c_int, *mut libc::siginfo_t, *mut libc::c_void);

/// Installs `handler` for the first real-time signal from `SIGRTMIN + 5` on that nobody uses.
///
/// # Errors
/// When there is none.
pub(super) fn handle(handler: Handler) -> io::Result<c_int> {
    // SAFETY: sigaction is plain data for which all zeroes is a value.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = handler as *const () as usize;
    // Restarted calls see no EINTR. The alternate stack of std's threads would be too small for some CPUs' frames.
    action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
    // SAFETY: fills one signal set.
    unsafe { libc::sigfillset(&raw mut action.sa_mask) };
    for signal in libc::SIGRTMIN() + 5..=libc::SIGRTMAX() {
        // SAFETY: as above.
        let mut before: libc::sigaction = unsafe { mem::zeroed() };
        // SAFETY: asks only; the kernel writes one sigaction.
        let asked = unsafe { libc::sigaction(signal, ptr::null(), &raw mut before) };
        if asked != 0 || before.sa_sigaction != libc::SIG_DFL {
            continue;
        }
        // SAFETY: the handler touches only its slot and is async-signal-safe (see `copies`).
        if unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) } == 0 {
            return Ok(signal);
        }
    }
    Err(io::Error::other("every real-time signal has a handler"))
}

/// Starts a program with at most four arguments, without allocating and without copying this process; returns its pid.
pub(super) fn spawn(program: &CStr, arguments: &[&CStr]) -> Option<libc::pid_t> {
    // The last one stays NULL.
    let mut argv: [*mut c_char; 5] = [ptr::null_mut(); 5];
    argv.iter_mut().take(4).zip(arguments).for_each(|(slot, argument)| *slot = argument.as_ptr().cast_mut());
    let environment: [*mut c_char; 1] = [ptr::null_mut()];
    let mut pid = 0;
    // SAFETY: NULL-terminated arrays of NUL-terminated strings that live until the call returns; none is written to.
    let error = unsafe {
        libc::posix_spawn(&raw mut pid, program.as_ptr(), ptr::null(), ptr::null(), argv.as_ptr(), environment.as_ptr())
    };
    (error == 0).then_some(pid)
}

/// Whether that child has ended (or is nobody's child any more).
pub(super) fn ended(pid: libc::pid_t) -> bool {
    // SAFETY: the status is not asked for; nothing is written.
    unsafe { libc::waitpid(pid, ptr::null_mut(), libc::WNOHANG) != 0 }
}

/// Sleeps for a fifth of a millisecond, or less when interrupted.
pub(super) fn nap() {
    let time = libc::timespec { tv_sec: 0, tv_nsec: 200_000 };
    // SAFETY: one timespec is read; the rest is not asked for.
    unsafe { libc::nanosleep(&raw const time, ptr::null_mut()) };
}

/// What this thread has used of a processor, nanoseconds. Async-signal-safe.
pub(super) fn used_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec on this stack.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

/// errno of this thread, saved around a signal handler.
pub(super) fn errno() -> *mut c_int {
    // SAFETY: gives the address of a thread's errno, valid as long as the thread.
    unsafe { libc::__errno_location() }
}
