//! The diagnosis: facts in, verdicts out. Pure: no clock, no I/O, and no knowledge of formats or sources.

pub mod advice;
pub mod case;
pub mod chain;
pub mod dumped;
pub mod episode;
pub mod fact;
pub mod finding;
pub mod infer;
pub mod kernel;
pub mod leaks;
pub(crate) mod methods;
pub mod model;
pub mod plural;
pub mod report;
pub mod rules;
pub mod stacks;
mod standing;
mod summary;
pub mod tables;
pub mod threads;
pub mod veil;
pub mod waits;
mod witness;
pub mod words;

use summary::report_of;
