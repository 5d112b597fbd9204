//! Numbers: whether every request of a log is there, by the numbers that the kernel or the daemon gives them.

/// The numbers of one life, as far as it takes to tell.
#[derive(Clone, Debug, Default)]
pub struct Numbers {
    ends: Option<(u64, u64)>,
    count: u64,
    even: bool,
    odd: bool,
}

/// Fewer may be whole by chance.
const FEWEST: u64 = 100;

impl Numbers {
    pub(super) fn note(&mut self, number: u64) {
        let (first, last) = self.ends.unwrap_or((number, number));
        self.ends = Some((first.min(number), last.max(number)));
        self.count += 1;
        *(if number.is_multiple_of(2) { &mut self.even } else { &mut self.odd }) = true;
    }

    pub(super) fn join(&mut self, other: &Self) {
        self.ends = match (self.ends, other.ends) {
            (Some(own), Some(theirs)) => Some((own.0.min(theirs.0), own.1.max(theirs.1))),
            (own, theirs) => own.or(theirs),
        };
        self.count += other.count;
        (self.even, self.odd) = (self.even | other.even, self.odd | other.odd);
    }

    /// Whether none is missing between the first and the last.
    pub fn are_whole(&self) -> bool {
        self.count >= FEWEST && !self.have_gaps()
    }

    /// Whether one is missing, or came twice. Newer kernels count in steps of two: the odd numbers are those of
    /// interrupts.
    pub fn have_gaps(&self) -> bool {
        let Some((first, last)) = self.ends else { return false };
        let step = if self.even && self.odd { 1 } else { 2 };
        (last - first) / step + 1 != self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn are_whole(numbers: impl Iterator<Item = u64>) -> bool {
        let mut all = Numbers::default();
        numbers.for_each(|number| all.note(number));
        all.are_whole()
    }

    #[test]
    fn numbers_are_whole_when_none_is_missing_in_whatever_order_and_steps_they_come() {
        assert!(are_whole(5..300));
        assert!(are_whole((6..700).step_by(2)));
        assert!(are_whole((4..300).map(|n| n ^ 1)));
        assert!(!are_whole((5..300).filter(|n| *n != 77)));
        assert!(!are_whole((6..700).step_by(2).filter(|n| *n != 78)));
        assert!(!are_whole((5..300).chain([77])), "one came twice: another may be missing");
        assert!(!are_whole(1..50));
    }
}
