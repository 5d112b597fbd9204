//! s3fs's own log: `[INF] s3fs.cpp:s3fs_getattr(778): [path=/a]`; in syslog the level is not said.
//!
//! It tells of requests only, never of answers, nor of the thread that serves one: a missing end means nothing here.

use fsd_events::op::Op;

use super::fuser_debug::OneSided;
use crate::{
    engine::fact::{Call, Fact},
    formats::{Line, Mark, Parser, Taken, scan},
};

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(S3fs::default())
}

#[derive(Default)]
struct S3fs {
    one_sided: OneSided,
}

const LEVELS: [&str; 6] = ["[DBG] ", "[INF] ", "[WAN] ", "[ERR] ", "[CRT] ", "[CURL DBG] "];

/// Older ones begin with the place.
const FILES: [&str; 2] = ["s3fs.cpp:", "curl.cpp:"];

impl Parser for S3fs {
    fn format(&self) -> &'static str {
        "s3fs"
    }

    fn marks(&self) -> &'static [Mark] {
        &[
            Mark::Starts("[DBG] "),
            Mark::Starts("[INF] "),
            Mark::Starts("[WAN] "),
            Mark::Starts("[ERR] "),
            Mark::Starts("[CRT] "),
            Mark::Starts("[CURL DBG] "),
            Mark::Starts("s3fs.cpp:"),
            Mark::Starts("curl.cpp:"),
        ]
    }

    fn line(&mut self, line: &Line<'_>, out: &mut Vec<Fact>) -> Taken {
        let level = LEVELS.iter().find(|level| line.text.starts_with(*level));
        if level == LEVELS.last() {
            return Taken::Chat(line.at);
        }
        // Without a level it is of another one's, or behind a time that is torn.
        if level.is_none() && !FILES.iter().any(|file| scan::unindented(line.text).starts_with(file)) {
            return Taken::No;
        }
        let Some((function, message)) = message(&line.text[level.map_or(0, |level| level.len())..]) else {
            return Taken::No;
        };
        let from = out.len();
        let taken = said(line, function, message, out);
        self.one_sided.tell(line, from, out);
        taken
    }
}

fn said(line: &Line<'_>, function: &str, message: &str, out: &mut Vec<Fact>) -> Taken {
    match function {
        "s3fs_init" => return line.session(message, None, out),
        "s3fs_destroy" => return line.end(false, out),
        _ => {}
    }
    match function.strip_prefix("s3fs_").and_then(operation) {
        Some(op) if message.starts_with('[') => request(line, op, message, out),
        _ => line.telling_by(message, None, out),
    }
}

fn operation(name: &str) -> Option<Op> {
    match name {
        "chmod" | "chown" | "utimens" | "truncate" => Some(Op::Setattr),
        name => scan::op(name.trim_end_matches("_nocopy")),
    }
}

fn request(line: &Line<'_>, op: Op, message: &str, out: &mut Vec<Fact>) -> Taken {
    let field = |name: &str| scan::between(message, name, ']');
    let number = |name: &str| field(name).and_then(scan::num).map(|(n, _)| n);
    let path = field("[path=").or_else(|| field("[from="));
    let call = Call {
        path: path.map(Into::into),
        fh: number("fd="),
        len: number("[size=").filter(|_| op != Op::Setattr),
        off: number("[offset="),
        ..Call::new(line.place.key(), op)
    };
    line.enter(call, out)
}

/// The function and the words of `      curl.cpp:RequestPerform(2316): HTTP response code 200`.
fn message(text: &str) -> Option<(&str, &str)> {
    let (place, message) = scan::split(scan::unindented(text), "): ")?;
    let (file, function) = scan::split(place, ":")?;
    let (function, number) = scan::split(function, "(")?;
    let known = file.ends_with(".cpp") && number.bytes().all(|b| b.is_ascii_digit());
    known.then_some((function, message))
}
