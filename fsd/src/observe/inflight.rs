//! The in-flight table: which operations wait for an answer, readable without the daemon's help.

use fsd_events::{
    event::Phase,
    ids::{Fh, Ino, OpId, Unique},
    op::Op,
};

/// One operation without an answer yet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InFlight {
    pub id: OpId,
    pub op: Op,
    /// Monotonic microseconds of its ENTER.
    pub since_us: u64,
    /// Thread that it entered on.
    pub tid: u32,
    /// The caller; 0 for the kernel itself.
    pub pid: u32,
    pub unique: Unique,
    pub ino: Ino,
    pub fh: Option<Fh>,
    pub phase: Option<Phase>,
    /// Task that it waits for.
    pub waits_on: Option<OpId>,
    /// Bytes that it waits for, end exclusive.
    pub need: Option<(u64, u64)>,
}

/// Every operation in flight, in no order; allocates.
pub fn snapshot() -> Vec<InFlight> {
    let mut all = Vec::new();
    visit(&mut |op| all.push(*op));
    all
}

/// Shows every operation in flight; neither allocates nor locks.
pub fn visit(_each: &mut dyn FnMut(&InFlight)) {}

/// Operations in flight per operation, those above zero; allocates.
pub fn counts() -> Vec<(Op, u64)> {
    Vec::new()
}

/// Operations in flight in all.
pub fn total() -> u64 {
    0
}

/// Age of the oldest operation in flight, microseconds; 0 when there is none.
pub fn oldest_us() -> u64 {
    0
}
