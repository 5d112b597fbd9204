//! The observers: they take no lock of the product and never block what they observe.

pub mod inflight;
pub mod journal;
pub mod locks;
pub mod log;
pub mod span;
pub mod stacks;
pub mod tasks;
pub mod watchdog;

mod heart;
mod local;
mod memory;
mod tick;

pub use journal::{Form, Handed, Recorder, RecorderConfig, drain, drain_with, install};
pub use span::{Scope, Span, Target};
