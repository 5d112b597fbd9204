//! Program: what the next worker runs. It is held open, so that a package which is replaced meanwhile does not become
//! part of a mount by accident: another version may speak another protocol, and reads other tables.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::{fd::AsRawFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
};

use crate::platform::process::{OWN_PROGRAM, own_program, pinned};

/// A program by its name and by what the name led to.
pub(super) struct Program {
    named: PathBuf,
    /// None: it can be had by its name alone.
    held: Option<File>,
    /// Its interpreter is given a path, for which a descriptor of ours is none.
    script: bool,
}

impl Program {
    /// What this process runs.
    pub(super) fn own() -> Self {
        Self { named: own_program(), held: pinned(Path::new(OWN_PROGRAM)).ok(), script: false }
    }

    /// What lies at `named` now.
    pub(super) fn at(named: PathBuf) -> Self {
        let held = pinned(&named).ok();
        let script = held.as_ref().is_some_and(|held| is_script(&through(held)));
        Self { named, held, script }
    }

    /// For people.
    pub(super) fn named(&self) -> &Path {
        &self.named
    }

    /// A path to it for a child of this process, whatever its name leads to by then.
    pub(super) fn path(&self) -> PathBuf {
        let there = || identity(fs::metadata(&self.named));
        match &self.held {
            Some(held) if !self.script || there() != self.identity() => through(held),
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

fn through(held: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", held.as_raw_fd()))
}

fn is_script(path: &Path) -> bool {
    let mut start = [0; 2];
    // What cannot be read is none: its interpreter could not read it either.
    File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok_and(|()| start == *b"#!")
}

fn identity(meta: io::Result<fs::Metadata>) -> Option<(u64, u64)> {
    meta.ok().map(|meta| (meta.dev(), meta.ino()))
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, process::Command};

    use super::*;

    fn run(path: &Path) -> Option<i32> {
        Command::new(path).args(["-c", "exit 7"]).status().unwrap().code()
    }

    #[test]
    fn what_is_put_in_its_place_just_before_it_is_started_is_not_run() {
        let dir = tempfile::tempdir().unwrap();
        let (named, other) = (dir.path().join("named"), dir.path().join("other"));
        fs::copy("/bin/sh", &named).unwrap();
        fs::write(&other, "#!/bin/sh\nexit 3\n").unwrap();
        fs::set_permissions(&other, fs::Permissions::from_mode(0o700)).unwrap();
        let program = Program::at(named.clone());
        let path = program.path();
        fs::rename(&other, &named).unwrap();
        assert_eq!((run(&path), program.is_replaced()), (Some(7), true));
        let script = Program::at(named.clone());
        assert_eq!((script.path(), run(&script.path())), (named, Some(3)));
    }
}
