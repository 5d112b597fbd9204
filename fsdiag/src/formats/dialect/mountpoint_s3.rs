//! Mountpoint for S3: spans `read{req=52 ino=49 fh=3 offset=512 length=512}: ...` around fuser's own lines.
//!
//! A span says that a request lives, an error in it that it ended; success is not logged, so a missing end means
//! nothing.

use std::collections::HashSet;

use super::fuser_debug;
use crate::{
    engine::fact::{Call, Done, Fact, HintKind, Key},
    formats::{Line, Mark, Parser, REMEMBERED, Taken, done, scan},
};

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(MountpointS3::default())
}

#[derive(Default)]
struct MountpointS3 {
    /// Requests that were seen, so that span and fuser line count once.
    known: HashSet<u64>,
    seen: bool,
    one_sided: fuser_debug::OneSided,
}

impl Parser for MountpointS3 {
    fn format(&self) -> &'static str {
        "mountpoint-s3"
    }

    fn marks(&self) -> &'static [Mark] {
        &[
            Mark::Has("{req="),
            Mark::Has("FUSE("),
            Mark::Has("mountpoint_s3"),
            Mark::Has("awscrt::"),
            Mark::Has("mount_s3"),
        ]
    }

    fn line(&mut self, line: &Line<'_>, out: &mut Vec<Fact>) -> Taken {
        let from = out.len();
        let taken = self.read(line, out);
        self.one_sided.tell(line, from, out);
        taken
    }
}

impl MountpointS3 {
    fn read(&mut self, line: &Line<'_>, out: &mut Vec<Fact>) -> Taken {
        let text = line.text;
        if self.seen && scan::has(text, "FUSE(") {
            let unique = scan::after(text, "FUSE(").and_then(|rest| scan::num(rest.trim_start())).map(|(n, _)| n);
            if unique.is_some_and(|unique| !self.first(unique)) {
                return Taken::Yes;
            }
            return fuser_debug::request(line, out).unwrap_or(Taken::Bad);
        }
        if let Some(span) = span(text) {
            self.seen = true;
            return self.span(line, &span, out);
        }
        if !scan::has(text, "mountpoint_s3") && !scan::has(text, "awscrt::") && !scan::has(text, "mount_s3") {
            return Taken::No;
        }
        self.seen = true;
        other(line, out)
    }
}

/// A request's span: `read{req=52 ino=49 fh=3 offset=512 length=512}`.
struct Span<'a> {
    name: &'a str,
    fields: &'a str,
    rest: &'a str,
    req: u64,
}

fn span(text: &str) -> Option<Span<'_>> {
    let (before, after) = scan::split(text, "{req=")?;
    let name = before.rsplit([' ', ':']).next().unwrap_or(before);
    let end = closing_brace(after)?;
    let (fields, rest) = (&after[..end], &after[end + 1..]);
    Some(Span { name, fields, rest, req: scan::num(fields)?.0 })
}

/// Where the fields end: a name in quotes may hold any character.
fn closing_brace(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'}' if !quoted => return Some(at),
            b'"' if !escaped => quoted = !quoted,
            _ => {}
        }
        escaped = byte == b'\\' && !escaped;
    }
    None
}

impl MountpointS3 {
    fn span(&mut self, line: &Line<'_>, span: &Span<'_>, out: &mut Vec<Fact>) -> Taken {
        let op = scan::op(span.name);
        if let Some(op) = op.filter(|_| self.first(span.req)) {
            let number = |key| scan::num_after(span.fields, key);
            let call = Call {
                ino: number(" ino=").or_else(|| number(" parent=")),
                fh: number(" fh="),
                off: number(" offset="),
                len: number(" size=").or_else(|| number(" length=")),
                pid: number(" pid=").and_then(|pid| u32::try_from(pid).ok()),
                path: scan::after(span.fields, "name=")
                    .and_then(scan::quoted)
                    .map(|(name, _)| scan::unescaped(name).into()),
                asynchronous: true,
                ..Call::new(Key::Num(span.req), op)
            };
            line.enter(call, out);
        }
        if let Some(number) = scan::num_after(span.rest, " failed with errno ") {
            let errno = Some(number as u32);
            line.exit(Done { op, errno, ..done(Key::Num(span.req)) }, out);
        }
        line.telling(None, out)
    }

    /// Whether this request is seen for the first time.
    fn first(&mut self, unique: u64) -> bool {
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        self.known.insert(unique)
    }
}

fn other(line: &Line<'_>, out: &mut Vec<Fact>) -> Taken {
    if scan::has(line.text, "Requests-in-flight(approx/exact):") {
        return in_flight(line, out);
    }
    if scan::has(line.text, "mount-s3 ") && scan::has(line.text, "started") {
        return line.session(line.text, None, out);
    }
    line.telling(None, out)
}

/// Requests are in flight while none of them is on the network: all wait for a permit.
fn in_flight(line: &Line<'_>, out: &mut Vec<Fact>) -> Taken {
    let exact = scan::between(line.text, "Requests-in-flight(approx/exact):", ' ');
    let exact = exact.and_then(|pair| pair.split_once('/')).and_then(|(_, n)| scan::num(n)).map_or(0, |(n, _)| n);
    let network = scan::after(line.text, "Requests-network(get/put/default/total):");
    let network = network.map(|n| n.split(' ').next().unwrap_or(n)).and_then(|n| n.rsplit('/').next());
    if exact > 0 && network == Some("0") {
        return line.hint(HintKind::Permit, None, out);
    }
    Taken::Yes
}
