//! Rust panics with their stacks, and the cycles that parking_lot's deadlock detection prints.
//!
//! A panic ends its thread, not always the process: the dump shows one thread, and whether the daemon died is for
//! other lines to say.

use super::{Draft, demangled, hand_over, location};
use crate::{
    engine::fact::{Fact, Frame, HintKind, Thread},
    formats::{Line, Mark, Parser, Taken, scan},
};

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(RustPanic::default())
}

#[derive(Default)]
struct RustPanic {
    draft: Option<Draft>,
    /// Lines until the stack are the panic's message.
    message: bool,
    /// A cycle of parking_lot is being read: its threads come one after another.
    cycle: bool,
}

impl Parser for RustPanic {
    fn format(&self) -> &'static str {
        "rust-panic"
    }

    fn marks(&self) -> &'static [Mark] {
        &[
            Mark::Starts("Deadlock #"),
            Mark::Starts("fatal runtime error: "),
            Mark::Starts("thread panicked while processing panic"),
            Mark::Has("thread '"),
        ]
    }

    fn is_idle(&self) -> bool {
        self.draft.is_none()
    }

    fn line(&mut self, line: &Line<'_>, out: &mut Vec<Fact>) -> Taken {
        let text = line.text;
        if let Some((thread, place)) = panicked(text) {
            return self.panicked(line, thread, place, out);
        }
        if text.strip_prefix("Deadlock #").and_then(scan::num).is_some_and(|(_, rest)| rest.is_empty()) {
            self.finish(out);
            self.draft = Some(Draft::start(line, "rust-panic"));
            self.cycle = true;
            return Taken::Yes;
        }
        if text.starts_with("fatal runtime error: ") || text.starts_with("thread panicked while processing panic") {
            self.finish(out);
            return line.end(true, out);
        }
        if self.draft.is_none() {
            return Taken::No;
        }
        if self.cycle && self.cycle_thread(line) {
            return Taken::Yes;
        }
        self.inside(text)
    }

    fn finish(&mut self, out: &mut Vec<Fact>) {
        (self.message, self.cycle) = (false, false);
        hand_over(&mut self.draft, out);
    }
}

impl RustPanic {
    fn panicked(&mut self, line: &Line<'_>, thread: Thread, place: &str, out: &mut Vec<Fact>) -> Taken {
        self.finish(out);
        line.hint(HintKind::Panic, None, out);
        let mut draft = Draft::start(line, "rust-panic");
        draft.thread(line, Thread { state: Some(format!("panicked at {place}").into()), ..thread });
        self.draft = Some(draft);
        self.message = true;
        Taken::Yes
    }

    /// `Thread Id ThreadId(` and the number on the next line, or both on one.
    fn cycle_thread(&mut self, line: &Line<'_>) -> bool {
        let text = line.text.trim();
        let Some(draft) = &mut self.draft else { return false };
        if let Some(rest) = text.strip_prefix("Thread Id ") {
            let number = scan::num_after(rest, "ThreadId(").unwrap_or(0);
            let label: Box<str> = if number == 0 { "".into() } else { format!("thread {number}").into() };
            draft.dump.stated_cycle.extend((number != 0).then(|| label.clone()));
            draft.thread(line, Thread { label, number, ..Thread::default() });
            return true;
        }
        let number = text.strip_suffix(',').and_then(|n| n.parse::<u64>().ok());
        if let Some((number, thread)) = number.zip(draft.current().filter(|thread| thread.number == 0)) {
            thread.number = number;
            thread.label = format!("thread {number}").into();
            let label = thread.label.clone();
            draft.dump.stated_cycle.push(label);
            return true;
        }
        text == ")"
    }

    fn inside(&mut self, text: &str) -> Taken {
        let Some(draft) = &mut self.draft else { return Taken::No };
        let inner = text.trim_start();
        if inner.starts_with("stack backtrace:") || inner.starts_with("note: ") {
            self.message = false;
            return Taken::Yes;
        }
        if let Some(place) = inner.strip_prefix("at ").filter(|_| text.starts_with("  ")) {
            if let Some(frame) = draft.last_frame().filter(|frame| frame.file.is_none()) {
                (frame.file, frame.line) = location(place);
            }
            return Taken::Yes;
        }
        if let Some(function) = numbered(text) {
            self.message = false;
            draft.frame(Frame { function: demangled(function), ..Frame::default() });
            return Taken::Yes;
        }
        if self.message {
            self.message = false;
            if let Some(thread) = draft.current() {
                let state = thread.state.take().unwrap_or_default();
                thread.state = Some(format!("{state}: {}", scan::clip(text, 300)).into());
            }
            return Taken::Yes;
        }
        Taken::No
    }
}

/// `thread 'fuse-3' (2603) panicked at src/main.rs:2:54:`, or the older form with the message in quotes.
fn panicked(text: &str) -> Option<(Thread, &str)> {
    let rest = scan::after(scan::clip(text, 512), "thread '")?;
    let (head, place) = scan::split(rest, " panicked at ")?;
    let (name, tid) = head.rsplit_once('\'')?;
    let tid = scan::between(tid, "(", ')').and_then(|tid| tid.parse::<u64>().ok());
    let label = tid.map_or_else(|| format!("thread {name}"), |tid| format!("thread {tid}"));
    let thread = Thread { label: label.into(), number: tid.unwrap_or(0), name: Some(name.into()), ..Thread::default() };
    Some((thread, place.trim_end_matches(':')))
}

/// `   2: pan::release`, `   4:     0x55cb4f824aac - core::x`.
fn numbered(text: &str) -> Option<&str> {
    if !text.starts_with(' ') {
        return None;
    }
    let (_, rest) = scan::num(text.trim_start())?;
    let rest = rest.strip_prefix(": ")?.trim_start();
    let named = rest.strip_prefix("0x").and_then(scan::hex).and_then(|(_, tail)| tail.strip_prefix(" - "));
    Some(named.unwrap_or(rest))
}
