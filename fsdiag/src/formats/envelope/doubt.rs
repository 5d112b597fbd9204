//! Doubt: what was taken off a line and may be none.

use super::{By, Opened, Stamp, around, better, stacked};

/// Something that was taken off and may be none: it counts once it has stood before a line of a known format.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::formats) struct Doubt<'a> {
    /// The text with it.
    pub(in crate::formats) with: &'a str,
    /// What it is each time; empty: a number, which may be a time.
    pub(in crate::formats) head: &'a str,
    /// What is known without it.
    pub(super) stamp: Option<Stamp>,
    pub(super) by: By<'a>,
}

impl<'a> Doubt<'a> {
    /// The same in an envelope that tells these.
    pub(super) fn within(self, stamp: Option<Stamp>, by: By<'a>) -> Self {
        Doubt { stamp: better(stamp, self.stamp), by: by.around(self.by), ..self }
    }
}

impl<'a> Opened<'a> {
    /// Whether its time may as well be any number.
    pub(super) fn is_of_a_number(&self) -> bool {
        self.doubt.is_some_and(|doubt| doubt.head.is_empty())
    }

    /// What stood inside, with what was told around it.
    #[inline(always)]
    pub(super) fn with(self, inner: Self) -> Self {
        let Opened { text, stamp, by, collected, doubt, .. } = inner;
        let doubt = self.doubt.or(doubt.map(|doubt| doubt.within(self.stamp, self.by)));
        let (stamp, outer) = (better(self.stamp, stamp), around(self.stamp, stamp).or(self.outer));
        let (by, collected) = (self.by.around(by), self.collected || collected);
        Opened { text, stamp, outer, by, collected, doubt, ..Opened::default() }
    }

    /// Without what is not believed.
    pub(in crate::formats) fn doubted(self) -> Self {
        let Some(Doubt { with, stamp, by, .. }) = self.doubt else { return self };
        // What is not believed may be the inner time itself.
        let outer = self.outer.filter(|_| stamp == self.stamp);
        Opened { text: with, stamp, by, outer, doubt: None, many: false, ..self }
    }

    /// What stands behind the next of several that are doubtful.
    pub(in crate::formats) fn next(self) -> Option<Self> {
        let inner = stacked(self.text, 1);
        inner.doubt?;
        Some(Opened { part: self.part, made: self.made, ..Opened { doubt: None, ..self }.with(inner) })
    }
}
