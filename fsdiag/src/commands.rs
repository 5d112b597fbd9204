//! What each subcommand does.

pub mod mounts;
pub mod rescue;
