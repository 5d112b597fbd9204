//! What passed by, second by second: the part of a picture that the engine's model does not keep.

mod flow;
mod heat;
mod lanes;
mod tap;

use std::{collections::VecDeque, sync::Arc};

use fsd_events::op::Op;

pub use self::tap::Tap;
use self::{flow::Flow, heat::Heat, lanes::Lanes};
use super::picture::{EventLine, HEAT, Lane};
use crate::engine::{report::Verdict, veil::veiled};

/// Lines that are kept, and bytes of each.
const LINES: usize = 5_000;
const LONGEST: usize = 2_000;
/// What marks a line that is worth the eye.
const LOUD: [&str; 6] =
    ["\"ev\":\"stall", "\"ev\":\"invariant", "\"ev\":\"handover", "\"ev\":\"stop", "[watchdog]", "panicked at"];

/// Recent history, bounded.
#[derive(Debug, Default)]
pub struct Trace {
    /// Time of the newest observation, or a later moment that is shown; microseconds of the source's clock.
    pub now_us: u64,
    /// Time of the first one.
    pub first_us: Option<u64>,
    /// Wall clock minus the source's clock, where both are known.
    wall_offset: Option<i64>,
    pub events: u64,
    pub lines: VecDeque<Arc<EventLine>>,
    /// Episodes of the watchdog.
    pub stalls: Vec<(u64, Option<u64>)>,
    /// Dumps that those name and nobody has read yet.
    pub dumps: Vec<String>,
    lanes: Lanes,
    flow: Flow,
    heat: Heat,
    /// Life of the daemon that was seen last.
    run: Option<u64>,
    /// Who writes the lines that come now, where several share a log.
    writer: u64,
    /// What hung, as it was said last before it went on, and when that was.
    pub ended: Option<(u64, Verdict)>,
}

impl Trace {
    /// Keeps a raw line.
    pub fn line(&mut self, number: u64, raw: &[u8]) {
        let text = String::from_utf8_lossy(&raw[..raw.len().min(LONGEST)]);
        let text = veiled(&text).into_owned();
        let loud = LOUD.iter().any(|word| text.contains(word));
        if self.lines.len() == LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(Arc::new(EventLine { line: number, text, loud }));
    }

    /// Something was observed at that moment of the source's clock; without one, now.
    pub fn at(&mut self, us: Option<u64>, wall_us: Option<u64>) -> u64 {
        self.events += 1;
        self.tick(us, wall_us)
    }

    /// It is that time.
    pub fn tick(&mut self, us: Option<u64>, wall_us: Option<u64>) -> u64 {
        let at = us.or(wall_us).unwrap_or(self.now_us);
        if let (Some(us), Some(wall)) = (us, wall_us) {
            self.wall_offset = Some(wall.cast_signed() - us.cast_signed());
        } else if us.is_none() && wall_us.is_some() {
            self.wall_offset = Some(0);
        }
        self.first_us.get_or_insert(at);
        self.now_us = self.now_us.max(at);
        at
    }

    /// Time goes on though nothing is observed.
    pub fn advance(&mut self, to_us: u64) {
        self.now_us = self.now_us.max(to_us);
    }

    /// That moment of the wall clock on the source's clock.
    pub fn of_wall(&self, wall_us: u64) -> Option<u64> {
        self.wall_offset.map(|offset| wall_us.saturating_add_signed(-offset))
    }

    pub fn wall_of(&self, us: u64) -> Option<u64> {
        self.wall_offset.map(|offset| us.saturating_add_signed(offset))
    }

    /// A request has begun.
    pub fn enter(&mut self, key: (u64, u64), op: Op, thread: Option<&str>, at: u64) {
        self.lanes.enter(key, op, thread.unwrap_or("daemon"), at);
        self.flow.open(at, self.lanes.open());
    }

    /// It has ended, after as long as it says, else as was seen.
    pub fn exit(&mut self, key: (u64, u64), op: Option<Op>, us: Option<u64>, at: u64) {
        let began = self.lanes.exit(key, at);
        let op = op.or(began.map(|(op, _)| op));
        let us = us.or(began.map(|(_, start)| at.saturating_sub(start)));
        self.completed(op, us, at);
        self.flow.open(at, self.lanes.open());
    }

    /// So many are in flight, says somebody who has counted.
    pub fn inflight_is(&mut self, count: usize) {
        self.flow.open(self.now_us, count);
    }

    /// A request of which only the end is known, on that lane.
    pub fn whole(&mut self, op: Op, lane: &str, us: u64, at: u64) {
        self.lanes.whole(op, lane, at.saturating_sub(us), at);
        self.completed(Some(op), Some(us), at);
    }

    fn completed(&mut self, op: Option<Op>, us: Option<u64>, at: u64) {
        self.flow.completed(at);
        if let (Some(op), Some(us)) = (op, us) {
            self.heat.completed(op, us, at);
        }
    }

    /// How long that request has been open.
    pub fn age(&self, key: (u64, u64), at: u64) -> Option<u64> {
        self.lanes.start(key).map(|start| at.saturating_sub(start))
    }

    /// The daemon says that nothing is open, or it is another one: what seems open has lost its end.
    pub fn nothing_open(&mut self, before: u64, run: Option<u64>) {
        self.lanes.close_before(before, run);
        self.flow.open(self.now_us, self.lanes.open());
    }

    /// Completions a second, newest last; the current second is not over and left out.
    pub fn completions(&self) -> Vec<u64> {
        self.flow.completions(self.now_us)
    }

    /// Most requests in flight in each second, newest last.
    pub fn inflight(&self) -> Vec<u64> {
        self.flow.inflight(self.now_us)
    }

    /// Completions of each second by how long they took, newest second last.
    pub fn heat(&self, op: &str) -> Vec<[u32; HEAT.len() + 1]> {
        Op::from_name(op).map(|op| self.heat.of(op, self.now_us)).unwrap_or_default()
    }

    pub fn lanes(&self) -> Vec<Lane> {
        self.lanes.all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_without_ends_does_not_count_for_ever() {
        let mut trace = Trace::default();
        trace.at(Some(1_000_000), None);
        trace.enter((1, 7), Op::Read, Some("fuser-0"), 1_000_000);
        trace.at(Some(5_000_000), None);
        trace.nothing_open(3_000_000, None);
        trace.advance(6_000_000);
        assert_eq!(trace.inflight(), [1, 1, 1, 1, 1, 0]);
    }

    #[test]
    fn what_completes_is_counted_in_its_second_and_by_how_long_it_took() {
        let mut trace = Trace::default();
        for (id, us) in [(1, 50), (2, 2_000_000), (3, 60)] {
            let at = trace.at(Some(4_000_000 + id), None);
            trace.enter((1, id), Op::Read, None, at);
            trace.exit((1, id), None, Some(us), at);
        }
        trace.advance(5_500_000);
        assert_eq!(trace.completions(), [3]);
        assert_eq!(trace.heat("Read"), [[2, 0, 0, 0, 0, 1, 0], [0; 7]]);
        assert_eq!(trace.inflight(), [1, 0]);
    }

    #[test]
    fn both_clocks_are_joined() {
        let mut trace = Trace::default();
        assert_eq!(trace.of_wall(9), None);
        trace.at(Some(100), Some(1_100));
        assert_eq!((trace.of_wall(1_500), trace.wall_of(500)), (Some(500), Some(1_500)));
    }
}
