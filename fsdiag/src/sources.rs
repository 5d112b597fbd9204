//! Where observations come from: files that grow, rings in shared memory, sockets, other processes, the kernel.

pub mod kernel;
