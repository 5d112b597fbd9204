//! LoggedFS: one line for each finished operation, `getattr /a {SUCCESS} [ pid = 7 ls uid = 0 ]`, without its time.

use crate::{
    engine::fact::{Call, Done, Fact},
    formats::{Line, Mark, Parser, Taken, done, scan},
};

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(Loggedfs)
}

struct Loggedfs;

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
        let (name, details) = scan::word(what);
        let Some(op) = scan::op(name) else { return Taken::Yes };
        let key = line.place.key();
        let failed = tail.starts_with("FAILURE");
        let path = details.find('/').map(|at| &details[at..]);
        let path = path.map(|p| scan::rsplit(p, " at offset ").map_or(p, |(path, _)| path));
        let call = Call {
            pid: scan::num_after(tail, "pid = ").and_then(|pid| u32::try_from(pid).ok()),
            path: path.map(Into::into),
            off: scan::num_after(details, " at offset "),
            len: scan::num(details).filter(|(_, rest)| rest.starts_with(" bytes")).map(|(n, _)| n),
            ..Call::new(key, op)
        };
        line.enter(call, out);
        line.exit(Done { op: Some(op), errno: (!failed).then_some(0), ..done(key) }, out)
    }
}

/// The same in a log whose category was renamed: the marks at the end are telling enough.
fn loggedfs(text: &str) -> Option<&str> {
    let marked = scan::has(text, "} [ pid = ") && (scan::has(text, "{SUCCESS}") || scan::has(text, "{FAILURE}"));
    scan::split(text, "] ").filter(|_| marked).map(|(_, rest)| rest)
}
