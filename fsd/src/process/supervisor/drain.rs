//! What the supervisor has short processes do: write what a dead run left, dump a living one from outside.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use fsd_events::{
    ids::{OpId, RunId},
    layout,
    op::Op,
    ring::tables::{InFlightTable, decode_inflight, inflight},
    stacks::FileName,
};

use super::Handed;
use crate::{
    observe::stacks,
    platform::{
        clock,
        process::{end_by, ended, left_in},
    },
    process::places::Places,
};

/// How long a dump from outside may hold a replacement up.
const DUMP_LIMIT: Duration = Duration::from_millis(500);
/// At the end, for drains and dumps together.
const ERRANDS_LIMIT: Duration = Duration::from_secs(5);
/// Between two looks for its file.
const LOOK: Duration = Duration::from_millis(5);
/// For another binary to say what it is.
const VERSION_LIMIT: Duration = Duration::from_secs(2);

/// The worker's newest beat, from its shared table; 0 before the first, None where the table cannot be read.
pub(super) fn beat(places: &Places, run_id: &str) -> Option<u64> {
    let mut word = [0; 8];
    let table = File::open(places.runtime.join(run_id).join(layout::INFLIGHT));
    let read = table.and_then(|file| file.read_exact_at(&mut word, inflight::BEATS as u64 * 8));
    read.ok().map(|()| u64::from_ne_bytes(word))
}

/// Whether that run answered anybody, from its shared table.
pub(super) fn served(places: &Places, run_id: &str) -> bool {
    let bytes = used(places, run_id).unwrap_or_default();
    let words = bytes.as_chunks().0.iter().map(|word| u64::from_ne_bytes(*word));
    inflight::served(&words.collect::<Vec<_>>())
}

/// Requests of clients that the run has read and not answered: what the next worker gets again.
pub(super) fn unanswered(places: &Places, run_id: &str) -> u64 {
    open(places, run_id).map_or(0, |ids| ids.len() as u64)
}

/// The same, by id; None when the run has no table.
pub(super) fn open(places: &Places, run_id: &str) -> Option<Vec<OpId>> {
    let without_answer = [Op::Init, Op::Destroy, Op::Forget, Op::BatchForget];
    let ops = table(places, run_id)?.ops;
    let mut ids: Vec<_> = ops.iter().filter(|row| !without_answer.contains(&row.op)).map(|row| row.id).collect();
    ids.sort_unstable();
    Some(ids)
}

/// For how long so many loops have been in one request each, none of which merely waits for data; None: some are free.
pub(super) fn stuck(places: &Places, run_id: &str, loops: usize) -> Option<Duration> {
    let ops = table(places, run_id)?.ops;
    let standing = ops.iter().filter(|row| row.waits_on.is_none() && row.need.is_none());
    let mut since: Vec<(u32, u64)> = standing.map(|row| (row.tid, row.since_us)).collect();
    since.sort_unstable();
    since.dedup_by_key(|(tid, _)| *tid);
    let youngest = since.iter().map(|(_, since)| *since).max()?;
    (since.len() >= loops).then(|| Duration::from_micros(clock::now_mono_us().saturating_sub(youngest)))
}

/// The run's operations in flight, and for how many microseconds the oldest has been.
pub(super) fn in_flight(places: &Places, run_id: &str) -> (Vec<(String, u64)>, u64) {
    let Some(table) = table(places, run_id) else { return (Vec::new(), 0) };
    let since = table.ops.iter().map(|row| row.since_us).min();
    let counts = table.counts.iter().map(|(op, count)| (op.name().to_owned(), *count)).collect();
    (counts, since.map_or(0, |since| clock::now_mono_us().saturating_sub(since)))
}

fn table(places: &Places, run_id: &str) -> Option<InFlightTable> {
    decode_inflight(&used(places, run_id).ok()?)
}

/// A run's table of operations without the rows that never were in use: they are most of it, and a hand-over is no
/// time to clear fresh memory for zeros.
fn used(places: &Places, run_id: &str) -> io::Result<Vec<u8>> {
    const HEAD: usize = inflight::ROWS_AT * 8;
    const ROW: usize = inflight::ROW_WORDS * 8;
    let mut file = File::open(places.runtime.join(run_id).join(layout::INFLIGHT))?;
    let mut table = vec![0; HEAD];
    file.read_exact(&mut table)?;
    let mut part = [0; 64 * ROW];
    loop {
        let read = file.read(&mut part)?;
        if read == 0 {
            return Ok(table);
        }
        let rows = part[..read].chunks(ROW).filter(|row| row.iter().any(|byte| *byte != 0));
        rows.for_each(|row| table.extend_from_slice(row));
    }
}

/// The runs that have a directory.
pub(super) fn runs(places: &Places) -> Vec<String> {
    let entries = fs::read_dir(&places.runtime).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| RunId::parse(name).is_some()).collect()
}

/// Whether no thread of that run is left: what can be locked belongs to a dead one.
pub(super) fn is_over(places: &Places, run_id: &str) -> bool {
    let alive = File::open(places.runtime.join(run_id).join(layout::ALIVE));
    alive.map_or(true, |alive| alive.try_lock().is_ok())
}

/// Starts `program drain`: appends what the old run did not write, and the hand-over, to its event file. None where it
/// left nothing.
pub(super) fn start(program: &Path, places: &Places, handed: &Handed, new_run: &str) -> Option<Child> {
    if !places.runtime.join(&handed.run).is_dir() {
        return None;
    }
    let handover = [handed.cause.name(), new_run, &handed.resent.to_string()].join(",");
    run(Command::new(program).args(["drain", "--handover", &handover]), places, &handed.run)
}

/// The same after the last run, without a hand-over.
pub(super) fn start_last(program: &Path, places: &Places, run_id: &str) -> Option<Child> {
    let left = places.runtime.join(run_id).is_dir() && !run_id.is_empty();
    left.then(|| run(Command::new(program).arg("drain"), places, run_id))?
}

/// Waits for what was started, at most [`ERRANDS_LIMIT`]: what is drained now need not wait for the next mount.
pub(super) fn finish(errands: Vec<Child>) {
    let until = clock::now() + ERRANDS_LIMIT;
    for mut errand in errands {
        ended(&mut errand, until);
    }
}

fn run(command: &mut Command, places: &Places, run_id: &str) -> Option<Child> {
    let command = command.arg(places.runtime.join(run_id)).arg(&places.state);
    let started = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
    started.inspect_err(|error| tracing::warn!("cannot write what run {run_id} left: {error}")).ok()
}

/// Dumps `pid` from outside with `fsdiag`, which lies beside us; gives the file if it was there in time, else why not,
/// and the process, which may still be adding names.
pub(super) fn dump(places: &Places, pid: u32) -> (Result<String, &'static str>, Option<Child>) {
    let fsdiag = std::env::current_exe().map(|own| own.with_file_name("fsdiag"));
    let file = places.state.join(FileName(clock::now_wall_us()).to_string());
    let started = fsdiag.and_then(|fsdiag| {
        let mut command = Command::new(fsdiag);
        command.args(["dump", &pid.to_string(), "--yes", "-o"]).arg(&file);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
    });
    let Ok(mut child) = started else { return (Err("fsdiag cannot be run, which has to lie beside fsd"), None) };
    let until = clock::now() + DUMP_LIMIT;
    // It is there as soon as the stacks are; names are added afterwards, and need no living process.
    let mut over = false;
    while !file.is_file() && clock::now() < until && !over {
        over = ended(&mut child, clock::now() + LOOK).is_some();
    }
    let dumped = if file.is_file() {
        // A disk that takes nothing would hold whoever removes something from it.
        stacks::keep_newest(&places.state);
        Ok(file.display().to_string())
    } else {
        Err(if over { "fsdiag ended without one; try `fsdiag dump`" } else { "fsdiag took too long" })
    };
    (dumped, Some(child))
}

/// A program that speaks our protocol: an `fsd` of the same minor version.
///
/// # Errors
/// A sentence that says why not.
pub(super) fn fitting(binary: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(binary);
    let text = version(&path).map_err(|error| format!("cannot run {binary}: {error}"))?;
    let theirs = text.strip_prefix("fsd ").ok_or_else(|| format!("{binary} is no fsd: it says `{text}`"))?;
    let series = |version: &str| version.split('.').take(2).collect::<Vec<_>>().join(".");
    let ours = env!("CARGO_PKG_VERSION");
    if series(theirs) == series(ours) {
        return Ok(path);
    }
    Err(format!("{binary} is fsd {theirs}, and a worker of fsd {ours} can only be replaced by {}.x", series(ours)))
}

/// The first line of what `program --version` prints; whoever does not answer in time is no fsd.
fn version(program: &Path) -> io::Result<String> {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn()?;
    if end_by(&mut child, clock::now() + VERSION_LIMIT).is_none() {
        return Err(io::Error::new(io::ErrorKind::TimedOut, "it does not say its version within 2 s"));
    }
    let said = child.stdout.take().map_or_else(String::new, left_in);
    Ok(said.lines().next().unwrap_or_default().trim().to_owned())
}
