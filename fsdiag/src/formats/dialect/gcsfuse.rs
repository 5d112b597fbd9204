//! gcsfuse (jacobsa/fuse): `fuse_debug: Op 0x00000052 connection.go:453] <- ReadFile (inode 3, ...)`, `-> OK ()`.

use crate::{
    engine::{
        fact::{Call, Done, Fact, Key, What},
        model::hash::NumberMap,
    },
    formats::{Line, Mark, Parser, REMEMBERED, Taken, clock, done, scan},
};
use fsd_events::op::Op;

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(Gcsfuse::default())
}

#[derive(Default)]
struct Gcsfuse {
    open: NumberMap<u64, Op>,
}

impl Parser for Gcsfuse {
    fn format(&self) -> &'static str {
        "gcsfuse"
    }

    fn marks(&self) -> &'static [Mark] {
        &[Mark::Has("fuse_debug: "), Mark::Has("severity="), Mark::Has("\"severity\":\"")]
    }

    fn line(&mut self, line: &Line<'_>, out: &mut Vec<Fact>) -> Taken {
        let Some(rest) = scan::after(line.text, "fuse_debug: ") else { return self.other(line, out) };
        let line = &Line { at: stated(line), ..*line };
        let Some((id, rest)) = scan::after(rest, "Op ").and_then(scan::hex) else { return Taken::Yes };
        let Some(step) = scan::after(rest, "] ") else { return Taken::Bad };
        let found = match (step.strip_prefix("<- "), step.strip_prefix("-> ")) {
            (Some(request), _) => self.request(line, id, request, out),
            (_, Some(answer)) => self.answer(line, id, answer, out),
            _ => None,
        };
        found.unwrap_or(Taken::Bad)
    }
}

impl Gcsfuse {
    fn request(&mut self, line: &Line<'_>, id: u64, rest: &str, out: &mut Vec<Fact>) -> Option<Taken> {
        let (name, details) = scan::split(rest, " (").or_else(|| rest.split_once('('))?;
        if name.eq_ignore_ascii_case("interrupt") {
            let (of, _) = scan::after(details, "fuseid ").and_then(scan::hex)?;
            out.push(line.fact(What::Interrupt(Key::Hex(of))));
            return Some(Taken::Yes);
        }
        let Some(op) = op(name) else { return Some(Taken::Yes) };
        if op == Op::Init {
            line.session("gcsfuse init", None, out);
        }
        if self.open.len() >= REMEMBERED {
            self.open.clear();
        }
        self.open.insert(id, op);
        let number = |key| scan::num_after(details, key);
        // Quotes are escaped where the whole message stands in quotes.
        let quoted = scan::after(details, "name ");
        let message = quoted.map(|name| if name.starts_with('\\') { scan::unescaped(name) } else { name.into() });
        let name = message.as_deref().and_then(scan::quoted).map(|(name, _)| scan::unescaped(name).into());
        let call = Call {
            ino: number("inode ").or_else(|| number("parent ")),
            pid: number("PID ").and_then(|pid| u32::try_from(pid).ok()),
            fh: number("handle "),
            off: number("offset "),
            len: scan::after(details, "offset ").and_then(|d| scan::after(d, ", ")).and_then(scan::num).map(|(n, _)| n),
            path: name,
            ..Call::new(Key::Hex(id), op)
        };
        Some(line.enter(call, out))
    }

    fn answer(&mut self, line: &Line<'_>, id: u64, rest: &str, out: &mut Vec<Fact>) -> Option<Taken> {
        let op = self.open.remove(&id);
        let errno = match rest.strip_prefix("Error: ") {
            Some(text) => scan::errno(text.trim_start_matches(['"', '\\'])).or(Some(5)),
            None => scan::between(rest, "(", ')').and_then(scan::errno).or(Some(0)),
        };
        Some(line.exit(Done { op, errno, ..done(Key::Hex(id)) }, out))
    }

    fn other(&mut self, line: &Line<'_>, out: &mut Vec<Fact>) -> Taken {
        let own = scan::has(line.text, "severity=") || scan::has(line.text, "\"severity\":\"");
        let message = || scan::after(line.text, "message=").or_else(|| scan::after(line.text, "\"message\":"));
        let Some(message) = own.then(message).flatten() else { return Taken::No };
        let said = scan::quoted(message).map_or(message.into(), |(said, _)| scan::unescaped(said));
        Line { at: stated(line), text: &said, ..*line }.telling(None, out)
    }
}

/// The time inside the line: `time="29/08/2025 12:16:40.061932"`, or seconds and nanoseconds in JSON.
fn stated(line: &Line<'_>) -> crate::engine::fact::At {
    let text = scan::after(line.text, "time=\"").or_else(|| scan::after(line.text, "fuse_debug: "));
    let text = text.and_then(|t| clock::leading(t).map(|(stamp, _)| stamp));
    let json = || {
        let seconds = scan::num_after(line.text, "\"seconds\":")?;
        let nanos = scan::num_after(line.text, "\"nanos\":").unwrap_or(0);
        Some(clock::Stamp::Wall(seconds.checked_mul(1_000_000)?.checked_add(nanos / 1000)?))
    };
    text.or_else(json).map_or(line.at, |stamp| clock::Days::default().at(stamp))
}

fn op(name: &str) -> Option<Op> {
    Some(match name {
        "OpenDir" => Op::Opendir,
        "ReadDir" => Op::Readdir,
        "ReadDirPlus" => Op::Readdirplus,
        "StatFS" => Op::Statfs,
        "MkDir" => Op::Mkdir,
        "MkNode" => Op::Mknod,
        "RmDir" => Op::Rmdir,
        _ => scan::op(name)?,
    })
}
