//! From inputs to the model: one after the other, each through every parser, fsd's own events on all cores.

use std::{
    io::{self, IsTerminal as _, Read as _, Write as _},
    path::{Path, PathBuf},
    thread,
};

use fsd_events::event::Event;

use super::{
    crew,
    quote::{Again, Kept},
    select::Window,
};
use crate::{
    engine::{
        fact::InputId,
        model::{Model, block::Block},
    },
    formats::{Mixed, block},
    output::clean::clean,
    sources::{
        blocks::Blocks,
        file::{self, Input},
        lines::{self, Lines},
        rings::{self, Mount},
    },
};

/// What is read, and how; neither threads nor block size change the report.
#[derive(Clone, Copy, Debug)]
pub struct How {
    pub window: Window,
    pub threads: usize,
    /// Bytes read at once by each thread.
    pub block: usize,
}

impl How {
    /// This window, on all cores that this process may use.
    pub fn of(window: Window) -> Self {
        let threads = thread::available_parallelism().map_or(1, usize::from).min(8);
        Self { window, threads, block: 256 << 10 }
    }
}

impl Default for How {
    fn default() -> Self {
        Self::of(Window::default())
    }
}

/// Reads everything; gives the number of inputs that could be read. Problems are said in one line each.
pub fn all(inputs: &[Input], model: &mut Model, how: How, kept: &mut Kept, problems: &mut Vec<String>) -> usize {
    let inputs = in_order(inputs);
    // Before the files: what a living daemon writes meanwhile stands in its file, and counts once.
    let daemons = rings::mounts().into_iter().filter(|mount| belongs(mount, &inputs));
    let left: Vec<_> = daemons.map(|mount| (rings::undrained(&mount), mount)).collect();
    let mut before: Option<(&Input, InputId, Mixed)> = None;
    let mut read = 0;
    for (at, input) in inputs.iter().enumerate() {
        let id = model.input(&input.name());
        let parsers = parsers(before.take(), input, id, model);
        match one(input, inputs.get(at + 1), (id, parsers), model, how, kept) {
            Ok((parsers, ended)) => {
                read += 1;
                problems.extend(ended.err().map(|error| format!("{}: {error}", input.name())));
                before = Some((input, id, parsers));
            }
            Err(error) => problems.push(format!("{}: {error}", input.name())),
        }
    }
    for (rings, mount) in &left {
        undrained(mount, rings, model, how.window);
    }
    read
}

/// Those of the input before where this one goes on with it, else new ones.
fn parsers(before: Option<(&Input, InputId, Mixed)>, input: &Input, id: InputId, model: &mut Model) -> Mixed {
    let mut parsers = match before {
        Some((earlier, _, parsers)) if parsers.is_by_thread() && set(earlier).0 == set(input).0 => parsers.go_on(id),
        Some((earlier, number, parsers)) if !parsers.is_by_thread() && stem(earlier) == stem(input) => {
            model.continues(id, number);
            parsers.go_on(id)
        }
        _ => Mixed::new(id),
    };
    if let (_, Some(tid)) = set(input) {
        parsers.named(tid);
    }
    parsers
}

/// Reads one input to its end, or to where it is damaged: what stands before that counts.
///
/// # Errors
/// When nothing of it can be read.
fn one(
    input: &Input,
    next: Option<&Input>,
    (id, mixed): (InputId, Mixed),
    model: &mut Model,
    how: How,
    kept: &mut Kept,
) -> io::Result<(Mixed, io::Result<()>)> {
    let blocks = Blocks::new(input.open()?, how.block);
    let again = kept.entry(input.name()).insert_entry(Again::of(input)).into_mut();
    let (lines, progress) = (Lines::default(), Progress::of(input));
    let mut one = One { id, model, window: how.window, inside: true, mixed, lines, again, progress };
    let read = |bytes: &[u8]| block::read(bytes, |wall_us| how.window.has(Some(wall_us)));
    let ended = crew::run(blocks, how.threads, read, |bytes, block| one.fold(bytes, block.as_ref()));
    let mixed = one.finish(|| next.is_some_and(|next| set(next).0 == set(input).0 && next.open().is_ok()));
    match ended {
        Err(error) if mixed.counts().lines == 0 => Err(error),
        ended => Ok((mixed, ended)),
    }
}

/// An input on its way into the model.
struct One<'m> {
    id: InputId,
    model: &'m mut Model,
    window: Window,
    /// Whether the last line with a time was in the window.
    inside: bool,
    mixed: Mixed,
    lines: Lines,
    again: &'m mut Again,
    progress: Progress,
}

impl One<'_> {
    /// The next bytes, as a whole where that gives the same, else line by line.
    fn fold(&mut self, bytes: &[u8], block: Option<&Block>) {
        let first = self.mixed.counts().lines + 1;
        self.again.keep(first, self.lines.is_between(), bytes);
        let between = self.lines.is_between() && !self.mixed.holds_back();
        match block.filter(|block| between && self.model.block(self.id, first, block)) {
            Some(block) => self.mixed.skip(block.lines),
            None => {
                let mut sink = self.window.before(self.model, &mut self.inside);
                let of_a_piece = if self.lines.is_between() { self.mixed.piece(bytes, &mut sink) } else { 0 };
                let bytes = &bytes[of_a_piece..];
                match self.lines.text(bytes) {
                    Some(text) => {
                        self.mixed.begin_block(bytes);
                        lines::of(text).for_each(|line| self.mixed.text(line, &mut sink));
                        self.mixed.end_block();
                    }
                    None => self.lines.feed(bytes, |line| self.mixed.line(line, &mut sink)),
                }
            }
        }
        self.progress.more(bytes.len());
    }

    /// `goes_on`: whether another thread of the same trace is in the next input.
    fn finish(mut self, goes_on: impl Fn() -> bool) -> Mixed {
        let mut sink = self.window.before(self.model, &mut self.inside);
        if !self.lines.rest().is_empty() {
            self.mixed.line(self.lines.rest(), &mut sink);
        }
        self.mixed.end(&mut sink);
        if !self.mixed.is_by_thread() || !goes_on() {
            self.mixed.finish(&mut sink);
        }
        let (counts, format) = (self.mixed.counts(), self.mixed.format());
        self.model.counted(
            self.id,
            format,
            counts.lines,
            counts.events,
            counts.bad_lines + counts.left_out + self.lines.cut,
        );
        if counts.turned {
            self.model.turned(self.id, counts.left_out);
        }
        self.progress.done();
        self.mixed
    }
}

/// Event files by their first record, so that rotated ones may be named in any order; the others as they came.
pub fn in_order(inputs: &[Input]) -> Vec<Input> {
    let mut keyed: Vec<((u64, u64), usize, &Input)> =
        inputs.iter().enumerate().map(|(at, input)| (first_record(input).unwrap_or((0, 0)), at, input)).collect();
    keyed.sort_by_key(|(key, at, _)| (*key, *at));
    keyed.into_iter().map(|(_, _, input)| input.clone()).collect()
}

/// Time and number of the first event that is not carried over.
fn first_record(input: &Input) -> Option<(u64, u64)> {
    const HEAD: u64 = 64 << 10;
    if !input.can_be_read_again() {
        return None;
    }
    let mut head = Vec::new();
    // What is damaged further on has a beginning all the same.
    let _ = input.open().ok()?.take(HEAD).read_to_end(&mut head);
    let mut events = head.split(|b| *b == b'\n').filter_map(|line| match fsd_events::line::decode(line) {
        fsd_events::line::Decoded::Event(event) if !event.carried => Some((event.head.ts_us, event.head.seq)),
        _ => None,
    });
    events.next()
}

/// The name without what rotation and packing add.
fn stem(input: &Input) -> PathBuf {
    match input {
        Input::File(path) => file::piece(path).0,
        Input::Stdin => PathBuf::new(),
    }
}

/// The name without the number behind its last dot, and that number.
fn set(input: &Input) -> (PathBuf, Option<u64>) {
    match input {
        Input::File(path) => file::numbered(path),
        Input::Stdin => (PathBuf::new(), None),
    }
}

/// The live or dead daemon whose event file is among the inputs.
fn belongs(mount: &Mount, inputs: &[Input]) -> bool {
    let same =
        |path: &Path| path.canonicalize().ok().zip(mount.events.canonicalize().ok()).is_some_and(|(a, b)| a == b);
    inputs.iter().any(|input| matches!(input, Input::File(path) if same(path)))
}

/// What the daemon recorded and nobody had written to the file, and whether it still lives.
pub fn undrained(mount: &Mount, rings: &[Event<'_>], model: &mut Model, window: Window) {
    if rings.is_empty() && mount.alive {
        return;
    }
    let id = model.input(&mount.dir.display().to_string());
    let mut line = 0;
    for event in rings {
        line += 1;
        let place = crate::engine::fact::Place { input: id, line, part: 0 };
        crate::engine::fact::Sink::event(&mut window.before(model, &mut true), place, event);
    }
    if !mount.alive {
        model.died(mount.run, id, &format!("process {} is gone", mount.pid));
    }
    model.counted(id, "fsd-events", line, line, 0);
}

/// Shown on a terminal only, on stderr, and only for what takes a while.
struct Progress {
    name: String,
    size: Option<u64>,
    read: u64,
    shown: u64,
}

impl Progress {
    const STEP: u64 = 256 << 20;

    fn of(input: &Input) -> Self {
        Self { name: clean(input.name()), size: input.size().filter(|_| io::stderr().is_terminal()), read: 0, shown: 0 }
    }

    fn more(&mut self, got: usize) {
        self.read += got as u64;
        if let Some(size) = self.size.filter(|_| self.read - self.shown >= Self::STEP) {
            self.shown = self.read;
            let _ = write!(io::stderr(), "\r{}: {} %\x1b[K", self.name, (self.read * 100 / size.max(1)).min(100));
        }
    }

    fn done(&self) {
        if self.shown > 0 {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
