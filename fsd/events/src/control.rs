//! Requests and answers on the control socket: one JSON object a line, in both directions.
//!
//! The socket may be answered by the daemon itself or by a supervisor in front of it; the messages are the same.

use serde::{Deserialize, Serialize};

use crate::flags::{DebugFlags, Flag};

/// What a client asks; one line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    Stage {
        url: String,
        #[serde(default)]
        name: Option<String>,
        #[serde(default)]
        headers: Vec<(String, String)>,
    },
    Unstage {
        id: String,
    },
    List,
    Status,
    Umount {
        #[serde(default)]
        force: bool,
    },
    /// Dump all stacks now.
    Dump,
    SetFlag {
        flag: Flag,
        value: bool,
    },
    Restart {
        flags: Vec<(Flag, bool)>,
        #[serde(default)]
        binary: Option<String>,
    },
}

/// One line per request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    Done,
    Staged { id: String, path: String },
    List { staged: Vec<Staged> },
    Status(Box<Status>),
    Dumped { file: String },
    Restarted { old_run: String, new_run: String, resent: u64 },
    Refused(Refusal),
}

/// Why a request was not carried out, in words that say what to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refusal {
    pub code: Code,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    BadRequest,
    NotFound,
    Denied,
    Busy,
    NoSpace,
    /// The origin did not answer, or not now.
    Upstream,
    /// The origin refuses for good.
    UpstreamRefused,
    /// The worker did not answer the supervisor within its limit.
    WorkerNotAnswering,
    Unsupported,
    /// Requests of clients failed, because nobody could answer them any more.
    Aborted,
    Internal,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Staged {
    pub id: String,
    pub name: String,
    /// Redacted: scheme, host and path.
    pub url: String,
    pub size: Option<u64>,
    pub have: u64,
    /// Staged and not yet unstaged.
    pub staged: bool,
    pub open: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    pub version: String,
    pub pid: u32,
    pub run: String,
    pub mount_run: String,
    pub mount: String,
    pub source: String,
    pub uptime_s: u64,
    pub flags: DebugFlags,
    pub supervised: bool,
    pub worker_alive: bool,
    pub inflight: Vec<(String, u64)>,
    pub oldest_us: u64,
    pub kernel_waiting: Option<u64>,
    pub max_background: u32,
    pub open_handles: u64,
    pub stores: u64,
    /// Stores kept because of `debug_skip_eviction`.
    pub kept_stores: u64,
    /// Closes still running, and those that timed out and wait for the reaper.
    pub closing: u64,
    pub reaping: u64,
    pub staged: u64,
    pub disk_used: u64,
    pub memory_used: u64,
    pub events_file: String,
    pub events_lost: u64,
    pub recorder: String,
    pub stalled: bool,
}
