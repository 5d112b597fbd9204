//! The operating system: what differs between kernels, and the only clock.

pub mod clock;
pub mod mounting;
pub mod pages;
pub mod place;
pub mod process;
pub mod runtime_dir;
pub mod shared;
pub mod thread;
pub mod wake;
