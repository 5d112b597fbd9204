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
    /// Lines, in all.
    pub(super) fn count(&self) -> u64 {
        self.lone_exits + self.superseded + self.lost_exits + self.lines
    }

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
        if !self.numbers.insert(Range { from: seq, to: seq, at }) {
            return false;
        }
        self.seen += 1;
        self.jump(seq, at);
        self.first = Some(self.first.map_or(seq, |first| first.min(seq)));
        true
    }

    /// Whether any record of a stretch was seen before.
    pub fn knows_any(&self, stretch: &Stretch) -> bool {
        stretch.numbers.0.iter().any(|range| self.numbers.has_any(range))
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
        stretch.numbers.0.iter().for_each(|range| _ = self.numbers.insert(*range));
    }

    /// Records that are missing between the first and the last.
    pub fn missing(&self) -> u64 {
        self.first.map_or(0, |first| (self.last - first + 1).saturating_sub(self.seen))
    }

    /// Whether no record is missing that was made after that moment. The few that are missing at the very end may still
    /// come: records are out of order by so much.
    pub fn is_whole_since(&self, told: Option<Micros>) -> bool {
        const LATE: Micros = 50_000;
        let Some(told) = told else { return true };
        let is_lost = |pair: &&[Range]| pair[1].at + LATE <= self.last_at || pair[1].from - pair[0].to > HOLE;
        self.numbers.0.windows(2).rfind(is_lost).is_none_or(|pair| pair[1].at <= told)
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
        if !self.numbers.insert(Range { from: seq, to: seq, at }) {
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

/// Numbers without one missing between them; both ends inclusive.
#[derive(Clone, Copy, Debug)]
struct Range {
    from: u64,
    to: u64,
    /// When the record of the first of them was made.
    at: Micros,
}

/// A set of numbers that come nearly in order: ranges, in order.
#[derive(Clone, Debug, Default)]
struct Ranges(Vec<Range>);

impl Ranges {
    /// Beyond this the oldest are forgotten: a log with a million holes is not read twice.
    const KEPT: usize = 1 << 20;

    /// False when any of these numbers is there already; then nothing changes.
    fn insert(&mut self, new: Range) -> bool {
        if let Some(last) = self.0.last_mut()
            && last.to.checked_add(1) == Some(new.from)
        {
            last.to = new.to;
            return true;
        }
        let at = self.after(new.from);
        if self.overlaps(at, &new) {
            return false;
        }
        let joins_left = at > 0 && self.0[at - 1].to + 1 == new.from;
        let joins_right = self.0.get(at).is_some_and(|right| new.to + 1 == right.from);
        match (joins_left, joins_right) {
            (true, true) => self.0[at - 1].to = self.0.remove(at).to,
            (true, false) => self.0[at - 1].to = new.to,
            (false, true) => self.0[at] = Range { to: self.0[at].to, ..new },
            (false, false) => self.0.insert(at, new),
        }
        if self.0.len() > Self::KEPT {
            self.0.drain(..Self::KEPT / 2);
        }
        true
    }

    fn has_any(&self, range: &Range) -> bool {
        self.overlaps(self.after(range.from), range)
    }

    /// The first range that begins behind `from`.
    fn after(&self, from: u64) -> usize {
        self.0.partition_point(|range| range.from <= from)
    }

    fn overlaps(&self, at: usize, new: &Range) -> bool {
        at > 0 && self.0[at - 1].to >= new.from || self.0.get(at).is_some_and(|right| right.from <= new.to)
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
            let is_whole = |sequence: &Sequence| [0, 5, 11].map(|t| sequence.is_whole_since(Some(t)));
            assert_eq!(is_whole(&parts), is_whole(&whole), "cut at {cut}");
        }
    }

    #[test]
    fn a_record_is_missing_after_a_moment_unless_it_comes_late() {
        let saw = |numbers: &[u64]| {
            let mut sequence = Sequence::default();
            numbers.iter().for_each(|n| assert!(sequence.saw(*n, *n as Micros * 100_000)));
            [0, 4, 6].map(|n| sequence.is_whole_since(Some(n * 100_000)))
        };
        assert_eq!(saw(&[1, 2, 3, 4, 5, 6, 7]), [true; 3]);
        assert_eq!(saw(&[1, 2, 3, 4, 6, 7]), [false, false, true]);
        assert_eq!(saw(&[1, 2, 3, 4, 6, 7, 5]), [true; 3]);
        assert_eq!(saw(&[1, 3, 4, 5, 7]), [false, true, true], "6 may still come");
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
