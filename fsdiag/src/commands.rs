//! What each subcommand does.

pub mod attach;
pub mod mounts;
pub mod rescue;
