//! GlusterFS's client at `log-level=TRACE`: `T [fuse-bridge.c:1186:fuse_lookup_resume] 0-glusterfs-fuse: 98: LOOKUP /a/a7`.
//!
//! A request is told by its number and then wound down the stack of translators, `stack-address: 0x7fc7e4, winding from
//! fuse to meta-autoload`; it has ended when the outermost of them returns. What is wound to a client translator waits
//! for a brick. Other levels tell of no requests, but of bricks that do not answer.

use fsd_events::{
    event::{Body, Phase, PhaseChange},
    ids::OpId,
    op::Op,
};
use hashbrown::HashMap;

use crate::{
    engine::fact::{Call, Done, Fact, Key, Name, What},
    formats::{Line, Mark, Parser, REMEMBERED, Taken, done, scan},
};

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(Glusterfs::default())
}

#[derive(Default)]
struct Glusterfs {
    /// The latest request that was told with its number, until its stack is.
    told: Option<(Op, u64, Option<Name>)>,
    /// Requests by the address of their stack, which the next one gets when they have ended.
    open: HashMap<u64, Open>,
}

struct Open {
    key: Key,
    /// The same without how it is written.
    number: u64,
    op: Op,
    /// The translator whose return is the answer.
    outermost: Option<Box<str>>,
    /// The client translators that have it: each waits for its brick.
    bricks: Vec<Box<str>>,
}

impl Open {
    /// What it waits for now.
    fn phase(&self) -> Body<'static> {
        let phase = if self.bricks.is_empty() { Phase::Reply } else { Phase::Upstream };
        let id = OpId(self.number);
        Body::Phase(PhaseChange { id, phase, detail: self.bricks.join(", ").into() })
    }
}

impl Parser for Glusterfs {
    fn format(&self) -> &'static str {
        "glusterfs"
    }

    fn marks(&self) -> &'static [Mark] {
        &[
            Mark::Starts("T ["),
            Mark::Starts("D ["),
            Mark::Starts("I ["),
            Mark::Starts("N ["),
            Mark::Starts("W ["),
            Mark::Starts("E ["),
            Mark::Starts("C ["),
        ]
    }

    fn line(&mut self, line: &Line<'_>, out: &mut Vec<Fact>) -> Taken {
        let Some((function, message)) = message(line.text) else { return Taken::No };
        if let Some(stack) = message.strip_prefix("0-stack-trace: stack-address: ") {
            return self.stack(line, function, stack, out);
        }
        if let Some(request) = message.strip_prefix("0-glusterfs-fuse: ") {
            self.told = told(request).or(self.told.take());
        }
        if function == "main" && scan::has(message, "Started running ") {
            self.open.clear();
            return line.session(message, None, out);
        }
        if function == "cleanup_and_exit" {
            return line.end(false, out);
        }
        line.telling_by(message, None, out)
    }
}

impl Glusterfs {
    fn stack(&mut self, line: &Line<'_>, function: &str, stack: &str, out: &mut Vec<Fact>) -> Taken {
        let Some((address, rest)) = scan::hex(stack) else { return Taken::Bad };
        let Some(rest) = rest.strip_prefix(", ") else { return Taken::Bad };
        if let Some(way) = rest.strip_prefix("winding from ") {
            let Some((from, to)) = scan::split(scan::trimmed(way), " to ") else { return Taken::Bad };
            if from == "fuse" {
                return self.begin(line, function, address, out);
            }
            self.wound(line, address, to, out);
            return Taken::Chat(line.at);
        }
        let Some((by, result)) = scan::split(rest, " returned ") else { return Taken::Bad };
        self.returned(line, address, by, result, out)
    }

    fn begin(&mut self, line: &Line<'_>, function: &str, address: u64, out: &mut Vec<Fact>) -> Taken {
        let Some(op) = of_function(function) else { return Taken::Yes };
        let (number, key, path) = match self.told.take().filter(|told| told.0 == op) {
            Some((_, number, path)) => (number, Key::Num(number), path),
            None => (address, Key::Hex(address), None),
        };
        if self.open.len() >= REMEMBERED {
            self.open.clear();
        }
        self.open.insert(address, Open { key, number, op, outermost: None, bricks: Vec::new() });
        line.enter(Call { path, asynchronous: true, ..Call::new(key, op) }, out)
    }

    fn wound(&mut self, line: &Line<'_>, address: u64, to: &str, out: &mut Vec<Fact>) {
        /// No volume has more copies of one file.
        const MOST: usize = 64;
        let Some(open) = self.open.get_mut(&address) else { return };
        open.outermost.get_or_insert_with(|| to.into());
        if is_client(to) && open.bricks.len() < MOST {
            open.bricks.push(to.into());
            out.push(line.fact(What::Own(Box::new(open.phase()))));
        }
    }

    fn returned(&mut self, line: &Line<'_>, address: u64, by: &str, result: &str, out: &mut Vec<Fact>) -> Taken {
        let Some(open) = self.open.get_mut(&address) else { return Taken::Chat(line.at) };
        if open.outermost.as_deref().is_some_and(|outermost| outermost != by) {
            if let Some(at) = open.bricks.iter().position(|brick| **brick == *by) {
                open.bricks.remove(at);
                out.push(line.fact(What::Own(Box::new(open.phase()))));
            }
            return Taken::Chat(line.at);
        }
        let (key, op) = (open.key, open.op);
        self.open.remove(&address);
        let bytes = scan::num(result).map(|(n, _)| n).filter(|_| op == Op::Read);
        line.exit(Done { op: Some(op), errno: errno(result), bytes, ..done(key) }, out)
    }
}

/// `volume-client-0`: the translator that speaks to a brick.
fn is_client(translator: &str) -> bool {
    translator.contains("-client-")
}

/// The function and the words of `T [MSGID: 0] [fuse-bridge.c:1186:fuse_lookup_resume] 0-glusterfs-fuse: ...`.
fn message(text: &str) -> Option<(&str, &str)> {
    let rest = text.get(1..)?.strip_prefix(" [")?;
    let place = match rest.strip_prefix("MSGID: ") {
        Some(numbered) => scan::after(numbered, "] [")?,
        None => rest,
    };
    let (place, message) = scan::split(place, "] ")?;
    let (place, function) = scan::rsplit(place, ":")?;
    let (file, number) = scan::rsplit(place, ":")?;
    let is_place = file.ends_with(".c") && scan::num(number).is_some_and(|(_, end)| end.is_empty());
    is_place.then_some((function, message))
}

/// The request in `98: LOOKUP /a/a7`, `96: GETATTR 140496567546344 (/a)` or ``2508: RENAME `/w1 ()' -> `/x1 ()'``.
fn told(request: &str) -> Option<(Op, u64, Option<Name>)> {
    let (number, rest) = scan::num(request)?;
    let (name, details) = scan::word(rest.strip_prefix(": ")?);
    let op = if name == "READDIRP" { Op::Readdirplus } else { scan::op(name)? };
    // What comes back has the number of something else.
    if details.starts_with("=> ") || scan::has(details, ") => ") {
        return None;
    }
    let path = scan::find(details, "/").map(|at| &details[at..]);
    let end = |path: &str| [" ()", " {", ", "].iter().filter_map(|mark| path.find(mark)).min().unwrap_or(path.len());
    let path = path.filter(|_| !details.starts_with("(0x")).map(|path| path[..end(path)].trim_end_matches(')').into());
    Some((op, number, path))
}

/// `fuse_lookup_resume`, `fuse_readdirp_resume`, `fuse_getattr`.
fn of_function(function: &str) -> Option<Op> {
    let name = function.strip_prefix("fuse_")?;
    match name.strip_suffix("_resume").unwrap_or(name) {
        "readv" => Some(Op::Read),
        "readdirp" => Some(Op::Readdirplus),
        name => scan::op(name),
    }
}

/// As the C library spells it; what has another name is not guessed.
fn errno(result: &str) -> Option<u32> {
    const NAMES: [(&str, u32); 4] =
        [("No such file or directory", 2), ("No data available", 61), ("Permission denied", 13), ("File exists", 17)];
    if !result.starts_with('-') {
        return Some(0);
    }
    NAMES.iter().find(|(name, _)| scan::has(result, name)).map(|row| row.1)
}
