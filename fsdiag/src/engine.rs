//! The diagnosis: facts in, verdicts out. Pure: no clock, no I/O, and no knowledge of formats or sources.

pub mod fact;
pub mod kernel;
pub mod report;
pub mod stacks;
