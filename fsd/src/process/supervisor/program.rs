//! Program: what the next worker runs. It is held open, so that a package which is replaced meanwhile does not become
//! part of a mount by accident: another version may speak another protocol, and reads other tables.

use std::{
    fs::{self, File},
    io,
    os::{fd::AsRawFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
};

use crate::platform::process::{OWN_PROGRAM, own_program, pinned};

/// A program by its name and by what the name led to.
pub(super) struct Program {
    named: PathBuf,
    /// None: it can be had by its name alone.
    held: Option<File>,
}

impl Program {
    /// What this process runs.
    pub(super) fn own() -> Self {
        Self { named: own_program(), held: pinned(Path::new(OWN_PROGRAM)).ok() }
    }

    /// What lies at `named` now.
    pub(super) fn at(named: PathBuf) -> Self {
        let held = pinned(&named).ok();
        Self { named, held }
    }

    /// For people.
    pub(super) fn named(&self) -> &Path {
        &self.named
    }

    /// A path to it for a child of this process, whatever its name leads to by now.
    pub(super) fn path(&self) -> PathBuf {
        match &self.held {
            Some(held) if identity(fs::metadata(&self.named)) != self.identity() => {
                PathBuf::from(format!("/proc/self/fd/{}", held.as_raw_fd()))
            }
            _ => self.named.clone(),
        }
    }

    /// Another program has its name.
    pub(super) fn is_replaced(&self) -> bool {
        let there = identity(fs::metadata(&self.named));
        there.is_some() && self.held.is_some() && there != self.identity()
    }

    /// Device and inode number; nobody else gets them while it is held.
    pub(super) fn identity(&self) -> Option<(u64, u64)> {
        identity(self.held.as_ref()?.metadata())
    }
}

fn identity(meta: io::Result<fs::Metadata>) -> Option<(u64, u64)> {
    meta.ok().map(|meta| (meta.dev(), meta.ino()))
}
