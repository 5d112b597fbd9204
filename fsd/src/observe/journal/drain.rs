//! The drain: what a dead run left in its rings goes into its event file.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::FileExt,
    path::Path,
};

use fsd_events::{
    event::{Body, Event, Handover, Head},
    ids::RunId,
    layout,
    line::{self, Decoded},
    ring::{self, RingHead},
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
    let appended = if events.is_empty() && handed.is_none() { 0 } else { append(&path, run, events, handed)? };
    fs::remove_dir_all(run_dir)?;
    Ok(appended)
}

/// Records that are not known to be in the event file, in the order of time.
fn unwritten(run_dir: &Path) -> io::Result<(RunId, Vec<Event<'static>>)> {
    let name = run_dir.file_name().and_then(|name| name.to_str());
    let run = name.and_then(RunId::parse).ok_or(io::ErrorKind::InvalidInput)?;
    let mut events = Vec::new();
    for entry in fs::read_dir(run_dir)? {
        let entry = entry?;
        let ring = entry.file_name().to_str().is_some_and(|n| n.starts_with(layout::RING_PREFIX));
        if ring {
            let bytes = ring_bytes(&File::open(entry.path())?)?;
            let decoded = ring::decode_unwritten(&bytes, &mut super::name_of);
            events.extend(decoded.map(|d| d.records).unwrap_or_default().into_iter().map(|r| r.event));
        }
    }
    events.sort_by_key(|event| (event.head.mono_us, event.head.seq));
    Ok((run, events))
}

/// What is needed of a ring's file, each part at its place and zeros between: most of it is in the event file already,
/// and to copy all would take longer than everything else.
fn ring_bytes(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(file.metadata()?.len()).unwrap_or(0)];
    let head = bytes.len().min(ring::file_words(0) * 8);
    file.read_exact_at(&mut bytes[..head], 0)?;
    let Some(head) = RingHead::parse(&bytes) else { return Ok(bytes) };
    for part in head.bytes_of(&head.unwritten()) {
        let part = part.start.min(bytes.len())..part.end.min(bytes.len());
        file.read_exact_at(&mut bytes[part.clone()], part.start as u64)?;
    }
    Ok(bytes)
}

/// Writes `events` and the hand-over at the end of the file, but for those that it has; returns how many were missing.
fn append(path: &Path, run: RunId, mut events: Vec<Event<'static>>, handed: Option<&Handed>) -> io::Result<u64> {
    let mut file = file::append(path)?;
    let tail = tail(path)?;
    let mut heads: Vec<_> = heads(&tail).collect();
    let known: HashSet<u64> = heads.iter().map(|head| head.seq).collect();
    events.retain(|event| !known.contains(&event.head.seq));
    let mut lines = Vec::new();
    if tail.last().is_some_and(|last| *last != b'\n') {
        // The run died in the middle of a line, whose record is still in its ring.
        lines.push(b'\n');
    }
    events.iter().for_each(|event| line::encode(event, &mut lines));
    if let Some(handed) = handed {
        heads.extend(events.iter().map(|event| event.head));
        line::encode(&last_event(run, &heads, handed), &mut lines);
    }
    file.write_all(&lines)?;
    file.sync_data()?;
    Ok(events.len() as u64)
}

/// Says who came after, with the number after the last one.
fn last_event(run: RunId, before: &[Head], handed: &Handed) -> Event<'static> {
    let seq = before.iter().map(|head| head.seq + 1).max().unwrap_or_default();
    let mount_run = before.iter().map(|head| head.mount_run).max().unwrap_or_default();
    let head = Head { run, mount_run, seq, ts_us: clock::now_wall_us(), mono_us: clock::now_mono_us() };
    let cause = handed.cause.clone().into();
    let handover =
        Handover { old_run: run, new_run: handed.new_run, cause, result: "ok".into(), resent: handed.resent };
    Event { head, body: Body::Handover(Box::new(handover)), carried: false, late: false }
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

/// Heads of the records in these lines.
fn heads(lines: &[u8]) -> impl Iterator<Item = Head> {
    lines.split(|b| *b == b'\n').filter_map(|line| match line::decode(line) {
        Decoded::Event(event) => Some(event.head),
        Decoded::Unknown { seq, .. } => Some(Head { seq, ..Head::default() }),
        Decoded::Malformed => None,
    })
}
