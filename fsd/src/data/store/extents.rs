//! Extents: which bytes of a content are there.

use std::{collections::BTreeMap, ops::Range};

/// A set of byte offsets as disjoint ranges that do not touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Extents {
    /// Start to end, exclusive.
    ranges: BTreeMap<u64, u64>,
    bytes: u64,
}

impl Extents {
    pub(super) fn insert(&mut self, range: Range<u64>) {
        let Range { mut start, mut end } = range;
        if start >= end {
            return;
        }
        while let Some((&left, &right)) = self.ranges.range(..=end).next_back().filter(|last| *last.1 >= start) {
            (start, end) = (start.min(left), end.max(right));
            self.ranges.remove(&left);
            self.bytes -= right - left;
        }
        self.ranges.insert(start, end);
        self.bytes += end - start;
    }

    pub(super) fn remove(&mut self, range: &Range<u64>) {
        if range.start >= range.end {
            return;
        }
        while let Some((&left, &right)) =
            self.ranges.range(..range.end).next_back().filter(|last| *last.1 > range.start)
        {
            self.ranges.remove(&left);
            self.bytes -= right - left;
            for rest in [left..range.start.min(right), range.end.max(left)..right] {
                if rest.start < rest.end {
                    self.bytes += rest.end - rest.start;
                    self.ranges.insert(rest.start, rest.end);
                }
            }
            if left <= range.start {
                return;
            }
        }
    }

    /// All of `range` is there. Nothing is always there.
    pub(super) fn covers(&self, range: &Range<u64>) -> bool {
        range.start >= range.end || self.run_from(range.start) >= range.end
    }

    /// Where the bytes that are there without a gap from `at` on end; `at` itself when it is missing.
    pub(super) fn run_from(&self, at: u64) -> u64 {
        self.ranges.range(..=at).next_back().map_or(at, |(_, &end)| end.max(at))
    }

    /// The first missing bytes within `within`; None when all of it is there.
    pub(super) fn first_gap(&self, within: &Range<u64>) -> Option<Range<u64>> {
        let start = self.run_from(within.start);
        let end = self.ranges.range(start..).next().map_or(within.end, |(&next, _)| next.min(within.end));
        (start < within.end).then_some(start..end)
    }

    /// Every gap within `within`, in order.
    pub(super) fn gaps(&self, within: Range<u64>) -> impl Iterator<Item = Range<u64>> {
        let mut rest = within;
        std::iter::from_fn(move || {
            let gap = self.first_gap(&rest)?;
            rest.start = gap.end;
            Some(gap)
        })
    }

    /// Every range, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Range<u64>> {
        self.ranges.iter().map(|(&start, &end)| start..end)
    }

    /// How many bytes are there.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIZE: u64 = 64;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(Range<u64>),
        Remove(Range<u64>),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let range = (0..SIZE, 0..SIZE).prop_map(|(a, b)| a.min(b)..a.max(b));
        let step =
            (range, any::<bool>()).prop_map(|(range, put)| if put { Step::Insert(range) } else { Step::Remove(range) });
        proptest::collection::vec(step, 0..40)
    }

    fn slots(range: &Range<u64>) -> Range<usize> {
        usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()
    }

    proptest! {
        #[test]
        fn it_is_a_set_of_offsets(steps in steps(), from in 0..SIZE, to in 0..SIZE) {
            let (mut extents, mut model) = (Extents::default(), [false; SIZE as usize]);
            for step in steps {
                let (range, there) = match &step {
                    Step::Insert(range) => (range.clone(), true),
                    Step::Remove(range) => (range.clone(), false),
                };
                model[slots(&range)].fill(there);
                if there { extents.insert(range) } else { extents.remove(&range) }
            }
            prop_assert_eq!(extents.bytes(), model.iter().filter(|there| **there).count() as u64);
            let asked = from.min(to)..from.max(to);
            prop_assert_eq!(extents.covers(&asked), model[slots(&asked)].iter().all(|there| *there));
            let gaps: Vec<u64> = extents.gaps(asked.clone()).flatten().collect();
            let missing: Vec<u64> = asked.filter(|at| !model[usize::try_from(*at).unwrap()]).collect();
            prop_assert_eq!(gaps, missing);
            for (left, right) in extents.ranges.iter().zip(extents.ranges.iter().skip(1)) {
                prop_assert!(left.1 < right.0, "{:?} and {:?} touch", left, right);
            }
        }
    }
}
