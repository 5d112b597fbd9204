//! `fsd`: a FUSE mount daemon that streams remote files and never hangs.
//!
//! The folders are floors; each uses only those below it. `docs/ARCHITECTURE.md` draws the house.

pub mod data;
pub mod kernel;
pub mod names;
pub mod observe;
pub mod platform;
pub mod process;
