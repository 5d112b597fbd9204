//! `py-spy dump`, as text (also with `--locals`) and as JSON.

use serde::Deserialize;

use super::{Draft, append, hand_over, location};
use crate::{
    engine::fact::{Fact, Frame, Thread},
    formats::{Line, Mark, Parser, Taken, scan},
};

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(PySpy::default())
}

#[derive(Default)]
struct PySpy {
    draft: Option<Draft>,
    json: Option<Document>,
}

/// A JSON dump, line by line.
struct Document {
    draft: Draft,
    text: String,
    sure: bool,
}

/// Largest JSON dump that is read, bytes.
const LARGEST: usize = 64 << 20;

impl Parser for PySpy {
    fn format(&self) -> &'static str {
        "py-spy"
    }

    fn marks(&self) -> &'static [Mark] {
        &[Mark::Starts("["), Mark::Starts("Process ")]
    }

    fn is_idle(&self) -> bool {
        self.draft.is_none() && self.json.is_none()
    }

    fn line(&mut self, line: &Line<'_>, out: &mut Vec<Fact>) -> Taken {
        if self.json.is_some() || line.text.trim_end() == "[" || line.text.starts_with("[{\"pid\":") {
            return self.document(line, out);
        }
        if let Some((pid, command)) = line.text.strip_prefix("Process ").and_then(scan::num) {
            let Some(command) = command.strip_prefix(": ") else { return Taken::No };
            hand_over(&mut self.draft, out);
            let mut draft = Draft::start(line, "py-spy");
            draft.dump.pid = u32::try_from(pid).ok();
            draft.dump.process = Some(scan::clip(command, 300).into());
            self.draft = Some(draft);
            return Taken::Yes;
        }
        let Some(draft) = &mut self.draft else { return Taken::No };
        if line.text.starts_with("Python v") || line.text.starts_with("Parent Process ") {
            return Taken::Yes;
        }
        match header(line.text) {
            Some(thread) => draft.thread(line, thread),
            None => return inner(draft, line.text),
        }
        Taken::Yes
    }

    fn finish(&mut self, out: &mut Vec<Fact>) {
        hand_over(&mut self.draft, out);
        if let Some(document) = self.json.take() {
            parse(document, out);
        }
    }
}

impl PySpy {
    /// Lines of a JSON array; the first ones must show that it is one of py-spy's.
    fn document(&mut self, line: &Line<'_>, out: &mut Vec<Fact>) -> Taken {
        let text = line.text;
        let document = self.json.get_or_insert_with(|| Document {
            draft: Draft::start(line, "py-spy"),
            text: String::new(),
            sure: false,
        });
        let json = text.trim_start().starts_with(['[', ']', '{', '}', '"']);
        if !json || document.text.len() + text.len() > LARGEST {
            self.json.take().into_iter().for_each(|document| parse(document, out));
            return Taken::No;
        }
        document.sure |= scan::has(text, "\"pid\":");
        if !document.sure && scan::has(text, "\":") {
            self.json = None;
            return Taken::No;
        }
        document.text.push_str(text);
        document.text.push('\n');
        if text == "]" || (text.starts_with('[') && text.ends_with(']')) {
            let whole = self.json.take();
            whole.into_iter().for_each(|document| parse(document, out));
        }
        Taken::Yes
    }
}

/// `Thread 17152 (idle): "fuse-release"`, `Thread 0x7F (active+gil)`.
fn header(text: &str) -> Option<Thread> {
    let rest = text.strip_prefix("Thread ")?;
    let (number, rest) = if rest.starts_with("0x") { scan::hex(rest)? } else { scan::num(rest)? };
    let (state, rest) = scan::split(rest.strip_prefix(" (")?, ")")?;
    let known = matches!(state, "active" | "idle" | "active+gil" | "idle+gil");
    let name = rest.strip_prefix(": ").and_then(scan::quoted).map(|(name, _)| name.into());
    known.then(|| thread(number, name, state))
}

fn thread(number: u64, name: Option<Box<str>>, state: &str) -> Thread {
    Thread { label: super::numbered("thread ", number), number, name, state: Some(state.into()), ..Thread::default() }
}

/// `    release (pile.py:5)`, or a line of `--locals` below it.
fn inner(draft: &mut Draft, text: &str) -> Taken {
    if text.is_empty() {
        return Taken::Yes;
    }
    if !draft.in_thread || !text.starts_with("    ") {
        draft.in_thread = false;
        return Taken::No;
    }
    if let Some(local) = text.strip_prefix("        ") {
        if let Some(frame) = draft.last_frame().filter(|_| local.starts_with(' ')) {
            append(&mut frame.locals, local.trim());
        }
        return Taken::Yes;
    }
    let Some((function, place)) = scan::rsplit(text.trim(), " (") else { return Taken::Bad };
    let (file, line) = location(place.trim_end_matches(')'));
    draft.frame(Frame { function: function.into(), file, line, ..Frame::default() });
    Taken::Yes
}

#[derive(Deserialize)]
struct JsonThread {
    pid: Option<u32>,
    #[serde(default)]
    thread_id: u64,
    thread_name: Option<String>,
    os_thread_id: Option<u64>,
    #[serde(default)]
    active: bool,
    #[serde(default)]
    owns_gil: bool,
    #[serde(default)]
    frames: Vec<JsonFrame>,
}

#[derive(Deserialize)]
struct JsonFrame {
    name: String,
    short_filename: Option<String>,
    filename: Option<String>,
    line: Option<i64>,
}

fn parse(document: Document, out: &mut Vec<Fact>) {
    let Document { mut draft, text, .. } = document;
    let Ok(threads) = serde_json::from_str::<Vec<JsonThread>>(&text) else { return };
    let first = draft.place.line;
    for found in threads {
        draft.dump.pid = draft.dump.pid.or(found.pid);
        let state = match (found.active, found.owns_gil) {
            (true, true) => "active+gil",
            (true, false) => "active",
            (false, _) => "idle",
        };
        let number = found.os_thread_id.unwrap_or(found.thread_id);
        let frames = found.frames.into_iter().take(super::DEEPEST).map(Frame::from).collect();
        let thread = thread(number, found.thread_name.map(Into::into), state);
        draft.dump.threads.push(Thread { frames, count: 1, line: first, ..thread });
    }
    out.extend(draft.into_fact());
}

impl From<JsonFrame> for Frame {
    fn from(frame: JsonFrame) -> Self {
        Self {
            function: frame.name.into(),
            file: frame.short_filename.or(frame.filename).map(Into::into),
            line: frame.line.and_then(|line| u32::try_from(line).ok()),
            ..Self::default()
        }
    }
}
