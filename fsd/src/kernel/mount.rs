//! The mount: made, watched and taken down by our own code, without ever touching a path below it.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    time::Duration,
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

/// Mounts. The kernel's INIT waits on the descriptor from now on; see [`Mounted::ready`].
///
/// A dead mount of ours on the directory is removed first.
///
/// # Errors
/// See [`MountError`].
pub fn mount(spec: &MountSpec) -> Result<Mounted, MountError> {
    Err(MountError::Missing(spec.dir.clone()))
}

impl Mounted {
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
        Ok(())
    }
}

impl At {
    /// Whether our device is still in mountinfo at our place.
    pub fn is_mounted(&self) -> bool {
        false
    }

    /// Effective `max_background`; None when fusectl cannot be read.
    pub fn max_background(&self) -> Option<u32> {
        None
    }

    /// Sets the kernel's read-ahead, best effort; returns what is in force, in KiB.
    pub fn read_ahead(&self, _kib: u32) -> Option<u32> {
        None
    }
}

/// The kernel's count of unanswered requests of a connection. Reading it allocates nothing.
#[derive(Debug)]
pub struct Waiting {}

impl Waiting {
    /// None when fusectl is not there (it is mounted if we may).
    pub fn open(_at: &At) -> Option<Self> {
        None
    }

    pub fn read(&self) -> Option<u64> {
        None
    }
}

/// A process that keeps the mount busy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub pid: u32,
    pub name: String,
    /// What it holds: an open file, its working directory, a mapping.
    pub what: String,
}

/// Steps of an unmount that a person should hear of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Busy; said once, and again when the holders change.
    Busy(Vec<Holder>),
    /// The connection is being aborted: readers get errors now.
    Aborting,
    /// Taken out of the tree although still in use.
    Detaching,
}

/// How a mount ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmounted {
    /// It was not there any more.
    Gone,
    /// Nobody used it any more.
    Clean,
    /// The connection was aborted first.
    Aborted,
    /// Still in use somewhere, but gone from the tree; the connection is aborted.
    Detached,
}

#[derive(Debug, thiserror::Error)]
pub enum UnmountError {
    #[error("{dir} is still mounted: {why}; run umount -l {dir}")]
    Still { dir: PathBuf, why: String },
}

/// Unmounts: tries every 250 ms until `limit`, then aborts the connection, then detaches; checked in mountinfo.
///
/// `pause` waits for the given time and returns true if it must go at once (a second signal); `report` hears of
/// every step.
///
/// # Errors
/// When the mount is still there after all that.
pub fn unmount(
    _at: &At,
    _limit: Duration,
    _pause: &mut dyn FnMut(Duration) -> bool,
    _report: &mut dyn FnMut(Step),
) -> Result<Unmounted, UnmountError> {
    Ok(Unmounted::Gone)
}

/// Processes that have something open below `dir`, found in /proc alone.
pub fn holders(_dir: &Path) -> Vec<Holder> {
    Vec::new()
}
