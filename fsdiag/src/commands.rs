//! What each subcommand does.

pub mod mounts;
