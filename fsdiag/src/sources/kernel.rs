//! The kernel's own word on a FUSE mount: its request lists, its trace events, and what `/proc` shows of clients
//! and daemon. Nothing here asks the daemon, and nothing touches a path below a mount.

pub mod fusectl;
pub mod holders;
pub mod mountinfo;
pub mod signature;
pub mod sys;
pub mod task;
