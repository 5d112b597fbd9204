//! What passed by, second by second: the part of a picture that the engine's model does not keep.

use std::collections::{BTreeMap, VecDeque};

use fsd_events::{
    event::{Body, Event},
    ids::RunId,
    op::Op,
};

use super::picture::{EventLine, Lane, LaneSpan};
use crate::engine::fact::{Fact, Place, Remains, Sink, What};

/// Seconds, lines, spans and lanes that are kept.
const SECONDS: usize = 600;
const LINES: usize = 5_000;
const SPANS: usize = 400;
const LANES: usize = 64;

/// Recent history, bounded.
#[derive(Debug, Default)]
pub struct Trace {
    /// Time of the newest observation, microseconds of the source's clock.
    pub now_us: u64,
    pub events: u64,
    pub lines: VecDeque<EventLine>,
    pub stalls: Vec<(u64, Option<u64>)>,
    lanes: BTreeMap<String, VecDeque<LaneSpan>>,
    /// Lane and start of each operation that runs.
    running: BTreeMap<String, (String, u64)>,
    /// Completions in each second.
    completed: BTreeMap<u64, u64>,
    /// Slowest completion of each operation in each second.
    slowest: BTreeMap<Op, BTreeMap<u64, u64>>,
}

impl Trace {
    /// Keeps a raw line.
    pub fn line(&mut self, number: u64, raw: &[u8]) {
        let text = String::from_utf8_lossy(&raw[..raw.len().min(400)]).into_owned();
        let loud = ["\"ev\":\"stall", "\"ev\":\"invariant", "[watchdog]"].iter().any(|word| text.contains(word));
        if self.lines.len() == LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(EventLine { line: number, text, loud });
    }

    /// Completions a second, newest last.
    pub fn completed(&self) -> Vec<u64> {
        self.series(|second| self.completed.get(&second).copied().unwrap_or(0))
    }

    /// Slowest completion of an operation in each second, newest last.
    pub fn slowest(&self, op: &str) -> Vec<u64> {
        let seconds = Op::from_name(op).and_then(|op| self.slowest.get(&op));
        self.series(|second| seconds.and_then(|s| s.get(&second)).copied().unwrap_or(0))
    }

    pub fn lanes(&self) -> Vec<Lane> {
        let lane = |(worker, spans): (&String, &VecDeque<LaneSpan>)| Lane {
            worker: worker.clone(),
            spans: spans.iter().cloned().collect(),
        };
        self.lanes.iter().map(lane).collect()
    }

    fn series(&self, value: impl Fn(u64) -> u64) -> Vec<u64> {
        let now = self.now_us / 1_000_000;
        let first = self.completed.keys().next().copied().unwrap_or(now).max(now.saturating_sub(SECONDS as u64));
        (first..=now).map(value).collect()
    }

    fn at(&mut self, us: Option<u64>) -> u64 {
        self.events += 1;
        self.now_us = self.now_us.max(us.unwrap_or(0));
        us.unwrap_or(self.now_us)
    }

    fn enter(&mut self, key: String, op: Op, thread: Option<&str>, at: u64) {
        let lane = thread.unwrap_or("daemon").to_owned();
        if self.lanes.len() < LANES || self.lanes.contains_key(&lane) {
            let spans = self.lanes.entry(lane.clone()).or_default();
            if spans.len() == SPANS {
                spans.pop_front();
            }
            spans.push_back(LaneSpan { start_us: at, end_us: None, op: op.name().to_owned() });
            self.running.insert(key, (lane, at));
        }
    }

    fn exit(&mut self, key: &str, op: Option<Op>, us: Option<u64>, at: u64) {
        *self.completed.entry(at / 1_000_000).or_default() += 1;
        if self.completed.len() > SECONDS {
            self.completed.pop_first();
        }
        if let (Some(op), Some(us)) = (op, us) {
            let seconds = self.slowest.entry(op).or_default();
            let slowest = seconds.entry(at / 1_000_000).or_default();
            *slowest = us.max(*slowest);
            if seconds.len() > SECONDS {
                seconds.pop_first();
            }
        }
        let Some((lane, start)) = self.running.remove(key) else { return };
        let span = self.lanes.get_mut(&lane).and_then(|spans| spans.iter_mut().rev().find(|s| s.start_us == start));
        span.into_iter().for_each(|span| span.end_us = Some(at));
    }
}

/// Shows everything to the trace on its way to the model.
pub struct Tap<'a, S> {
    pub sink: &'a mut S,
    pub trace: &'a mut Trace,
}

impl<S: Sink> Sink for Tap<'_, S> {
    fn fact(&mut self, fact: Fact) {
        let at = self.trace.at(fact.at.mono_us.or(fact.at.wall_us));
        match &fact.what {
            What::Enter(call) => self.trace.enter(call.key.to_string(), call.op, call.thread.as_deref(), at),
            What::Exit(done) => self.trace.exit(&done.key.to_string(), done.op, done.us, at),
            _ => (),
        }
        self.sink.fact(fact);
    }

    fn event(&mut self, place: Place, event: &Event<'_>) {
        let at = self.trace.at(Some(event.head.mono_us));
        match &event.body {
            Body::Enter(enter) => self.trace.enter(enter.id.to_string(), enter.op, Some(&enter.thread), at),
            Body::Exit(exit) => self.trace.exit(&exit.id.to_string(), Some(exit.op), Some(exit.us), at),
            Body::Stall(_) => self.trace.stalls.push((at, None)),
            Body::StallEnd(_) => self.trace.stalls.iter_mut().for_each(|stall| stall.1 = stall.1.or(Some(at))),
            _ => (),
        }
        self.sink.event(place, event);
    }

    fn unknown(&mut self, place: Place, run: RunId, seq: u64) {
        self.sink.unknown(place, run, seq);
    }

    fn remains(&mut self, place: Place, remains: Remains) {
        self.sink.remains(place, remains);
    }
}
