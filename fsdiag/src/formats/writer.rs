//! Writers: who wrote a line, as far as its envelope or its own format tells. Several daemons may share a log, and
//! what one of them counts or pairs must not be taken for another's.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::LazyLock,
};

use memchr::memmem::Finder;

use super::{
    dialect::{kernel_trace, rclone},
    scan,
};
use crate::engine::{fact::Writer, model::hash::NumberHasher};

const KERNEL: &str = "kernel";

/// Who wrote a line; all empty where nothing tells.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct By<'a> {
    /// Machine, container or pod.
    pub(super) host: &'a str,
    /// What it calls itself.
    pub(super) name: &'a str,
    pub(super) pid: Option<u32>,
}

impl<'a> By<'a> {
    /// This one, and from what it wraps what it does not know itself.
    pub(super) fn around(self, inner: Self) -> Self {
        if inner.name == KERNEL && self.is_known() {
            return self;
        }
        let named = self.pid.is_some() || !self.name.is_empty();
        let (name, pid) = if named { (self.name, self.pid) } else { (inner.name, inner.pid) };
        Self { host: if self.host.is_empty() { inner.host } else { self.host }, name, pid }
    }

    /// The kernel of a machine: it tells of all that run there, and is no daemon.
    pub(super) fn kernel_of(host: &'a str) -> Self {
        By { host, name: KERNEL, pid: None }
    }

    /// Whether anything tells.
    pub(super) fn is_known(&self) -> bool {
        self.name != KERNEL && (self.pid.is_some() || !self.host.is_empty() || !self.name.is_empty())
    }

    /// Whether it is that writer.
    pub(super) fn is(&self, writer: &Writer) -> bool {
        let same = self.pid.is_some() || *self.name == *writer.name;
        self.pid == writer.pid && same && *self.host == *writer.host
    }

    /// The same for all that [`By::is`] calls one.
    pub(super) fn number(&self) -> u64 {
        let mut hasher = NumberHasher::default();
        self.host.hash(&mut hasher);
        match self.pid {
            Some(pid) => hasher.write_u64(pid.into()),
            None => self.name.hash(&mut hasher),
        }
        hasher.finish()
    }

    /// The same for all whose names or numbers may be those of one daemon's threads.
    pub(super) fn like(&self) -> u64 {
        let mut hasher = NumberHasher::default();
        self.name.hash(&mut hasher);
        self.pid.map(|_| self.host).hash(&mut hasher);
        hasher.finish()
    }

    pub(super) fn of(writer: &'a Writer) -> Self {
        Self { host: &writer.host, name: &writer.name, pid: writer.pid }
    }

    pub(super) fn writer(&self) -> Writer {
        let mut hasher = DefaultHasher::new();
        self.host.hash(&mut hasher);
        // One process may write under two names.
        match self.pid {
            Some(pid) => pid.hash(&mut hasher),
            None => self.name.hash(&mut hasher),
        }
        Writer { identity: hasher.finish(), host: self.host.into(), name: self.name.into(), pid: self.pid }
    }
}

/// The name and the number of a task take no more of a line of the kernel's trace.
const TASK_BYTES: usize = 40;
/// What no such line is shorter than.
const TRACE_BYTES: usize = "-1 [000] 1.0: fuse_request_end: connection 1 req 2".len();

/// Whether the format of a line without an envelope may tell who wrote it: that of most lines does not, as a look tells.
#[inline]
pub(super) fn may_tell(text: &str) -> bool {
    /// Of the number of a process, and of the level behind it.
    const NUMBERED: usize = "[1234567890] DEBUG :".len();
    /// With the shortest number, and any message at all.
    const SHORTEST: usize = "[1] DEBUG : exit".len();
    match text.as_bytes().first() {
        Some(b'[') if text.len() < SHORTEST => false,
        Some(b'[') => scan::position(&text.as_bytes()[..text.len().min(NUMBERED)], b':').is_some(),
        _ => text.len() >= TRACE_BYTES,
    }
}

/// Who wrote a line without an envelope that tells, where its format does.
pub(super) fn of_line(text: &str) -> Option<By<'_>> {
    if text.starts_with('[') {
        return rclone::process(text).map(|pid| By { name: "rclone", pid: Some(pid), ..By::default() });
    }
    // The number of a processor stands before the event: few other lines have such a bracket there.
    let head = &text.as_bytes()[..text.len().min(TASK_BYTES)];
    if text.len() >= TRACE_BYTES && has_bracket(head) && has_processor(head) { of_trace(text) } else { None }
}

/// Whether what stands in the last bracket is the number of a processor: three digits, or four.
fn has_processor(head: &[u8]) -> bool {
    let at = memchr::memrchr(b'[', head).unwrap_or_default();
    let digits = head[at + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    matches!(digits, 3..=4)
}

/// Whether there is one in so few bytes: three looks at sixteen of them, which overlap, are over before a search for one
/// byte has begun.
fn has_bracket(head: &[u8]) -> bool {
    const { assert!(TRACE_BYTES >= 16 && TASK_BYTES <= 3 * 16) };
    let middle = &head[head.len() / 2 - 8..];
    let looks: [Option<&[u8; 16]>; 3] = [head.first_chunk(), middle.first_chunk(), head.last_chunk()];
    looks.into_iter().flatten().any(|bytes| bytes.iter().fold(false, |found, byte| found | (*byte == b'[')))
}

fn of_trace(text: &str) -> Option<By<'_>> {
    static TRACE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b": fuse_request_"));
    TRACE.find(text.as_bytes())?;
    kernel_trace::connection(text).map(|name| By { name, ..By::default() }).filter(By::is_known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bracket_is_seen_wherever_it_stands() {
        for len in 16..=TASK_BYTES {
            let mut head = vec![b'a'; len];
            assert!(!has_bracket(&head));
            for at in 0..len {
                head[at] = b'[';
                assert!(has_bracket(&head), "{at} of {len}");
                head[at] = b'a';
            }
        }
    }
}
