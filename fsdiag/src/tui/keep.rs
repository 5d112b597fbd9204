//! Keep: where files are written that the user asks for: where they are, unless that lies below a FUSE mount, which may
//! never answer.

use std::{env, path::PathBuf};

use crate::sources::kernel::mountinfo;

/// Stack dumps that the act screen takes.
pub const STACKS: &str = "fsdiag-stacks.log";
/// The report of `isolate`.
pub const ISOLATE: &str = "fsdiag-isolate.txt";

/// That name in the place for it.
pub fn file(name: &str) -> PathBuf {
    let here = env::current_dir().ok().filter(|dir| {
        let mounts = mountinfo::read().unwrap_or_default();
        mountinfo::serving(&mounts, dir).is_some_and(|mount| !mount.is_fuse())
    });
    here.unwrap_or_else(env::temp_dir).join(name)
}
