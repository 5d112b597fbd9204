//! JuiceFS's access log: one line for each request that ended, with the time it took.
//!
//! A request that hangs never appears, so there are latencies and no orphans.

use crate::{
    engine::fact::{Completed, Fact, What},
    formats::{Line, Mark, Parser, Taken, scan},
};

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(JuicefsAccesslog)
}

struct JuicefsAccesslog;

impl Parser for JuicefsAccesslog {
    fn format(&self) -> &'static str {
        "juicefs-accesslog"
    }

    fn marks(&self) -> &'static [Mark] {
        &[Mark::Starts("[uid:"), Mark::Starts("#"), Mark::Has("juicefs[")]
    }

    fn line(&mut self, line: &Line<'_>, out: &mut Vec<Fact>) -> Taken {
        let Some(rest) = line.text.strip_prefix("[uid:") else { return self.other(line, out) };
        let Some((_, rest)) = scan::split(rest, "] ") else { return Taken::Bad };
        let (name, rest) = scan::word(rest);
        let Some((result, took)) = scan::rsplit(rest, " <") else { return Taken::Bad };
        let Some(us) = took.strip_suffix('>').and_then(scan::seconds_us) else { return Taken::Bad };
        let Some(op) = scan::op(name) else { return Taken::Yes };
        let outcome = scan::rsplit(result, ") - ").or_else(|| scan::rsplit(result, "): ")).map(|(_, outcome)| outcome);
        let errno = match outcome {
            Some(text) if text.starts_with("OK") => Some(0),
            Some(text) => scan::errno(text).or(Some(5)),
            None => Some(0),
        };
        out.push(line.fact(What::Completed(Completed { op, us, errno })));
        Taken::Yes
    }
}

impl JuicefsAccesslog {
    fn other(&mut self, line: &Line<'_>, out: &mut Vec<Fact>) -> Taken {
        match line.text {
            "#" => Taken::Yes,
            text if scan::has(text, "juicefs[") => line.telling(None, out),
            _ => Taken::No,
        }
    }
}
