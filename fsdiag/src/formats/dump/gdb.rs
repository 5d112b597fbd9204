//! gdb's `thread apply all bt`, with or without `full`.

use super::{Draft, LONGEST, append, demangled, hand_over, location, locks};
use crate::{
    engine::fact::{Fact, Frame, Thread},
    formats::{Line, Mark, Parser, Taken, scan},
};

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(Gdb::default())
}

#[derive(Default)]
struct Gdb {
    draft: Option<Draft>,
    /// A frame that was broken into several lines.
    broken: String,
    /// Each line has an empty one behind it, as some ways of pasting leave them, and so many stand here.
    spaced: bool,
    blanks: u8,
}

impl Parser for Gdb {
    fn format(&self) -> &'static str {
        "gdb"
    }

    fn marks(&self) -> &'static [Mark] {
        &[
            Mark::Starts("Thread "),
            Mark::Starts("[Inferior "),
            Mark::Starts("[New LWP "),
            Mark::Starts("[Thread debugging using"),
        ]
    }

    fn is_idle(&self) -> bool {
        self.draft.is_none()
    }

    fn line(&mut self, line: &Line<'_>, out: &mut Vec<Fact>) -> Taken {
        let text = line.text;
        if let Some(thread) = header(text) {
            return self.thread(line, thread, out);
        }
        if let Some(rest) = text.strip_prefix("[Inferior ") {
            self.detached(rest, out);
            return Taken::Yes;
        }
        if text.starts_with("[New LWP ") || text.starts_with("[Thread debugging using") {
            return Taken::Yes;
        }
        let Some(draft) = self.draft.as_mut() else { return Taken::No };
        if text.is_empty() {
            self.spaced |= draft.current().is_some_and(|thread| thread.frames.is_empty());
            self.blanks = self.blanks.saturating_add(1);
            if !self.spaced || self.blanks > 1 {
                self.close();
            }
            return Taken::Yes;
        }
        self.blanks = 0;
        if !draft.in_thread {
            return Taken::No;
        }
        if text.starts_with('#') {
            self.broken.clear();
            return self.frame(text);
        }
        if !self.broken.is_empty() && text.starts_with("    ") && self.broken.len() < LONGEST {
            let whole = format!("{} {}", self.broken, text.trim_start());
            self.broken.clear();
            return self.frame(&whole);
        }
        self.continuation(text)
    }

    fn finish(&mut self, out: &mut Vec<Fact>) {
        self.close();
        hand_over(&mut self.draft, out);
    }
}

impl Gdb {
    fn thread(&mut self, line: &Line<'_>, thread: Thread, out: &mut Vec<Fact>) -> Taken {
        self.close();
        if self.draft.as_ref().is_none_or(|draft| draft.has(thread.number)) {
            hand_over(&mut self.draft, out);
            self.draft = Some(Draft::start(line, "gdb"));
            self.spaced = false;
        }
        self.blanks = 0;
        if let Some(draft) = &mut self.draft {
            draft.dump.process = draft.dump.process.take().or_else(|| thread.name.clone());
            draft.thread(line, thread);
        }
        Taken::Yes
    }

    /// A frame, or the first part of one.
    fn frame(&mut self, text: &str) -> Taken {
        let whole = text.ends_with(')') || scan::has(text, ") at ") || scan::has(text, ") from ");
        if !whole {
            text.clone_into(&mut self.broken);
            return Taken::Yes;
        }
        match (frame(text), &mut self.draft) {
            (Some(frame), Some(draft)) => draft.frame(frame),
            _ => return Taken::Bad,
        }
        Taken::Yes
    }

    /// `1 (process 21603) detached]`.
    fn detached(&mut self, rest: &str, out: &mut Vec<Fact>) {
        self.close();
        if let Some(draft) = &mut self.draft {
            draft.dump.pid = scan::num_after(rest, "process ").and_then(|pid| u32::try_from(pid).ok());
        }
        hand_over(&mut self.draft, out);
    }

    /// A broken frame line goes on, or `bt full` prints locals, or a command prints a mutex's owner.
    fn continuation(&mut self, text: &str) -> Taken {
        let Some(draft) = &mut self.draft else { return Taken::No };
        let owner = scan::num_after(text, "__owner = ").filter(|owner| *owner != 0);
        let Some(frame) = draft.last_frame().filter(|_| text.starts_with("    ") || owner.is_some()) else {
            return if text.starts_with("Backtrace stopped") { Taken::Yes } else { Taken::No };
        };
        let inner = text.trim_start();
        if let Some(place) = inner.strip_prefix("at ").filter(|_| frame.file.is_none()) {
            (frame.file, frame.line) = location(place);
        } else if inner != "No locals." {
            append(&mut frame.locals, inner);
        }
        Taken::Yes
    }

    /// All frames of the last thread are there: finds what it waits for.
    fn close(&mut self) {
        let Some(thread) = self.draft.as_mut().and_then(Draft::current) else { return };
        thread.waits_for = locks::native(&thread.frames);
        if let Some(lock) = &mut thread.waits_for {
            let owner = thread.frames.iter().find_map(|frame| scan::num_after(&frame.locals, "__owner = "));
            lock.owner = owner.filter(|owner| *owner != 0).map(|owner| format!("thread {owner}").into());
        }
        if let Some(draft) = &mut self.draft {
            draft.in_thread = false;
        }
    }
}

/// `Thread 4 (Thread 0x7f0225b726c0 (LWP 13454) "pile"):`, `Thread 4 (LWP 13454):`.
fn header(text: &str) -> Option<Thread> {
    let rest = text.strip_prefix("Thread ")?;
    let (_, rest) = scan::num(rest)?;
    let inner = rest.strip_prefix(" (")?.trim_end().strip_suffix(':')?;
    let number = scan::num_after(inner, "LWP ").or_else(|| scan::num_after(inner, "process "))?;
    let name = scan::after(inner, " \"").and_then(|name| name.split_once('"')).map(|(name, _)| name.into());
    Some(Thread { label: super::numbered("thread ", number), number, name, ..Thread::default() })
}

/// `#3  0x000055871bba63be in close_store (a=1) at pile.c:20`.
fn frame(text: &str) -> Option<Frame> {
    let (_, rest) = scan::num(text.strip_prefix('#')?)?;
    let rest = rest.trim_start();
    let rest = match rest.strip_prefix("0x").and_then(scan::hex) {
        Some((_, tail)) => tail.strip_prefix(" in ").unwrap_or(tail.trim_start()),
        None => rest,
    };
    let (call, file, module) = if let Some(at) = scan::rfind(rest, ") at ") {
        (&rest[..=at], Some(&rest[at + 5..]), None)
    } else if let Some(at) = scan::rfind(rest, ") from ") {
        (&rest[..=at], None, Some(&rest[at + 7..]))
    } else {
        (rest, None, None)
    };
    let (function, args) = match opening(call) {
        Some(open) => (call[..open].trim_end(), &call[open + 1..call.len() - 1]),
        None => (call.trim_end(), ""),
    };
    let (file, line) = file.map_or((None, None), location);
    let args = scan::clip(args, LONGEST).into();
    Some(Frame { function: demangled(function), args, file, line, module: module.map(Into::into), ..Frame::default() })
}

/// Where the parenthesis opens that the last one closes; names have parentheses of their own.
fn opening(call: &str) -> Option<usize> {
    if !call.ends_with(')') {
        return None;
    }
    let mut depth = 0_usize;
    let mut quoted = false;
    for (at, byte) in call.bytes().enumerate().rev() {
        match byte {
            b'"' => quoted = !quoted,
            b')' if !quoted => depth += 1,
            b'(' if !quoted => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    scan::find(call, " (").map(|at| at + 1)
}
