//! Live requests: the kernel's `fuse_request_*` trace events, through a trace instance of our own.
//!
//! The instance has its own buffers and disturbs no other tracer; it is removed when it goes out of scope, and what
//! a killed `fsdiag` left behind is removed by the next one.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use super::{
    bounded, holders,
    mountinfo::Mount,
    ring::{self, Field, Page},
    sys,
};

const PREFIX: &str = "fsdiag-";
/// Buffer for each processor: 170,000 requests a second were read from 4 MiB without loss.
const BUFFER_KB: &str = "4096";
/// Where a tracefs may be mounted.
const PLACES: &[&str] = &["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// One trace event of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    pub time_ns: u64,
    /// Thread that sent, read or answered.
    pub tid: u32,
    /// Without the resend bit.
    pub unique: u64,
    pub what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Entered the kernel's queue.
    Send { opcode: u32, len: u32 },
    /// Was read by the daemon's thread (newer kernels only).
    Read,
    /// Was answered, or given up: -103 and -107 come from an aborted connection.
    End { error: i32, len: u32 },
}

/// Offsets of one event.
#[derive(Clone, Copy, Debug)]
struct Format {
    id: u64,
    kind: Kind,
    pid: Field,
    unique: Field,
    first: Option<Field>,
    len: Option<Field>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Send,
    Read,
    End,
}

const EVENTS: &[(&str, Kind, &str)] = &[
    ("fuse_request_send", Kind::Send, "opcode"),
    ("fuse_request_sent", Kind::Read, ""),
    ("fuse_request_end", Kind::End, "error"),
];

/// A trace instance that watches one connection.
#[derive(Debug)]
pub struct Trace {
    instance: PathBuf,
    _own: Option<sys::PrivateMount>,
    pipes: Vec<File>,
    page: Page,
    formats: Vec<Format>,
    buffer: Vec<u8>,
}

impl Trace {
    /// Starts to watch a connection.
    ///
    /// # Errors
    /// Without tracefs or the right to use it, and on kernels before 6.11, which have no such events.
    pub fn open(mounts: &[Mount], connection: u64) -> io::Result<Self> {
        let (root, own) = root(mounts)?;
        let instances = root.join("instances");
        remove_stale(&instances);
        let events = root.join("events");
        let formats: Vec<Format> = EVENTS.iter().filter_map(|row| format(&events, row)).collect();
        if !formats.iter().any(|f| f.kind == Kind::Send) {
            return Err(io::Error::new(io::ErrorKind::NotFound, "this kernel has no fuse_request events (6.11 has)"));
        }
        let header = read_at_once(&events.join("header_page"))?;
        let part = |name| ring::field(&header, name).ok_or_else(|| io::Error::other("header_page is not understood"));
        let page = Page { commit: part("commit")?, data: part("data")? };
        let pid = std::process::id();
        let instance = instances.join(format!("{PREFIX}{pid}-{}", started(pid).unwrap_or(0)));
        fs::create_dir(&instance)?;
        let size = page.data.offset + page.data.size;
        let mut trace = Self { instance, _own: own, pipes: Vec::new(), page, formats, buffer: vec![0; size] };
        trace.start(connection)?;
        Ok(trace)
    }

    fn start(&mut self, connection: u64) -> io::Result<()> {
        let set = |name: &str, value: &str| fs::write(self.instance.join(name), value);
        set("tracing_on", "0")?;
        set("trace_clock", "mono")?;
        set("buffer_size_kb", BUFFER_KB)?;
        set("options/overwrite", "0")?;
        for (name, _, _) in EVENTS {
            let filter = self.instance.join("events/fuse").join(name).join("filter");
            match fs::write(filter, format!("connection == {connection}")) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        set("events/fuse/enable", "1")?;
        for entry in fs::read_dir(self.instance.join("per_cpu"))? {
            let path = entry?.path().join("trace_pipe_raw");
            self.pipes.push(OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?);
        }
        fs::write(self.instance.join("tracing_on"), "1")
    }

    /// Everything that has happened since the last call, in the order of each processor.
    pub fn drain(&mut self, out: &mut Vec<Event>) {
        let (page, formats) = (self.page, &self.formats);
        for pipe in &mut self.pipes {
            while let Ok(got @ 1..) = pipe.read(&mut self.buffer) {
                let decoded = ring::decode(&self.buffer[..got], page);
                let events = decoded.records.iter().filter_map(|(time, bytes)| event(formats, *time, bytes));
                out.extend(events);
            }
        }
    }

    /// Events that found no room, all processors together: the pages themselves do not say so.
    pub fn dropped(&self) -> u64 {
        let per_cpu = fs::read_dir(self.instance.join("per_cpu")).into_iter().flatten().flatten();
        let texts = per_cpu.filter_map(|e| fs::read_to_string(e.path().join("stats")).ok());
        texts.map(|text| counter(&text, "dropped events") + counter(&text, "overrun")).sum()
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        // Open pipes keep the directory busy. A failure leaves an instance that the next fsdiag removes.
        self.pipes.clear();
        let _ = fs::write(self.instance.join("events/fuse/enable"), "0");
        let _ = fs::remove_dir(&self.instance);
    }
}

fn root(mounts: &[Mount]) -> io::Result<(PathBuf, Option<sys::PrivateMount>)> {
    let mounted = mounts.iter().filter(|m| m.fstype == "tracefs").map(|m| m.point.clone());
    let known = mounted.filter(|p| PLACES.iter().any(|place| Path::new(place) == p));
    if let Some(place) = known.into_iter().find(|p| p.join("instances").is_dir()) {
        return Ok((place, None));
    }
    let own = sys::PrivateMount::new(c"tracefs")?;
    Ok((own.path(), Some(own)))
}

fn format(events: &Path, (name, kind, first): &(&str, Kind, &str)) -> Option<Format> {
    let text = fs::read_to_string(events.join("fuse").join(name).join("format")).ok()?;
    let id = text.lines().find_map(|l| l.strip_prefix("ID: ")?.trim().parse().ok())?;
    let field = |name| ring::field(&text, name);
    Some(Format {
        id,
        kind: *kind,
        pid: field("common_pid")?,
        unique: field("unique")?,
        first: field(first),
        len: field("len"),
    })
}

fn event(formats: &[Format], time_ns: u64, bytes: &[u8]) -> Option<Event> {
    let id = Field { offset: 0, size: 2 }.get(bytes)?;
    let format = formats.iter().find(|f| f.id == id)?;
    let number = |field: Option<Field>| field.and_then(|f| f.get(bytes)).unwrap_or(0) as u32;
    let what = match format.kind {
        Kind::Send => What::Send { opcode: number(format.first), len: number(format.len) },
        Kind::Read => What::Read,
        Kind::End => What::End { error: number(format.first).cast_signed(), len: number(format.len) },
    };
    let unique = fsd_events::ids::split_unique(format.unique.get(bytes)?).0.0;
    Some(Event { time_ns, tid: number(Some(format.pid)), unique, what })
}

/// A file that answers only the first read, however small, is read with one that is large enough.
fn read_at_once(path: &Path) -> io::Result<String> {
    let mut bytes = vec![0; 16384];
    let got = File::open(path)?.read(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes[..got]).into_owned())
}

fn counter(text: &str, name: &str) -> u64 {
    text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':')?.trim().parse().ok()).unwrap_or(0)
}

/// Start time of a process in ticks since boot: with its number it names a process for ever.
fn started(pid: u32) -> Option<u64> {
    let stat = bounded::one(pid, |pid| fs::read_to_string(format!("/proc/{pid}/stat")).ok())??;
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

fn remove_stale(instances: &Path) {
    if holders::is_contained() {
        // All whose processes are not in this container would seem dead.
        return;
    }
    for entry in fs::read_dir(instances).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|n| n.strip_prefix(PREFIX)?.split_once('-'));
        let owner = owner.and_then(|(pid, start)| Some((pid.parse::<u32>().ok()?, start)));
        let Some((pid, start)) = owner else { continue };
        // Whoever does not tell when it started may live all the same.
        let is_there = || Path::new("/proc").join(pid.to_string()).exists();
        if started(pid).map_or_else(|| !is_there(), |now| now.to_string() != start) {
            let _ = fs::write(entry.path().join("events/fuse/enable"), "0");
            let _ = fs::remove_dir(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_become_events_by_field_name() {
        let at = |offset, size| Field { offset, size };
        let end = Format {
            id: 1292,
            kind: Kind::End,
            pid: at(4, 4),
            unique: at(16, 8),
            first: Some(at(28, 4)),
            len: Some(at(24, 4)),
        };
        let mut bytes = vec![0; 32];
        bytes[..2].copy_from_slice(&1292u16.to_le_bytes());
        bytes[4..8].copy_from_slice(&77u32.to_le_bytes());
        bytes[16..24].copy_from_slice(&(1 << 63 | 20u64).to_le_bytes());
        bytes[24..28].copy_from_slice(&16u32.to_le_bytes());
        bytes[28..].copy_from_slice(&(-38i32).to_le_bytes());
        let what = What::End { error: -38, len: 16 };
        assert_eq!(event(&[end], 9, &bytes), Some(Event { time_ns: 9, tid: 77, unique: 20, what }));
        assert_eq!(event(&[end], 9, &bytes[..20]), None);
        assert_eq!(event(&[], 9, &bytes), None);
    }

    #[test]
    fn counters_are_read_by_name() {
        assert_eq!(counter("entries: 0\noverrun: 3\ndropped events: 12\n", "dropped events"), 12);
    }
}
