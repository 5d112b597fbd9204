//! Kernel stacks from /proc: `cat /proc/PID/task/*/stack` with any heading that names the file.

use super::{Draft, hand_over};
use crate::{
    engine::fact::{BlockedTask, Fact, Frame, KernelFact, Name, Thread, What},
    formats::{Line, Mark, Parser, Taken, recent::Recent, scan},
};

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(ProcStacks::default())
}

#[derive(Default)]
struct ProcStacks {
    draft: Option<Draft>,
    recent: Recent<Name>,
}

impl Parser for ProcStacks {
    fn format(&self) -> &'static str {
        "proc-stacks"
    }

    fn marks(&self) -> &'static [Mark] {
        &[Mark::Starts("[<"), Mark::Has("/proc/")]
    }

    fn line(&mut self, line: &Line<'_>, out: &mut Vec<Fact>) -> Taken {
        if let Some(function) = function(line.text) {
            return self.frame(line, function);
        }
        if let Some((pid, thread)) = heading(line.text) {
            let other = |draft: &Draft| draft.dump.pid != Some(pid) || draft.has(thread.number);
            if self.draft.as_ref().is_none_or(other) {
                self.finish(out);
                let mut draft = Draft::start(line, "proc-stacks");
                draft.dump.pid = Some(pid);
                self.draft = Some(draft);
            }
            if let Some(draft) = &mut self.draft {
                draft.dump.process = draft.dump.process.take().or_else(|| thread.name.clone());
                draft.dump.partial |= !scan::has(line.text, "/task/");
                draft.thread(line, thread);
            }
            return Taken::Yes;
        }
        Taken::No
    }

    fn finish(&mut self, out: &mut Vec<Fact>) {
        let Some(draft) = &self.draft else { return };
        let blocked = draft.dump.threads.iter().filter(|thread| waits_for_a_daemon(thread));
        let facts: Vec<Fact> = blocked.map(|thread| blocked_fact(draft, thread)).collect();
        hand_over(&mut self.draft, out);
        out.extend(facts);
    }
}

impl ProcStacks {
    fn frame(&mut self, line: &Line<'_>, function: &str) -> Taken {
        let draft = self.draft.get_or_insert_with(|| Draft::start(line, "proc-stacks"));
        if draft.dump.threads.is_empty() {
            draft.dump.partial = true;
            draft.thread(line, Thread { label: super::numbered("line ", line.place.line), ..Thread::default() });
        }
        draft.frame(Frame { function: self.recent.name(function), ..Frame::default() });
        Taken::Yes
    }
}

/// `[<0>] request_wait_answer+0x112/0x210`.
fn function(text: &str) -> Option<&str> {
    let rest = scan::unindented(text).strip_prefix("[<")?;
    let (_, function) = scan::split(rest, ">] ")?;
    Some(scan::split(function, "+0x").map_or(function, |(name, _)| name))
}

/// The process and its thread in `==> /proc/21603/task/21604 comm=x state=S wchan=y` and the like.
fn heading(text: &str) -> Option<(u32, Thread)> {
    let rest = scan::after(text, "/proc/")?;
    let (pid, rest) = scan::num(rest)?;
    let (number, rest) = match rest.strip_prefix("/task/").and_then(scan::num) {
        Some((tid, rest)) => (tid, rest),
        None => (pid, rest),
    };
    let bare = || ["", "/stack", ":", "/stack:", "/stack <==", " <=="].contains(&rest.trim_end());
    let named = Some(rest).filter(|rest| scan::starts(rest, &["/stack (", " ("]));
    let named = named.and_then(|rest| scan::between(rest, "(", ')'));
    let field = |key| scan::after(rest, key).map(|v| scan::word(v).0);
    let (wchan, state) = (field("wchan="), field("state="));
    // Whoever writes a loop of the shell marks the heading somehow.
    let marked = text.starts_with("/proc/") && scan::has(text, "/task/") && rest.starts_with(' ') || is_marked(text);
    if !marked && named.is_none() && state.is_none() && wchan.is_none() && !bare() {
        return None;
    }
    let wchan = wchan.filter(|wchan| !matches!(*wchan, "0" | "-" | ""));
    let state = state.map(|state| wchan.map_or(state.into(), |wchan| [state, " ", wchan].concat().into()));
    let thread = Thread {
        label: super::numbered("thread ", number),
        number,
        name: field("comm=").or(named).map(Into::into),
        state,
        ..Thread::default()
    };
    Some((u32::try_from(pid).ok()?, thread))
}

/// `== /proc/21603/task/21604`, `### /proc/21603`.
fn is_marked(text: &str) -> bool {
    let path = text.trim_start_matches(['=', '#', '-', '*', '>', ' ', '[']);
    path.len() < text.len() && path.starts_with("/proc/")
}

fn waits_for_a_daemon(thread: &Thread) -> bool {
    thread.frames.iter().any(|f| f.function.starts_with("request_wait_answer") || f.function.starts_with("fuse_simple"))
}

fn blocked_fact(draft: &Draft, thread: &Thread) -> Fact {
    let task = BlockedTask {
        pid: u32::try_from(thread.number).unwrap_or(0),
        comm: thread.name.clone().unwrap_or_default(),
        state: thread.state.as_deref().and_then(|state| state.get(..1)).map(Into::into),
        stack: thread.frames.iter().map(|frame| (&*frame.function).into()).collect(),
        ..BlockedTask::default()
    };
    let place = crate::engine::fact::Place { line: thread.line, ..draft.place };
    Fact { place, at: draft.at, what: What::Kernel(Box::new(KernelFact::Blocked(Box::new(task)))) }
}
