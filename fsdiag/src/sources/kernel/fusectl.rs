//! The fusectl file system: how many requests a connection has waiting, and the door to its kernel object.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::PathBuf,
};

use super::{mountinfo::Mount, sys};

const DIR: &str = "/sys/fs/fuse/connections";

/// A readable fusectl: the system's, or one of our own that no directory shows.
#[derive(Debug)]
pub struct Fusectl {
    dir: PathBuf,
    _own: Option<sys::PrivateMount>,
}

impl Fusectl {
    /// Takes the mounted one, else mounts one privately.
    ///
    /// # Errors
    /// When it is not mounted and this process may not mount.
    pub fn open(mounts: &[Mount]) -> io::Result<Self> {
        if mounts.iter().any(|m| m.fstype == "fusectl" && m.point.as_os_str() == DIR) {
            return Ok(Self { dir: PathBuf::from(DIR), _own: None });
        }
        let own = sys::PrivateMount::new(c"fusectl")?;
        Ok(Self { dir: own.path(), _own: Some(own) })
    }

    /// Requests that the kernel has and that are not answered.
    ///
    /// # Errors
    /// When the connection is gone, or belongs to another user and we are not root.
    pub fn waiting(&self, connection: u64) -> io::Result<u64> {
        let text = fs::read_to_string(self.file(connection, "waiting"))?;
        text.trim().parse().map_err(|_| io::Error::new(io::ErrorKind::InvalidData, text))
    }

    /// The open `waiting` file: its inode points at the kernel's connection.
    ///
    /// # Errors
    /// As [`Self::waiting`].
    pub fn door(&self, connection: u64) -> io::Result<File> {
        File::open(self.file(connection, "waiting"))
    }

    /// Ends every request of a connection with an error, now and for ever. `is_there` tells whether its mount still is.
    ///
    /// # Errors
    /// When the connection is gone, or belongs to another user and we are not root.
    pub fn abort(&self, connection: u64, is_there: impl FnOnce() -> bool) -> io::Result<()> {
        let mut file = File::options().write(true).open(self.file(connection, "abort"))?;
        // The next mount may get the number at once: only a file that was open while this one was there is surely its own.
        if is_there() { file.write_all(b"1") } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn file(&self, connection: u64, name: &str) -> PathBuf {
        self.dir.join(connection.to_string()).join(name)
    }
}
