//! Order: what the main thread of a mount waits for, from signals, the control socket and the session.

use std::{borrow::Cow, path::Path};

use fsd_events::flags::Flag;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Drain and unmount; a second one aborts.
    Stop { reason: Cow<'static, str> },
    /// Abort the connection and unmount now.
    Abort,
    /// Say where the dump is that a signal asked for; None: there is none.
    Dumped(Option<String>),
    /// Write the status to the log.
    Report,
    /// The kernel has ended the session: somebody else unmounted, or aborted the connection.
    Ended,
    /// The supervisor is gone: this worker takes its place.
    Orphaned,
    /// There never was one: this process becomes it, and starts a worker with these flags.
    Succeed { flags: Vec<(Flag, bool)> },
}

impl Order {
    /// For the `stop` event.
    pub(super) fn reason(&self) -> &str {
        match self {
            Self::Stop { reason } => reason,
            Self::Ended => "unmounted by somebody else",
            _ => "aborted",
        }
    }
}

/// What is said of a dump in that directory.
pub(super) fn dumped(state: &Path, file: Option<String>) -> String {
    file.map_or_else(
        || "no stack dump: the watchdog did not answer".to_owned(),
        |file| format!("stacks are in {}", state.join(file).display()),
    )
}
