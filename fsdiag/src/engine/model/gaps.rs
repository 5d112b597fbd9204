//! What is missing: lost lines, holes, steps of the clock.

use super::ops::Micros;

/// What one life lost, by how it shows.
#[derive(Clone, Copy, Debug, Default)]
pub struct LossSeen {
    pub lone_exits: u64,
    pub superseded: u64,
    /// ENTERs whose thread took other work later, or that a beat contradicts.
    pub lost_exits: u64,
    /// Lines that their source knows to be missing.
    pub lines: u64,
}

impl LossSeen {
    pub(super) fn add(&mut self, other: &Self) {
        self.lone_exits += other.lone_exits;
        self.superseded += other.superseded;
        self.lost_exits += other.lost_exits;
        self.lines += other.lines;
    }
}

/// The sequence of one run: how many records are missing, and where many are missing at once.
#[derive(Clone, Debug, Default)]
pub struct Sequence {
    first: Option<u64>,
    last: u64,
    last_at: Micros,
    seen: u64,
    numbers: Ranges,
    /// Holes of [`HOLE`] records or more: from, to.
    pub holes: Vec<(Micros, Micros)>,
}

/// So many records missing at once make the time between blind.
pub const HOLE: u64 = 100;

impl Sequence {
    /// False: this record was seen before, in another copy of it.
    pub fn saw(&mut self, seq: u64, at: Micros) -> bool {
        if !self.numbers.insert(seq, seq) {
            return false;
        }
        self.seen += 1;
        self.jump(seq, at);
        self.first = Some(self.first.map_or(seq, |first| first.min(seq)));
        true
    }

    /// Whether any record of a stretch was seen before.
    pub fn knows_any(&self, stretch: &Stretch) -> bool {
        stretch.numbers.0.iter().any(|(from, to)| self.numbers.has_any(*from, *to))
    }

    /// A stretch that was read without knowing what came before it; the result is as if read in one go.
    pub fn saw_stretch(&mut self, stretch: &Stretch) {
        let Some((first, at)) = stretch.first else { return };
        self.jump(first, at);
        for leap in &stretch.leaps {
            self.advance(leap.before, leap.before_at);
            self.jump(leap.after, leap.after_at);
        }
        self.advance(stretch.last, stretch.last_at);
        self.seen += stretch.seen;
        self.first = Some(self.first.map_or(stretch.least, |f| f.min(stretch.least)));
        stretch.numbers.0.iter().for_each(|(from, to)| _ = self.numbers.insert(*from, *to));
    }

    /// Records that are missing between the first and the last.
    pub fn missing(&self) -> u64 {
        self.first.map_or(0, |first| (self.last - first + 1).saturating_sub(self.seen))
    }

    fn jump(&mut self, seq: u64, at: Micros) {
        if self.first.is_some() && seq > self.last.saturating_add(HOLE) {
            self.holes.push((self.last_at, at));
        }
        self.advance(seq, at);
    }

    fn advance(&mut self, seq: u64, at: Micros) {
        if self.first.is_none() || seq > self.last {
            (self.last, self.last_at) = (seq, at);
        }
        self.first = self.first.or(Some(seq));
    }
}

/// The numbers of one block of lines, taken without knowing those before it.
#[derive(Clone, Debug, Default)]
pub struct Stretch {
    first: Option<(u64, Micros)>,
    least: u64,
    last: u64,
    last_at: Micros,
    seen: u64,
    leaps: Vec<Leap>,
    numbers: Ranges,
}

/// A place where the numbers leap, as seen from inside a block.
#[derive(Clone, Copy, Debug)]
struct Leap {
    before: u64,
    before_at: Micros,
    after: u64,
    after_at: Micros,
}

impl Stretch {
    /// False: the number stands twice in this stretch.
    pub fn saw(&mut self, seq: u64, at: Micros) -> bool {
        if !self.numbers.insert(seq, seq) {
            return false;
        }
        self.seen += 1;
        if self.first.is_none() {
            (self.first, self.least, self.last, self.last_at) = (Some((seq, at)), seq, seq, at);
            return true;
        }
        self.least = self.least.min(seq);
        if seq > self.last.saturating_add(HOLE) {
            self.leaps.push(Leap { before: self.last, before_at: self.last_at, after: seq, after_at: at });
        }
        if seq > self.last {
            (self.last, self.last_at) = (seq, at);
        }
        true
    }
}

/// A set of numbers that come nearly in order: ranges, both ends inclusive, in order.
#[derive(Clone, Debug, Default)]
struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    /// Beyond this the oldest are forgotten: a log with a million holes is not read twice.
    const KEPT: usize = 1 << 20;

    /// False when any of these numbers is there already; then nothing changes.
    fn insert(&mut self, from: u64, to: u64) -> bool {
        if let Some((_, end)) = self.0.last_mut()
            && end.checked_add(1) == Some(from)
        {
            *end = to;
            return true;
        }
        let at = self.after(from);
        if self.overlaps(at, from, to) {
            return false;
        }
        let joins_left = at > 0 && self.0[at - 1].1 + 1 == from;
        let joins_right = self.0.get(at).is_some_and(|right| to + 1 == right.0);
        match (joins_left, joins_right) {
            (true, true) => self.0[at - 1].1 = self.0.remove(at).1,
            (true, false) => self.0[at - 1].1 = to,
            (false, true) => self.0[at].0 = from,
            (false, false) => self.0.insert(at, (from, to)),
        }
        if self.0.len() > Self::KEPT {
            self.0.drain(..Self::KEPT / 2);
        }
        true
    }

    fn has_any(&self, from: u64, to: u64) -> bool {
        self.overlaps(self.after(from), from, to)
    }

    /// The first range that begins behind `from`.
    fn after(&self, from: u64) -> usize {
        self.0.partition_point(|(start, _)| *start <= from)
    }

    fn overlaps(&self, at: usize, from: u64, to: u64) -> bool {
        at > 0 && self.0[at - 1].1 >= from || self.0.get(at).is_some_and(|right| right.0 <= to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_the_same_however_the_numbers_were_cut() {
        let numbers = [5_u64, 6, 300, 7, 8, 301, 302, 900, 901, 640, 902, 2000];
        let mut whole = Sequence::default();
        numbers.iter().enumerate().for_each(|(at, n)| assert!(whole.saw(*n, at as Micros)));
        assert_eq!(whole.holes.len(), 3);
        for cut in 0..numbers.len() {
            let mut parts = Sequence::default();
            for (from, part) in [(0, &numbers[..cut]), (cut, &numbers[cut..])] {
                let mut stretch = Stretch::default();
                part.iter().enumerate().for_each(|(at, n)| assert!(stretch.saw(*n, (from + at) as Micros)));
                assert!(!parts.knows_any(&stretch));
                parts.saw_stretch(&stretch);
                assert!(parts.knows_any(&stretch) || part.is_empty());
            }
            assert_eq!((parts.missing(), &parts.holes), (whole.missing(), &whole.holes), "cut at {cut}");
        }
    }
    #[test]
    fn a_number_is_new_once() {
        let mut sequence = Sequence::default();
        for n in [5, 7, 6, 1, 3, 2, u64::MAX] {
            assert!(sequence.saw(n, 0), "{n}");
        }
        for n in [1, 2, 3, 5, 6, 7, u64::MAX] {
            assert!(!sequence.saw(n, 0), "{n}");
        }
        assert!(sequence.saw(4, 0));
    }
}
