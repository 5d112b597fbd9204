//! What the supervisor has short processes do: write what a dead run left, dump a living one from outside.

use std::{
    fs::File,
    os::{fd::AsFd, unix::fs::FileExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use fsd_events::{layout, ring::tables::inflight, stacks::FileName};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::Handed;
use crate::{
    observe::stacks,
    platform::{clock, process::pidfd},
    process::places::Places,
};

/// How long a dump from outside may hold a replacement up.
const DUMP_LIMIT: Duration = Duration::from_millis(500);
/// How long drains that still run may hold the end up. They take milliseconds; what they leave, the next start drains.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);

/// The worker's newest beat, from its shared table; 0 before the first.
pub(super) fn beat(places: &Places, run_id: &str) -> u64 {
    let mut word = [0; 8];
    let table = File::open(places.runtime.join(run_id).join(layout::INFLIGHT));
    let read = table.and_then(|file| file.read_exact_at(&mut word, inflight::BEATS as u64 * 8));
    read.map_or(0, |()| u64::from_ne_bytes(word))
}

/// Whether that run answered anybody, from its shared table.
pub(super) fn served(places: &Places, run_id: &str) -> bool {
    let bytes = std::fs::read(places.runtime.join(run_id).join(layout::INFLIGHT)).unwrap_or_default();
    let words = bytes.as_chunks().0.iter().map(|word| u64::from_ne_bytes(*word));
    inflight::served(&words.collect::<Vec<_>>())
}

/// Drains under way. While one runs its run is locked, and the runtime directory cannot be cleared.
#[derive(Debug, Default)]
pub(super) struct Drains(Vec<Child>);

impl Drains {
    /// Starts `program drain`: appends what the old run did not write, and the hand-over, to its event file.
    pub(super) fn start(&mut self, program: &Path, places: &Places, handed: &Handed, new_run: &str) {
        let handover = [handed.cause.name(), new_run].join(",");
        self.run(Command::new(program).args(["drain", "--handover", &handover]), places, &handed.run);
    }

    /// The same after the last run, without a hand-over; then waits for all of them.
    pub(super) fn finish(&mut self, program: &Path, places: &Places, run_id: &str) {
        if places.runtime.join(run_id).is_dir() && !run_id.is_empty() {
            self.run(Command::new(program).arg("drain"), places, run_id);
        }
        let until = clock::now() + DRAIN_LIMIT;
        for mut child in self.0.drain(..) {
            await_end(&child, until.saturating_duration_since(clock::now()));
            let _ = child.try_wait();
        }
    }

    /// Dumps `pid` from outside with `fsdiag`, which lies beside us; gives the file if it was there in time.
    pub(super) fn dump(&mut self, places: &Places, pid: u32) -> Option<String> {
        let fsdiag = std::env::current_exe().ok()?.with_file_name("fsdiag");
        let file = places.state.join(FileName(clock::now_wall_us()).to_string());
        let mut command = Command::new(fsdiag);
        command.args(["dump", &pid.to_string(), "--yes", "-o"]).arg(&file).stdin(Stdio::null());
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
        await_end(&child, DUMP_LIMIT);
        // It may still be adding names.
        self.0.push(child);
        stacks::keep_newest(&places.state);
        // It is there as soon as the stacks are; names are added afterwards, and need no living process.
        file.is_file().then(|| file.display().to_string())
    }

    fn run(&mut self, command: &mut Command, places: &Places, run_id: &str) {
        // Takes what has ended out of the kernel's list of processes.
        self.0.retain_mut(|child| !matches!(child.try_wait(), Ok(Some(_))));
        command.arg(places.runtime.join(run_id)).arg(&places.state);
        match command.stdin(Stdio::null()).stdout(Stdio::null()).spawn() {
            Ok(child) => self.0.push(child),
            Err(error) => tracing::warn!("cannot write what run {run_id} left: {error}"),
        }
    }
}

/// Waits for the end of `child`, at most `limit`.
fn await_end(child: &Child, limit: Duration) {
    let Ok(ended) = pidfd(child.id()) else { return };
    let mut fds = [PollFd::new(ended.as_fd(), PollFlags::POLLIN)];
    // An interrupted wait is a wait that ended early.
    let _ = poll(&mut fds, PollTimeout::try_from(limit).unwrap_or(PollTimeout::ZERO));
}

/// A program that speaks our protocol: an `fsd` of this major version.
///
/// # Errors
/// A sentence that says why not.
pub(super) fn fitting(binary: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(binary);
    let output = Command::new(&path).arg("--version").stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("cannot run {binary}: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let theirs = text.strip_prefix("fsd ").ok_or_else(|| format!("{binary} is no fsd: it says `{text}`"))?;
    let series = |version: &str| version.split('.').take(2).collect::<Vec<_>>().join(".");
    let ours = env!("CARGO_PKG_VERSION");
    if series(theirs) == series(ours) {
        return Ok(path);
    }
    Err(format!("{binary} is fsd {theirs}, and a worker of fsd {ours} can only be replaced by {}.x", series(ours)))
}
