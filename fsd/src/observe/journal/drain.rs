//! The drain: what a dead run left in its rings goes into its event file.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
};

use fsd_events::{
    event::{Body, Event, Handover, Head},
    ids::RunId,
    layout,
    line::{self, Decoded},
    ring,
};

use super::file;
use crate::platform::clock;

/// End of the event file in which records may be that their ring still has: more than all rings hold.
const OVERLAP: u64 = 32 << 20;

/// Appends what a dead run left unwritten in `run_dir` to its event file in `state_dir`, then removes `run_dir`.
/// Returns the number of records appended. Paths come from [`super::set_names`].
///
/// # Errors
/// `ResourceBusy` while the run lives; otherwise when the event file cannot be written. `run_dir` stays then.
pub fn drain(run_dir: &Path, state_dir: &Path) -> io::Result<u64> {
    drain_with(run_dir, state_dir, None)
}

/// Who took the connection over from a run, and why.
#[derive(Clone, Debug)]
pub struct Handed {
    pub cause: String,
    pub new_run: RunId,
    /// Requests that were unanswered and came again.
    pub resent: u64,
}

/// The same, and the hand-over as the last line of the run.
///
/// # Errors
/// As [`drain`].
pub fn drain_with(run_dir: &Path, state_dir: &Path, handed: Option<&Handed>) -> io::Result<u64> {
    let alive = match File::open(run_dir.join(layout::ALIVE)) {
        Ok(file) => Some(file),
        // A run that died while it set itself up.
        Err(e) if e.kind() == io::ErrorKind::NotFound && run_dir.is_dir() => None,
        Err(e) => return Err(e),
    };
    if let Some(alive) = &alive {
        alive.try_lock()?;
    }
    let (run, events) = unwritten(run_dir)?;
    let path = state_dir.join(layout::events_file(run));
    let appended = append(&path, events)?;
    if let Some(handed) = handed {
        last_line(&path, run, handed)?;
    }
    fs::remove_dir_all(run_dir)?;
    Ok(appended)
}

/// Records that are not known to be in the event file, in the order of time.
fn unwritten(run_dir: &Path) -> io::Result<(RunId, Vec<Event<'static>>)> {
    let name = run_dir.file_name().and_then(|name| name.to_str());
    let run = name.and_then(RunId::parse).ok_or(io::ErrorKind::InvalidInput)?;
    // One buffer for all rings: fresh memory costs more than what is read into it.
    let (mut events, mut bytes) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(run_dir)? {
        let entry = entry?;
        let ring = entry.file_name().to_str().is_some_and(|n| n.starts_with(layout::RING_PREFIX));
        if !ring {
            continue;
        }
        bytes.clear();
        File::open(entry.path())?.read_to_end(&mut bytes)?;
        let decoded = ring::decode(&bytes, &mut super::name_of);
        let records = decoded.map(|d| d.records).unwrap_or_default();
        events.extend(records.into_iter().filter(|r| !r.written).map(|r| r.event));
    }
    events.sort_by_key(|event| (event.head.mono_us, event.head.seq));
    Ok((run, events))
}

fn append(path: &Path, mut events: Vec<Event<'static>>) -> io::Result<u64> {
    if events.is_empty() {
        return Ok(0);
    }
    let mut file = file::append(path)?;
    let tail = tail(path)?;
    let known = numbers(&tail);
    events.retain(|event| !known.contains(&event.head.seq));
    let mut lines = Vec::new();
    if tail.last().is_some_and(|last| *last != b'\n') {
        // The run died in the middle of a line, whose record is still in its ring.
        lines.push(b'\n');
    }
    events.iter().for_each(|event| line::encode(event, &mut lines));
    file.write_all(&lines)?;
    file.sync_data()?;
    Ok(events.len() as u64)
}

/// Says who came after, with the number after the last one.
fn last_line(path: &Path, run: RunId, handed: &Handed) -> io::Result<()> {
    let tail = tail(path)?;
    let heads = tail.split(|b| *b == b'\n').filter_map(|line| match line::decode(line) {
        Decoded::Event(event) => Some(event.head),
        _ => None,
    });
    let last = heads.max_by_key(|head| head.seq).unwrap_or_default();
    let head = Head { run, seq: last.seq + 1, ts_us: clock::now_wall_us(), mono_us: clock::now_mono_us(), ..last };
    let cause = handed.cause.clone().into();
    let handover =
        Handover { old_run: run, new_run: handed.new_run, cause, result: "ok".into(), resent: handed.resent };
    let mut text = Vec::new();
    let body = Body::Handover(Box::new(handover));
    line::encode(&Event { head, body, carried: false, late: false }, &mut text);
    file::append(path)?.write_all(&text)
}

/// The end of the file.
fn tail(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(OVERLAP)))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    Ok(tail)
}

/// Numbers of the records in these lines.
fn numbers(lines: &[u8]) -> HashSet<u64> {
    let decoded = lines.split(|b| *b == b'\n').map(line::decode);
    let seq = |line| match line {
        Decoded::Event(event) => Some(event.head.seq),
        Decoded::Unknown { seq, .. } => Some(seq),
        Decoded::Malformed => None,
    };
    decoded.filter_map(seq).collect()
}
