//! System calls that the standard library does not have; each wrapper is safe to call with any argument.
#![expect(unsafe_code, reason = "raw system calls: bpf, pidfd, detached mounts, poll, clock")]

use std::{
    ffi::CStr,
    io,
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
    os::unix::{ffi::OsStrExt as _, net::UnixStream},
    path::{Path, PathBuf},
};

fn checked(returned: libc::c_long) -> io::Result<libc::c_long> {
    if returned < 0 { Err(io::Error::last_os_error()) } else { Ok(returned) }
}

fn owned(returned: libc::c_long) -> io::Result<OwnedFd> {
    let fd = RawFd::try_from(checked(returned)?).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A file system instance that is mounted nowhere: seen by this process alone, gone with it.
#[derive(Debug)]
pub struct PrivateMount(OwnedFd);

impl PrivateMount {
    /// Makes one of a file system without a device (`fusectl`, `tracefs`).
    ///
    /// # Errors
    /// EPERM without CAP_SYS_ADMIN, ENODEV where the kernel lacks that file system.
    pub fn new(fstype: &CStr) -> io::Result<Self> {
        const FSCONFIG_CMD_CREATE: libc::c_ulong = 6;
        // SAFETY: the name is a C string that outlives the call.
        let context = owned(unsafe { libc::syscall(libc::SYS_fsopen, fstype.as_ptr(), 1) })?;
        let null = std::ptr::null::<libc::c_char>();
        // SAFETY: CMD_CREATE takes no key, value or aux.
        checked(unsafe { libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), FSCONFIG_CMD_CREATE, null, null, 0) })?;
        // SAFETY: plain numbers.
        let mount = owned(unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), 1, 0) })?;
        Ok(Self(mount))
    }

    /// A path to its root, valid in this process as long as `self` lives.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }
}

/// What `poll` says of a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    pub readable: bool,
    pub error: bool,
}

/// Waits until one of the descriptors is readable or the time is over.
///
/// # Errors
/// Never EINTR; anything else the kernel says.
pub fn poll(fds: &[BorrowedFd<'_>], milliseconds: i32) -> io::Result<Vec<Ready>> {
    let mut set: Vec<libc::pollfd> =
        fds.iter().map(|fd| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 }).collect();
    let count = libc::nfds_t::try_from(set.len()).map_err(io::Error::other)?;
    // SAFETY: `set` holds exactly `count` entries and lives through the call.
    let got = unsafe { libc::poll(set.as_mut_ptr(), count, milliseconds) };
    if got < 0 && io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
        return Err(io::Error::last_os_error());
    }
    let ready = |p: &libc::pollfd| Ready {
        readable: p.revents & libc::POLLIN != 0,
        error: p.revents & (libc::POLLERR | libc::POLLHUP) != 0,
    };
    Ok(set.iter().map(ready).collect())
}

/// What a look at a foreign process's `/dev/fuse` descriptor tells: readable means that an unread request is
/// queued, error means that the connection was aborted. The copy is closed at once and never read from.
///
/// # Errors
/// EPERM without the right to trace that process, ESRCH when it is gone.
pub fn poll_foreign(pid: u32, fd: u32) -> io::Result<Ready> {
    // SAFETY: plain numbers.
    let process = owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    // SAFETY: plain numbers.
    let copy = owned(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), fd, 0) })?;
    use std::os::fd::AsFd as _;
    let ready = poll(&[copy.as_fd()], 0)?;
    Ok(ready[0])
}

/// Connects to a socket without waiting for room in its queue; gives who listens there, by user.
///
/// # Errors
/// Nobody listens, WouldBlock when too many others wait for an answer, or the path is too long for an address.
pub fn connect(socket: &Path) -> io::Result<(UnixStream, u32)> {
    let path = socket.as_os_str().as_bytes();
    // SAFETY: plain numbers, for which zero is a value.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    if path.len() >= address.sun_path.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in address.sun_path.iter_mut().zip(path) {
        *to = libc::c_char::from_ne_bytes([*from]);
    }
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: plain numbers.
    let stream = owned(unsafe { libc::socket(libc::AF_UNIX, kind, 0) }.into())?;
    let size = libc::socklen_t::try_from(size_of_val(&address)).map_err(io::Error::other)?;
    // SAFETY: the address is ours and has that size.
    checked(unsafe { libc::connect(stream.as_raw_fd(), (&raw const address).cast(), size) }.into())?;
    let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut size = libc::socklen_t::try_from(size_of_val(&peer)).map_err(io::Error::other)?;
    let (level, option) = (libc::SOL_SOCKET, libc::SO_PEERCRED);
    // SAFETY: the kernel fills in one ucred, of the size that it is told.
    let got = unsafe { libc::getsockopt(stream.as_raw_fd(), level, option, (&raw mut peer).cast(), &raw mut size) };
    checked(got.into())?;
    let stream = UnixStream::from(stream);
    stream.set_nonblocking(false)?;
    Ok((stream, peer.uid))
}

/// Nanoseconds of the clock that never steps, the one of fsd's events; the trace instance is set to it too.
pub fn mono_ns() -> u64 {
    clock_ns(libc::CLOCK_MONOTONIC)
}

/// Microseconds since 1970.
pub fn wall_us() -> u64 {
    clock_ns(libc::CLOCK_REALTIME) / 1000
}

fn clock_ns(clock: libc::clockid_t) -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel fills the struct we own; both clocks always exist.
    unsafe { libc::clock_gettime(clock, &raw mut now) };
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// Signals that ask this process to end, as a descriptor: whoever made something that must be removed again can
/// remove it first. Blocked in every thread that is started afterwards.
#[derive(Debug)]
pub struct EndSignals(OwnedFd);

impl EndSignals {
    /// Takes SIGINT, SIGTERM and SIGHUP over.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub fn take() -> io::Result<Self> {
        // SAFETY: the set is ours and is initialised by sigemptyset before anything reads it; the numbers are valid.
        let fd = unsafe {
            let mut set = std::mem::zeroed::<libc::sigset_t>();
            libc::sigemptyset(&raw mut set);
            for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
                libc::sigaddset(&raw mut set, signal);
            }
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
            libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
        };
        owned(libc::c_long::from(fd)).map(Self)
    }

    /// Waits for a signal or until the time is over; true when one came.
    pub fn wait(&self, milliseconds: i32) -> bool {
        use std::os::fd::AsFd as _;
        poll(&[self.0.as_fd()], milliseconds).is_ok_and(|ready| ready.iter().any(|r| r.readable))
    }
}

/// Whether this process runs as root.
pub fn is_root() -> bool {
    // SAFETY: always succeeds.
    unsafe { libc::geteuid() == 0 }
}

/// How to take a mount away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmount {
    Plain,
    /// Aborts a FUSE connection; the mount may stay.
    Force,
    Detach,
}

/// Unmounts without following a link and without asking the file system below.
///
/// # Errors
/// EBUSY while files are open, EPERM for a plain user, EINVAL when nothing is mounted there.
pub fn umount(point: &Path, how: Unmount) -> io::Result<()> {
    let path = std::ffi::CString::new(point.as_os_str().as_bytes()).map_err(io::Error::other)?;
    let flag = match how {
        Unmount::Plain => 0,
        Unmount::Force => libc::MNT_FORCE,
        Unmount::Detach => libc::MNT_DETACH,
    };
    // SAFETY: the path is a C string that outlives the call.
    checked(libc::c_long::from(unsafe { libc::umount2(path.as_ptr(), flag | libc::UMOUNT_NOFOLLOW) })).map(drop)
}

/// Waits until a process has ended.
///
/// # Errors
/// TimedOut when it is still there, anything else the kernel says.
pub fn await_end(pid: u32, milliseconds: i32) -> io::Result<()> {
    // SAFETY: plain numbers.
    let process = match owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) }) {
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(()),
        opened => opened?,
    };
    use std::os::fd::AsFd as _;
    let ended = poll(&[process.as_fd()], milliseconds)?[0].readable;
    if ended { Ok(()) } else { Err(io::Error::new(io::ErrorKind::TimedOut, "it is still running")) }
}

/// Ends all processes of a group, a child that was started as the leader of its own, say.
///
/// # Errors
/// ESRCH when none is left, EPERM where all belong to somebody else.
pub fn kill_group(leader: u32) -> io::Result<()> {
    let group = libc::pid_t::try_from(leader).map_err(io::Error::other)?;
    // SAFETY: plain numbers.
    checked(libc::c_long::from(unsafe { libc::killpg(group, libc::SIGKILL) })).map(drop)
}

/// Ends a process that does not end by itself.
///
/// # Errors
/// EPERM for a process of somebody else.
pub fn kill(pid: u32) -> io::Result<()> {
    let pid = libc::pid_t::try_from(pid).map_err(io::Error::other)?;
    // SAFETY: plain numbers.
    checked(libc::c_long::from(unsafe { libc::kill(pid, libc::SIGKILL) })).map(drop)
}
