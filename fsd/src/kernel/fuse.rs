//! The FUSE session: requests of the kernel become operations. The only home of `fuser`.

use std::{io, os::fd::OwnedFd, time::Duration};

use tokio::sync::watch;

use crate::kernel::fs::Fs;

/// How requests are served.
#[derive(Clone, Debug)]
pub struct FuseConfig {
    /// Loops that read requests (`fuser-0`…); one on other systems than Linux and with `single_thread`.
    pub threads: usize,
    /// Other users than the daemon's may come in (`allow_other`, and always when the worker's user is not the
    /// owner of the mount).
    pub allow_other: bool,
    /// `debug_fskit_single_thread`: a callback returns when it has answered.
    pub single_thread: bool,
    /// `debug_all_callbacks`.
    pub all_callbacks: bool,
    /// Hand complete files to the kernel where it can take them.
    pub passthrough: bool,
    /// Background requests that we ask the kernel for.
    pub max_background: u16,
}

impl Default for FuseConfig {
    fn default() -> Self {
        Self {
            threads: 4,
            allow_other: false,
            single_thread: false,
            all_callbacks: false,
            passthrough: true,
            max_background: u16::MAX,
        }
    }
}

/// Why the session did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("the kernel's first request (INIT) failed: {0}")]
    Init(io::Error),
    #[error("cannot start the session's threads: {0}")]
    Threads(io::Error),
}

/// What INIT settled; a later worker needs it to take the connection over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Negotiated {
    /// Minor version of the kernel's protocol.
    pub minor: u32,
    /// What the kernel offered.
    pub offered: u64,
    /// What we took.
    pub taken: u64,
    pub passthrough: bool,
}

/// A session that serves. Dropping it neither unmounts nor stops it.
#[derive(Debug)]
pub struct Session {
    negotiated: Negotiated,
    ended: watch::Receiver<Option<Result<(), String>>>,
}

/// Answers INIT on `fd` (an open `/dev/fuse` of a mount) and starts the loops.
///
/// # Errors
/// When the kernel breaks the connection before, or threads cannot be started.
pub fn serve(_fd: OwnedFd, _fs: Fs, _config: &FuseConfig) -> Result<Session, ServeError> {
    Err(ServeError::Init(io::Error::from(io::ErrorKind::Unsupported)))
}

impl Session {
    pub fn negotiated(&self) -> Negotiated {
        self.negotiated
    }

    /// `Some` once the loops have ended: unmounted, aborted, or broken.
    pub fn ended(&self) -> watch::Receiver<Option<Result<(), String>>> {
        self.ended.clone()
    }

    /// Waits until the loops have ended, at most `limit`; true if they have.
    pub fn join(&self, _limit: Duration) -> bool {
        true
    }
}
