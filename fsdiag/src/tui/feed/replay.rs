//! Replay: a recording played from its start; a moment looks as it did when somebody watched it.

use std::{
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    Show, Step,
    dumps::Dumps,
    play::Play,
    record::{Record, StreamId},
    tape::{self, Tape},
    title,
};
use crate::{
    commands::analyze::read,
    engine::model::{Limits, Now},
    sources::file::{self, Input},
    tui::{
        Wish,
        picture::{Picture, Source, SourceState},
    },
};

const PACE: Duration = Duration::from_millis(100);
/// Lines that are taken between two pictures while nothing but speed counts, and between two looks for a stall.
const AT_ONCE: usize = 40_000;
const LOOK_EVERY_US: u64 = 1_000_000;
/// From the end of a file, to find its last moment.
const TAIL: u64 = 64 << 10;

pub(super) struct Replay {
    files: Vec<PathBuf>,
    limits: Limits,
    record: Record,
    dumps: Dumps,
    tapes: Vec<(StreamId, Tape)>,
    play: Play,
    end_us: u64,
    problem: Option<String>,
    /// Verdict at the last look for a stall.
    sick: bool,
    looked_us: u64,
    fresh: bool,
}

impl Replay {
    pub(super) fn new(files: &[PathBuf], limits: Limits) -> Self {
        let (inputs, _) = file::collect(files);
        let paths: Vec<PathBuf> = read::in_order(&inputs).into_iter().filter_map(Input::path).collect();
        let mut replay = Self {
            files: files.to_vec(),
            limits,
            record: Record::new(limits),
            dumps: Dumps::new(paths.first().map(PathBuf::as_path)),
            tapes: Vec::new(),
            play: Play::default(),
            end_us: paths.iter().filter_map(|path| last_moment(path, limits)).max().unwrap_or(0),
            problem: None,
            sick: false,
            looked_us: 0,
            fresh: true,
        };
        paths.iter().rev().for_each(|path| replay.load(path));
        replay
    }

    fn load(&mut self, path: &Path) {
        match Tape::open(path) {
            Ok(tape) => {
                let id = self.record.stream(path);
                self.tapes.push((id, tape));
            }
            Err(error) => self.problem = Some(format!("{}: {error}", path.display())),
        }
    }

    /// The picture of that moment of the wall clock; earlier than the recording: of its first event.
    pub(super) fn at(mut self, wall_us: u64) -> Picture {
        self.take();
        let at = self.record.trace.of_wall(wall_us).unwrap_or(u64::MAX);
        self.play_to(at, usize::MAX);
        self.play.paused = true;
        self.play.at_us = Some(at.min(self.end_us.max(self.record.trace.now_us)));
        self.draw(Some(wall_us))
    }

    /// Takes lines up to that moment, at most `most` of them; true when all of them were taken.
    fn play_to(&mut self, until_us: u64, most: usize) -> bool {
        for _ in 0..most {
            let now = self.record.trace.now_us;
            let next = match self.tapes.last_mut() {
                Some((_, tape)) => tape.peek().map(|line| time_of(line).unwrap_or(now)),
                None => return true,
            };
            match next {
                Some(at) if at > until_us => return true,
                Some(_) => self.take(),
                None => drop(self.tapes.pop()),
            }
            if self.record.trace.now_us > until_us {
                return true;
            }
        }
        false
    }

    fn take(&mut self) {
        if let Some((id, tape)) = self.tapes.last_mut()
            && let Some(line) = tape.take()
        {
            self.record.line(*id, &line);
            if tape.peek().is_none() {
                self.record.settle(*id);
            }
            if !self.record.trace.dumps.is_empty() {
                self.dumps.named(&mut self.record);
                // What is not there now will never be.
                self.record.trace.dumps.clear();
            }
            self.fresh = true;
        }
    }

    /// Plays until something begins to hang, or a picture is due.
    fn seek(&mut self) {
        let mut stalls = self.record.trace.stalls.len();
        for _ in 0..AT_ONCE {
            if self.tapes.is_empty() {
                (self.play.seeking, self.play.paused) = (false, true);
                return;
            }
            self.take_next();
            let more = self.record.trace.stalls.len() > std::mem::replace(&mut stalls, self.record.trace.stalls.len());
            let struck = more && !std::mem::replace(&mut self.sick, true);
            if struck || self.falls_ill() {
                (self.play.seeking, self.play.paused) = (false, true);
                return;
            }
        }
    }

    fn take_next(&mut self) {
        match self.tapes.last_mut().map(|(_, tape)| tape.peek().is_none()) {
            Some(true) => drop(self.tapes.pop()),
            Some(false) => self.take(),
            None => (),
        }
    }

    /// Whether there is a verdict now and was none before; looked at once in a second of the recording.
    fn falls_ill(&mut self) -> bool {
        let now = self.record.trace.now_us;
        if now < self.looked_us + LOOK_EVERY_US {
            return false;
        }
        self.looked_us = now;
        let wall_us = self.record.trace.wall_of(now);
        let sick = !self.record.model.report(Now { wall_us }).healthy;
        let before = std::mem::replace(&mut self.sick, sick);
        sick && !before
    }

    /// As somebody saw it at that moment; without one, of the moment that is played.
    fn draw(&mut self, wall_us: Option<u64>) -> Picture {
        let trace = &self.record.trace;
        let first = trace.first_us.unwrap_or(0);
        let at_us = self.play.at_us.unwrap_or(first);
        let state = match &self.problem {
            Some(what) => SourceState::Failed { what: what.clone(), next: "Name another recording.".to_owned() },
            None if trace.events == 0 && self.tapes.is_empty() && self.record.model.dumps.is_empty() => {
                SourceState::Empty
            }
            None => SourceState::Replay {
                speed: self.play.speed,
                paused: self.play.paused,
                at_us: at_us.saturating_sub(first),
                length_us: self.end_us.max(trace.now_us).saturating_sub(first),
            },
        };
        let source = Source { title: title(&self.files), state, ..Source::default() };
        let wall_us = wall_us.or_else(|| trace.wall_of(at_us));
        self.record.picture(wall_us, source, Vec::new())
    }

    fn step_on(&mut self, now_us: u64) {
        let until = self.play.until(now_us);
        if self.play.at_us.is_none() {
            // It begins with the first line that tells something.
            while self.record.trace.events == 0 && !self.tapes.is_empty() {
                self.take_next();
            }
            self.play.at_us = Some(self.record.trace.now_us);
            return;
        }
        if std::mem::take(&mut self.play.step) {
            self.take_next();
        } else if self.play.seeking {
            self.seek();
        } else {
            let done = self.play_to(until.unwrap_or(u64::MAX), AT_ONCE);
            let reached = if done { until } else { None };
            let read = self.record.trace.now_us;
            let end = self.end_us.max(read);
            self.play.at_us = Some(reached.unwrap_or(read).max(read).min(end));
            return;
        }
        self.play.at_us = Some(self.record.trace.now_us);
    }
}

impl Show for Replay {
    fn step(&mut self, now_us: u64) -> Step {
        let before = self.play.at_us;
        self.step_on(now_us);
        let news = std::mem::take(&mut self.fresh) || self.play.at_us != before;
        let pause = if self.play.seeking { Duration::ZERO } else { PACE };
        Step { picture: news.then(|| self.draw(None)), pause }
    }

    fn wish(&mut self, wish: &Wish) {
        self.fresh = true;
        self.play.wish(wish);
        if *wish == Wish::Rewind {
            let speed = self.play.speed;
            *self = Self::new(&self.files, self.limits);
            self.play.speed = speed;
        }
    }
}

/// Time of an event of fsd, which is taken only once it is due; other lines tell when they are read.
fn time_of(line: &[u8]) -> Option<u64> {
    let key = b"\"mono_us\":";
    let at = memchr::memmem::find(line.get(..300).unwrap_or(line), key)? + key.len();
    let digits = line[at..].iter().take_while(|b| b.is_ascii_digit());
    let carried = line.ends_with(b"\"carried\":true}");
    let time = digits.fold(0_u64, |sum, digit| sum.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')));
    (!carried).then_some(time)
}

/// The moment of the last line, by the clock of the trace.
fn last_moment(file: &Path, limits: Limits) -> Option<u64> {
    let mut record = Record::new(limits);
    let stream = record.stream(file);
    if tape::is_packed(file) {
        tape::read_all(file, |line| record.line(stream, line)).ok()?;
    } else {
        let mut open = std::fs::File::open(file).ok()?;
        let start = open.metadata().ok()?.len().saturating_sub(TAIL);
        open.seek(SeekFrom::Start(start)).ok()?;
        let mut tail = Vec::new();
        open.read_to_end(&mut tail).ok()?;
        tail.split(|byte| *byte == b'\n').skip(usize::from(start > 0)).for_each(|line| record.line(stream, line));
    }
    Some(record.trace.now_us)
}
