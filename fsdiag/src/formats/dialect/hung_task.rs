//! The kernel's hung-task reports: `INFO: task touch:31988 blocked for more than 120 seconds.` and what follows.

use crate::{
    engine::fact::{At, BlockedTask, Fact, KernelFact, Place, What},
    formats::{Line, Mark, Parser, Taken, scan},
};

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(HungTask::default())
}

#[derive(Default)]
struct HungTask {
    task: Option<(Place, At, BlockedTask)>,
    /// A report is being read: plain trace lines belong to it.
    tracing: bool,
    /// Lines of others since the report began.
    strangers: u32,
}

const STRANGERS: u32 = 32;

/// Longest stack that is kept, frames.
const DEEPEST: usize = 64;

impl Parser for HungTask {
    fn format(&self) -> &'static str {
        "hung-task"
    }

    fn marks(&self) -> &'static [Mark] {
        &[Mark::Starts("INFO: task "), Mark::Starts("task:")]
    }

    fn is_idle(&self) -> bool {
        !self.tracing
    }

    fn line(&mut self, line: &Line<'_>, out: &mut Vec<Fact>) -> Taken {
        let text = scan::trimmed(line.text);
        if let Some(rest) = text.strip_prefix("INFO: task ") {
            return self.report(line, rest, out);
        }
        if let Some(rest) = text.strip_prefix("task:").filter(|rest| scan::has(rest, "state:")) {
            return self.header(line, rest, out);
        }
        if !self.tracing {
            return Taken::No;
        }
        self.trace(text)
    }

    fn finish(&mut self, out: &mut Vec<Fact>) {
        if let Some((place, at, task)) = self.task.take() {
            out.push(Fact { place, at, what: What::Kernel(Box::new(KernelFact::Blocked(Box::new(task)))) });
        }
    }
}

impl HungTask {
    fn report(&mut self, line: &Line<'_>, rest: &str, out: &mut Vec<Fact>) -> Taken {
        let Some((comm, pid, rest)) = task(rest) else { return Taken::Bad };
        if let Some(seconds) = scan::num_after(rest, "for more than ") {
            self.finish(out);
            let blocked_us = Some(seconds * 1_000_000);
            self.task = Some((line.place, line.at, BlockedTask { pid, comm, blocked_us, ..BlockedTask::default() }));
            (self.tracing, self.strangers) = (true, 0);
            return Taken::Yes;
        }
        let owner = scan::after(rest, "owned by task ").or_else(|| scan::after(rest, "held by task "));
        if let Some((comm, owner, _)) = owner.and_then(task)
            && let Some((_, _, blocked)) = self.task.as_mut().filter(|(_, _, blocked)| blocked.pid == pid)
        {
            blocked.owner = Some((owner, comm));
        }
        Taken::Yes
    }

    /// `touch           state:D stack:0     pid:31988 tgid:31988`: a second one is the owner's.
    fn header(&mut self, line: &Line<'_>, rest: &str, out: &mut Vec<Fact>) -> Taken {
        let comm = scan::split(rest, "state:").map_or(rest, |(comm, _)| comm).trim();
        let Some(pid) = scan::num_after(rest, "pid:").and_then(|pid| u32::try_from(pid).ok()) else {
            return Taken::Bad;
        };
        if self.task.as_ref().is_none_or(|(_, _, task)| task.pid != pid) {
            self.finish(out);
            let task = BlockedTask { pid, comm: comm.into(), ..BlockedTask::default() };
            self.task = Some((line.place, line.at, task));
        }
        (self.tracing, self.strangers) = (true, 0);
        if let Some((_, _, task)) = &mut self.task {
            let state = scan::after(rest, "state:").and_then(|s| s.get(..1));
            task.state = state.map(Into::into);
        }
        Taken::Yes
    }

    /// ` request_wait_answer+0x112/0x210 [fuse]`; `? ` in front means that the frame is a guess.
    fn trace(&mut self, text: &str) -> Taken {
        const CHATTER: [&str; 9] = [
            "Call Trace:",
            "<TASK>",
            "</TASK>",
            "Not tainted",
            "Tainted:",
            "\"echo 0 >",
            "Future hung task reports",
            "RIP: ",
            "Workqueue: ",
        ];
        if scan::starts(text, &CHATTER) {
            return Taken::Yes;
        }
        let Some((function, offset)) = scan::split(text, "+0x").filter(|(function, _)| is_symbol(function)) else {
            let registers = text.is_empty() || text.starts_with(['R', 'O']) && scan::has(text, ": ");
            // Others log into the same file meanwhile.
            self.strangers += u32::from(!registers);
            self.tracing = self.strangers <= STRANGERS;
            return if registers { Taken::Yes } else { Taken::No };
        };
        if function.starts_with("? ") || !scan::has(offset, "/0x") {
            return Taken::Yes;
        }
        if let Some((_, _, task)) = self.task.as_mut().filter(|(_, _, task)| task.stack.len() < DEEPEST) {
            task.stack.push(function.into());
        }
        Taken::Yes
    }
}

/// A kernel function, perhaps in doubt.
fn is_symbol(text: &str) -> bool {
    let name = text.strip_prefix("? ").unwrap_or(text);
    !name.is_empty() && !name.contains(' ')
}

/// `touch:31988 <writer> blocked ...`: names may contain colons and blanks, the number ends them.
fn task(text: &str) -> Option<(Box<str>, u32, &str)> {
    text.match_indices(':').find_map(|(at, _)| {
        let (pid, rest) = scan::num(&text[at + 1..])?;
        let ends = rest.is_empty() || rest.starts_with([' ', '.']);
        Some((text[..at].into(), u32::try_from(pid).ok()?, rest)).filter(|_| ends)
    })
}
