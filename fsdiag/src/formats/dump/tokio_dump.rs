//! tokio's task dump: a tree of `╼ function at file:line:column`, one root per task.

use super::{Draft, hand_over, location, locks};
use crate::{
    engine::fact::{Fact, Frame, Thread},
    formats::{Line, Mark, Parser, Taken, recent::Recent, scan},
};

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(TokioDump::default())
}

#[derive(Default)]
struct TokioDump {
    draft: Option<Draft>,
    tasks: u64,
    /// Lines since the last tree that are none.
    strangers: u32,
    /// Tasks stand at the same few places.
    recent: Recent<Frame>,
}

/// A heading for each task, a blank line.
const STRANGERS: u32 = 3;

impl Parser for TokioDump {
    fn format(&self) -> &'static str {
        "tokio-dump"
    }

    fn marks(&self) -> &'static [Mark] {
        &[Mark::Starts("╼ ")]
    }

    fn is_idle(&self) -> bool {
        self.draft.is_none()
    }

    fn line(&mut self, line: &Line<'_>, out: &mut Vec<Fact>) -> Taken {
        let text = line.text.trim_end();
        if let Some(root) = text.strip_prefix("╼ ") {
            self.close();
            (self.tasks, self.strangers) = (self.tasks + 1, 0);
            let number = self.tasks;
            let draft = self.draft.get_or_insert_with(|| Draft::start(line, "tokio-dump"));
            draft.thread(line, Thread { label: super::numbered("task ", number), number, ..Thread::default() });
            draft.frame(self.recent.made(root, frame).unwrap_or_default());
            return Taken::Yes;
        }
        let branch = text.trim_start_matches([' ', '│']);
        let leaf = branch.strip_prefix("└╼ ").or_else(|| branch.strip_prefix("├╼ "));
        match (leaf, self.draft.as_mut()) {
            (Some(leaf), Some(draft)) => {
                draft.frame(self.recent.made(leaf, frame).unwrap_or_default());
                Taken::Yes
            }
            _ => {
                // What each task is headed with is up to the program; what has a time of its own is another line.
                self.close();
                self.strangers += 1;
                if self.strangers > STRANGERS || self.draft.as_ref().is_some_and(|draft| draft.at != line.at) {
                    self.finish(out);
                }
                Taken::No
            }
        }
    }

    fn finish(&mut self, out: &mut Vec<Fact>) {
        self.close();
        self.tasks = 0;
        hand_over(&mut self.draft, out);
    }
}

impl TokioDump {
    /// A task's frames come outermost first; with several branches the last one stands innermost.
    fn close(&mut self) {
        let Some(thread) = self.draft.as_mut().and_then(Draft::current) else { return };
        thread.frames.reverse();
        // Tasks are many, and most of them shallow.
        thread.frames.shrink_to_fit();
        thread.waits_for = locks::native(&thread.frames);
        if let Some(draft) = &mut self.draft {
            draft.in_thread = false;
        }
    }
}

/// `pan::release_async at src/main.rs:9:124`.
fn frame(text: &str) -> Option<Frame> {
    let (function, place) = scan::rsplit(text, " at ").unwrap_or((text, ""));
    let (file, line) = if place.is_empty() { (None, None) } else { location(place) };
    Some(Frame { function: function.into(), file, line, ..Frame::default() })
}
