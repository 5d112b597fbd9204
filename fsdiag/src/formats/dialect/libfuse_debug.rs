//! libfuse's `-d`: `unique: 2, opcode: GETATTR (3), nodeid: 1, insize: 56, pid: 7` and its answer.
//!
//! Lines without a number belong to the latest request of their kind, if it is the only one without them. A file
//! system's own lines in between are nobody's. sshfs adds its own requests to the server, which explain a wait
//! but are no FUSE requests.

use std::collections::BTreeMap;

use crate::{
    engine::{
        fact::{Call, Done, Fact, HintKind, Key, Name, What},
        model::handful::Handful,
    },
    formats::{Line, Mark, Parser, REMEMBERED, Taken, done, nodes::Nodes, scan},
};
use fsd_events::op::Op;

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(LibfuseDebug::default())
}

#[derive(Default)]
struct LibfuseDebug {
    nodes: Nodes,
    open: Requests,
    /// The begin of the latest request, held back for the details that may follow.
    held: Option<Fact>,
    /// Path of the latest LOOKUP line, for the `NODEID:` that follows.
    looked_up: Option<Name>,
    /// Requests of sshfs that its server has not answered: number to (line, name).
    sftp: BTreeMap<u64, (u64, Box<str>)>,
    seen: bool,
    /// Its lines name the callers: one without is cut.
    names_callers: bool,
}

/// Requests that are not answered.
#[derive(Default)]
struct Requests {
    all: Handful<u64, Open>,
    /// How many of each kind still wait for their details.
    bare: BTreeMap<Op, usize>,
}

struct Open {
    op: Op,
    detailed: bool,
}

impl Requests {
    /// When full it starts anew.
    fn begin(&mut self, unique: u64, op: Op) {
        if self.all.len() >= REMEMBERED {
            *self = Self::default();
        }
        self.end(unique);
        self.all.insert(unique, Open { op, detailed: false });
        *self.bare.entry(op).or_default() += 1;
    }

    fn end(&mut self, unique: u64) -> Option<Op> {
        let open = self.all.remove(&unique)?;
        if !open.detailed {
            self.bare.entry(open.op).and_modify(|count| *count -= 1);
        }
        Some(open.op)
    }

    /// Whether details of that kind can only be those of this request; they come once.
    fn detail(&mut self, unique: u64, op: Op) -> bool {
        let Some(bare) = self.bare.get_mut(&op).filter(|bare| **bare == 1) else { return false };
        let Some(open) = self.all.get_mut(&unique).filter(|open| open.op == op && !open.detailed) else { return false };
        open.detailed = true;
        *bare = 0;
        true
    }
}

impl Parser for LibfuseDebug {
    fn format(&self) -> &'static str {
        "libfuse-debug"
    }

    fn marks(&self) -> &'static [Mark] {
        &[
            Mark::Starts("unique: "),
            Mark::Starts("unique=0x"),
            Mark::Starts("dev unique: "),
            Mark::Starts("cqe unique: "),
            Mark::Starts("FUSE library version"),
        ]
    }

    fn is_idle(&self) -> bool {
        !self.seen
    }

    fn line(&mut self, line: &Line<'_>, out: &mut Vec<Fact>) -> Taken {
        let text = line.text;
        if let Some(rest) = text.strip_prefix("   unique: ") {
            return self.answer(line, rest, out);
        }
        let bare = text.strip_prefix("dev ").or_else(|| text.strip_prefix("cqe ")).unwrap_or(text);
        if let Some(rest) = bare.strip_prefix("unique: ") {
            return self.begin(line, rest, out);
        }
        if let Some(rest) = bare.strip_prefix("unique=0x") {
            return self.of_mergerfs(line, rest, out);
        }
        if !self.seen {
            return if text.starts_with("FUSE library version") { Taken::Yes } else { Taken::No };
        }
        match self.detail(line, out) {
            Taken::No if text.starts_with([' ', '\t']) => match scan::unindented(text).strip_prefix("unique: ") {
                Some(rest) => self.moved(line, rest, out),
                None => Taken::No,
            },
            taken => taken,
        }
    }

    fn settle(&mut self, out: &mut Vec<Fact>) {
        out.extend(self.held.take());
    }

    fn finish(&mut self, out: &mut Vec<Fact>) {
        self.settle(out);
        let unanswered = std::mem::take(&mut self.sftp);
        for (number, (line, name)) in unanswered.into_iter().take(8) {
            let text = format!("sftp request {number} ({name}) has no answer from the server").into();
            let place = crate::engine::fact::Place { line, ..self.last_place(out) };
            let what = What::Hint { kind: HintKind::Upstream, key: None, path: None, text };
            out.push(Fact { place, at: Default::default(), what });
        }
    }
}

impl LibfuseDebug {
    /// The input's number is the same in every fact of one input.
    fn last_place(&self, out: &[Fact]) -> crate::engine::fact::Place {
        out.last().map(|fact| fact.place).unwrap_or_default()
    }

    /// An answer with more blanks before it or fewer: many a tool adds or drops some.
    #[cold]
    fn moved(&mut self, line: &Line<'_>, rest: &str, out: &mut Vec<Fact>) -> Taken {
        let what = scan::num(rest).map(|(_, what)| what);
        if !what.is_some_and(|what| scan::starts(what, &[", success", ", error: "]) && scan::has(what, ", outsize: ")) {
            return Taken::Bad;
        }
        self.line(&Line { text: &format!("   unique: {rest}"), ..*line }, out)
    }

    fn begin(&mut self, line: &Line<'_>, rest: &str, out: &mut Vec<Fact>) -> Taken {
        self.settle(out);
        let begin = Begin::read(rest).filter(|begin| begin.pid.is_some() || !self.names_callers);
        let Some(begin) = begin else { return self.moved(line, rest, out) };
        self.names_callers |= begin.pid.is_some();
        self.enter(line, &begin, out)
    }

    fn enter(&mut self, line: &Line<'_>, begin: &Begin, out: &mut Vec<Fact>) -> Taken {
        self.seen = true;
        let Some(op) = begin.op else { return Taken::Yes };
        match op {
            Op::Init => {
                self.nodes.clear();
                self.open = Requests::default();
                line.session("libfuse INIT", None, out);
            }
            Op::Destroy => return line.end(false, out),
            _ => {}
        }
        if op.replied() {
            self.open.begin(begin.unique, op);
        }
        let call = Call {
            ino: Some(begin.ino).filter(|ino| *ino != 0),
            pid: begin.pid,
            path: self.nodes.path(begin.ino),
            ..Call::new(Key::Num(begin.unique), op)
        };
        self.held = Some(line.fact(What::Enter(call.boxed())));
        Taken::Yes
    }

    fn answer(&mut self, line: &Line<'_>, rest: &str, out: &mut Vec<Fact>) -> Taken {
        self.settle(out);
        let Some((unique, rest)) = scan::num(rest) else { return Taken::Bad };
        let rest = rest.strip_prefix(", ").unwrap_or_default();
        let errno = if rest.starts_with("success") {
            0
        } else if let Some((number, _)) =
            rest.strip_prefix("error: ").and_then(|n| scan::num(n.trim_start_matches('-')))
        {
            // Before 2.9, and in ntfs-3g, success is an error, too: `error: 0 (Success)`.
            number as u32
        } else {
            return Taken::Bad;
        };
        self.seen = true;
        let op = self.open.end(unique);
        let size = || scan::num_after(rest, "outsize: ").map(|n| n.saturating_sub(16));
        let bytes = if op == Some(Op::Read) && errno == 0 { size() } else { None };
        line.exit(Done { op, errno: Some(errno), bytes, ..done(Key::Num(unique)) }, out)
    }

    /// mergerfs has a libfuse of its own: `0000000000000004; opcode=GETATTR (3); nodeid=1; uid=0; gid=0; pid=7; || ...`
    /// and `...; opcode=RESPONSE; error=0 (Success); len=120; || ...`.
    fn of_mergerfs(&mut self, line: &Line<'_>, rest: &str, out: &mut Vec<Fact>) -> Taken {
        self.settle(out);
        let Some((unique, rest)) = scan::hex(rest) else { return Taken::Bad };
        let Some(rest) = rest.strip_prefix("; opcode=") else { return Taken::Bad };
        if let Some(answer) = rest.strip_prefix("RESPONSE; error=") {
            let Some((errno, _)) = scan::num(answer.trim_start_matches('-')) else { return Taken::Bad };
            let op = self.open.end(unique);
            self.seen = true;
            return line.exit(Done { op, errno: Some(errno as u32), ..done(Key::Num(unique)) }, out);
        }
        let number = |key: &str| scan::num_after(rest, key);
        let (Some(opcode), Some(ino), Some(pid)) = (number(" ("), number("nodeid="), number("pid=")) else {
            return Taken::Bad;
        };
        let op = u32::try_from(opcode).ok().and_then(Op::from_opcode);
        let taken = self.enter(line, &Begin { unique, op, ino, pid: u32::try_from(pid).ok() }, out);
        if let (Some(What::Enter(call)), Some(name)) =
            (self.held.as_mut().map(|fact| &mut fact.what), scan::between(rest, " name=", ';'))
        {
            call.path = Some(name.into());
        }
        taken
    }

    fn detail(&mut self, line: &Line<'_>, out: &mut Vec<Fact>) -> Taken {
        let text = line.text;
        let inner = scan::unindented(text);
        // Others write into the same log: their first byte almost always tells.
        if !matches!(inner.as_bytes().first(), Some(b'a'..=b'z' | b'_' | b'[' | b'N' | b'I' | b'L')) {
            return Taken::No;
        }
        // A number stands in the brackets of sshfs, and words in those of most others.
        if inner.starts_with('[') && !inner.as_bytes().get(1).is_some_and(u8::is_ascii_digit) {
            return Taken::No;
        }
        let (verb, rest) = scan::word(inner);
        match verb {
            "NODEID:" => {
                if let Some((path, (ino, _))) = self.looked_up.take().zip(scan::num(rest)) {
                    self.nodes.learn(ino, &path);
                }
                Taken::Yes
            }
            "INTERRUPT:" => {
                self.settle(out);
                let Some((unique, _)) = scan::num(rest) else { return Taken::Bad };
                out.push(line.fact(What::Interrupt(Key::Num(unique))));
                Taken::Yes
            }
            "NOTIFY:" | "INIT:" => Taken::Yes,
            "LOOKUP" => {
                let path: Name = rest.into();
                self.looked_up = Some(path.clone());
                self.attach(Op::Lookup, |call| call.path = Some(path))
            }
            _ if verb.starts_with('[') || text.starts_with("  [") => self.sftp(line, inner),
            _ if text.starts_with("   ") || is_setting(inner) => is_library_line(inner),
            _ => self.verb(verb, rest),
        }
    }

    /// `read[5] 4096 bytes from 0 flags: 0x8000`, `getattr[NULL] /`, `release[5] flags: 0x8000`.
    fn verb(&mut self, verb: &str, rest: &str) -> Taken {
        let (name, handle) = scan::split(verb, "[").unwrap_or((verb, ""));
        let lower = name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        if !lower || handle.is_empty() && !rest.starts_with('/') && !scan::has(rest, "flags: ") {
            return Taken::No;
        }
        let Some(op) = Some(name).filter(|n| !n.is_empty()).and_then(scan::op) else { return Taken::No };
        self.attach(op, |call| {
            call.fh = scan::num(handle).map(|(fh, _)| fh);
            if let Some((len, from)) = scan::num(rest).filter(|(_, from)| from.starts_with(" bytes ")) {
                call.len = Some(len);
                call.off = scan::num_after(from, "from ").or_else(|| scan::num_after(from, "to "));
            }
            if let Some(path) = scan::find(rest, "/").map(|at| &rest[at..]).filter(|_| call.path.is_none()) {
                call.path = Some(without_arguments(name, path).into());
            }
        })
    }

    /// Adds details to the latest request, if no other of its kind still waits for its own.
    fn attach(&mut self, op: Op, add: impl FnOnce(&mut Call)) -> Taken {
        let Some(What::Enter(call)) = self.held.as_mut().map(|fact| &mut fact.what) else { return Taken::Yes };
        let Key::Num(unique) = call.key else { return Taken::Yes };
        if call.op == op && self.open.detail(unique, op) {
            add(call);
        }
        Taken::Yes
    }

    /// sshfs's own requests: `[00012] READ`, answered by `  [00012]  DATA  32781bytes (0ms)`.
    fn sftp(&mut self, line: &Line<'_>, inner: &str) -> Taken {
        let Some((number, rest)) = inner.strip_prefix('[').and_then(scan::num) else { return Taken::No };
        let Some(rest) = rest.strip_prefix(']') else { return Taken::No };
        if scan::has(rest, "bytes (") {
            self.sftp.remove(&number);
        } else if self.sftp.len() < REMEMBERED {
            self.sftp.insert(number, (line.place.line, rest.trim().into()));
        }
        Taken::Yes
    }
}

struct Begin {
    unique: u64,
    op: Option<Op>,
    ino: u64,
    pid: Option<u32>,
}

impl Begin {
    /// `2, opcode: GETATTR (3), nodeid: 1, insize: 56, pid: 7`: the number counts, the name may be `???`. Older
    /// libraries, and the one inside of ntfs-3g, do not tell the caller.
    fn read(rest: &str) -> Option<Self> {
        let (unique, rest) = scan::num(rest)?;
        let rest = rest.strip_prefix(", opcode: ")?;
        let open = scan::position(rest.as_bytes(), b'(')?;
        let (opcode, rest) = scan::num(&rest[open + 1..])?;
        let (ino, rest) = scan::num(rest.strip_prefix("), nodeid: ")?)?;
        let pid = match rest.strip_prefix(", insize: ").and_then(scan::num) {
            Some((_, "")) => None,
            Some((_, behind)) if behind.starts_with(", pid: ") => Some(scan::num(&behind[", pid: ".len()..])?.0),
            _ => Some(scan::num_after(rest, "pid: ")?),
        };
        let pid = pid.map(u32::try_from).transpose().ok()?;
        let op = u32::try_from(opcode).ok().and_then(Op::from_opcode);
        Some(Self { unique, op, ino, pid })
    }
}

/// The path in `truncate /a 0`, `mkdir /a 040755 umask=0022` or `getxattr /a user.b 255`; names may have blanks.
fn without_arguments<'a>(verb: &str, mut text: &'a str) -> &'a str {
    let arguments = match verb {
        "truncate" | "ftruncate" | "chmod" | "access" => 1,
        "chown" | "utimens" | "mkdir" | "create" | "getxattr" => 2,
        "mknod" | "setxattr" => 3,
        _ => 0,
    };
    for _ in 0..arguments {
        let Some((before, last)) = scan::rsplit(text, " ") else { break };
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit() || matches!(b, b'x' | b'.' | b'-'));
        let number = digits(last.strip_prefix("umask=").unwrap_or(last));
        if !number && !verb.ends_with("xattr") {
            break;
        }
        text = before;
    }
    text
}

/// `flags=0x73fffffb` and the like of the handshake.
fn is_setting(inner: &str) -> bool {
    const NAMES: [&str; 6] =
        ["flags=", "max_readahead=", "max_write=", "max_background=", "congestion_threshold=", "time_gran="];
    scan::starts(inner, &NAMES)
}

/// Indented lines are the library's answers to what its own begin lines asked.
fn is_library_line(inner: &str) -> Taken {
    const VERBS: [&str; 8] = ["open[", "read[", "write[", "create[", "opendir[", "readdir[", "statfs", "symlink"];
    if scan::starts(inner, &VERBS) || is_setting(inner) { Taken::Yes } else { Taken::No }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_a_path_is_no_part_of_it() {
        for (verb, text) in [
            ("truncate", "/a 1.mov 0"),
            ("chmod", "/a 1.mov 0100644"),
            ("chown", "/a 1.mov 0 18446744073709551615"),
            ("utimens", "/a 1.mov 1796032643.000000000 -1.1073741822"),
            ("mkdir", "/a 1.mov 040755 umask=0022"),
            ("mknod", "/a 1.mov 0100644 0x0 umask=0022"),
            ("create", "/a 1.mov 0100644 umask=0022"),
            ("getxattr", "/a 1.mov security.selinux 255"),
            ("setxattr", "/a 1.mov user.b 4 0x0"),
            ("getattr", "/a 1.mov"),
            ("mkdir", "/a 1.mov"),
        ] {
            assert_eq!(without_arguments(verb, text), "/a 1.mov", "{verb}");
        }
    }
}
