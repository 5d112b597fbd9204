//! The kernel's own word on a FUSE mount: its request lists, its trace events, and what `/proc` shows of clients
//! and daemon. Nothing here asks the daemon, and nothing touches a path below a mount.

pub mod bounded;
pub mod brief;
pub mod btf;
pub mod burn;
pub mod clients;
pub mod daemon;
mod dentries;
pub mod facts;
pub mod fusectl;
mod hands;
pub mod holders;
pub mod layout;
pub mod lists;
pub mod live;
pub mod look;
pub mod memory;
pub mod mountinfo;
pub mod peek;
pub mod pidns;
pub mod ring;
pub mod rows;
pub mod signature;
pub mod sockets;
pub mod sys;
pub mod task;
pub mod trace;
mod whom;
