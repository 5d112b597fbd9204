//! Control of a connection through fusectl: how many requests wait, how many may, and the abort.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::PathBuf,
};

use crate::platform::mounting;

const ROOT: &str = "/sys/fs/fuse/connections";

/// The directory of a connection; the control file system is mounted if it is not there and we may.
fn directory(connection: u32) -> Option<PathBuf> {
    let dir = PathBuf::from(ROOT).join(connection.to_string());
    let there = || dir.join("waiting").exists();
    if !there() {
        // Without the right there is no control, and every caller can do without.
        mounting::mount_fusectl().ok()?;
    }
    there().then_some(dir)
}

/// The kernel's count of unanswered requests. Reading it allocates nothing.
///
/// The file can be read once an open (it cannot be rewound: `ESPIPE`), so each look opens it again; std copies a
/// short path onto the stack.
#[derive(Debug)]
pub struct Waiting {
    path: PathBuf,
}

impl Waiting {
    /// None when fusectl is not there and cannot be mounted.
    pub fn open(at: &super::At) -> Option<Self> {
        Some(Self { path: directory(at.connection)?.join("waiting") })
    }

    pub fn read(&self) -> Option<u64> {
        let mut text = [0; 24];
        let count = File::open(&self.path).ok()?.read(&mut text).ok()?;
        std::str::from_utf8(&text[..count]).ok()?.trim().parse().ok()
    }
}

pub(super) fn max_background(connection: u32) -> Option<u32> {
    let text = std::fs::read_to_string(directory(connection)?.join("max_background")).ok()?;
    text.trim().parse().ok()
}

/// Everything that waits gets an error, everything that comes too.
pub(super) fn abort(at: &super::At) -> io::Result<()> {
    let dir = directory(at.connection).ok_or(io::ErrorKind::NotFound)?;
    let mut file = File::options().write(true).open(dir.join("abort"))?;
    // The next mount may get the number at once: only a file that was open while this one was there is surely its own.
    if at.is_mounted() { file.write_all(b"1") } else { Ok(()) }
}
