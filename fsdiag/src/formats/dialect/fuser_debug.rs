//! fuser's debug log: `FUSE( 18) ino 0x0000000000000002 RELEASE fh FileHandle(123), ... thread=fuser-0`.
//!
//! It tells of requests only, never of answers: a missing EXIT means nothing here.

use crate::{
    engine::fact::{Call, Done, Fact, Key, Name, What},
    formats::{Line, Mark, Parser, Taken, done, scan},
};
use fsd_events::op::Op;

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(FuserDebug::default())
}

#[derive(Default)]
struct FuserDebug {
    one_sided: OneSided,
}

/// Tells once a life that no answers are told.
#[derive(Default)]
pub(super) struct OneSided(bool);

impl OneSided {
    /// To be asked with what a line gave: the facts from there on.
    pub(super) fn tell(&mut self, line: &Line<'_>, from: usize, out: &mut Vec<Fact>) {
        let given = &out[from..];
        let begins = given.iter().any(|fact| matches!(fact.what, What::Session { .. }));
        let enters = given.iter().rposition(|fact| matches!(fact.what, What::Enter(_)));
        self.0 &= !begins;
        if let Some(at) = enters.filter(|_| !std::mem::replace(&mut self.0, true)) {
            out.insert(from + at, line.fact(What::OneSided));
        }
    }
}

impl Parser for FuserDebug {
    fn format(&self) -> &'static str {
        "fuser-debug"
    }

    fn marks(&self) -> &'static [Mark] {
        &[Mark::Has("FUSE("), Mark::Has("Reply not sent for operation "), Mark::Has("fuser")]
    }

    fn line(&mut self, line: &Line<'_>, out: &mut Vec<Fact>) -> Taken {
        let from = out.len();
        let taken = request(line, out).unwrap_or_else(|| other(line, out));
        self.one_sided.tell(line, from, out);
        taken
    }
}

/// The request in a line with `FUSE(`; None where there is none.
pub(super) fn request(line: &Line<'_>, out: &mut Vec<Fact>) -> Option<Taken> {
    let rest = scan::after(line.text, "FUSE(")?;
    let Some((unique, rest)) = scan::num(rest.trim_start()) else { return Some(Taken::No) };
    let inode = rest.strip_prefix(')').and_then(|r| scan::hex(r.trim_start().strip_prefix("ino ")?));
    let Some((ino, rest)) = inode else { return Some(Taken::Bad) };
    let (rest, thread) = match scan::rsplit(rest, " thread=") {
        Some((rest, thread)) => (rest, Some(thread.trim())),
        None => (rest, None),
    };
    let (name, details) = scan::word(rest.trim_start());
    if name == "INTERRUPT" {
        let Some(of) = in_parens_or_bare(details, "unique ") else { return Some(Taken::Bad) };
        out.push(line.fact(What::Interrupt(Key::Num(of))));
        // Whoever takes it up has done with what it had before.
        let call = Call { thread: thread.map(Into::into), ..Call::new(Key::Num(unique), Op::Interrupt) };
        return Some(if call.thread.is_some() { line.enter(call, out) } else { Taken::Yes });
    }
    let Some(op) = scan::op(name) else { return Some(if name.is_empty() { Taken::Bad } else { Taken::Yes }) };
    if op == Op::Init {
        line.session("fuser INIT", None, out);
    }
    if op == Op::Destroy {
        return Some(line.end(false, out));
    }
    let call = Call {
        thread: thread.map(Into::into),
        ino: Some(ino).filter(|ino| *ino != 0),
        fh: in_parens_or_bare(details, "fh "),
        off: in_parens_or_bare(details, "offset "),
        len: scan::num_after(details, ", size "),
        path: name_of(op, details),
        ..Call::new(Key::Num(unique), op)
    };
    Some(line.enter(call, out))
}

fn other(line: &Line<'_>, out: &mut Vec<Fact>) -> Taken {
    if let Some(unique) = scan::num_after(line.text, "Reply not sent for operation ") {
        return line.exit(Done { errno: Some(5), ..done(Key::Num(unique)) }, out);
    }
    if !scan::has(line.text, "fuser") {
        return Taken::No;
    }
    if scan::has(line.text, "unmounting session") {
        return line.end(false, out);
    }
    let own =
        ["fuser::session", "fuser::request", "fuser::reply", "fuser::mnt", "fuser::channel", " fuser]", "fuser: "];
    if own.iter().any(|target| scan::has(line.text, target)) { line.telling(None, out) } else { Taken::No }
}

/// The number in `fh FileHandle(123)`, `offset Ok(0)` or `offset 119`.
fn in_parens_or_bare(details: &str, key: &str) -> Option<u64> {
    let rest = scan::after(details, key)?;
    let word = &rest[..rest.find([',', ' ']).unwrap_or(rest.len())];
    scan::num(word.split_once('(').map_or(word, |(_, inner)| inner)).map(|(n, _)| n)
}

/// The name that a request carries, relative to its inode.
fn name_of(op: Op, details: &str) -> Option<Name> {
    let named = matches!(op, Op::Lookup | Op::Create | Op::Mkdir | Op::Unlink | Op::Rmdir | Op::Mknod | Op::Rename);
    let name = scan::after(details, "name ").filter(|_| named).and_then(scan::quoted)?.0;
    Some(scan::unescaped(name).into())
}
