//! The kernel's side: what the mount answers, how requests arrive, how it is mounted and unmounted.

pub mod fs;
pub mod fuse;
pub mod mount;
