//! The demo: a real mount of an origin of our own, the release bug for real, and the verdict; no network needed.

pub mod origin;
pub mod served;

mod story;

pub(super) use story::run;
