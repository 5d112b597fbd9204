//! Attributes and permissions of what the mount shows.

use fsd_events::{ids::Ino, names::Kind};

use crate::names::tree::FileInfo;

use super::{Caller, Errno, FsConfig};

/// What stat shows. Never changes for one inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attr {
    pub ino: Ino,
    pub kind: Kind,
    pub size: u64,
    /// Microseconds since 1970.
    pub modified_us: u64,
    /// Permission bits only.
    pub mode: u16,
    pub uid: u32,
    pub gid: u32,
    pub links: u32,
}

/// What a caller wants to do, in the bits of access(2).
pub(super) const MAY_READ: u16 = 4;
pub(super) const MAY_WRITE: u16 = 2;
pub(super) const MAY_EXECUTE: u16 = 1;

impl Attr {
    pub(super) fn dir(ino: Ino, config: &FsConfig, started_us: u64) -> Self {
        let FsConfig { uid, gid, dir_mode: mode, .. } = *config;
        Self { ino, kind: Kind::Dir, size: 4096, modified_us: started_us, mode, uid, gid, links: 2 }
    }

    pub(super) fn file(ino: Ino, file: &FileInfo, config: &FsConfig, started_us: u64) -> Self {
        let FsConfig { uid, gid, file_mode: mode, .. } = *config;
        let modified_us = file.modified_us.unwrap_or(started_us);
        Self { ino, kind: Kind::File, size: file.size, modified_us, mode, uid, gid, links: 1 }
    }

    /// Whether `caller` may do all of `want`. Nobody may write: the mount is read-only. Root may read everything.
    /// Of a caller's groups only the first is known.
    ///
    /// # Errors
    /// EROFS for writing, EACCES otherwise.
    pub fn permit(&self, caller: Caller, want: u16) -> Result<(), Errno> {
        if want & MAY_WRITE != 0 {
            return Err(Errno::EROFS);
        }
        let class = match caller {
            Caller { uid: 0, .. } => self.mode >> 6 | self.mode >> 3 | self.mode | MAY_READ,
            Caller { uid, .. } if uid == self.uid => self.mode >> 6,
            Caller { gid, .. } if gid == self.gid => self.mode >> 3,
            Caller { .. } => self.mode,
        };
        if want & !class & 7 == 0 { Ok(()) } else { Err(Errno::EACCES) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attr(mode: u16) -> Attr {
        let (kind, uid, gid) = (Kind::File, 1000, 1000);
        Attr { ino: Ino(5), kind, size: 1, modified_us: 0, mode, uid, gid, links: 1 }
    }

    #[test]
    fn owner_group_and_others_get_their_own_bits() {
        let by = |uid, gid| attr(0o440).permit(Caller { uid, gid }, MAY_READ);
        assert_eq!(by(1000, 7), Ok(()));
        assert_eq!(by(7, 1000), Ok(()));
        assert_eq!(by(7, 7), Err(Errno::EACCES));
        assert_eq!(by(0, 0), Ok(()));
        assert_eq!(attr(0o044).permit(Caller { uid: 1000, gid: 1000 }, MAY_READ), Err(Errno::EACCES));
    }

    #[test]
    fn nobody_writes_and_root_runs_only_what_somebody_may_run() {
        let root = Caller { uid: 0, gid: 0 };
        assert_eq!(attr(0o666).permit(root, MAY_WRITE), Err(Errno::EROFS));
        assert_eq!(attr(0o444).permit(root, MAY_EXECUTE), Err(Errno::EACCES));
        assert_eq!(attr(0o555).permit(root, MAY_EXECUTE | MAY_READ), Ok(()));
        assert_eq!(attr(0o000).permit(root, 0), Ok(()));
    }
}
