//! Python's faulthandler: `Thread 0x00007f (most recent call first):` and its frames.

use super::{Draft, hand_over};
use crate::{
    engine::fact::{Fact, Frame, HintKind, Thread},
    formats::{Line, Mark, Parser, Taken, scan},
};

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(PythonFaulthandler::default())
}

#[derive(Default)]
struct PythonFaulthandler {
    draft: Option<Draft>,
}

impl Parser for PythonFaulthandler {
    fn format(&self) -> &'static str {
        "python-faulthandler"
    }

    fn marks(&self) -> &'static [Mark] {
        &[Mark::Starts("Fatal Python error: "), Mark::Starts("Thread "), Mark::Starts("Current thread ")]
    }

    fn is_idle(&self) -> bool {
        self.draft.is_none()
    }

    fn line(&mut self, line: &Line<'_>, out: &mut Vec<Fact>) -> Taken {
        let text = line.text;
        if text.starts_with("Fatal Python error: ") {
            hand_over(&mut self.draft, out);
            line.hint(HintKind::Panic, None, out);
            return line.end(true, out);
        }
        if let Some((number, name, current)) = header(text) {
            if self.draft.as_ref().is_none_or(|draft| draft.has(number)) {
                hand_over(&mut self.draft, out);
                self.draft = Some(Draft::start(line, "python-faulthandler"));
            }
            let state = current.then(|| "current".into());
            let label = format!("thread {number:#x}").into();
            if let Some(draft) = &mut self.draft {
                draft.thread(line, Thread { label, number, name, state, ..Thread::default() });
            }
            return Taken::Yes;
        }
        let Some(draft) = self.draft.as_mut().filter(|draft| draft.in_thread) else { return Taken::No };
        if let Some(frame) = text.strip_prefix("  File ").and_then(frame) {
            draft.frame(frame);
            return Taken::Yes;
        }
        if text == "  ..." || text == "  <no Python frame>" {
            return Taken::Yes;
        }
        draft.in_thread = false;
        Taken::No
    }

    fn finish(&mut self, out: &mut Vec<Fact>) {
        hand_over(&mut self.draft, out);
    }
}

/// `Thread 0x00007fa197fff6c0 [uploader] (most recent call first):`.
fn header(text: &str) -> Option<(u64, Option<Box<str>>, bool)> {
    let current = text.starts_with("Current thread ");
    let rest = text.strip_prefix("Thread ").or_else(|| text.strip_prefix("Current thread "))?;
    let (number, rest) = scan::hex(rest.strip_prefix("0x")?)?;
    let name = scan::split(rest, "(most recent call first)")?.0.trim().trim_matches(['[', ']']);
    Some((number, (!name.is_empty()).then(|| name.into()), current))
}

/// `"/srv/bin/uploadfs.py", line 23 in getattr`.
fn frame(rest: &str) -> Option<Frame> {
    let (file, rest) = scan::quoted(rest)?;
    let (line, rest) = scan::num(rest.strip_prefix(", line ")?)?;
    let function = rest.strip_prefix(" in ")?;
    let line = u32::try_from(line).ok();
    Some(Frame { function: function.into(), file: Some(file.into()), line, ..Frame::default() })
}
