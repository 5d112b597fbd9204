//! The operating system: what differs between kernels, and the only clock.

pub mod clock;
pub mod mounting;
pub mod process;
pub mod shared;
pub mod thread;
