//! Error numbers: the one table from what went wrong to what a reader is told. `docs/SEMANTICS.md` shows it.

use std::fmt;

use crate::data::{origin::OriginError, source::SourceError, store::StoreError};

/// A positive error number of the system.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(i32);

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        impl Errno {
            $($(#[$doc])* pub const $name: Self = Self(libc::$name);)+

            /// Every number that a callback may answer, with its name.
            pub const ALL: &[(Self, &'static str)] = &[$((Self::$name, stringify!($name))),+];
        }
    };
}

numbers! {
    /// The caller may not.
    EACCES,
    /// Something below failed: origin, disk, or a broken rule of the daemon.
    EIO,
    /// A directory was given where a file is wanted.
    EISDIR,
    /// An argument makes no sense.
    EINVAL,
    /// No such name.
    ENOENT,
    /// No such extended attribute.
    ENODATA,
    /// Nothing can be staged: the temp files would not fit.
    ENOSPC,
    /// The kernel may stop asking: it has a good answer of its own.
    ENOSYS,
    /// A file was given where a directory is wanted.
    ENOTDIR,
    /// No such request on this kind of file.
    ENOTTY,
    /// A seek beyond the end.
    ENXIO,
    /// The operation does not exist here.
    EOPNOTSUPP,
    /// The mount is read-only.
    EROFS,
    /// The content has changed, or the id is of a version that is gone.
    ESTALE,
    /// The origin did not answer in time.
    ETIMEDOUT,
}

impl Errno {
    /// The number, positive.
    pub fn code(self) -> i32 {
        self.0
    }

    /// The symbol.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|row| row.0 == self).map_or("EIO", |row| row.1)
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<&StoreError> for Errno {
    fn from(error: &StoreError) -> Self {
        match error {
            StoreError::Deadline => Self::ETIMEDOUT,
            StoreError::Changed(_) => Self::ESTALE,
            StoreError::Upstream(origin) => Self::from(origin),
            StoreError::NoRoom { .. } => Self::ENOSPC,
            StoreError::Disk(_) | StoreError::Closed | StoreError::Crowded => Self::EIO,
        }
    }
}

impl From<&OriginError> for Errno {
    fn from(_error: &OriginError) -> Self {
        Self::EIO
    }
}

impl From<&SourceError> for Errno {
    fn from(error: &SourceError) -> Self {
        match error {
            SourceError::Origin(origin) => Self::from(origin),
            SourceError::NoDirectory(_) => Self::ENOENT,
            SourceError::Local { .. } | SourceError::Index { .. } | SourceError::Manifest { .. } => Self::EIO,
        }
    }
}
