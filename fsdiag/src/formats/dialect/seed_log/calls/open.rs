//! Calls that have not ended, by their kind and when they began.

use std::collections::VecDeque;

use fsd_events::op::Op;

use crate::engine::fact::Key;

/// The calls of each kind.
#[derive(Default)]
pub(super) struct Open(Vec<Kind>);

struct Kind {
    op: Op,
    /// Of which nobody knows when they began: the first one first.
    timeless: VecDeque<Key>,
    /// The others, by when they began.
    timed: VecDeque<(u64, Key)>,
}

/// The call that began next to a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Nearest {
    kind: usize,
    /// None: the first without a time.
    timed: Option<usize>,
    /// How far from that time it began.
    pub(super) distance_us: u64,
}

impl Open {
    /// So many of a kind are kept: no daemon has more handlers, and what is older has lost its end.
    const MOST: usize = 4096;

    pub(super) fn has(&self, op: Op) -> bool {
        self.0.iter().any(|kind| kind.op == op && !(kind.timeless.is_empty() && kind.timed.is_empty()))
    }

    pub(super) fn insert(&mut self, op: Op, key: Key, entered_us: Option<u64>) {
        let known = self.0.iter().position(|kind| kind.op == op).unwrap_or_else(|| {
            self.0.push(Kind { op, timeless: VecDeque::new(), timed: VecDeque::new() });
            self.0.len() - 1
        });
        let Kind { timeless, timed, .. } = &mut self.0[known];
        match entered_us {
            None => timeless.push_back(key),
            Some(at_us) => {
                let place = timed.partition_point(|(other_us, _)| *other_us <= at_us);
                timed.insert(place, (at_us, key));
            }
        }
        if timeless.len() > Self::MOST {
            timeless.pop_front();
        }
        if timed.len() > Self::MOST {
            timed.pop_front();
        }
    }

    /// One that nobody knows the beginning of may have begun at any time.
    pub(super) fn nearest(&self, op: Op, began_us: Option<u64>) -> Option<Nearest> {
        let (at, kind) = self.0.iter().enumerate().find(|(_, kind)| kind.op == op)?;
        let began_us = match began_us {
            Some(began_us) if kind.timeless.is_empty() => began_us,
            _ if !kind.timeless.is_empty() => return Some(Nearest { kind: at, timed: None, distance_us: 0 }),
            _ => return (!kind.timed.is_empty()).then_some(Nearest { kind: at, timed: Some(0), distance_us: 0 }),
        };
        let later = kind.timed.partition_point(|(entered_us, _)| *entered_us < began_us);
        let earlier = later.checked_sub(1).map(|one| kind.first_of_its_time(one));
        let of = |one: usize| {
            let distance_us = kind.timed.get(one)?.0.abs_diff(began_us);
            Some(Nearest { kind: at, timed: Some(one), distance_us })
        };
        earlier.and_then(of).into_iter().chain(of(later)).min_by_key(|nearest| nearest.distance_us)
    }

    pub(super) fn remove(&mut self, call: Nearest) -> Option<Key> {
        let kind = &mut self.0[call.kind];
        match call.timed {
            None => kind.timeless.pop_front(),
            Some(at) => kind.timed.remove(at).map(|(_, key)| key),
        }
    }
}

impl Kind {
    fn first_of_its_time(&self, one: usize) -> usize {
        let (at_us, _) = self.timed[one];
        self.timed.partition_point(|(other_us, _)| *other_us < at_us)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_nearest_of_a_kind_is_found_however_calls_lie(
            calls in prop::collection::vec((prop::option::of(0_u64..40), any::<bool>()), 0..30),
            ends in prop::collection::vec((prop::option::of(0_u64..40), any::<bool>()), 0..30),
        ) {
            let op = |read| if read { Op::Read } else { Op::Write };
            let (mut open, mut left) = (Open::default(), Vec::new());
            for (n, (at_us, read)) in calls.into_iter().enumerate() {
                open.insert(op(read), Key::Num(n as u64), at_us);
                left.push((Key::Num(n as u64), op(read), at_us));
            }
            for (began_us, read) in ends {
                let distance = |at_us: Option<u64>| at_us.zip(began_us).map_or(0, |(at, began)| at.abs_diff(began));
                let least = left.iter().filter(|call| call.1 == op(read)).map(|call| distance(call.2)).min();
                let nearest = open.nearest(op(read), began_us);
                prop_assert_eq!(nearest.map(|nearest| nearest.distance_us), least);
                prop_assert_eq!(open.has(op(read)), least.is_some());
                let Some(key) = nearest.and_then(|nearest| open.remove(nearest)) else { continue };
                let at = left.iter().position(|call| call.0 == key).expect("it is open");
                let (_, kind, at_us) = left.remove(at);
                prop_assert_eq!((kind, Some(distance(at_us))), (op(read), least));
            }
        }
    }

    #[test]
    fn of_those_that_began_at_one_time_the_first_line_ends_first() {
        let mut open = Open::default();
        for (n, at_us) in [(1, 10), (2, 10), (3, 30)] {
            open.insert(Op::Read, Key::Num(n), Some(at_us));
        }
        for (began_us, expected) in [(12, 1), (10, 2), (10, 3)] {
            let nearest = open.nearest(Op::Read, Some(began_us)).expect("one is open");
            assert_eq!(open.remove(nearest), Some(Key::Num(expected)));
        }
    }
}
