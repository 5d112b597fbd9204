//! What is carried: the lines of everything still open, for the head of the next file.

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
    ops::Range,
};

use fsd_events::{
    event::{Body, Event, Step},
    ids::OpId,
    line::{self, Decoded},
};

/// Lines by what they opened. Most pairs open and close within one batch; those are never copied.
#[derive(Default)]
pub(super) struct Carry {
    ops: Open<OpId>,
    locks: Open<(OpId, String)>,
}

impl Carry {
    /// Notes that `line`, a part of the batch, was written for `event`.
    pub(super) fn note(&mut self, event: &Event<'_>, line: Range<usize>) {
        match &event.body {
            Body::Enter(enter) => self.ops.open(enter.id, line),
            Body::Task(task) => self.ops.open(task.id, line),
            Body::Exit(exit) => self.ops.close(&exit.id),
            Body::TaskEnd(end) => self.ops.close(&end.id),
            Body::Lock(step) => {
                let key = (step.id, step.lock.to_string());
                match step.step {
                    Step::Wait | Step::Hold => self.locks.open(key, line),
                    Step::Free => self.locks.close(&key),
                }
            }
            _ => (),
        }
    }

    /// The batch is about to be written out of `lines`: copies what is still open in it.
    pub(super) fn keep(&mut self, lines: &[u8]) {
        self.ops.keep(lines);
        self.locks.keep(lines);
    }

    /// Appends every open line, oldest first, marked as carried. `alive` tells which operations and tasks still are:
    /// what was not at two calls in a row is forgotten, because its end was lost.
    pub(super) fn append(&mut self, alive: impl Fn(OpId) -> bool, out: &mut Vec<u8>) {
        self.ops.forget(|id| alive(*id));
        self.locks.forget(|(id, _)| alive(*id));
        let lines = self.ops.kept.values().chain(self.locks.kept.values());
        let events = lines.filter_map(|line| match line::decode(&line.bytes) {
            Decoded::Event(event) => Some(((event.head.mono_us, event.head.seq), event)),
            _ => None,
        });
        for event in events.collect::<BTreeMap<_, _>>().into_values() {
            line::encode(&Event { carried: true, ..event }, out);
        }
    }
}

struct Open<K> {
    fresh: HashMap<K, Range<usize>>,
    kept: HashMap<K, Line>,
}

struct Line {
    bytes: Vec<u8>,
    /// Was not alive at the last look; its end may still be in a ring.
    doubted: bool,
}

impl<K> Default for Open<K> {
    fn default() -> Self {
        Self { fresh: HashMap::new(), kept: HashMap::new() }
    }
}

impl<K: Eq + Hash> Open<K> {
    fn open(&mut self, key: K, line: Range<usize>) {
        self.fresh.insert(key, line);
    }

    fn close(&mut self, key: &K) {
        if self.fresh.remove(key).is_none() {
            self.kept.remove(key);
        }
    }

    fn forget(&mut self, alive: impl Fn(&K) -> bool) {
        self.kept.retain(|key, line| {
            let alive = alive(key);
            let keep = alive || !line.doubted;
            line.doubted = !alive;
            keep
        });
    }

    fn keep(&mut self, lines: &[u8]) {
        for (key, line) in self.fresh.drain() {
            if let Some(line) = lines.get(line) {
                self.kept.insert(key, Line { bytes: line.to_vec(), doubted: false });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use fsd_events::{
        event::{Enter, Exit, Head},
        ids::{Ino, Unique},
        op::Op,
    };

    use super::*;

    fn event(seq: u64, body: Body<'static>) -> Event<'static> {
        Event { head: Head { seq, mono_us: seq, ..Head::default() }, body, carried: false, late: false }
    }

    fn enter(id: u64) -> Body<'static> {
        Body::Enter(Enter {
            id: OpId(id),
            op: Op::Release,
            thread: "fuser-0".into(),
            tid: 1,
            unique: Unique(2 * id),
            resent: false,
            pid: 0,
            ino: Ino(1),
            fh: None,
            path: None,
            off: None,
            len: None,
            count: None,
        })
    }

    fn exit(id: u64) -> Body<'static> {
        Body::Exit(Exit { id: OpId(id), op: Op::Release, us: 1, errno: 0, bytes: 0, detached: false })
    }

    #[test]
    fn only_what_is_open_is_carried_and_keeps_its_numbers() {
        let mut carry = Carry::default();
        let batches = [vec![enter(1), enter(2), exit(2), enter(3)], vec![exit(3), enter(4)]];
        let mut seq = 10;
        for batch in batches {
            let mut lines = Vec::new();
            for body in batch {
                let (from, event) = (lines.len(), event(seq, body));
                line::encode(&event, &mut lines);
                carry.note(&event, from..lines.len());
                seq += 1;
            }
            carry.keep(&lines);
        }
        let mut out = Vec::new();
        carry.append(|_| true, &mut out);
        let got: Vec<_> = out.split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(line::decode).collect();
        let expected = [(10, enter(1)), (15, enter(4))]
            .map(|(seq, body)| Decoded::Event(Event { carried: true, ..event(seq, body) }));
        assert_eq!(got, expected);
        let mut lines = || {
            let mut out = Vec::new();
            carry.append(|id| id == OpId(4), &mut out);
            out.iter().filter(|b| **b == b'\n').count()
        };
        assert_eq!([lines(), lines()], [2, 1]);
    }
}
