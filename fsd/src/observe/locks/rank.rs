//! The order of locks: a thread takes them in rising rank, and within one rank in rising key.

/// Place of a lock in the order, lowest (outermost) first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Rank {
    /// What is staged, and the references to it.
    Catalog = 1,
    /// The name table in memory.
    Tree,
    /// One directory's listing; key: its inode.
    Directory,
    /// Open handles.
    Handles,
    /// Which store serves which content.
    Stores,
    /// One store's state; key: its inode.
    Store,
    /// Sums that status reports.
    Usage,
    /// The kernel's side: session, notifications.
    Session,
    /// Permits for requests to an origin, demand and prefetch.
    Permits,
}

impl Rank {
    /// Every rank, lowest first.
    pub const ALL: [Self; 9] = [
        Self::Catalog,
        Self::Tree,
        Self::Directory,
        Self::Handles,
        Self::Stores,
        Self::Store,
        Self::Usage,
        Self::Session,
        Self::Permits,
    ];
}
