//! Owned: files that one user alone can have made, opened so that nothing in their place can make us wait.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

/// More than any record has; whoever writes more wants us to run out of memory.
const LONGEST: u64 = 256 << 20;

/// Who this process runs as.
pub fn uid() -> u32 {
    fs::metadata("/proc/self").map_or(0, |meta| meta.uid())
}

/// Whether that is a directory of this user, no link to one, that nobody else may enter.
pub fn is_private(dir: &Path, owner: u32) -> bool {
    fs::symlink_metadata(dir).is_ok_and(|meta| meta.is_dir() && meta.uid() == owner && meta.mode() & 0o077 == 0)
}

/// Whether that is a directory of this user, and no link to one.
pub fn is_dir(dir: &Path, owner: u32) -> bool {
    fs::symlink_metadata(dir).is_ok_and(|meta| meta.is_dir() && meta.uid() == owner)
}

/// Opens a regular file of this user, and no link to one.
///
/// # Errors
/// When it is not there, may not be read, or is something else.
pub fn open(path: &Path, owner: u32) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    let meta = file.metadata()?;
    match meta.is_file() && meta.uid() == owner {
        true => Ok(file),
        false => Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("no file of user {owner}"))),
    }
}

/// What stands in such a file.
///
/// # Errors
/// As [`open`].
pub fn read(path: &Path, owner: u32) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path, owner)?.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn links_directories_and_what_is_somebody_else_s_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        fs::write(&file, "x").unwrap();
        symlink(&file, &link).unwrap();
        assert_eq!(read(&file, uid()).unwrap(), b"x");
        assert!(read(&file, uid() + 1).is_err() && read(&link, uid()).is_err() && read(dir.path(), uid()).is_err());
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert!(is_private(dir.path(), uid()) && !is_private(dir.path(), uid() + 1) && !is_private(&link, uid()));
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o750)).unwrap();
        assert!(!is_private(dir.path(), uid()) && is_dir(dir.path(), uid()));
    }
}
