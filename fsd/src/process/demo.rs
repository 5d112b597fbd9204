//! The demo: a real mount of an origin of our own, the release bug for real, and the verdict; no network needed.

pub mod origin;
pub mod served;

#[cfg(feature = "failpoints")]
mod story;

#[cfg(feature = "failpoints")]
pub(super) use story::run;
