//! Presence: `mount.json`, by which a running or dead `fsd` is found without asking it.

use serde::{Deserialize, Serialize};

/// What a mount says of itself, in [`crate::layout::MOUNT_FILE`] of its runtime directory.
///
/// While its process lives, it holds a lock on [`LOCK`] beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Presence {
    pub version: String,
    /// Mount point as the kernel names it.
    pub mount: String,
    /// Redacted: scheme, host and path.
    pub source: String,
    pub mount_run: String,
    /// Run of the current worker.
    pub run: String,
    pub pid: u32,
    /// The process that owns the mount and the socket; 0 where the worker itself does.
    pub supervisor: u32,
    /// Number below `/sys/fs/fuse/connections`; 0 where there is none.
    pub connection: u64,
    pub socket: String,
    /// Event files and stack dumps.
    pub state_dir: String,
}

/// Locked by the living process, in the runtime directory of a mount.
pub const LOCK: &str = "lock";
