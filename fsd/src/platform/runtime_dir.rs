//! The runtime directory: private, ours, and in memory.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, MetadataExt},
    },
    path::{Path, PathBuf},
};

/// The first candidate that is, or can be made, a directory on tmpfs that only this user can enter.
pub fn choose(candidates: &[PathBuf]) -> Option<PathBuf> {
    candidates.iter().find(|dir| make_private(dir).is_ok() && in_memory(dir)).cloned()
}

/// Makes the directory for this user alone, or checks that it is so already.
///
/// # Errors
/// When it cannot be made, or somebody else owns it or may enter it.
pub fn make_private(dir: &Path) -> io::Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    let meta = fs::symlink_metadata(dir).map_err(|e| made.err().unwrap_or(e))?;
    let ours = meta.is_dir() && meta.uid() == uid() && meta.mode() & 0o077 == 0;
    if ours { Ok(()) } else { Err(io::Error::new(io::ErrorKind::PermissionDenied, "not a private directory of ours")) }
}

/// Effective user id.
#[expect(unsafe_code, reason = "std does not tell the user id")]
pub fn uid() -> u32 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}

/// Bytes free in the file system of `dir`; None when it cannot be asked.
#[expect(unsafe_code, reason = "std does not tell free room")]
pub fn free_bytes(dir: &Path) -> Option<u64> {
    let path = std::ffi::CString::new(dir.as_os_str().as_bytes()).ok()?;
    // SAFETY: statvfs is plain numbers, for which zero is a value.
    let mut stat: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: the path ends in NUL and the kernel fills in one statvfs.
    let failed = unsafe { libc::statvfs(path.as_ptr(), &raw mut stat) };
    (failed == 0).then(|| stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Whether the directory lies in memory, so that a store to a mapped file never waits for a disk.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "std does not tell the kind of file system")]
fn in_memory(dir: &Path) -> bool {
    const RAMFS_MAGIC: libc::c_long = 0x8584_58f6;
    let Ok(path) = std::ffi::CString::new(dir.as_os_str().as_bytes()) else { return false };
    // SAFETY: statfs is plain numbers, for which zero is a value.
    let mut stat: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: the path ends in NUL and the kernel fills in one statfs.
    let failed = unsafe { libc::statfs(path.as_ptr(), &raw mut stat) };
    failed == 0 && [libc::TMPFS_MAGIC, RAMFS_MAGIC].contains(&stat.f_type)
}

/// macOS has no file system in memory; there the rings are read back from disk.
#[cfg(not(target_os = "linux"))]
fn in_memory(_dir: &Path) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_directory_that_others_may_enter_is_passed_over() {
        let shm = Path::new("/dev/shm");
        if !in_memory(shm) {
            eprintln!("SKIP tmpfs (found none at /dev/shm, needs one)");
            return;
        }
        let base = tempfile::tempdir_in(shm).unwrap();
        let (open, closed) = (base.path().join("open"), base.path().join("a/closed"));
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(choose(&[open, closed.clone()]), Some(closed));
        assert!(free_bytes(base.path()).unwrap() > 0);
    }
}
