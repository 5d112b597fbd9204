//! Stack dumps: what every thread, operation, lock and task does, taken from inside a process that hangs.
//!
//! From the trigger to the file nothing here allocates, takes a lock or waits for another thread of the process.

#[cfg(target_os = "linux")]
mod code;
#[cfg(target_os = "linux")]
mod copies;
#[cfg(target_os = "linux")]
mod dumper;
#[cfg(target_os = "linux")]
mod findings;
#[cfg(target_os = "linux")]
mod fixed;
#[cfg(target_os = "linux")]
mod keep;
#[cfg(target_os = "linux")]
#[cfg_attr(target_arch = "x86_64", path = "stacks/registers/x86_64.rs")]
#[cfg_attr(target_arch = "aarch64", path = "stacks/registers/aarch64.rs")]
mod registers;
pub mod symbolize;
#[cfg(target_os = "linux")]
mod system;
#[cfg(target_os = "linux")]
mod tables;
#[cfg(target_os = "linux")]
mod threads;
#[cfg(target_os = "linux")]
mod trace;

use std::{path::PathBuf, sync::OnceLock, time::Duration};

use fsd_events::stacks::{Cause, Reason};

use super::watchdog::{DumpCause, DumpFn};

pub use fsd_events::stacks::FileName;

/// How dumps are made and kept.
#[derive(Clone, Debug)]
pub struct StacksConfig {
    /// Where `stacks-<time>.log` goes; never below a mount of ours.
    pub dir: PathBuf,
    /// Newest files that are kept.
    pub keep: usize,
    /// Shortest time between two dumps of one stall episode's kind; a person's request is never refused for it.
    pub gap: Duration,
    /// Threads are asked by signal; else blocked threads are only looked at, and running ones have no stack.
    pub signal: bool,
    /// Start a helper process that adds the names.
    pub symbolize: bool,
    /// Mount point, for the header.
    pub mount: Option<String>,
    /// Directory of the run's shared tables, where the helper finds paths.
    pub tables: Option<PathBuf>,
}

impl Default for StacksConfig {
    fn default() -> Self {
        Self {
            dir: PathBuf::new(),
            keep: 20,
            gap: Duration::from_secs(60),
            signal: true,
            symbolize: true,
            mount: None,
            tables: None,
        }
    }
}

/// Why there is no dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DumpError {
    #[error("stack dumps are not set up in this process")]
    NotInstalled,
    #[error("another dump is being made")]
    Busy,
    #[error("the last dump for this reason is too recent")]
    TooSoon,
    #[error("the dump cannot be written (errno {0})")]
    Write(i32),
}

/// Why dumps cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    #[error("cannot open the directory for stack dumps")]
    Directory(#[source] std::io::Error),
    #[error("stack dumps are set up already")]
    Twice,
    #[error("no room for stack copies, or no free signal")]
    Resources(#[source] std::io::Error),
}

/// The one dumper of the process. Only ever tried: whoever finds it taken goes away.
#[cfg(target_os = "linux")]
#[expect(clippy::disallowed_types, reason = "is never waited for, and must not report to the locks that it looks at")]
static DUMPER: OnceLock<std::sync::Mutex<dumper::Dumper>> = OnceLock::new();

/// Device of the connection (major, minor) and number of loops.
static SERVING: OnceLock<[u32; 3]> = OnceLock::new();

/// Sets dumps up; once, before any other thread is started.
///
/// # Errors
/// See [`InstallError`].
#[cfg(target_os = "linux")]
pub fn install(config: StacksConfig) -> Result<(), InstallError> {
    if DUMPER.get().is_some() {
        return Err(InstallError::Twice);
    }
    DUMPER.set(dumper::Dumper::new(config)?.into()).map_err(|_| InstallError::Twice)
}

/// Only Linux has dumps from inside.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn install(_config: StacksConfig) -> Result<(), InstallError> {
    Err(InstallError::Resources(std::io::ErrorKind::Unsupported.into()))
}

/// Learns of libraries that were loaded since, and collects a helper that has ended. Allocates, so the watchdog must not
/// call it; nothing is allocated or freed while a dump would have to wait for it.
#[cfg(target_os = "linux")]
pub fn refresh() {
    let Some(dumper) = DUMPER.get() else { return };
    let Some(known) = dumper.try_lock().ok().map(|mut dumper| dumper.tidy()) else { return };
    if let Some(code) = code::Code::other_than(known) {
        let before = dumper.try_lock().ok().map(|mut dumper| dumper.take(code));
        drop(before);
    }
}

/// There is nothing to learn.
#[cfg(not(target_os = "linux"))]
pub fn refresh() {}

/// Removes the oldest dumps of a directory that another program writes dumps to.
#[cfg(target_os = "linux")]
pub fn keep_newest(dir: &std::path::Path) {
    if let Ok(dir) = std::fs::File::open(dir) {
        keep::newest(&dir, StacksConfig::default().keep);
    }
}

/// The header's `fuse` line: the connection's device and the number of loops, once they are known.
pub fn serving(major: u32, minor: u32, workers: u32) {
    SERVING.get_or_init(|| [major, minor, workers]);
}

/// Makes the first dump as fast as any other, on the thread that will make it: to be called once all threads are there.
/// Neither allocates nor locks, and disturbs no other thread.
pub fn rehearse() {
    #[cfg(target_os = "linux")]
    if let Some(mut dumper) = DUMPER.get().and_then(|dumper| dumper.try_lock().ok()) {
        dumper.rehearse();
    }
}

/// Writes a dump now, on this thread. Neither allocates nor locks.
///
/// # Errors
/// See [`DumpError`].
pub fn dump(reason: Reason) -> Result<FileName, DumpError> {
    #[cfg(target_os = "linux")]
    {
        let dumper = DUMPER.get().ok_or(DumpError::NotInstalled)?;
        dumper.try_lock().map_err(|_| DumpError::Busy)?.dump(reason)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = reason;
        Err(DumpError::NotInstalled)
    }
}

/// What the watchdog calls (`WatchdogConfig::on_dump`).
pub fn for_watchdog() -> DumpFn {
    Box::new(|cause, name| {
        use std::fmt::Write;
        let Ok(file) = dump(reason(cause)) else { return false };
        name.clear();
        write!(name, "{file}").is_ok()
    })
}

fn reason(cause: DumpCause) -> Reason {
    match cause {
        DumpCause::Stall { oldest_us, repeat } => {
            Reason { cause: Cause::Stall, oldest_ms: Some(oldest_us / 1000), repeat: Some(repeat) }
        }
        DumpCause::Request => Reason { cause: Cause::Request, ..Reason::default() },
    }
}
