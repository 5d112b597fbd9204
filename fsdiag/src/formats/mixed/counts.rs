//! Counts: what an input gave in all, and how it was read.

/// What an input gave in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub lines: u64,
    pub events: u64,
    /// Lines of a known format that were cut or garbled. What no parser knows is somebody else's, not bad.
    pub bad_lines: u64,
    /// The latest line stands first: they were read the other way round.
    pub turned: bool,
    /// The earliest of those, where there were too many.
    pub left_out: u64,
}
