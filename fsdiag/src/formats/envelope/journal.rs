//! Journal: `journalctl -o export` and `-o verbose`, a field in each line.

use std::collections::BTreeMap;

use super::{prefixes, records::Record};
use crate::formats::{clock::Stamp, scan};

/// The fields that matter of what is being read.
pub(in crate::formats) struct Journal {
    verbose: bool,
    fields: BTreeMap<&'static str, String>,
    /// Where the message stands.
    at: u64,
    /// A field whose value comes by its length: name, and what is there so far.
    binary: Option<(String, Vec<u8>)>,
}

const MESSAGE: &str = "MESSAGE";
const REALTIME: &str = "__REALTIME_TIMESTAMP";
const FIELDS: [&str; 7] = [MESSAGE, REALTIME, "_HOSTNAME", "SYSLOG_IDENTIFIER", "_COMM", "_PID", "CONTAINER_NAME"];
/// Longest value that is kept.
const LONGEST: usize = 1 << 20;

impl Journal {
    pub(super) fn of(line: &str) -> Option<Self> {
        let verbose = head(line).is_some();
        let known = verbose || line.starts_with("__CURSOR=");
        known.then(|| Self { verbose, fields: BTreeMap::new(), at: 0, binary: None })
    }

    pub(super) fn line(&mut self, number: u64, line: &[u8]) -> Vec<Record> {
        if let Some((name, value)) = &mut self.binary {
            value.extend_from_slice(line);
            if is_whole(value) {
                let (name, text) = (std::mem::take(name), scan::text(value.get(8..).unwrap_or(&[])));
                let (text, lines) = (text.into_owned(), memchr::memchr_iter(b'\n', value).count() as u64);
                self.binary = None;
                self.field(number.saturating_sub(lines), &name, text);
            } else if value.len() < LONGEST {
                value.push(b'\n');
            }
            return Vec::new();
        }
        let text = scan::text(line);
        if self.verbose {
            return self.verbose(number, &text);
        }
        match text.split_once('=') {
            Some((name, value)) => self.field(number, name, value.to_owned()),
            None if text.is_empty() => return self.rest(),
            None => self.binary = Some((text.into_owned(), Vec::new())),
        }
        Vec::new()
    }

    fn verbose(&mut self, number: u64, text: &str) -> Vec<Record> {
        if let Some(wall_us) = head(text) {
            let done = self.rest();
            self.fields.insert(REALTIME, wall_us.to_string());
            return done;
        }
        match text.strip_prefix("    ").and_then(|field| field.split_once('=')) {
            Some((name, value)) if !name.starts_with(' ') => self.field(number, name, value.to_owned()),
            // What stands under a message of several lines.
            _ => {
                let message = self.fields.get_mut(MESSAGE).filter(|_| text.starts_with("     "));
                message.into_iter().for_each(|message| message.extend(["\n", text.trim_ascii_start()]));
            }
        }
        Vec::new()
    }

    fn field(&mut self, number: u64, name: &str, value: String) {
        if let Some(known) = FIELDS.iter().find(|known| **known == name) {
            if name == MESSAGE {
                self.at = number;
            }
            self.fields.insert(known, value);
        }
    }

    /// The record so far, which has ended: one for each line of its message.
    pub(super) fn rest(&mut self) -> Vec<Record> {
        let mut fields = std::mem::take(&mut self.fields);
        let message = fields.remove(MESSAGE).unwrap_or_default();
        let rest = serde_json::to_string(&fields).unwrap_or_default();
        let rest = rest.trim_start_matches('{');
        let object = |line: &str| {
            let line = serde_json::to_string(line).unwrap_or_default();
            if fields.is_empty() { format!("{{\"MESSAGE\":{line}}}") } else { format!("{{\"MESSAGE\":{line},{rest}") }
        };
        message.lines().zip(self.at..).map(|(line, at)| (at, object(line))).collect()
    }
}

/// The time in `Sun 2026-11-22 10:43:26.000000 CET [s=1;i=2;...]`.
fn head(line: &str) -> Option<u64> {
    let (_, cursor) = line.split_once(" [s=")?;
    let Some(Stamp::Wall(wall_us)) = prefixes(line).stamp.filter(|_| cursor.ends_with(']')) else { return None };
    Some(wall_us)
}

/// Whether a length, and as many bytes behind it, are there.
fn is_whole(value: &[u8]) -> bool {
    let length = value.first_chunk().map(|length| u64::from_le_bytes(*length));
    length.is_some_and(|length| (value.len() - 8) as u64 >= length)
}
