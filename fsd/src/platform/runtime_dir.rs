//! The runtime directory: private and ours, with known room.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    },
    path::Path,
};

/// Makes the directory for this user alone, or checks that it is so already.
///
/// # Errors
/// When it cannot be made, or somebody else owns it or may enter it.
pub fn make_private(dir: &Path) -> io::Result<()> {
    // One that is there needs no disk that takes anything.
    let private = is_private(dir).or_else(|_| {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        is_private(dir).map_err(|error| made.err().unwrap_or(error))
    })?;
    if private {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::PermissionDenied, "not a private directory of ours"))
    }
}

/// Whether that is a directory of this user, no link to one, that nobody else may enter.
///
/// # Errors
/// When nothing is there.
pub fn is_private(dir: &Path) -> io::Result<bool> {
    let meta = fs::symlink_metadata(dir)?;
    Ok(meta.is_dir() && meta.uid() == uid() && meta.mode() & 0o077 == 0)
}

/// Opens a file that this user alone may read or write, and no link to one.
///
/// # Errors
/// When it is not there, or is not such a file.
pub fn open_private(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let file = options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    let meta = file.metadata()?;
    let ours = meta.is_file() && meta.uid() == uid() && meta.mode() & 0o077 == 0;
    if ours { Ok(file) } else { Err(io::Error::new(io::ErrorKind::PermissionDenied, "not a private file of ours")) }
}

/// Removes whatever has that name, so that a file of ours can have it; in a directory that is private.
///
/// # Errors
/// When it cannot be removed.
pub fn clear_away(path: &Path) -> io::Result<()> {
    let removed = match fs::remove_file(path) {
        // A directory, as some systems say it.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EISDIR | libc::EPERM)) => fs::remove_dir_all(path),
        removed => removed,
    };
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
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
    fn a_file_that_others_may_use_or_a_link_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        fs::write(&file, "x").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let open = |path: &Path| open_private(path, OpenOptions::new().read(true));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(open(&file).is_err());
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(open(&file).is_ok() && open(&link).is_err() && open(dir.path()).is_err());
        if std::os::unix::fs::chown(&file, Some(65534), None).is_ok() {
            assert!(open(&file).is_err());
        }
    }

    #[test]
    fn whatever_has_the_name_is_cleared_away_and_what_a_link_leads_to_stays() {
        let base = tempfile::tempdir().unwrap();
        let (dir, link, kept) = (base.path().join("dir"), base.path().join("link"), base.path().join("kept"));
        fs::create_dir_all(dir.join("more")).unwrap();
        fs::write(&kept, "x").unwrap();
        std::os::unix::fs::symlink(&kept, &link).unwrap();
        for path in [&dir, &link, &base.path().join("none")] {
            clear_away(path).unwrap();
            assert!(fs::symlink_metadata(path).is_err(), "{}", path.display());
        }
        assert!(kept.exists());
    }

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
