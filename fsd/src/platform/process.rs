//! This process as the kernel knows it: its arguments, its twin in the background, its clients' identity.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read},
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    process::{Child, ExitStatus},
    time::{Duration, Instant},
};

use nix::unistd::{ForkResult, fork, setsid};

/// Which of the two a fork returned to.
#[derive(Debug)]
pub enum Twin {
    /// The one that stays with the terminal; the pid of the other.
    Parent(u32),
    /// A session of its own, without a terminal.
    Child,
}

/// Splits this process in two.
///
/// # Errors
/// When the system has no room for another process.
///
/// # Panics
/// When this process has more than one thread: locks held by the others would stay locked in the child.
pub fn split() -> io::Result<Twin> {
    assert_eq!(threads(), 1, "only a process with a single thread may fork");
    #[expect(unsafe_code, reason = "std has no fork, and a daemon must keep what it has opened and checked so far")]
    // SAFETY: this process has one thread, as was just checked, so no lock or heap state is left half-way.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(Twin::Parent(child.as_raw().unsigned_abs())),
        ForkResult::Child => {
            setsid()?;
            Ok(Twin::Child)
        }
    }
}

/// Threads of this process; 1 where the system does not say.
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count)
}

/// Points stdin and stdout at nothing, and stderr at `messages`.
///
/// # Errors
/// When `/dev/null` cannot be opened.
pub fn leave_terminal(messages: &impl AsFd) -> io::Result<()> {
    let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    nix::unistd::dup2_stdin(&null)?;
    nix::unistd::dup2_stdout(&null)?;
    nix::unistd::dup2_stderr(messages)?;
    Ok(())
}

/// What this process runs, whatever has become of its file.
pub const OWN_PROGRAM: &str = "/proc/self/exe";

/// The same by its file, where that is still there.
pub fn own_program() -> PathBuf {
    let named = std::env::current_exe().ok().filter(|file| file.is_file());
    named.unwrap_or_else(|| PathBuf::from(OWN_PROGRAM))
}

/// Holds on to a program, also one that may be run and not read; its file may go or be replaced meanwhile.
///
/// # Errors
/// When there is none.
pub fn pinned(program: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    #[cfg(target_os = "linux")]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_PATH);
    options.read(true).open(program)
}

/// Overwrites the arguments that `ps` shows with `title`, cut to the room there is. False where it cannot be done.
///
/// Arguments taken from [`std::env::args_os`] before stay as they are: they are copies.
pub fn set_title(title: &str) -> bool {
    let Some((start, end)) = argument_area() else { return false };
    let room = end - start;
    let text = &title.as_bytes()[..title.len().min(room.saturating_sub(1))];
    #[expect(unsafe_code, reason = "the kernel shows this memory to everybody; std offers no way to change it")]
    // SAFETY: the kernel put argv there, `start..end` is its extent in our own writable stack, and nobody reads it
    // while we write: std copies arguments when asked, and no other thread asks during start-up.
    unsafe {
        let area = std::slice::from_raw_parts_mut(start as *mut u8, room);
        area.fill(0);
        area[..text.len()].copy_from_slice(text);
    }
    true
}

/// Names this process (its first thread) in lists of processes, whatever path it was started by; best effort.
pub fn set_name(name: &str) {
    // Where there is no such file the name is what the path says.
    drop(std::fs::write("/proc/self/comm", name));
}

/// Where the kernel keeps our argv: fields 48 and 49 of /proc/self/stat.
fn argument_area() -> Option<(usize, usize)> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let at = |n: usize| fields.get(n - 3)?.parse::<usize>().ok();
    let (start, end) = (at(48)?, at(49)?);
    (start != 0 && end > start).then_some((start, end))
}

/// Who is at the other end of a local socket.
///
/// # Errors
/// When the system does not tell.
#[cfg(target_os = "linux")]
pub fn peer_uid(socket: &impl AsFd) -> io::Result<u32> {
    Ok(nix::sys::socket::getsockopt(socket, nix::sys::socket::sockopt::PeerCredentials)?.uid())
}

/// Who is at the other end of a local socket.
///
/// # Errors
/// When the system does not tell.
#[cfg(not(target_os = "linux"))]
pub fn peer_uid(socket: &impl AsFd) -> io::Result<u32> {
    use nix::sys::socket::{getsockopt, sockopt::LocalPeerCred};
    Ok(getsockopt(socket, LocalPeerCred)?.uid())
}

/// A descriptor that becomes readable when process `pid` has ended.
///
/// # Errors
/// When there is no such process.
#[cfg(target_os = "linux")]
pub fn pidfd(pid: u32) -> io::Result<OwnedFd> {
    #[expect(unsafe_code, reason = "std has no stable way to it")]
    // SAFETY: takes numbers only.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    match i32::try_from(fd) {
        Ok(fd) if fd >= 0 => Ok(received_fd(fd)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// How a child ended, waiting for that until `deadline` at most; it is reaped then. None: it has not.
pub fn ended(child: &mut Child, deadline: Instant) -> Option<ExitStatus> {
    const LOOK: Duration = Duration::from_millis(5);
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if super::clock::now() < deadline => std::thread::park_timeout(LOOK),
            _ => return None,
        }
    }
}

/// The same; a child that has not ended by then is killed.
pub fn end_by(child: &mut Child, deadline: Instant) -> Option<ExitStatus> {
    const KILL_LIMIT: Duration = Duration::from_millis(500);
    let status = ended(child, deadline);
    if status.is_none() {
        drop(child.kill());
        // A process in a system call that never ends cannot be killed, and need not be waited for.
        ended(child, super::clock::now() + KILL_LIMIT);
    }
    status
}

/// What a child that has ended left in a pipe, its start if that is long: whoever else may have inherited the other end
/// is not waited for.
pub fn left_in(pipe: impl Read + AsFd) -> String {
    const MOST: u64 = 64 << 10;
    let mut text = Vec::new();
    if rustix::io::ioctl_fionbio(&pipe, true).is_ok() {
        // Ends with "nothing more for now" at the latest.
        let _ended = pipe.take(MOST).read_to_end(&mut text);
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// Owns a descriptor that the kernel has just made for this process.
pub fn received_fd(fd: i32) -> OwnedFd {
    use std::os::fd::FromRawFd;
    #[expect(unsafe_code, reason = "it came as a bare number")]
    // SAFETY: the caller got it from the kernel this moment; nobody else knows its number.
    unsafe {
        OwnedFd::from_raw_fd(fd)
    }
}

/// Puts `new` under the number of `old`, closed on exec; what was there is closed.
///
/// # Errors
/// Never with two open descriptors.
pub fn replace_fd(old: std::os::fd::BorrowedFd<'_>, new: OwnedFd) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    #[expect(unsafe_code, reason = "std cannot replace a descriptor that somebody else owns")]
    // SAFETY: both are open; the owner of `old` keeps a valid descriptor under its number all the time.
    let done = unsafe { libc::dup3(new.as_raw_fd(), old.as_raw_fd(), libc::O_CLOEXEC) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn the_argument_area_holds_our_arguments() {
        let (start, end) = argument_area().unwrap();
        assert!(end - start >= std::env::args_os().next().unwrap().len());
    }

    #[test]
    fn a_local_peer_is_ourselves() {
        let (here, _there) = std::os::unix::net::UnixStream::pair().unwrap();
        assert_eq!(peer_uid(&here).unwrap(), nix::unistd::geteuid().as_raw());
    }
}
