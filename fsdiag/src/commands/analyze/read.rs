//! From inputs to the model: one after the other, each through every parser.

use std::{
    io::{self, IsTerminal as _, Read, Write as _},
    path::Path,
};

use super::{quote::Tails, select::Window};
use crate::{
    engine::{fact::InputId, model::Model},
    formats::Mixed,
    sources::{
        file::Input,
        lines::Lines,
        rings::{self, Mount},
    },
};

/// Read at once.
const BLOCK: usize = 1 << 20;

/// Reads everything; gives the number of inputs that could be read. Problems are said in one line each.
pub fn all(
    inputs: &[Input],
    model: &mut Model,
    window: Window,
    tails: &mut Tails,
    problems: &mut Vec<String>,
) -> usize {
    let inputs = in_order(inputs);
    let mut before: Option<(String, InputId)> = None;
    let mut read = 0;
    for input in &inputs {
        let id = model.input(&input.name());
        let stem = stem(input);
        if let Some((earlier, number)) = before.take().filter(|(earlier, _)| *earlier == stem) {
            model.continues(id, number);
            before = Some((earlier, id));
        } else {
            before = Some((stem, id));
        }
        match one(input, id, model, window, tails) {
            Ok(()) => read += 1,
            Err(error) => problems.push(format!("{}: {error}", input.name())),
        }
    }
    for mount in rings::mounts().iter().filter(|m| belongs(m, &inputs)) {
        undrained(mount, model, window);
    }
    read
}

/// Reads one input to its end.
///
/// # Errors
/// When it cannot be opened or read; what was read so far stays in the model.
fn one(input: &Input, id: InputId, model: &mut Model, window: Window, tails: &mut Tails) -> io::Result<()> {
    let mut source = input.open()?;
    let mut mixed = Mixed::new(id);
    let mut lines = Lines::default();
    let mut block = vec![0; BLOCK];
    let mut progress = Progress::of(input);
    let keep = *input == Input::Stdin;
    let ended = loop {
        let got = match source.read(&mut block) {
            Ok(0) => break Ok(()),
            Ok(got) => got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => break Err(error),
        };
        let mut sink = window.before(model);
        lines.feed(&block[..got], |line| {
            mixed.line(line, &mut sink);
            if keep {
                tails.keep(mixed.counts().lines, line);
            }
        });
        progress.more(got);
    };
    let mut sink = window.before(model);
    if !lines.rest().is_empty() {
        mixed.line(lines.rest(), &mut sink);
        tails.keep(mixed.counts().lines, lines.rest());
    }
    mixed.finish(&mut sink);
    let counts = mixed.counts();
    model.counted(id, mixed.format(), counts.lines, counts.events, counts.bad_lines + lines.cut);
    progress.done();
    ended
}

/// Event files by their first record, so that rotated ones may be named in any order; the others as they came.
fn in_order(inputs: &[Input]) -> Vec<Input> {
    let mut keyed: Vec<((u64, u64), usize, &Input)> =
        inputs.iter().enumerate().map(|(at, input)| (first_record(input).unwrap_or((0, 0)), at, input)).collect();
    keyed.sort_by_key(|(key, at, _)| (*key, *at));
    keyed.into_iter().map(|(_, _, input)| input.clone()).collect()
}

/// Time and number of the first event that is not carried over.
fn first_record(input: &Input) -> Option<(u64, u64)> {
    if *input == Input::Stdin {
        return None;
    }
    let mut head = vec![0; 64 << 10];
    let got = input.open().ok()?.read(&mut head).ok()?;
    let mut events = head[..got].split(|b| *b == b'\n').filter_map(|line| match fsd_events::line::decode(line) {
        fsd_events::line::Decoded::Event(event) if !event.carried => Some((event.head.ts_us, event.head.seq)),
        _ => None,
    });
    events.next()
}

/// The name without what rotation and packing add.
fn stem(input: &Input) -> String {
    let name = input.name();
    let mut stem = Path::new(&name);
    loop {
        let added = stem.extension().and_then(|e| e.to_str());
        let added =
            added.is_some_and(|e| e == "gz" || e == "zst" || e.bytes().all(|b| b.is_ascii_digit()) && e.len() < 4);
        if !added {
            return stem.display().to_string();
        }
        stem = Path::new(stem.to_str().and_then(|s| s.rsplit_once('.')).map_or("", |(head, _)| head));
    }
}

/// The live or dead daemon whose event file is among the inputs.
fn belongs(mount: &Mount, inputs: &[Input]) -> bool {
    let same =
        |path: &Path| path.canonicalize().ok().zip(mount.events.canonicalize().ok()).is_some_and(|(a, b)| a == b);
    inputs.iter().any(|input| matches!(input, Input::File(path) if same(path)))
}

/// What the daemon recorded and nobody has written to the file, and whether it still lives.
pub fn undrained(mount: &Mount, model: &mut Model, window: Window) {
    let rings = rings::undrained(mount);
    if rings.is_empty() && mount.alive {
        return;
    }
    let id = model.input(&mount.dir.display().to_string());
    let mut line = 0;
    for event in &rings {
        line += 1;
        let place = crate::engine::fact::Place { input: id, line };
        crate::engine::fact::Sink::event(&mut window.before(model), place, event);
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
        Self { name: input.name(), size: input.size().filter(|_| io::stderr().is_terminal()), read: 0, shown: 0 }
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
