//! The order of locks: a thread takes them in rising rank, and within one rank in rising key.

/// Place of a lock in the order, lowest (outermost) first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Rank {
    /// Orders of a person: control socket, staging.
    Control = 1,
    /// What is staged, and the references to it.
    Catalog,
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
    /// Readers parked at one store; key: its inode.
    Waiters,
    /// Chunks in memory.
    Chunks,
    /// Prefetch windows; key: the inode.
    Prefetch,
    /// The list of closes that run or timed out.
    Closer,
    /// Origin connections, breakers and tickets.
    Origin,
    /// Sums that status reports.
    Usage,
    /// The kernel's side: session, notifications.
    Session,
    /// Permits for requests to an origin, demand and prefetch.
    Permits,
}

impl Rank {
    /// Every rank, lowest first.
    pub const ALL: [Self; 15] = [
        Self::Control,
        Self::Catalog,
        Self::Tree,
        Self::Directory,
        Self::Handles,
        Self::Stores,
        Self::Store,
        Self::Waiters,
        Self::Chunks,
        Self::Prefetch,
        Self::Closer,
        Self::Origin,
        Self::Usage,
        Self::Session,
        Self::Permits,
    ];
}
