//! The mount: made, watched and taken down by our own code, without ever touching a path below it.

mod attach;
mod control;
mod detach;
mod helper;
mod holders;
mod mountinfo;

pub use attach::mount;
pub use control::Waiting;
pub use detach::{ABORT_LIMIT, Step, UnmountError, Unmounted, unmount};
pub use holders::{Holder, holders};

use std::{
    fs, io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
};

/// What to mount where.
#[derive(Clone, Debug)]
pub struct MountSpec {
    pub dir: PathBuf,
    /// Shown as the mount's device; redacted by the caller, cleaned here.
    pub source: String,
    pub allow_other: bool,
    /// Not read-only as far as the kernel knows, so that refused writes arrive (`debug_all_callbacks`).
    pub writable: bool,
}

/// Why there is no mount. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    #[error("{0} does not exist: create it (mkdir -p {0}) and mount again")]
    Missing(PathBuf),
    #[error("{0} is not a directory: give an empty directory as mount point")]
    NotDirectory(PathBuf),
    #[error("{0} is not empty, and a mount would hide what is in it: give an empty directory")]
    NotEmpty(PathBuf),
    #[error("{dir} is already a mount point ({what}): unmount it first (fsd umount {dir}, or umount {dir})")]
    Mounted { dir: PathBuf, what: String },
    #[error("{dir} holds a dead FUSE mount that cannot be removed ({why}): run umount -l {dir}")]
    Stale { dir: PathBuf, why: String },
    #[error("there is no /dev/fuse: load the module (modprobe fuse), or in a container give --device /dev/fuse")]
    NoDevice,
    #[error("/dev/fuse may not be opened ({0}): as root run chmod 666 /dev/fuse, or run fsd as root")]
    DeviceDenied(io::Error),
    #[error("fusermount3 is missing: install the package fuse3, or run fsd as root")]
    NoHelper,
    #[error("fusermount3 refused: {message}; {hint}")]
    Helper { message: String, hint: &'static str },
    #[error("the kernel refused to mount on {dir}: {why}; {hint}")]
    Refused { dir: PathBuf, why: io::Error, hint: &'static str },
    #[error("cannot use {dir}: {why}")]
    Path { dir: PathBuf, why: io::Error },
    #[error("the mount on {0} did not show up in /proc/self/mountinfo: something else unmounted it")]
    NotReady(PathBuf),
}

/// A mount of ours. Dropping it closes the descriptor and nothing else.
#[derive(Debug)]
pub struct Mounted {
    fd: OwnedFd,
    at: At,
}

/// Where a mount is: all that is needed to watch it and to take it down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    /// As the kernel names it.
    pub dir: PathBuf,
    /// Number of the connection (minor device number).
    pub connection: u32,
    /// Mounted by fusermount3, so unmounted by it.
    pub helper: bool,
}

impl Mounted {
    /// A mount that another process made and gave us.
    pub fn adopt(fd: OwnedFd, at: At) -> Self {
        Self { fd, at }
    }

    pub fn at(&self) -> &At {
        &self.at
    }

    /// The connection; hand a duplicate to [`serve`](crate::kernel::fuse::serve).
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// To be called when INIT has been answered.
    ///
    /// # Errors
    /// [`MountError::NotReady`] when our device is not what is mounted there.
    pub fn ready(&self) -> Result<(), MountError> {
        if self.at.is_mounted() { Ok(()) } else { Err(MountError::NotReady(self.at.dir.clone())) }
    }
}

impl At {
    /// Whether our device is still in mountinfo at our place; true where that cannot be seen, because whoever believes
    /// that it is gone leaves it behind.
    pub fn is_mounted(&self) -> bool {
        self.seen().unwrap_or(true)
    }

    /// The same; None where it cannot be seen.
    fn seen(&self) -> Option<bool> {
        let ours = |line: &mountinfo::MountLine| line.dir == self.dir && line.minor == self.connection;
        mountinfo::read().ok().map(|all| all.iter().any(|line| line.is_fuse() && ours(line)))
    }

    /// Effective `max_background`; None when fusectl cannot be read.
    pub fn max_background(&self) -> Option<u32> {
        control::max_background(self.connection)
    }

    /// Sets the kernel's read-ahead, best effort; returns what is in force, in KiB.
    pub fn read_ahead(&self, kib: u32) -> Option<u32> {
        let file = format!("/sys/class/bdi/0:{}/read_ahead_kb", self.connection);
        // Only root may; then the kernel's own value is in force.
        drop(fs::write(&file, kib.to_string()));
        fs::read_to_string(&file).ok()?.trim().parse().ok()
    }
}
