//! Where observations come from: files that grow, rings in shared memory, sockets, other processes, the kernel.

pub mod file;
pub mod follow;
pub mod kernel;
pub mod lines;
pub mod ptrace;
