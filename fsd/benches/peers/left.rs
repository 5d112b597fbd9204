//! Left: what a mount still holds of a load that has ended.

use std::{
    fmt, fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use fsd::process::demo::served::Served;
use serde_json::Value;

/// Closes time out after 10 s; after that the reaper must be done soon.
const LIMIT: Duration = Duration::from_secs(15);

/// Counts of what must come back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Left {
    handles: u64,
    stores: u64,
    closing: u64,
    reads: u64,
    descriptors: u64,
    /// Kept for the next request.
    connections: u64,
    temp_files: u64,
    /// Begun and never ended, as the record has it.
    pub(crate) tasks: usize,
    /// Until nothing came back any more.
    after: Duration,
}

/// What the mount says of itself.
pub(crate) fn status(served: &Served) -> Value {
    let mut command = served.home().command(Path::new(env!("CARGO_BIN_EXE_fsd")));
    serde_json::from_slice(&command.args(["status", "--json"]).output().unwrap().stdout).unwrap_or_default()
}

impl Left {
    pub(crate) fn now(served: &Served) -> Self {
        let status = status(served);
        let number = |name: &str| status[name].as_u64().unwrap_or(0);
        let reads = status["inflight"].as_array().map_or(0, |rows| rows.iter().filter(|row| row[0] == "Read").count());
        Self {
            handles: number("open_handles"),
            stores: number("stores"),
            closing: number("closing") + number("reaping"),
            reads: reads as u64,
            descriptors: open(served, false),
            connections: open(served, true),
            temp_files: files(&served.home().temp().display().to_string()),
            ..Self::default()
        }
    }

    /// What there is beyond `self`, once it is nothing or the limit is over. The file that was open at `self` is not.
    pub(crate) fn more_later(self, served: &Served) -> Self {
        let start = Instant::now();
        loop {
            let now = Self::now(served);
            let more = Self {
                handles: now.handles,
                stores: now.stores,
                closing: now.closing,
                reads: now.reads,
                descriptors: now.descriptors.saturating_sub(self.descriptors),
                connections: now.connections.saturating_sub(self.connections),
                temp_files: now.temp_files,
                tasks: 0,
                after: Duration::ZERO,
            };
            if (Self { connections: 0, ..more }) == Self::default() || start.elapsed() > LIMIT {
                return Self { after: start.elapsed(), ..more };
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            (self.handles, "handles"),
            (self.stores, "stores"),
            (self.closing, "closing"),
            (self.reads, "reads"),
            (self.descriptors, "descriptors"),
            (self.connections, "idle connections"),
            (self.temp_files, "temp files"),
            (self.tasks as u64, "tasks"),
        ];
        let said: Vec<_> = counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        let said = if said.is_empty() { "nothing".into() } else { said.join(", ") };
        write!(f, "{said} ({:.1} s)", self.after.as_secs_f64())
    }
}

/// Descriptors of the daemon: sockets, or everything else.
fn open(served: &Served, sockets: bool) -> u64 {
    let all = fs::read_dir(format!("/proc/{}/fd", served.worker())).into_iter().flatten().flatten();
    let is_socket = |at: &Path| fs::read_link(at).is_ok_and(|to| to.to_string_lossy().starts_with("socket:"));
    all.filter(|fd| is_socket(&fd.path()) == sockets).count() as u64
}

fn files(dir: &str) -> u64 {
    fs::read_dir(dir).map_or(0, |entries| entries.count() as u64)
}
