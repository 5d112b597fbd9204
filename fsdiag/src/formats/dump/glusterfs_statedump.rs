//! GlusterFS's statedump (`kill -USR1` of the client): each `[global.callpool.stack.1]` is a request, and each
//! `[global.callpool.stack.1.frame.1]` with `complete=0` a translator that has not returned it. The innermost of them has
//! it: a client translator waits for its brick.
//!
//! Its times are of a clock that nothing in the dump compares with now: how much older than the youngest a request is
//! tells how old it is at the least.

use super::{Draft, hand_over, numbered};
use crate::{
    engine::fact::{Fact, Frame, Key, Thread, What},
    formats::{
        Line, Mark, Parser, Taken,
        clock::{self, Stamp},
        scan,
    },
};

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(Statedump::default())
}

#[derive(Default)]
struct Statedump {
    draft: Option<Draft>,
    section: Section,
    stack: Option<Stack>,
    /// When each request of the dump began, and the latest time in it, microseconds.
    began: Vec<Option<u64>>,
    latest: u64,
    empty: bool,
}

#[derive(Default, PartialEq)]
enum Section {
    #[default]
    Other,
    Pool,
    Stack,
    Frame,
}

/// A request as far as it has been read.
#[derive(Default)]
struct Stack {
    line: u64,
    unique: Option<u64>,
    op: Box<str>,
    began: Option<u64>,
    frames: Vec<Step>,
}

/// A translator that has it, or had.
#[derive(Default)]
struct Step {
    translator: Box<str>,
    parent: Box<str>,
    from: Box<str>,
    complete: bool,
}

/// Less than that tells nothing of an age, microseconds: the youngest may be old as well.
const TELLS: u64 = 1_000_000;
const STACK: &str = "[global.callpool.stack.";

impl Parser for Statedump {
    fn format(&self) -> &'static str {
        "glusterfs-statedump"
    }

    fn marks(&self) -> &'static [Mark] {
        &[Mark::Starts("DUMP-START-TIME: "), Mark::Starts("[global.callpool")]
    }

    fn is_idle(&self) -> bool {
        self.draft.is_none()
    }

    fn line(&mut self, line: &Line<'_>, out: &mut Vec<Fact>) -> Taken {
        let text = line.text;
        if let Some(time) = text.strip_prefix("DUMP-START-TIME: ") {
            self.finish(out);
            self.begin(line, wall(time));
            return Taken::Yes;
        }
        if text.starts_with("[global.callpool") && self.draft.is_none() {
            self.begin(line, line.at.wall_us);
        }
        if self.draft.is_none() {
            return Taken::No;
        }
        if text.starts_with("DUMP-END-TIME: ") {
            self.finish(out);
        } else if text.starts_with('[') {
            self.heading(line);
        } else if let Some((key, value)) = scan::split(text, "=") {
            self.field(key, value);
        } else {
            return Taken::No;
        }
        Taken::Yes
    }

    fn finish(&mut self, out: &mut Vec<Fact>) {
        self.end_stack();
        let Some(draft) = &mut self.draft else { return };
        let began = self.began.drain(..);
        for (thread, began) in draft.dump.threads.iter_mut().zip(began) {
            thread.since_us = began.map(|began| self.latest.saturating_sub(began)).filter(|us| *us >= TELLS);
        }
        // An empty pool shows that nothing is open.
        if draft.dump.threads.is_empty() && self.empty {
            let what = What::Dump(Box::new(std::mem::take(&mut draft.dump)));
            out.push(Fact { place: draft.place, at: draft.at, what });
        }
        hand_over(&mut self.draft, out);
        *self = Self::default();
    }
}

impl Statedump {
    fn begin(&mut self, line: &Line<'_>, wall_us: Option<u64>) {
        let mut draft = Draft::start(line, self.format());
        draft.dump.process = Some("glusterfs".into());
        draft.at.wall_us = wall_us;
        self.draft = Some(draft);
    }

    fn heading(&mut self, line: &Line<'_>) {
        let stack = line.text.strip_prefix(STACK);
        self.section = match stack {
            Some(stack) if stack.contains(".frame.") => Section::Frame,
            Some(_) => Section::Stack,
            None if line.text == "[global.callpool]" => Section::Pool,
            None => Section::Other,
        };
        match (&self.section, &mut self.stack) {
            (Section::Frame, Some(stack)) => stack.frames.push(Step::default()),
            (Section::Frame, None) => self.section = Section::Other,
            _ => self.end_stack(),
        }
        if self.section == Section::Stack {
            self.stack = Some(Stack { line: line.place.line, ..Stack::default() });
        }
    }

    fn field(&mut self, key: &str, value: &str) {
        match self.section {
            Section::Other => return,
            Section::Pool => self.empty |= key == "callpool.cnt" && value == "0",
            Section::Stack => self.of_stack(key, value),
            Section::Frame => self.of_frame(key, value),
        }
        let time = match key {
            "ctime" => seconds(value),
            "timings" => scan::split(value, " -> ").and_then(|(began, _)| seconds(began)),
            _ => None,
        };
        self.latest = self.latest.max(time.unwrap_or(0));
    }

    fn of_stack(&mut self, key: &str, value: &str) {
        let Some(stack) = &mut self.stack else { return };
        match key {
            "unique" => stack.unique = value.parse().ok(),
            "op" => stack.op = value.into(),
            "ctime" => stack.began = seconds(value),
            _ => {}
        }
    }

    fn of_frame(&mut self, key: &str, value: &str) {
        let Some(step) = self.stack.as_mut().and_then(|stack| stack.frames.last_mut()) else { return };
        match key {
            "translator" => step.translator = value.into(),
            "parent" => step.parent = value.into(),
            "wind_from" => step.from = value.into(),
            "complete" => step.complete = value == "1",
            _ => {}
        }
    }

    /// A request that was read becomes a thread, if a client of the mount waits for it.
    fn end_stack(&mut self) {
        let Some(stack) = self.stack.take() else { return };
        let of_mount = stack.frames.iter().any(|step| &*step.translator == "fuse" && !step.complete);
        let Some(draft) = self.draft.as_mut().filter(|_| of_mount) else { return };
        let op = if &*stack.op == "READDIRP" { Some(fsd_events::op::Op::Readdirplus) } else { scan::op(&stack.op) };
        let number = stack.unique.unwrap_or(stack.line);
        let thread = Thread {
            label: numbered("request ", number),
            number,
            name: Some(stack.op.clone()),
            op: op.map(|op| (stack.unique.map(Key::Num), op)),
            frames: stack.frames(),
            ..Thread::default()
        };
        let threads = draft.dump.threads.len();
        draft.thread(
            &Line {
                place: crate::engine::fact::Place { line: stack.line, ..draft.place },
                text: "",
                at: draft.at,
                host: "",
            },
            thread,
        );
        if draft.dump.threads.len() > threads {
            self.began.push(stack.began);
        }
    }
}

impl Stack {
    /// Those that have not returned it; the innermost is nobody's parent.
    fn frames(&self) -> Vec<Frame> {
        let open = || self.frames.iter().filter(|step| !step.complete);
        let is_inner = |step: &&Step| open().all(|other| other.parent != step.translator);
        let inner = open().filter(is_inner).map(|step| {
            // A translator that speaks to a brick is called after the volume and the brick's number.
            let kind = if step.translator.contains("-client-") { "protocol/client: " } else { "translator: " };
            format!("{kind}{}", step.translator)
        });
        let way = open().filter(|step| !step.from.is_empty()).map(|step| step.from.to_string());
        inner.chain(way).map(|function| Frame { function: function.into(), ..Frame::default() }).collect()
    }
}

fn wall(time: &str) -> Option<u64> {
    match clock::leading(time)? {
        (Stamp::Wall(us), _) => Some(us),
        _ => None,
    }
}

/// `3283.802406277`, microseconds.
fn seconds(text: &str) -> Option<u64> {
    let (seconds, rest) = scan::num(text)?;
    let (us, _) = scan::fraction_us(rest.strip_prefix('.')?);
    seconds.checked_mul(1_000_000)?.checked_add(us).filter(|us| *us > 0)
}
