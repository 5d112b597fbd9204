//! The words that `fsd` and `fsdiag` share: operations, events, ring records, stack dumps, control messages.
//!
//! Pure data: no I/O, no threads, no clock. Within [`SCHEMA`] fields may be added, never removed or renamed,
//! so a reader of today reads the files of tomorrow and counts what it does not know.

pub mod control;
pub mod event;
pub mod flags;
pub mod ids;
pub mod layout;
pub mod line;
pub mod names;
pub mod op;
pub mod presence;
pub mod ring;
pub mod stacks;

/// Version of the event file; its meaning is in `docs/EVENTS.md`.
pub const SCHEMA: u32 = 1;
