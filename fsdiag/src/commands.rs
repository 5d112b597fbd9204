//! What each subcommand does.

pub mod analyze;
pub mod attach;
pub mod dump;
pub mod isolate;
pub mod mounts;
pub mod orders;
pub mod rescue;
pub mod restart;
pub mod tail;
