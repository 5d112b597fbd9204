//! The runtime directory: private and ours, with known room.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, MetadataExt},
    },
    path::Path,
};

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
fn uid() -> u32 {
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_directory_that_others_may_enter_is_refused() {
        let base = tempfile::tempdir().unwrap();
        let (open, closed) = (base.path().join("open"), base.path().join("a/closed"));
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(make_private(&open).is_err());
        make_private(&closed).unwrap();
        make_private(&closed).unwrap();
        assert!(free_bytes(base.path()).unwrap() > 0);
    }
}
