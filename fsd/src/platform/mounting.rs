//! Mounting: the system calls behind a FUSE mount. Linux only; elsewhere every call says "unsupported".

use std::{ffi::CString, io, os::fd::OwnedFd, os::unix::ffi::OsStrExt, os::unix::net::UnixStream, path::Path};

/// How to unmount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Refused while something is open.
    Plain,
    /// Aborts the connection; may be refused all the same.
    Force,
    /// Out of the tree at once, whatever is open.
    Detach,
}

/// Mounts a FUSE file system of the type `fuse.fsd` on `dir`. `data` is the kernel's option string.
///
/// # Errors
/// What the kernel says.
#[cfg(target_os = "linux")]
pub fn mount_fuse(source: &str, dir: &Path, read_only: bool, data: &str) -> io::Result<()> {
    let (source, dir) = (c_string(source.as_bytes())?, c_string(dir.as_os_str().as_bytes())?);
    let data = c_string(data.as_bytes())?;
    let mut flags = libc::MS_NOSUID | libc::MS_NODEV;
    if read_only {
        flags |= libc::MS_RDONLY;
    }
    // SAFETY: four NUL-terminated strings that live until the call returns; the kernel copies them.
    #[expect(unsafe_code, reason = "std cannot mount")]
    let result =
        unsafe { libc::mount(source.as_ptr(), dir.as_ptr(), c"fuse.fsd".as_ptr(), flags, data.as_ptr().cast()) };
    check(result)
}

/// Mounts the control file system of FUSE where it belongs.
///
/// # Errors
/// What the kernel says.
#[cfg(target_os = "linux")]
pub fn mount_fusectl() -> io::Result<()> {
    let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    let dir = c"/sys/fs/fuse/connections";
    // SAFETY: constant strings; no data.
    #[expect(unsafe_code, reason = "std cannot mount")]
    let result =
        unsafe { libc::mount(c"fusectl".as_ptr(), dir.as_ptr(), c"fusectl".as_ptr(), flags, std::ptr::null()) };
    check(result)
}

/// Unmounts what is on `dir`, never following a link.
///
/// # Errors
/// What the kernel says.
#[cfg(target_os = "linux")]
pub fn unmount(dir: &Path, how: How) -> io::Result<()> {
    let dir = c_string(dir.as_os_str().as_bytes())?;
    let flags = libc::UMOUNT_NOFOLLOW
        | match how {
            How::Plain => 0,
            How::Force => libc::MNT_FORCE,
            How::Detach => libc::MNT_DETACH,
        };
    // SAFETY: a NUL-terminated string that lives until the call returns.
    #[expect(unsafe_code, reason = "std cannot unmount")]
    let result = unsafe { libc::umount2(dir.as_ptr(), flags) };
    check(result)
}

/// Receives the descriptor that fusermount3 sends; None when it closed its end without one.
///
/// # Errors
/// What the kernel says.
#[cfg(target_os = "linux")]
pub fn receive_fd(stream: &UnixStream) -> io::Result<Option<OwnedFd>> {
    use std::os::fd::{AsRawFd, FromRawFd};

    let mut byte = 0_u8;
    let mut part = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    let mut control = [0_u64; 8];
    // SAFETY: `msghdr` is plain data for which all zeroes is a valid value.
    #[expect(unsafe_code, reason = "the struct has private padding")]
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = std::mem::size_of_val(&control) as _;
    // SAFETY: every pointer in `message` leads to a local that outlives the call, with its true length.
    #[expect(unsafe_code, reason = "std cannot receive a descriptor")]
    let got = unsafe { libc::recvmsg(stream.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC) };
    if got < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel filled `control` and set its length; CMSG_FIRSTHDR and CMSG_DATA stay inside it, and a
    // descriptor received with SCM_RIGHTS is ours alone.
    #[expect(unsafe_code, reason = "control messages are read through pointers")]
    unsafe {
        let head = libc::CMSG_FIRSTHDR(&raw const message);
        if head.is_null() || (*head).cmsg_level != libc::SOL_SOCKET || (*head).cmsg_type != libc::SCM_RIGHTS {
            return Ok(None);
        }
        let fd = libc::CMSG_DATA(head).cast::<libc::c_int>().read_unaligned();
        Ok(Some(OwnedFd::from_raw_fd(fd)))
    }
}

/// Takes a backing file back from the kernel (`FUSE_DEV_IOC_BACKING_CLOSE`).
///
/// # Errors
/// What the kernel says.
#[cfg(target_os = "linux")]
pub fn close_backing(device: &impl std::os::fd::AsRawFd, id: u32) -> io::Result<()> {
    const BACKING_CLOSE: libc::c_ulong = 1 << 30 | 4 << 16 | 229 << 8 | 2;
    // SAFETY: the request reads one u32 behind the pointer, which outlives the call.
    #[expect(unsafe_code, reason = "std has no ioctl")]
    let result = unsafe { libc::ioctl(device.as_raw_fd(), BACKING_CLOSE as _, &raw const id) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Effective user of this process.
pub fn effective_uid() -> u32 {
    // SAFETY: takes nothing and cannot fail.
    #[expect(unsafe_code, reason = "std does not tell the user id")]
    unsafe {
        libc::geteuid()
    }
}

/// Effective group of this process.
pub fn effective_gid() -> u32 {
    // SAFETY: takes nothing and cannot fail.
    #[expect(unsafe_code, reason = "std does not tell the group id")]
    unsafe {
        libc::getegid()
    }
}

#[cfg(target_os = "linux")]
fn c_string(bytes: &[u8]) -> io::Result<CString> {
    CString::new(bytes).map_err(|_| io::ErrorKind::InvalidInput.into())
}

#[cfg(target_os = "linux")]
fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use super::{How, OwnedFd, Path, UnixStream, io};

    pub fn mount_fuse(_source: &str, _dir: &Path, _read_only: bool, _data: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub fn mount_fusectl() -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub fn unmount(_dir: &Path, _how: How) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub fn close_backing(_device: &impl std::os::fd::AsRawFd, _id: u32) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub fn receive_fd(_stream: &UnixStream) -> io::Result<Option<OwnedFd>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
#[cfg(not(target_os = "linux"))]
pub use elsewhere::{close_backing, mount_fuse, mount_fusectl, receive_fd, unmount};
