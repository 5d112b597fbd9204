//! `eu-stack -p` of elfutils: addresses and names, no arguments.

use super::{Draft, demangled, hand_over, location, locks};
use crate::{
    engine::fact::{Fact, Frame, Thread},
    formats::{Line, Mark, Parser, Taken, scan},
};

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(EuStack::default())
}

#[derive(Default)]
struct EuStack {
    draft: Option<Draft>,
}

impl Parser for EuStack {
    fn format(&self) -> &'static str {
        "eu-stack"
    }

    fn marks(&self) -> &'static [Mark] {
        &[Mark::Starts("PID "), Mark::Starts("TID ")]
    }

    fn is_idle(&self) -> bool {
        self.draft.is_none()
    }

    fn line(&mut self, line: &Line<'_>, out: &mut Vec<Fact>) -> Taken {
        let text = line.text;
        if let Some((pid, rest)) = text.strip_prefix("PID ").and_then(scan::num) {
            if rest != " - process" && rest != " - core" {
                return Taken::No;
            }
            self.finish(out);
            let mut draft = Draft::start(line, "eu-stack");
            draft.dump.pid = u32::try_from(pid).ok();
            self.draft = Some(draft);
            return Taken::Yes;
        }
        if let Some((number, ":")) = text.strip_prefix("TID ").and_then(scan::num) {
            self.close();
            let draft = self.draft.get_or_insert_with(|| Draft::start(line, "eu-stack"));
            draft.thread(line, Thread { label: super::numbered("thread ", number), number, ..Thread::default() });
            return Taken::Yes;
        }
        let Some(draft) = self.draft.as_mut().filter(|draft| draft.in_thread) else { return Taken::No };
        if let Some(rest) = text.strip_prefix('#') {
            let Some(frame) = frame(rest) else { return Taken::Bad };
            draft.frame(frame);
            return Taken::Yes;
        }
        // `-s` puts the source of a frame on a line of its own.
        let Some(frame) = draft.last_frame().filter(|_| text.starts_with("    ")) else { return Taken::No };
        if frame.file.is_none() {
            (frame.file, frame.line) = location(text.trim());
        }
        Taken::Yes
    }

    fn finish(&mut self, out: &mut Vec<Fact>) {
        self.close();
        hand_over(&mut self.draft, out);
    }
}

impl EuStack {
    fn close(&mut self) {
        let Some(thread) = self.draft.as_mut().and_then(Draft::current) else { return };
        thread.waits_for = locks::native(&thread.frames);
        if let Some(draft) = &mut self.draft {
            draft.in_thread = false;
        }
    }
}

/// `1  0x00007f0226e08482 - 1 __pthread_mutex_lock@GLIBC_2.2.5 - [buildid]module`.
fn frame(rest: &str) -> Option<Frame> {
    let (_, rest) = scan::num(rest)?;
    let (_, rest) = scan::hex(rest.trim_start().strip_prefix("0x")?)?;
    let rest = rest.strip_prefix(" - 1").unwrap_or(rest).trim_start();
    let (symbol, file, line) = match rest.rsplit_once(' ').filter(|(_, tail)| is_source(tail)) {
        Some((symbol, place)) => {
            let (file, line) = location(place);
            (symbol.trim_end(), file, line)
        }
        None => (rest, None, None),
    };
    let symbol = symbol.split('@').next().unwrap_or(symbol);
    let function = if symbol.is_empty() { "??".into() } else { demangled(symbol) };
    Some(Frame { function, file, line, ..Frame::default() })
}

fn is_source(word: &str) -> bool {
    word.rsplit_once(':').is_some_and(|(_, line)| !line.is_empty() && line.bytes().all(|b| b.is_ascii_digit()))
}
