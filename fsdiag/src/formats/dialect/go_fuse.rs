//! go-fuse's debug log (gocryptfs, JuiceFS): `rx 18: READ n2 {Fh 1 [0 +131072)  L 0 RDONLY,0x8000}`, `tx 18: OK`.

use crate::{
    engine::{
        fact::{Call, Done, Fact, Key, Name, What},
        model::handful::Handful,
    },
    formats::{Line, Mark, Parser, REMEMBERED, Taken, done, nodes::Nodes, scan},
};
use fsd_events::op::Op;

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(GoFuse::default())
}

#[derive(Default)]
struct GoFuse {
    nodes: Nodes,
    open: Handful<u64, (Op, Option<Name>)>,
}

impl Parser for GoFuse {
    fn format(&self) -> &'static str {
        "go-fuse"
    }

    fn marks(&self) -> &'static [Mark] {
        &[Mark::Starts("rx "), Mark::Starts("tx "), Mark::Has(": rx "), Mark::Has(": tx ")]
    }

    fn line(&mut self, line: &Line<'_>, out: &mut Vec<Fact>) -> Taken {
        // A prefix of the logger may stand in front: `fuse.go:12: rx 2: ...`.
        let (sent, rest) = match at_start(line.text).or_else(|| inside(line.text)) {
            Some(found) => found,
            None => return Taken::No,
        };
        let Some((unique, rest)) = scan::num(rest) else { return Taken::No };
        let Some(rest) = rest.strip_prefix(':') else { return Taken::No };
        let rest = scan::trimmed(rest);
        if sent { self.answer(line, unique, rest, out) } else { self.request(line, unique, rest, out) }
    }
}

fn at_start(text: &str) -> Option<(bool, &str)> {
    text.strip_prefix("rx ").map(|rest| (false, rest)).or_else(|| text.strip_prefix("tx ").map(|rest| (true, rest)))
}

fn inside(text: &str) -> Option<(bool, &str)> {
    let head = scan::clip(text, 96);
    let at =
        scan::find(head, ": rx ").map(|at| (false, at)).or_else(|| scan::find(head, ": tx ").map(|at| (true, at)))?;
    Some((at.0, &text[at.1 + 5..]))
}

impl GoFuse {
    fn request(&mut self, line: &Line<'_>, unique: u64, rest: &str, out: &mut Vec<Fact>) -> Taken {
        let (name, rest) = scan::word(rest);
        if name.is_empty() {
            return Taken::Bad;
        }
        let Some(op) = scan::op(name) else { return Taken::Yes };
        let (node, details) = scan::word(rest);
        let ino = node.strip_prefix(['n', 'i']).and_then(scan::num).map(|(n, _)| n);
        if op == Op::Interrupt {
            let Some(of) = scan::num_after(details, "ix ") else { return Taken::Bad };
            out.push(line.fact(What::Interrupt(Key::Num(of))));
            return Taken::Yes;
        }
        if op == Op::Init {
            self.nodes.clear();
            self.open.clear();
            line.session("go-fuse INIT", None, out);
        }
        let names = matches!(op, Op::Lookup | Op::Create | Op::Mkdir | Op::Unlink | Op::Rmdir);
        let path = match Some(details).filter(|_| names).and_then(named) {
            Some(name) => ino.map(|dir| self.nodes.child(dir, name)),
            None => ino.and_then(|ino| self.nodes.path(ino)),
        };
        if op.replied() {
            if self.open.len() >= REMEMBERED {
                self.open.clear();
            }
            self.open.insert(unique, (op, path.clone().filter(|_| op == Op::Lookup)));
        }
        // Most requests have none of what stands in braces.
        let range = Some(details).filter(|details| !details.is_empty()).and_then(range);
        let call = Call {
            ino: ino.filter(|ino| *ino != 0),
            fh: fh(details),
            off: range.map(|(off, _)| off),
            len: range.map(|(_, len)| len),
            path,
            ..Call::new(Key::Num(unique), op)
        };
        line.enter(call, out)
    }

    fn answer(&mut self, line: &Line<'_>, unique: u64, rest: &str, out: &mut Vec<Fact>) -> Taken {
        let errno = if rest.starts_with("OK") {
            0
        } else {
            match scan::num(rest) {
                Some((number, tail)) if tail.starts_with('=') => number as u32,
                _ => return Taken::Bad,
            }
        };
        let known = self.open.remove(&unique);
        if let Some((_, Some(path))) = &known
            && let Some(ino) = scan::num_after(rest, "{n")
        {
            self.nodes.learn(ino, path);
        }
        let op = known.map(|(op, _)| op);
        let bytes = rest.strip_prefix("OK, ").and_then(|r| scan::num(scan::unindented(r)));
        let bytes = bytes.filter(|(_, unit)| unit.starts_with("b data")).map(|(n, _)| n);
        line.exit(Done { op, errno: Some(errno), bytes, ..done(Key::Num(unique)) }, out)
    }
}

/// `["take1.mov"] 10b`.
fn named(details: &str) -> Option<&str> {
    scan::after(details, "[\"").and_then(|name| scan::split(name, "\"]")).map(|(name, _)| name)
}

/// `{Fh 1 …`.
fn fh(details: &str) -> Option<u64> {
    match details.strip_prefix("{Fh ") {
        Some(first) => scan::num(first).map(|(fh, _)| fh),
        None if details.is_empty() => None,
        None => scan::num_after(details, "Fh "),
    }
}

/// `{Fh 1 [0 +131072) …`.
fn range(details: &str) -> Option<(u64, u64)> {
    let (off, rest) = scan::num(scan::after(details, " [")?)?;
    Some((off, scan::num(rest.strip_prefix(" +")?)?.0))
}
