//! Tap: shows everything to the trace on its way to the model.

use fsd_events::{
    event::{Body, Event},
    ids::RunId,
};

use super::Trace;
use crate::engine::{
    fact::{At, Fact, InputId, Key, Place, Remains, Sink, What, Writer},
    model::{Model, Now},
};

/// Before the end of something old the verdict on it is asked for, at most so often.
const JUDGE_EVERY_US: u64 = 1_000_000;
/// A beat that counts nothing speaks of what is older than that.
const SLACK_US: u64 = 1_000_000;

pub struct Tap<'a> {
    pub model: &'a mut Model,
    pub trace: &'a mut Trace,
}

impl Tap<'_> {
    /// What hangs is judged at the last moment at which it hangs, so that the verdict that is kept afterwards does not
    /// depend on when somebody looked.
    fn judge_before_end(&mut self, age_us: Option<u64>, at: u64) {
        let old = age_us.is_some_and(|us| i64::try_from(us).is_ok_and(|us| us >= self.model.limits.stalled_us));
        let judged = self.trace.ended.as_ref().is_some_and(|(when, _)| at < when + JUDGE_EVERY_US);
        if old && !judged {
            self.judge(at);
        }
    }

    fn judge(&mut self, at: u64) {
        let now = Now { wall_us: self.trace.wall_of(at) };
        if let Some(verdict) = self.model.report(now).verdicts.into_iter().next() {
            self.trace.ended = Some((at, verdict));
        }
    }

    fn own(&mut self, event: &Event<'_>, at: u64) {
        let run = event.head.run.0;
        match &event.body {
            Body::Enter(enter) => self.trace.enter((run, enter.id.0), enter.op, Some(&enter.thread), at),
            Body::Exit(exit) => {
                self.judge_before_end(Some(exit.us), at);
                self.trace.exit((run, exit.id.0), Some(exit.op), Some(exit.us), at);
            }
            Body::Beat(beat) if beat.inflight.is_empty() => {
                self.trace.nothing_open(at.saturating_sub(SLACK_US), None);
            }
            Body::Stall(stall) => {
                self.trace.stalls.push((at, None));
                self.trace.dumps.extend(stall.stacks.as_ref().map(|name| name.to_string()));
            }
            Body::StallEnd(_) => self.end_stalls(at),
            Body::Start(_) if self.trace.run.replace(run).is_some_and(|before| before != run) => {
                self.new_life(Some(run), at);
            }
            Body::Handover(_) | Body::Stop { .. } => self.judge(at),
            _ => (),
        }
    }

    /// Nothing of an earlier life is open any more; the kernel sends again what must be answered.
    fn new_life(&mut self, run: Option<u64>, at: u64) {
        self.judge(at);
        self.trace.nothing_open(at, run);
        self.end_stalls(at);
    }

    fn end_stalls(&mut self, at: u64) {
        self.trace.stalls.iter_mut().for_each(|stall| stall.1 = stall.1.or(Some(at)));
    }
}

/// A request of a source without runs, by its writer: those who share a log count alike.
fn key(place: Place, writer: u64, key: Key) -> (u64, u64) {
    let number = match key {
        Key::Num(n) | Key::Hex(n) | Key::Line(n) | Key::Thread(n) => n,
    };
    (u64::from(place.input.0) ^ writer, number)
}

impl Sink for Tap<'_> {
    fn fact(&mut self, fact: Fact) {
        let at = self.trace.at(fact.at.mono_us, fact.at.wall_us);
        match &fact.what {
            What::Enter(call) => {
                self.trace.enter(key(fact.place, self.trace.writer, call.key), call.op, call.thread.as_deref(), at)
            }
            What::Exit(done) => {
                let key = key(fact.place, self.trace.writer, done.key);
                self.judge_before_end(done.us.or_else(|| self.trace.age(key, at)), at);
                self.trace.exit(key, done.op, done.us, at);
            }
            What::Completed(done) => self.trace.whole(done.op, "daemon", done.us, at),
            What::Session { .. } => self.new_life(None, at),
            What::SessionEnd { .. } => self.judge(at),
            _ => (),
        }
        self.model.fact(fact);
    }

    fn writer(&mut self, input: InputId, writer: Option<&Writer>, speaks: bool) {
        self.trace.writer = writer.map_or(0, |writer| writer.identity);
        self.model.writer(input, writer, speaks);
    }

    fn boots(&mut self, input: InputId) {
        self.model.boots(input);
    }

    fn joins(&mut self, input: InputId, other: &Writer, daemon: &Writer) {
        self.model.joins(input, other, daemon);
    }

    fn leaves(&mut self, input: InputId) {
        self.model.leaves(input);
    }

    fn passed(&mut self, input: InputId, at: At, own: bool) {
        self.model.passed(input, at, own);
    }

    fn event(&mut self, place: Place, event: &Event<'_>) {
        let at = self.trace.at(Some(event.head.mono_us), Some(event.head.ts_us));
        // Repeated at the head of a file: it has begun long before, and has been counted if it was seen.
        if !event.carried || matches!(event.body, Body::Enter(_)) {
            self.own(event, at);
        }
        self.model.event(place, event);
    }

    fn unknown(&mut self, place: Place, run: RunId, seq: u64, wall_us: u64) {
        self.trace.events += 1;
        self.model.unknown(place, run, seq, wall_us);
    }

    fn remains(&mut self, place: Place, remains: Remains) {
        self.trace.events += 1;
        if let Some(id) = remains.exit {
            self.trace.exit((remains.run.0, id), None, None, self.trace.now_us);
        }
        self.model.remains(place, remains);
    }
}
