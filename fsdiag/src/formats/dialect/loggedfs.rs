//! LoggedFS: one line for each finished operation, `getattr /a {SUCCESS} [ pid = 7 ls uid = 0 ]`, without its time.
//!
//! Only reads and writes have two: `read 4096 bytes from /a at offset 0`, then `4096 bytes read from /a at offset 0`, or
//! the first once more with its failure.

use hashbrown::HashMap;

use crate::{
    engine::fact::{Call, Done, Fact, Key},
    formats::{Line, Mark, Parser, REMEMBERED, Taken, done, scan},
};
use fsd_events::op::Op;

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(Loggedfs::default())
}

#[derive(Default)]
struct Loggedfs {
    /// Reads and writes under way, oldest first: kind, caller, path, offset.
    open: HashMap<(Op, u64, Box<str>, u64), Vec<Key>>,
}

impl Parser for Loggedfs {
    fn format(&self) -> &'static str {
        "loggedfs"
    }

    fn marks(&self) -> &'static [Mark] {
        &[Mark::Has("[default] "), Mark::Has("} [ pid = ")]
    }

    fn line(&mut self, line: &Line<'_>, out: &mut Vec<Fact>) -> Taken {
        let Some(marked) = scan::after(line.text, "[default] ").or_else(|| loggedfs(line.text)) else {
            return Taken::No;
        };
        if marked.starts_with("LoggedFS starting at") {
            return line.session(marked, None, out);
        }
        if marked.starts_with("LoggedFS closing") {
            return line.end(false, out);
        }
        let Some((what, tail)) = scan::rsplit(marked, " {") else { return line.telling(None, out) };
        let failed = tail.starts_with("FAILURE");
        let (name, details) = scan::word(what);
        let Some(op) = scan::op(name).or_else(|| moved(details)) else { return Taken::Yes };
        let path = scan::find(details, "/").map(|at| &details[at..]);
        let cut = if matches!(op, Op::Rename | Op::Link | Op::Symlink) { " to /" } else { " at offset " };
        let path = path.map(|p| scan::rsplit(p, cut).map_or(p, |(path, _)| path));
        let key = line.place.key();
        if let (Op::Read | Op::Write, Some(path), Some(offset)) = (op, path, offset(details)) {
            let request = (op, scan::num_after(tail, "pid = ").unwrap_or(0), path.into(), offset);
            if failed || scan::op(name).is_none() {
                let (bytes, _) = scan::num(name).unzip();
                return self.ended(
                    line,
                    request,
                    Done { op: Some(op), bytes, errno: (!failed).then_some(0), ..done(key) },
                    out,
                );
            }
            self.begin(request, key);
        }
        let call = Call {
            pid: scan::num_after(tail, "pid = ").and_then(|pid| u32::try_from(pid).ok()),
            path: path.map(Into::into),
            off: offset(details),
            len: scan::num(details).filter(|(_, rest)| rest.starts_with(" bytes")).map(|(n, _)| n),
            ..Call::new(key, op)
        };
        let two = matches!(op, Op::Read | Op::Write) && call.off.is_some();
        let taken = line.enter(call, out);
        if two {
            return taken;
        }
        line.exit(Done { op: Some(op), errno: (!failed).then_some(0), ..done(key) }, out)
    }
}

impl Loggedfs {
    fn begin(&mut self, request: (Op, u64, Box<str>, u64), key: Key) {
        if self.open.len() >= REMEMBERED {
            self.open.clear();
        }
        self.open.entry(request).or_default().push(key);
    }

    /// The end of the oldest request like that; its beginning may be missing.
    fn ended(&mut self, line: &Line<'_>, request: (Op, u64, Box<str>, u64), done: Done, out: &mut Vec<Fact>) -> Taken {
        let Some(keys) = self.open.get_mut(&request) else { return line.exit(done, out) };
        let key = keys.remove(0);
        if keys.is_empty() {
            self.open.remove(&request);
        }
        line.exit(Done { key, ..done }, out)
    }
}

/// The last: a name may tell of one, too.
fn offset(details: &str) -> Option<u64> {
    scan::rsplit(details, " at offset ").and_then(|(_, offset)| scan::num(offset)).map(|(offset, _)| offset)
}

/// `bytes read from /a`: what has been moved.
fn moved(details: &str) -> Option<Op> {
    let (_, rest) = scan::split(details, "bytes ")?;
    let is = |word: &str| rest.starts_with(word);
    is("read from ").then_some(Op::Read).or_else(|| is("written to ").then_some(Op::Write))
}

/// The same in a log whose category was renamed: the marks at the end are telling enough.
fn loggedfs(text: &str) -> Option<&str> {
    let marked = scan::has(text, "} [ pid = ") && (scan::has(text, "{SUCCESS}") || scan::has(text, "{FAILURE}"));
    scan::split(text, "] ").filter(|_| marked).map(|(_, rest)| rest)
}
