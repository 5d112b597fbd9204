//! Ties: in which order lines of one time stand, where the latest time stands first: a store that sorts by time may leave
//! them as they were written, and one that reads its records from their end does not. No request ends before it begins:
//! so some of the lines are read both ways.

use std::collections::HashSet;

use fsd_events::{
    event::{Body, Event},
    ids::RunId,
};

use super::Mixed;
use crate::engine::fact::{Fact, InputId, Key, Place, Sink, What};

/// Counts ends that stand behind their beginnings.
#[derive(Default)]
struct Pairs {
    open: HashSet<Key>,
    paired: usize,
}

/// How many ends stand behind their beginnings, where the lines are read in that order.
pub(super) fn paired<'a>(lines: impl Iterator<Item = &'a [u8]>) -> usize {
    let (mut mixed, mut pairs) = (Mixed::live(InputId::default()), Pairs::default());
    lines.for_each(|line| mixed.line(line, &mut pairs));
    mixed.finish(&mut pairs);
    pairs.paired
}

impl Pairs {
    fn end(&mut self, key: Key) {
        self.paired += usize::from(self.open.remove(&key));
    }
}

impl Sink for Pairs {
    fn fact(&mut self, fact: Fact) {
        match fact.what {
            What::Enter(call) => _ = self.open.insert(call.key),
            What::Exit(done) => self.end(done.key),
            _ => {}
        }
    }

    fn event(&mut self, _place: Place, event: &Event<'_>) {
        match &event.body {
            Body::Enter(enter) => _ = self.open.insert(Key::Num(enter.id.0)),
            Body::Exit(exit) => self.end(Key::Num(exit.id.0)),
            _ => {}
        }
    }

    fn unknown(&mut self, _place: Place, _run: RunId, _seq: u64, _wall_us: u64) {}
}
