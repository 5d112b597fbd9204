//! rclone's `-vv` log of a mount, as text or JSON: `Video1.mov: Read: len=131072, offset=0`, then `>Read: ...`.
//!
//! There is neither an id nor a thread, so a request is named by its line, and ends pair with the oldest request
//! of the same object and name; where several were open the pairing is a guess, and says so.

mod queue;

use std::{borrow::Cow, collections::VecDeque, sync::LazyLock};

use serde::Deserialize;

use self::queue::Objects;
use crate::{
    engine::{
        fact::{Call, Done, Fact, Key, Name},
        model::hash::NumberMap,
    },
    formats::{Line, Mark, Parser, Taken, clock, done, hint, object, scan},
};
use fsd_events::op::Op;

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(Rclone::default())
}

#[derive(Default)]
struct Rclone {
    open: Objects,
    /// The new and the old path of what was renamed last.
    renamed: VecDeque<(Name, Name)>,
}

/// One line: what it is about and what it says.
struct Entry<'a> {
    object: &'a str,
    message: &'a str,
    /// Written by the layer below the mount, which the mount's own line wraps.
    inner: bool,
}

/// A step of a request: `Read: len=131072` or `>Read: read=131072, err=<nil>`.
struct Step<'a> {
    ends: bool,
    op: Op,
    details: &'a str,
}

#[derive(Default, Deserialize)]
struct Json<'a> {
    #[serde(borrow)]
    msg: Cow<'a, str>,
    #[serde(borrow, default)]
    object: Cow<'a, str>,
    #[serde(borrow, default)]
    source: Cow<'a, str>,
    #[serde(borrow, default)]
    time: Cow<'a, str>,
}

impl<'a> Json<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let (mut json, mut has_message) = (Self::default(), false);
        let is_flat = object::texts(line, |name, text| match name {
            "msg" => (json.msg, has_message) = (text, true),
            "object" => json.object = text,
            "source" => json.source = text,
            "time" => json.time = text,
            _ => {}
        });
        if is_flat && has_message { Some(json) } else { serde_json::from_str(line).ok() }
    }
}

impl Parser for Rclone {
    fn format(&self) -> &'static str {
        "rclone"
    }

    fn marks(&self) -> &'static [Mark] {
        &[
            Mark::Has("DEBUG : "),
            Mark::Has("INFO  : "),
            Mark::Has("NOTICE: "),
            Mark::Has("ERROR : "),
            Mark::Has("WARNIN: "),
            Mark::Has("\"msg\":\""),
        ]
    }

    fn line(&mut self, line: &Line<'_>, out: &mut Vec<Fact>) -> Taken {
        if line.text.starts_with('{') {
            return self.json(line, out);
        }
        let Some(rest) = after_level(line.text) else { return Taken::No };
        match step_in(rest).filter(|_| is_trace(line.text)) {
            Some((object, step)) => {
                let inner = step.op == Op::Open && is_inner_open(&step);
                let entry = Entry { object, message: rest, inner };
                self.step(line, &entry, &step, out)
            }
            None if is_protocol(rest) => Taken::No,
            None => self.other(line, &Entry { object: "", message: rest, inner: false }, out),
        }
    }
}

impl Rclone {
    fn json(&mut self, line: &Line<'_>, out: &mut Vec<Fact>) -> Taken {
        if !scan::has(line.text, "\"level\":\"") || !scan::has(line.text, "\"msg\":\"") {
            return Taken::No;
        }
        let Some(json) = Json::read(line.text) else { return Taken::Bad };
        if is_protocol(&json.msg) {
            return Taken::No;
        }
        let at = clock::leading(&json.time).map(|(stamp, _)| clock::Days::default().at(stamp)).unwrap_or(line.at);
        let entry = Entry { object: &json.object, message: &json.msg, inner: json.source.starts_with("vfs/") };
        let line = Line { text: &json.msg, at, ..*line };
        match step(&json.msg) {
            Some(step) => self.step(&line, &entry, &step, out),
            None => self.other(&line, &entry, out),
        }
    }

    fn step(&mut self, line: &Line<'_>, entry: &Entry<'_>, step: &Step<'_>, out: &mut Vec<Fact>) -> Taken {
        if entry.inner {
            return Taken::Chat(line.at);
        }
        if step.ends { self.end(line, entry, step, out) } else { self.begin(line, entry, step, out) }
    }

    fn begin(&mut self, line: &Line<'_>, entry: &Entry<'_>, step: &Step<'_>, out: &mut Vec<Fact>) -> Taken {
        // Only these have a range, and they have no name.
        let ranged = matches!(step.op, Op::Read | Op::Write | Op::Readdir);
        let (off, len) = if ranged { range(step.details) } else { (None, None) };
        let named = Some(step.details).filter(|_| !ranged).and_then(|details| scan::after(details, "name="));
        let name = named.and_then(scan::quoted).map_or("", |(name, _)| name);
        let (ambiguous, of_object) = self.open.begin(entry.object, step.op, line.place.key(), name);
        let call = Call {
            path: Some(if name.is_empty() { of_object } else { below(&of_object, name) }),
            off,
            len,
            asynchronous: true,
            ambiguous,
            ..Call::new(line.place.key(), step.op)
        };
        if step.op == Op::Rename {
            self.renamed(entry.object, step.details);
        }
        line.enter(call, out)
    }

    /// A request that is open meanwhile ends under the new name.
    fn renamed(&mut self, dir: &str, details: &str) {
        /// So many are under way at once.
        const MOST: usize = 64;
        let name = |key: &str| scan::after(details, key).and_then(scan::quoted).map(|(name, _)| name);
        let (Some(old), Some(new)) = (name("oldName="), name("newName=")) else { return };
        let into = ["newDir=", "newParent="].iter().find_map(|key| scan::after(details, key)).unwrap_or(dir);
        let into = scan::split(into, ", newName=").map_or(into, |(into, _)| into);
        if self.renamed.len() == MOST {
            self.renamed.pop_front();
        }
        self.renamed.push_back((below(into, new), below(dir, old)));
    }

    /// The request that ends, where it began under a name that its object had before, or a directory above it.
    fn end_of_old<'n>(&mut self, object: &str, op: Op, name: impl Fn() -> &'n str) -> Option<Key> {
        let (before, path, behind) = parts(object);
        let mut path = Cow::Borrowed(path);
        for (new, old) in self.renamed.iter().rev() {
            let below = path.strip_prefix(&**new).filter(|rest| rest.is_empty() || rest.starts_with('/'));
            let Some(was) = below.map(|rest| [old, rest].concat()) else { continue };
            let key = self.open.end(&[before, &*was, behind].concat(), op, &name);
            if key.is_some() {
                return key;
            }
            path = Cow::Owned(was);
        }
        None
    }

    fn end(&mut self, line: &Line<'_>, entry: &Entry<'_>, step: &Step<'_>, out: &mut Vec<Fact>) -> Taken {
        let name = || between_or_end(step.details, "node=").map_or("", last_name);
        let key = self.open.end(entry.object, step.op, name);
        let key = key.or_else(|| self.end_of_old(entry.object, step.op, name)).unwrap_or_else(|| line.place.key());
        line.exit(outcome(step, key), out)
    }

    fn other(&mut self, line: &Line<'_>, entry: &Entry<'_>, out: &mut Vec<Fact>) -> Taken {
        if scan::has(entry.message, "Mounting on ") {
            return line.session(line.text, None, out);
        }
        // Parts of rclone itself, in the place of a file.
        const PARTS: [&str; 2] = ["pacer", "vfs cache"];
        let (object, words) = match scan::split(entry.message, ": ") {
            Some(parts) if entry.object.is_empty() => parts,
            _ => (entry.object, entry.message),
        };
        let is_path = |o: &&str| !o.is_empty() && !PARTS.contains(o) && !scan::has(o, "://") && o.len() < 4096;
        let words = if hint::of(words).is_some() { said(words) } else { String::new() };
        line.telling_by(&words, Some(object).filter(is_path), out)
    }
}

/// What rclone itself says in a message: neither names in quotation marks nor that of where something went.
fn said(message: &str) -> String {
    let message = scan::split(message, ") to: ").map_or(message, |(before, _)| before);
    if message.starts_with("Updating file with ") {
        return String::new();
    }
    let (mut said, mut rest) = (String::new(), message);
    while let Some(at) = scan::find(rest, "\"") {
        said.push_str(&rest[..at]);
        rest = &rest[at..];
        let Some((_, behind)) = scan::quoted(rest) else { break };
        rest = behind;
    }
    said + rest
}

/// Whether it is a line of the library below: [`super::bazil_fuse`] reads those.
fn is_protocol(message: &str) -> bool {
    message.strip_prefix("fuse: ").is_some_and(|rest| rest.starts_with("<- ") || rest.starts_with("-> "))
}

/// Whether a line tells of a request, with its envelope already taken off.
pub(super) fn is_request(text: &str) -> bool {
    is_trace(text) && after_level(text).and_then(step_in).is_some()
}

/// Whether a line is of the level that requests are traced with: what goes wrong with one is told in the same form, as
/// in `ERROR : a.mov: WriteFileHandle: Truncate: Can't change size`, and has no end.
fn is_trace(text: &str) -> bool {
    let is_debug = |text: &str| text.starts_with("DEBUG : ");
    is_debug(text) || numbered(text).is_some_and(|(_, rest)| is_debug(rest))
}

/// What follows `DEBUG : `: the level is padded to six columns.
fn after_level(text: &str) -> Option<&str> {
    // Eight bytes are one number to the compiler.
    let level: &[u8; 8] = text.as_bytes().first_chunk()?;
    if matches!(level, b"DEBUG : " | b"INFO  : " | b"NOTICE: " | b"ERROR : " | b"WARNIN: ") {
        return Some(&text[8..]);
    }
    numbered(text).and_then(|(_, rest)| after_level(rest))
}

/// The process that wrote the line, where its number is logged.
pub(in crate::formats) fn process(text: &str) -> Option<u32> {
    // Others begin with a bracket in each of their lines: it is the level that tells.
    let head = &text.as_bytes()[..text.len().min("[1234567890] ".len())];
    after_level(text.get(scan::position(head, b']')? + 2..)?)?;
    numbered(text).and_then(|(pid, _)| pid.try_into().ok())
}

/// `[1234] DEBUG : `.
fn numbered(text: &str) -> Option<(u64, &str)> {
    let (number, rest) = scan::num(text.strip_prefix('[')?)?;
    Some((number, rest.strip_prefix("] ").filter(|_| text.len() - rest.len() <= 10)?))
}

/// Splits `object: Func: details`; the object may contain colons itself.
fn step_in(rest: &str) -> Option<(&str, Step<'_>)> {
    let mut from = 0;
    loop {
        let at = from + scan::position(&rest.as_bytes()[from..], b':')?;
        if let Some(step) = rest[at + 1..].strip_prefix(' ').and_then(step) {
            return Some((&rest[..at], step));
        }
        from = at + 1;
    }
}

/// `Func: details` or `>Func: details`, where the function serves a FUSE request.
fn step(message: &str) -> Option<Step<'_>> {
    /// No name of a function is as long, bytes.
    const LONGEST: usize = 16;
    let (ends, rest) = message.strip_prefix('>').map_or((false, message), |rest| (true, rest));
    if !rest.as_bytes().first()?.is_ascii_uppercase() {
        return None;
    }
    let colon = scan::position(&rest.as_bytes()[..rest.len().min(LONGEST)], b':')?;
    let details = &rest[colon + 1..];
    // What takes nothing ends with a blank, which many a tool drops.
    if !details.is_empty() && !details.starts_with(' ') {
        return None;
    }
    Some(Step { ends, op: op(rest, colon)?, details: scan::unindented(details) })
}

/// The functions that the mount layer traces.
const FUNCTIONS: [(&str, Op); 32] = [
    ("Read", Op::Read),
    ("Attr", Op::Getattr),
    ("Getattr", Op::Getattr),
    ("Lookup", Op::Lookup),
    ("Open", Op::Open),
    ("Release", Op::Release),
    ("Flush", Op::Flush),
    ("Write", Op::Write),
    ("ReadDirAll", Op::Readdir),
    ("Readdir", Op::Readdir),
    ("Opendir", Op::Opendir),
    ("Releasedir", Op::Releasedir),
    ("Setattr", Op::Setattr),
    ("Truncate", Op::Setattr),
    ("Chmod", Op::Setattr),
    ("Chown", Op::Setattr),
    ("Utimens", Op::Setattr),
    ("Fsync", Op::Fsync),
    ("Create", Op::Create),
    ("Mkdir", Op::Mkdir),
    ("Mknod", Op::Mknod),
    ("Remove", Op::Unlink),
    ("Unlink", Op::Unlink),
    ("Rmdir", Op::Rmdir),
    ("Rename", Op::Rename),
    ("Statfs", Op::Statfs),
    ("Access", Op::Access),
    ("Readlink", Op::Readlink),
    ("Symlink", Op::Symlink),
    ("Link", Op::Link),
    ("Getxattr", Op::Getxattr),
    ("Listxattr", Op::Listxattr),
];

/// The function whose name are the first `len` bytes: every line is asked, many a line more than once, so names are found
/// by the number that their first bytes make.
fn op(text: &str, len: usize) -> Option<Op> {
    static BY_HEAD: LazyLock<NumberMap<u64, (&'static str, Op)>> =
        LazyLock::new(|| FUNCTIONS.iter().map(|row| (scan::head(row.0.as_bytes()), *row)).collect());
    let head = scan::head(text.as_bytes()) & u64::MAX.checked_shr(64 - 8 * len.min(8) as u32)?;
    BY_HEAD.get(&head).filter(|(name, _)| *name == &text[..len]).map(|(_, op)| *op)
}

/// Offset and length of what is read or written.
fn range(details: &str) -> (Option<u64>, Option<u64>) {
    let off = scan::num_after(details, "offset=").or_else(|| scan::num_after(details, "ofst="));
    (off, scan::num_after(details, "len="))
}

/// The layer below opens the same file for the same request.
fn is_inner_open(step: &Step<'_>) -> bool {
    step.details.starts_with("flags=O_") || (step.ends && step.details.starts_with("fd="))
}

fn outcome(step: &Step<'_>, key: Key) -> Done {
    let err = scan::rsplit(step.details, "=").filter(|(before, _)| before.ends_with("err")).map(|(_, err)| err.trim());
    let errno = match err {
        Some("<nil>") => Some(0),
        Some(text) => scan::errno(text).or(Some(5)),
        None => {
            let code = scan::after(step.details, "errc=").and_then(|c| c.parse::<i64>().ok());
            code.map(|code| u32::try_from(-code).unwrap_or(0))
        }
    };
    let bytes = (step.op == Op::Read).then(|| scan::num_after(step.details, "read=")).flatten();
    Done { op: Some(step.op), errno, bytes, ..done(key) }
}

fn between_or_end<'a>(details: &'a str, key: &str) -> Option<&'a str> {
    let rest = scan::after(details, key)?;
    Some(&rest[..scan::rfind(rest, ", err=").unwrap_or(rest.len())])
}

/// What a Lookup asked for whose answer is `reel/take1.mov` or `reel/`.
fn last_name(node: &str) -> &str {
    node.trim_end_matches('/').rsplit('/').next().unwrap_or("")
}

/// The path behind an object as rclone prints it: `&{clip.mxf (r)}`, `&{Handle:clip.mxf (rw)}`, `reel/`, `/`.
fn path(object: &str) -> &str {
    parts(object).1
}

/// The same with what stands before and behind it.
fn parts(object: &str) -> (&str, &str, &str) {
    let begin = ["&{Handle:", "&{"].iter().find(|begin| object.starts_with(**begin)).map_or(0, |begin| begin.len());
    let end = if begin > 0 { scan::rfind(object, " (").filter(|end| *end >= begin) } else { Some(object.len()) };
    match end {
        Some(end) => (&object[..begin], &object[begin..end], &object[end..]),
        None => ("", object, ""),
    }
}

fn below(dir: &str, name: &str) -> Name {
    match dir.trim_matches('/') {
        "" => name.into(),
        dir => [dir, "/", name].concat().into(),
    }
}
