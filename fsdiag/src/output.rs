//! Views of a report: all are drawn from the same value, none decides anything.

pub mod clean;
pub mod json;
pub mod paint;
pub mod teller;
pub mod text;
