//! Feeds the screens: reads the source as it grows, or a recording at a chosen speed, and sends pictures.

use std::{
    path::PathBuf,
    sync::mpsc::{Receiver, RecvTimeoutError, Sender},
    time::Duration,
};

use super::{
    Wish, acts, compose,
    picture::{Source, SourceState, Speed},
    trace::{Tap, Trace},
    turn::Turn,
};
use crate::{
    engine::{
        fact::InputId,
        model::{Limits, Model, Now},
    },
    formats::Mixed,
    sources::{
        self,
        follow::{Change, Follow},
    },
};

/// Between two pictures: ten a second are more than an eye needs, and leave the keys free.
const PACE: Duration = Duration::from_millis(100);
/// Read at most so much between two pictures.
const AT_ONCE: usize = 8 << 20;

/// What is shown.
#[derive(Clone, Debug)]
pub struct Subject {
    pub title: String,
    pub file: PathBuf,
    /// Mount point, where something can be done.
    pub mount: Option<String>,
    pub is_fsd: bool,
    /// A recording is played from its start; otherwise the file is followed.
    pub replay: bool,
    pub limits: Limits,
}

/// Reads and sends until nobody listens.
pub struct Feed {
    subject: Subject,
    model: Model,
    mixed: Mixed,
    input: InputId,
    trace: Trace,
    follow: Follow,
    play: Play,
    gone: bool,
    /// Operations in flight at each picture, newest last.
    inflight: Vec<u64>,
    /// Events read by then, at a wall clock moment in microseconds, and the rate found since.
    counted: (u64, u64),
    rate: u64,
    /// A verdict that is over stays on the screen.
    last_verdict: Option<super::picture::Verdict>,
}

/// How a recording is played.
#[derive(Debug)]
struct Play {
    speed: Speed,
    paused: bool,
    /// Time of the recording to show, microseconds; None until its first event.
    until_us: Option<u64>,
    seeking: bool,
}

impl Feed {
    pub fn new(subject: Subject) -> Self {
        let mut model = Model::new(subject.limits);
        let input = model.input(&subject.file.display().to_string());
        Self {
            follow: Follow::new(&subject.file),
            mixed: Mixed::new(input),
            play: Play { speed: Speed(10), paused: false, until_us: None, seeking: false },
            trace: Trace::default(),
            gone: false,
            inflight: Vec::new(),
            counted: (0, sources::wall_us()),
            rate: 0,
            last_verdict: None,
            model,
            input,
            subject,
        }
    }

    pub fn run(mut self, turns: &Sender<Turn>, wishes: &Receiver<Wish>) {
        loop {
            let step = self.read();
            if turns.send(Turn::Picture(Box::new(self.picture(step)))).is_err() {
                return;
            }
            match wishes.recv_timeout(PACE) {
                Ok(wish) => self.wish(wish),
                Err(RecvTimeoutError::Timeout) => (),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Reads what is due; what went wrong, if anything.
    fn read(&mut self) -> Option<String> {
        if !self.subject.replay {
            return self.read_some(AT_ONCE);
        }
        if self.play.paused && !self.play.seeking {
            return None;
        }
        let elapsed = PACE.as_micros() as u64 * u64::from(self.play.speed.0) / 10;
        let until = self.play.until_us.map(|us| us + elapsed);
        let whole = self.play.speed.0 == 0;
        loop {
            let (before, stalls) = (self.trace.events, self.trace.stalls.len());
            let problem = self.read_some(if whole { AT_ONCE } else { 4 << 10 });
            let sought = self.play.seeking && self.trace.stalls.len() > stalls;
            let due = until.is_some_and(|until| self.trace.now_us < until) || until.is_none() && self.trace.now_us == 0;
            if sought {
                (self.play.seeking, self.play.paused) = (false, true);
            }
            if problem.is_some() || self.trace.events == before || sought || (!self.play.seeking && (!due || whole)) {
                self.play.until_us =
                    Some(until.unwrap_or(self.trace.now_us).max(self.trace.now_us.min(until.unwrap_or(u64::MAX))));
                return problem;
            }
        }
    }

    fn read_some(&mut self, limit: usize) -> Option<String> {
        let Self { mixed, model, trace, follow, .. } = self;
        let polled = follow.poll(limit, |line| {
            mixed.line(line, &mut Tap { sink: model, trace });
            trace.line(mixed.counts().lines, line);
        });
        match polled {
            Ok((change, more)) => {
                self.gone = matches!(change, Change::Gone | Change::Missing);
                if !more && !self.subject.replay {
                    self.mixed.settle(&mut Tap { sink: &mut self.model, trace: &mut self.trace });
                }
                None
            }
            Err(error) => Some(error.to_string()),
        }
    }

    fn picture(&mut self, problem: Option<String>) -> super::picture::Picture {
        let counts = self.mixed.counts().clone();
        self.model.counted(self.input, self.mixed.format(), counts.lines, counts.events, counts.bad_lines);
        // A log without its daemon ends when its last line was written.
        let live = self.subject.mount.is_some() && !self.subject.replay && !self.gone;
        let now = Now { wall_us: live.then(sources::wall_us) };
        let source = Source { title: self.subject.title.clone(), state: self.state(problem), ..Source::default() };
        let acts = self.subject.mount.as_ref().map(|mount| acts::of(mount, self.subject.is_fsd));
        let mut picture = compose::picture(&self.model, &self.trace, source, now, acts.unwrap_or_default());
        self.inflight.extend(picture.inflight.iter().copied());
        let surplus = self.inflight.len().saturating_sub(600);
        self.inflight.drain(..surplus);
        picture.inflight.clone_from(&self.inflight);
        picture.source.events_per_s = self.rate();
        self.keep_verdict(&mut picture);
        picture
    }

    /// Events read a second, found anew each second.
    fn rate(&mut self) -> u64 {
        let (now, (events, since)) = (sources::wall_us(), self.counted);
        let passed = now.saturating_sub(since);
        if passed >= 1_000_000 {
            self.rate = (self.trace.events - events) * 1_000_000 / passed;
            self.counted = (self.trace.events, now);
        }
        self.rate
    }

    /// What hung and no longer does is shown as recovered until something hangs again.
    fn keep_verdict(&mut self, picture: &mut super::picture::Picture) {
        match &picture.verdict {
            Some(verdict) => self.last_verdict = Some(verdict.clone()),
            None => {
                picture.verdict = self.last_verdict.clone().map(|v| super::picture::Verdict { recovered: true, ..v });
            }
        }
    }

    fn state(&self, problem: Option<String>) -> SourceState {
        let (done, total) = self.follow.progress();
        match problem {
            Some(what) => SourceState::Failed {
                what: format!("{}: {what}", self.subject.file.display()),
                next: "Look at its permissions, or name another source.".to_owned(),
            },
            None if self.gone && self.trace.events == 0 => {
                SourceState::Gone { why: format!("{} is not there.", self.subject.file.display()) }
            }
            None if self.gone => SourceState::Gone { why: "the event file is gone".to_owned() },
            None if self.subject.replay => {
                SourceState::Replay { speed: self.play.speed, paused: self.play.paused, end_us: 0 }
            }
            None if done + (AT_ONCE as u64) < total => SourceState::Loading { done, total },
            None if self.trace.events == 0 => SourceState::Empty,
            None if self.subject.mount.is_none() => SourceState::Recorded,
            None => SourceState::Live,
        }
    }

    fn wish(&mut self, wish: Wish) {
        match wish {
            Wish::Pause(paused) => self.play.paused = paused,
            Wish::Faster => self.play.speed = self.play.speed.step(true),
            Wish::Slower => self.play.speed = self.play.speed.step(false),
            Wish::Step => drop(self.read_some(512)),
            Wish::NextStall => self.play.seeking = true,
        }
    }
}
