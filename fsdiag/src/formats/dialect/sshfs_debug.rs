//! sshfs's `-o sshfs_debug`: requests to the SFTP server, `[00012] READ`, and their indented answers.
//!
//! With `-d` libfuse's own lines stand beside them; then [`super::libfuse_debug`] reads both.

use crate::{
    engine::{
        fact::{Call, Done, Fact, Key, Name},
        model::handful::Handful,
    },
    formats::{Line, Mark, Parser, REMEMBERED, Taken, done, scan},
};
use fsd_events::{event::Phase, op::Op};

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(SshfsDebug { open: Handful::default(), seen: false, server: "the SFTP server".into() })
}

struct SshfsDebug {
    /// Some serve no operation.
    open: Handful<u64, Option<Op>>,
    seen: bool,
    /// Whom requests wait for.
    server: Name,
}

impl Parser for SshfsDebug {
    fn format(&self) -> &'static str {
        "sshfs-debug"
    }

    fn marks(&self) -> &'static [Mark] {
        &[
            Mark::Starts("["),
            Mark::Starts("SSHFS version"),
            Mark::Starts("remote host has disconnected"),
            Mark::Starts("Connection reset"),
            Mark::Starts("sent: "),
            Mark::Starts("Server version: "),
            Mark::Starts("Extension: "),
            Mark::Starts("received: "),
            Mark::Starts("rtt min/max/avg: "),
            Mark::Starts("num connect: "),
        ]
    }

    fn line(&mut self, line: &Line<'_>, out: &mut Vec<Fact>) -> Taken {
        if let Some(rest) = line.text.strip_prefix("  [") {
            return self.answer(line, rest, out);
        }
        if let Some(rest) = line.text.strip_prefix('[') {
            return match self.begin(line, rest, out) {
                Taken::No => self.moved(line, rest, out),
                taken => taken,
            };
        }
        if line.text.starts_with("SSHFS version") {
            return line.session(line.text, None, out);
        }
        if line.text.starts_with("remote host has disconnected") || line.text.starts_with("Connection reset") {
            return line.hint(crate::engine::fact::HintKind::Upstream, None, out);
        }
        if self.seen && line.text.starts_with("sent: ") {
            return line.end(false, out);
        }
        const KNOWN: [&str; 5] =
            ["Server version: ", "Extension: ", "received: ", "rtt min/max/avg: ", "num connect: "];
        if scan::starts(line.text, &KNOWN) {
            return Taken::Yes;
        }
        match scan::unindented(line.text).strip_prefix('[') {
            Some(rest) => self.moved(line, rest, out),
            None => Taken::No,
        }
    }
}

impl SshfsDebug {
    /// An answer with more blanks before it or fewer: many a tool adds or drops some.
    #[cold]
    fn moved(&mut self, line: &Line<'_>, rest: &str, out: &mut Vec<Fact>) -> Taken {
        if numbered(rest).is_none() || !scan::has(rest, "bytes (") {
            return Taken::No;
        }
        self.line(&Line { text: &format!("  [{rest}"), ..*line }, out)
    }

    fn begin(&mut self, line: &Line<'_>, rest: &str, out: &mut Vec<Fact>) -> Taken {
        let Some((number, name)) = numbered(rest) else { return Taken::No };
        let name = scan::trimmed(name);
        let op = op(name);
        if op.is_none() && !is_request(name) {
            return Taken::No;
        }
        self.seen = true;
        if self.open.len() >= REMEMBERED {
            self.open.clear();
        }
        self.open.insert(number, op);
        let Some(op) = op else { return Taken::Yes };
        // What is logged here has been sent: whoever has no answer waits for the server.
        let doing = Some((Phase::Upstream, self.server.clone()));
        line.enter(Call { doing, asynchronous: true, ..Call::new(Key::Num(number), op) }, out)
    }

    /// `00012]  DATA  32781bytes (0ms)`.
    fn answer(&mut self, line: &Line<'_>, rest: &str, out: &mut Vec<Fact>) -> Taken {
        let Some((number, rest)) = numbered(rest) else { return Taken::No };
        let Some((what, took)) = scan::split(rest, "bytes (") else { return Taken::Bad };
        let op = match self.open.remove(&number) {
            Some(None) => return Taken::Yes,
            known => known.flatten(),
        };
        let us = scan::duration_us(took);
        let size = || scan::rsplit(what.trim_ascii(), " ").and_then(|(_, n)| n.parse::<u64>().ok());
        let bytes = if op == Some(Op::Read) { size().map(|n| n.saturating_sub(13)) } else { None };
        line.exit(Done { op, us, errno: None, bytes, ..done(Key::Num(number)) }, out)
    }
}

fn numbered(rest: &str) -> Option<(u64, &str)> {
    let (number, rest) = scan::num(rest)?;
    Some((number, rest.strip_prefix(']')?))
}

/// The FUSE operation that a request to the server serves.
fn op(name: &str) -> Option<Op> {
    Some(match name {
        "READ" => Op::Read,
        "OPEN" => Op::Open,
        "LSTAT" | "STAT" | "FSTAT" => Op::Getattr,
        "SETSTAT" | "FSETSTAT" => Op::Setattr,
        "REMOVE" => Op::Unlink,
        "CLOSE" => Op::Release,
        "REALPATH" => Op::Lookup,
        "EXTENDED" => Op::Statfs,
        _ => Some(name).filter(|name| is_request(name)).and_then(scan::op)?,
    })
}

fn is_request(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
}
