//! What the supervisor has short processes do: write what a dead run left, dump a living one from outside.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use fsd_events::{layout, ring::tables::inflight, stacks::FileName};

use super::Handed;
use crate::{
    observe::stacks,
    platform::{clock, process::pidfd},
    process::places::Places,
};

/// How long a dump from outside may hold a replacement up.
const DUMP_LIMIT: Duration = Duration::from_millis(500);

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

/// Starts `program drain`: appends what the old run did not write, and the hand-over, to its event file.
pub(super) fn start(program: &Path, places: &Places, handed: &Handed, new_run: &str) {
    let handover = [handed.cause.name(), new_run].join(",");
    run(Command::new(program).args(["drain", "--handover", &handover]), places, &handed.run);
}

/// The same after the last run, without a hand-over.
pub(super) fn start_last(program: &Path, places: &Places, run_id: &str) {
    if places.runtime.join(run_id).is_dir() && !run_id.is_empty() {
        run(Command::new(program).arg("drain"), places, run_id);
    }
}

fn run(command: &mut Command, places: &Places, run_id: &str) {
    let started =
        command.arg(places.runtime.join(run_id)).arg(&places.state).stdin(Stdio::null()).stdout(Stdio::null()).spawn();
    match started {
        Ok(child) => collect(child),
        Err(error) => tracing::warn!("cannot write what run {run_id} left: {error}"),
    }
}

/// Dumps `pid` from outside with `fsdiag`, which lies beside us; gives the file if it was there in time.
pub(super) fn dump(places: &Places, pid: u32) -> Option<String> {
    let fsdiag = std::env::current_exe().ok()?.with_file_name("fsdiag");
    let file = places.state.join(FileName(clock::now_wall_us()).to_string());
    let child = Command::new(fsdiag)
        .args(["dump", &pid.to_string(), "--yes", "-o"])
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let ended = pidfd(child.id()).ok()?;
    let mut fds = [nix::poll::PollFd::new(std::os::fd::AsFd::as_fd(&ended), nix::poll::PollFlags::POLLIN)];
    let limit = nix::poll::PollTimeout::try_from(DUMP_LIMIT).ok()?;
    let _ = nix::poll::poll(&mut fds, limit);
    collect(child);
    stacks::keep_newest(&places.state);
    // It is there as soon as the stacks are; names are added afterwards, and need no living process.
    file.is_file().then(|| file.display().to_string())
}

/// Lets a process that ends by itself leave no record behind, without waiting for it here.
fn collect(mut child: Child) {
    if let Ok(None) = child.try_wait() {
        let wait = move || drop(child.wait());
        // Without a thread its record stays until we end.
        drop(thread::Builder::new().name("fsd-collect".into()).spawn(wait));
    }
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
