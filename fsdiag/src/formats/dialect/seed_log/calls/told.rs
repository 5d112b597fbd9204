//! Whether a line was there before, as those that a collector sends again.

use std::hash::Hasher as _;

use fsd_events::op::Op;

use crate::engine::model::hash::NumberHasher;

/// Lines by what tells one from any other. Each has one place, which the next one of that place takes: so a look is one
/// step, and what was told long ago is forgotten.
#[derive(Default)]
pub(super) struct Told(Box<[Sign]>);

/// Its microsecond, what it tells of, and its last bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Sign {
    at_us: u64,
    op: Option<Op>,
    tail: [u8; 8],
}

const NONE: Sign = Sign { at_us: 0, op: None, tail: [0; 8] };

impl Told {
    /// So many places; a collector's blocks have fewer lines.
    const PLACES: usize = 4096;

    /// Whether the line was there before; from now on it was.
    pub(super) fn is_again(&mut self, at_us: u64, op: Op, text: &str) -> bool {
        if self.0.is_empty() {
            self.0 = vec![NONE; Self::PLACES].into();
        }
        let tail = text.as_bytes().last_chunk().copied().unwrap_or_default();
        let sign = Sign { at_us, op: Some(op), tail };
        let mut hasher = NumberHasher::default();
        hasher.write_u64(at_us ^ u64::from_ne_bytes(tail));
        let place = hasher.finish() as usize % Self::PLACES;
        std::mem::replace(&mut self.0[place], sign) == sign
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_there_again_only_with_its_time_its_operation_and_its_end() {
        let mut told = Told::default();
        assert!(!told.is_again(1, Op::Read, "EXIT dur=2.3ms"));
        assert!(!told.is_again(2, Op::Read, "EXIT dur=2.3ms"));
        assert!(!told.is_again(3, Op::Read, "EXIT dur=2.4ms"));
        assert!(told.is_again(1, Op::Read, "EXIT dur=2.3ms"));
        assert!(!told.is_again(1, Op::Write, "EXIT dur=2.3ms"));
    }
}
