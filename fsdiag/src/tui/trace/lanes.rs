//! Lanes: which worker did what when.

use std::collections::{HashMap, VecDeque};

use fsd_events::op::Op;

use crate::tui::picture::{Lane, LaneSpan};

/// Lanes and spans of each that are kept.
const LANES: usize = 64;
const SPANS: usize = 600;
/// Short requests with pauses as short between them become one span, so that a busy lane has a history too.
const SHORT_US: u64 = 20_000;

#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: Vec<(Box<str>, VecDeque<LaneSpan>)>,
    by_name: HashMap<Box<str>, usize>,
    /// Lane, operation and start of each request that runs, by run and id.
    running: HashMap<(u64, u64), Running>,
}

#[derive(Clone, Copy, Debug)]
struct Running {
    /// None: there are too many lanes.
    lane: Option<usize>,
    op: Op,
    start: u64,
}

impl Lanes {
    pub(super) fn open(&self) -> usize {
        self.running.len()
    }

    pub(super) fn start(&self, key: (u64, u64)) -> Option<u64> {
        self.running.get(&key).map(|running| running.start)
    }

    pub(super) fn enter(&mut self, key: (u64, u64), op: Op, lane: &str, at: u64) {
        let lane = self.lane(lane);
        self.running.insert(key, Running { lane, op, start: at });
    }

    /// Its operation and when it began.
    pub(super) fn exit(&mut self, key: (u64, u64), at: u64) -> Option<(Op, u64)> {
        let running = self.running.remove(&key)?;
        if let Some(lane) = running.lane {
            self.span(lane, running.op, running.start, at);
        }
        Some((running.op, running.start))
    }

    pub(super) fn whole(&mut self, op: Op, lane: &str, start: u64, end: u64) {
        if let Some(lane) = self.lane(lane) {
            self.span(lane, op, start, end);
        }
    }

    /// Forgets what began before that moment, of every other run if one is named.
    pub(super) fn close_before(&mut self, before: u64, run: Option<u64>) {
        self.running.retain(|(of, _), running| running.start >= before || run == Some(*of));
    }

    /// Every lane with its spans, those that still run last.
    pub(super) fn all(&self) -> Vec<Lane> {
        let mut lanes: Vec<Lane> = self
            .lanes
            .iter()
            .map(|(worker, spans)| Lane { worker: worker.to_string(), spans: spans.iter().copied().collect() })
            .collect();
        let mut open: Vec<&Running> = self.running.values().collect();
        open.sort_by_key(|running| (running.start, running.op));
        for Running { lane, op, start } in open {
            if let Some(lane) = lane.and_then(|lane| lanes.get_mut(lane)) {
                lane.spans.push(LaneSpan { start_us: *start, end_us: None, op: *op });
            }
        }
        lanes.sort_by(|a, b| by_number(&a.worker).cmp(&by_number(&b.worker)));
        lanes
    }

    fn lane(&mut self, name: &str) -> Option<usize> {
        if let Some(at) = self.by_name.get(name) {
            return Some(*at);
        }
        if self.lanes.len() == LANES {
            return None;
        }
        self.lanes.push((name.into(), VecDeque::new()));
        self.by_name.insert(name.into(), self.lanes.len() - 1);
        Some(self.lanes.len() - 1)
    }

    fn span(&mut self, lane: usize, op: Op, start: u64, end: u64) {
        let spans = &mut self.lanes[lane].1;
        let short = end.saturating_sub(start) < SHORT_US;
        if let Some(before) = spans.back_mut().filter(|before| short && before.op == op)
            && let Some(ended) = before.end_us.filter(|ended| start < ended + SHORT_US)
        {
            before.end_us = Some(ended.max(end));
            return;
        }
        if spans.len() == SPANS {
            spans.pop_front();
        }
        spans.push_back(LaneSpan { start_us: start, end_us: Some(end), op });
    }
}

/// `fuser-2` before `fuser-10`.
fn by_number(name: &str) -> (&str, u64, &str) {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    (stem, name[stem.len()..].parse().unwrap_or(0), name)
}
