//! bazil.org/fuse's debug log: `<- Lookup [ID=0x4 Node=0x1 Uid=0 Gid=0 Pid=7] "a"`, answered by `-> [ID=0x4] ...`.
//!
//! rclone writes it below its own lines, which then tell of the same requests once more.

use crate::{
    engine::{
        fact::{Call, Done, Fact, Key, Name, What},
        model::hash::NumberMap,
    },
    formats::{Line, Mark, Parser, REMEMBERED, Taken, dialect::rclone, done, nodes::Nodes, scan},
};
use fsd_events::op::Op;
pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(BazilFuse::default())
}

#[derive(Default)]
struct BazilFuse {
    nodes: Nodes,
    /// Operation, and the path that a successful Lookup will name.
    open: NumberMap<u64, (Op, Option<Name>)>,
    seen: bool,
}

impl Parser for BazilFuse {
    fn format(&self) -> &'static str {
        "bazil-fuse"
    }

    fn marks(&self) -> &'static [Mark] {
        &[Mark::Has("[ID=0x")]
    }

    fn is_idle(&self) -> bool {
        !self.seen
    }

    fn line(&mut self, line: &Line<'_>, out: &mut Vec<Fact>) -> Taken {
        // Every line of rclone is asked, and this bracket is rare there.
        if scan::has(line.text, "[ID=0x") {
            if let Some(rest) = arrow(line.text, "<- ") {
                return self.request(line, rest, out).unwrap_or(Taken::Bad);
            }
            if let Some(rest) = arrow(line.text, "-> ") {
                return self.answer(line, rest, out).unwrap_or(Taken::Bad);
            }
        }
        // Once the protocol itself is logged, rclone's view of the same requests adds nothing.
        if self.seen && rclone::is_request(line.text) { Taken::Yes } else { Taken::No }
    }
}

/// What follows the arrow, if this is a line of this log.
fn arrow<'a>(text: &'a str, arrow: &str) -> Option<&'a str> {
    let rest = text.strip_prefix(arrow).or_else(|| scan::after(text, "fuse: ")?.strip_prefix(arrow))?;
    scan::has(scan::clip(rest, 64), "[ID=0x").then_some(rest)
}

impl BazilFuse {
    fn request(&mut self, line: &Line<'_>, rest: &str, out: &mut Vec<Fact>) -> Option<Taken> {
        let (name, rest) = scan::split(rest, " [ID=")?;
        let (id, rest) = scan::hex(rest)?;
        let (head, details) = scan::split(rest, "]")?;
        let field = |key| scan::after(head, key);
        let ino = field("Node=").and_then(scan::hex).map(|(n, _)| n);
        if name == "Interrupt" {
            let (of, _) = scan::hex(scan::after(details, "ID ")?)?;
            out.push(line.fact(What::Interrupt(Key::Hex(of))));
            return Some(Taken::Yes);
        }
        let directory = scan::has(details, " dir=true");
        let op = in_directory(scan::op(name)?, directory);
        self.seen = true;
        if op == Op::Init {
            line.session("bazil fuse Init", None, out);
        }
        let details = details.trim_start();
        let named = scan::quoted(details).map(|(name, _)| name).filter(|_| names_a_file(op));
        let path = match named {
            Some(name) => ino.map(|dir| self.nodes.child(dir, name)),
            None => ino.and_then(|ino| self.nodes.path(ino)),
        };
        let (fh, len, off) = range(op, details);
        if self.open.len() >= REMEMBERED {
            self.open.clear();
        }
        self.open.insert(id, (op, path.clone().filter(|_| op == Op::Lookup)));
        let pid = field("Pid=").and_then(scan::num).and_then(|(n, _)| u32::try_from(n).ok());
        Some(line.enter(Call { ino, pid, path, fh, len, off, ..Call::new(Key::Hex(id), op) }, out))
    }

    fn answer(&mut self, line: &Line<'_>, rest: &str, out: &mut Vec<Fact>) -> Option<Taken> {
        let (id, rest) = scan::hex(scan::after(rest, "[ID=")?)?;
        let rest = rest.strip_prefix("] ").or_else(|| rest.strip_prefix(']'))?;
        let (name, details) = scan::word(rest);
        let known = self.open.remove(&id);
        if known.is_none() && name == "Header" {
            // The library refuses an operation that it has no name for; it was not logged as a request.
            return Some(Taken::Yes);
        }
        let op = known.as_ref().map(|(op, _)| *op).or_else(|| scan::op(name));
        let failed = details.strip_prefix("error=").or_else(|| rest.strip_prefix("error="));
        if let Some((_, Some(path))) = known.filter(|_| failed.is_none())
            && let Some((ino, _)) = scan::hex(details)
        {
            self.nodes.learn(ino, &path);
        }
        let errno = failed.map_or(Some(0), |text| scan::errno(text).or(Some(5)));
        Some(line.exit(Done { op, errno, ..done(Key::Hex(id)) }, out))
    }
}

/// Opens, reads and releases of directories share their names with those of files.
fn in_directory(op: Op, directory: bool) -> Op {
    match op {
        Op::Open if directory => Op::Opendir,
        Op::Read if directory => Op::Readdir,
        Op::Release if directory => Op::Releasedir,
        op => op,
    }
}

fn names_a_file(op: Op) -> bool {
    matches!(op, Op::Lookup | Op::Create | Op::Mkdir | Op::Mknod | Op::Unlink | Op::Rmdir)
}

/// Handle, length and offset: `0x1 16384 @0x0 dir=false`.
fn range(op: Op, details: &str) -> (Option<u64>, Option<u64>, Option<u64>) {
    if !matches!(op, Op::Read | Op::Readdir | Op::Write | Op::Release | Op::Releasedir | Op::Flush) {
        return (None, None, None);
    }
    let Some((fh, rest)) = scan::hex(details) else { return (None, None, None) };
    let len = scan::num(rest.trim_start()).map(|(n, _)| n);
    let off = scan::after(rest, "@").and_then(scan::hex).map(|(n, _)| n);
    (Some(fh), len.filter(|_| off.is_some()), off)
}
