//! Trust: what of a line is believed: envelopes that may be none, and lines that collectors send twice.

use hashbrown::HashSet;

use super::is_event;
use crate::{
    engine::fact::At,
    formats::{envelope::Opened, gate::GATE, writer::By},
};

#[derive(Default)]
pub(super) struct Trust {
    /// What envelopes begin with that were doubtful, and have stood before lines of a known format.
    believed: HashSet<Box<str>>,
    /// The last line that a collector stamped: its time, whose it was, and what it said.
    last: (u64, u64, String),
}

impl Trust {
    /// A line without what looks like an envelope and is believed, where there are several, or one that is not.
    #[inline(never)]
    pub(super) fn settled<'a>(&mut self, opened: &Opened<'a>) -> Opened<'a> {
        let mut left = opened.doubted();
        if !opened.many {
            return left;
        }
        // Each is asked: behind the name that a runner gave stands `panic: ` as well.
        while let Some(next) = left.next() {
            if !self.believes(&next) && !self.believes(&Opened { text: opened.text, ..next }) {
                return left;
            }
            left = Opened { doubt: None, ..next };
        }
        *opened
    }

    /// Whether an envelope that looks like one is one.
    #[inline(never)]
    pub(super) fn believes(&mut self, opened: &Opened<'_>) -> bool {
        /// A journal has more names, and tells their processes; a cluster has as many hosts.
        const MOST: usize = 4096;
        let Some(doubt) = opened.doubt else { return true };
        if self.believed.contains(doubt.head) {
            return true;
        }
        let text = opened.text;
        let known = text.starts_with(['{']) && is_event(text.as_bytes()) || GATE.of_a_format(text);
        let proven = known && GATE.begun(doubt.with) == 0;
        if proven && self.believed.len() < MOST {
            self.believed.insert(doubt.head.into());
        }
        proven
    }

    /// Somebody else's lines follow.
    pub(super) fn forgets(&mut self) {
        self.last.0 = 0;
    }

    /// Collectors send again what they are not sure of: no daemon says the same twice in one microsecond.
    pub(super) fn is_again(&mut self, at: At, by: &By<'_>, text: &str) -> bool {
        let Some(now) = at.wall_us.or(at.mono_us).filter(|us| us % 1000 != 0) else { return false };
        let (then, whose, last) = &mut self.last;
        if *then == now && *last == text && *whose == by.number() {
            return true;
        }
        (*then, *whose) = (now, by.number());
        last.clear();
        last.push_str(text);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_machines_that_say_the_same_in_one_microsecond_are_no_repetition() {
        let at = At { mono_us: None, wall_us: Some(1_795_340_606_770_833) };
        let [one, two] = ["node1", "node2"].map(|host| By { host, ..By::default() });
        let mut trust = Trust::default();
        let told = [one, two, two, one].map(|by| trust.is_again(at, &by, "   unique: 4, success, outsize: 120"));
        assert_eq!(told, [false, false, true, false]);
    }
}
