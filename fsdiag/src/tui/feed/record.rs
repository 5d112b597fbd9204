//! Record: what a daemon has written, folded as far as it was read: the model, the trace, and the dumps that it names.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use crate::{
    commands::analyze::quote::{self, Kept},
    engine::{
        fact::InputId,
        model::{Limits, Model, Now},
        report::Report,
    },
    formats::Mixed,
    sources::{
        file::Input,
        lines::Lines,
        rings::{self, Mount},
    },
    tui::{
        compose,
        picture::{Act, Picture, Source},
        trace::{Tap, Trace},
    },
};

/// Files above this are not read again to quote a line of evidence.
const QUOTABLE: u64 = 256 << 20;
/// Longest dump that is read.
const DUMP_LIMIT: usize = 64 << 20;

/// One input of the record.
pub(super) type StreamId = usize;

pub(super) struct Record {
    pub(super) model: Model,
    pub(super) trace: Trace,
    streams: Vec<Stream>,
    dumps: HashMap<PathBuf, InputId>,
    /// Evidence that was quoted already, by input and line.
    quotes: HashMap<(String, u64), String>,
}

struct Stream {
    path: PathBuf,
    input: InputId,
    mixed: Mixed,
}

impl Record {
    pub(super) fn new(limits: Limits) -> Self {
        let (model, trace) = (Model::new(limits), Trace::default());
        Self { model, trace, streams: Vec::new(), dumps: HashMap::new(), quotes: HashMap::new() }
    }

    /// A file whose lines will come.
    pub(super) fn stream(&mut self, path: &Path) -> StreamId {
        let input = self.model.input(&path.display().to_string());
        self.streams.push(Stream { path: path.to_owned(), input, mixed: Mixed::live(input) });
        self.streams.len() - 1
    }

    pub(super) fn line(&mut self, stream: StreamId, line: &[u8]) {
        let Self { model, trace, streams, .. } = self;
        let mixed = &mut streams[stream].mixed;
        mixed.line(line, &mut Tap { model, trace });
        trace.line(mixed.counts().lines, line);
    }

    /// No further line is there for now.
    pub(super) fn settle(&mut self, stream: StreamId) {
        let Self { model, trace, streams, .. } = self;
        streams[stream].mixed.settle(&mut Tap { model, trace });
    }

    /// Reads a dump; true if there was one. A file that was read before is the same dump, now with names.
    pub(super) fn dump(&mut self, file: &Path) -> bool {
        let Ok(mut source) = Input::File(file.to_owned()).open() else { return false };
        let Self { model, dumps, .. } = self;
        let input = *dumps.entry(file.to_owned()).or_insert_with(|| model.input(&file.display().to_string()));
        model.dumps.retain(|(place, ..)| place.input != input);
        let (mut mixed, mut lines, mut block, mut read) =
            (Mixed::new(input), Lines::default(), vec![0; 256 << 10], 0_usize);
        while let Ok(got @ 1..) = std::io::Read::read(&mut source, &mut block) {
            lines.feed(&block[..got], |line| mixed.line(line, &mut self.model));
            read += got;
            if read > DUMP_LIMIT {
                break;
            }
        }
        if !lines.rest().is_empty() {
            mixed.line(lines.rest(), &mut self.model);
        }
        mixed.finish(&mut self.model);
        let counts = mixed.counts();
        self.model.counted(input, mixed.format(), counts.lines, counts.events, counts.bad_lines);
        counts.events > 0
    }

    /// What a dead daemon left in its rings, and that it is dead.
    pub(super) fn rings(&mut self, mount: &Mount) {
        let input = self.model.input(&mount.dir.display().to_string());
        let events = rings::undrained(mount);
        let mut tap = Tap { model: &mut self.model, trace: &mut self.trace };
        for (line, event) in (1..).zip(&events) {
            crate::engine::fact::Sink::event(&mut tap, crate::engine::fact::Place { input, line, part: 0 }, event);
        }
        let count = events.len() as u64;
        self.model.counted(input, "fsd-events", count, count, 0);
        self.model.died(mount.run, input, &format!("process {} is gone", mount.pid));
    }

    /// The picture of a moment of the wall clock; without one, of the moment of the last line.
    pub(super) fn picture(&mut self, wall_us: Option<u64>, source: Source, acts: Vec<Act>) -> Picture {
        if let Some(at) = wall_us.and_then(|wall| self.trace.of_wall(wall)) {
            self.trace.advance(at);
        }
        let now = Now { wall_us };
        let report = self.report(now);
        compose::picture(&self.model, &report, &self.trace, source, now, acts)
    }

    /// With the words of the evidence.
    pub(super) fn report(&mut self, now: Now) -> Report {
        for Stream { input, mixed, .. } in &self.streams {
            let counts = mixed.counts();
            self.model.counted(*input, mixed.format(), counts.lines, counts.events, counts.bad_lines);
        }
        let mut report = self.model.report(now);
        self.quote(&mut report);
        if let Some((at, mut ended)) = self.trace.ended.take() {
            self.quote_verdict(&mut ended);
            self.trace.ended = Some((at, ended));
        }
        report
    }

    fn quote_verdict(&mut self, verdict: &mut crate::engine::report::Verdict) {
        let mut report = Report { verdicts: vec![verdict.clone()], ..Report::default() };
        self.quote(&mut report);
        report.verdicts.pop().into_iter().for_each(|quoted| *verdict = quoted);
    }

    fn quote(&mut self, report: &mut Report) {
        let mut unknown = false;
        for evidence in report.verdicts.iter_mut().flat_map(|verdict| &mut verdict.evidence) {
            match self.quotes.get(&(evidence.input.clone(), evidence.line)) {
                Some(text) => evidence.text.clone_from(text),
                None => unknown = true,
            }
        }
        if !unknown {
            return;
        }
        let small = |path: &&PathBuf| path.metadata().is_ok_and(|meta| meta.len() <= QUOTABLE);
        let inputs: Vec<Input> =
            self.streams.iter().map(|s| &s.path).filter(small).map(|path| Input::File(path.clone())).collect();
        quote::fill(report, &inputs, &Kept::default());
        for evidence in report.verdicts.iter().flat_map(|verdict| &verdict.evidence) {
            self.quotes.insert((evidence.input.clone(), evidence.line), evidence.text.clone());
        }
    }
}
