//! The kernel's own FUSE events as `trace_pipe` prints them: `fuse_request_send: connection 39 req 18 opcode 1 ...`.

use crate::{
    engine::fact::{Call, Done, Fact, Key},
    formats::{Line, Mark, Parser, Taken, clock, done, scan},
};
use fsd_events::op::Op;

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(KernelTrace)
}

struct KernelTrace;

/// `connection 39`: each counts its requests for itself, and is a daemon of its own.
pub(in crate::formats) fn connection(text: &str) -> Option<&str> {
    let (before, _) = scan::split(text, ": connection ")?;
    let at = before.len() + 2;
    let digits = text[at + "connection ".len()..].bytes().take_while(u8::is_ascii_digit).count();
    Some(&text[at..at + "connection ".len() + digits])
}

impl Parser for KernelTrace {
    fn format(&self) -> &'static str {
        "kernel-trace"
    }

    fn marks(&self) -> &'static [Mark] {
        &[Mark::Has(": fuse_request_"), Mark::Starts("CPU:"), Mark::Starts("# tracer:"), Mark::Starts("#  ")]
    }

    fn line(&mut self, line: &Line<'_>, out: &mut Vec<Fact>) -> Taken {
        let Some((before, event)) = scan::split(line.text, ": fuse_request_") else {
            let lost = line.text.starts_with("CPU:") && scan::has(line.text, "LOST");
            let header = line.text.starts_with("# tracer:") || line.text.starts_with("#  ");
            return match lost.then(|| scan::num_after(line.text, "LOST ")).flatten() {
                Some(lines) => {
                    out.push(line.fact(crate::engine::fact::What::Lost { lines }));
                    Taken::Yes
                }
                None if header => Taken::Yes,
                None => Taken::No,
            };
        };
        request(&Line { at: stamp(before).unwrap_or(line.at), ..*line }, before, event, out).unwrap_or(Taken::Bad)
    }
}

fn request(line: &Line<'_>, before: &str, event: &str, out: &mut Vec<Fact>) -> Option<Taken> {
    let (name, fields) = scan::split(event, ":")?;
    let unique = scan::num_after(fields, "req ")?;
    let key = Key::Num(unique);
    if name == "end" {
        let (error, _) = scan::num(scan::after(fields, "error ")?.trim_start_matches('-'))?;
        return Some(line.exit(Done { errno: Some(error as u32), ..done(key) }, out));
    }
    let Some(op) = Op::from_opcode(u32::try_from(scan::num_after(fields, "opcode ")?).ok()?) else {
        return Some(Taken::Yes);
    };
    let task = before.trim_start().split(' ').next().and_then(|task| task.rsplit_once('-'));
    let pid = task.and_then(|(_, pid)| pid.parse().ok());
    if op == Op::Interrupt {
        return Some(Taken::Yes);
    }
    Some(line.enter(Call { pid, unique: Some(unique), asynchronous: true, ..Call::new(key, op) }, out))
}

/// The seconds at the end of `stat-15934   [001] .....  6536.079822`.
fn stamp(before: &str) -> Option<crate::engine::fact::At> {
    let seconds = before.rsplit(' ').next()?;
    let us = seconds.contains('.').then(|| scan::seconds_us(seconds))??;
    Some(clock::Days::default().at(clock::Stamp::Mono(us)))
}
