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
            StoreError::Disk(_) | StoreError::Closed => Self::EIO,
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
            SourceError::Local { .. }
            | SourceError::Index { .. }
            | SourceError::Manifest { .. }
            | SourceError::NoManifest { .. } => Self::EIO,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use fsd_events::op::Op;

    use super::*;

    const DOC: &str = include_str!("../../../../docs/SEMANTICS.md");

    /// First cells of the table below a heading.
    fn first_cells(heading: &str) -> Vec<&'static str> {
        let from = DOC.split(heading).nth(1).unwrap_or_default();
        let section = from.split("\n## ").next().unwrap_or_default();
        let rows = section.lines().filter(|line| line.starts_with("| ")).skip(1);
        rows.filter_map(|line| line.split('|').nth(1)).map(str::trim).collect()
    }

    #[test]
    fn the_page_has_every_error_number_and_no_other() {
        let shown: BTreeSet<_> = first_cells("## Error numbers").into_iter().collect();
        let ours: BTreeSet<_> = Errno::ALL.iter().map(|row| row.1).collect();
        assert_eq!(ours, shown);
    }

    #[test]
    fn the_page_says_what_every_callback_answers() {
        let shown: BTreeSet<_> = first_cells("## Every callback").iter().flat_map(|cell| cell.split(", ")).collect();
        // Answered by fuser or by nobody; for other systems and devices.
        let others =
            "Interrupt NotifyReply Setupmapping Removemapping Syncfs Tmpfile Statx Setvolname Getxtimes Exchange";
        let missing = Op::all().map(Op::name).filter(|op| !shown.contains(op) && !others.contains(op));
        assert_eq!(missing.collect::<Vec<_>>(), Vec::<&str>::new());
        assert!(shown.iter().all(|name| Op::from_name(name).is_some()), "{shown:?}");
    }

    #[test]
    fn what_went_wrong_tells_its_number() {
        assert_eq!(Errno::from(&StoreError::Deadline), Errno::ETIMEDOUT);
        assert_eq!(Errno::from(&StoreError::Changed("tag".into())), Errno::ESTALE);
        assert_eq!(Errno::from(&StoreError::NoRoom { needs: 2, free: 1 }), Errno::ENOSPC);
        assert_eq!(Errno::from(&StoreError::Disk("full".into())), Errno::EIO);
        assert_eq!(Errno::from(&SourceError::NoDirectory("d".into())), Errno::ENOENT);
        assert_eq!((Errno::EIO.code(), Errno::EIO.name()), (libc::EIO, "EIO"));
    }
}
