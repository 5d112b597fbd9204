//! The watchdog: a thread without locks that notices when operations stop moving.

use std::{fmt, io, os::fd::RawFd, time::Duration};

use tokio::runtime::Handle;

/// Why a dump is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DumpCause {
    /// A stall episode; `repeat` counts the dumps of the episode, from 0.
    Stall { oldest_us: u64, repeat: u32 },
    /// A person asked (SIGQUIT, `fsd dump`).
    Request,
}

/// Writes a dump without allocating and puts the file's name into the string (64 bytes are reserved);
/// false when there is none.
pub type DumpFn = Box<dyn FnMut(DumpCause, &mut String) -> bool + Send>;

/// How the watchdog looks and whom it asks.
pub struct WatchdogConfig {
    /// Between two looks; 2 s by default.
    pub every: Duration,
    /// Age from which an operation is stalled; 10 s by default.
    pub stalled_after: Duration,
    /// Number of fuser loops.
    pub workers: u32,
    /// The kernel's count of unanswered requests; must not allocate (read a file that is open already).
    pub kernel_waiting: Box<dyn Fn() -> Option<u64> + Send>,
    pub on_dump: DumpFn,
}

impl Default for WatchdogConfig {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(2),
            stalled_after: Duration::from_secs(10),
            workers: 0,
            kernel_waiting: Box::new(|| None),
            on_dump: Box::new(|_, _| false),
        }
    }
}

impl fmt::Debug for WatchdogConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchdogConfig")
            .field("every", &self.every)
            .field("stalled_after", &self.stalled_after)
            .finish()
    }
}

/// The running watchdog: first to start, last to stop.
#[derive(Debug)]
pub struct Watchdog {}

/// Starts the watchdog thread.
///
/// # Errors
/// When the thread or its wake-up descriptor cannot be made.
pub fn start(_config: WatchdogConfig) -> io::Result<Watchdog> {
    Ok(Watchdog {})
}

impl Watchdog {
    /// Ends the thread after a last look.
    pub fn stop(self) {}
}

/// Gives the runtime a pulse that the watchdog checks (`beat.runtime_lag_us`).
pub fn probe_runtime(_rt: &Handle) {}

/// Asks the watchdog for a dump; one write(2), so a signal handler may call it. False: no watchdog runs.
pub fn request_dump() -> bool {
    false
}

/// The descriptor behind [`request_dump`]: eight bytes, a native-endian 1, ask for a dump. None: no watchdog runs.
pub fn request_dump_fd() -> Option<RawFd> {
    None
}

/// Number of dumps made so far and the file name of the last one.
pub fn last_dump() -> (u64, Option<String>) {
    (0, None)
}

/// Whether a stall episode is open.
pub fn stalled() -> bool {
    false
}
