//! What is missing: lost lines, holes, steps of the clock.

use super::ops::Micros;

/// The sequence of one run: how many records are missing, and where many are missing at once.
#[derive(Clone, Debug, Default)]
pub struct Sequence {
    first: Option<u64>,
    last: u64,
    last_at: Micros,
    seen: u64,
    /// Holes of [`HOLE`] records or more: from, to.
    pub holes: Vec<(Micros, Micros)>,
}

/// So many records missing at once make the time between blind.
pub const HOLE: u64 = 100;

impl Sequence {
    pub fn saw(&mut self, seq: u64, at: Micros) {
        self.seen += 1;
        self.jump(seq, at);
        self.first = Some(self.first.map_or(seq, |first| first.min(seq)));
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
    }

    /// Records that are missing between the first and the last.
    pub fn missing(&self) -> u64 {
        self.first.map_or(0, |first| (self.last - first + 1).saturating_sub(self.seen))
    }

    fn jump(&mut self, seq: u64, at: Micros) {
        if self.first.is_some() && seq > self.last + HOLE {
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
    pub first: Option<(u64, Micros)>,
    pub least: u64,
    pub last: u64,
    pub last_at: Micros,
    pub seen: u64,
    pub leaps: Vec<Leap>,
}

/// A place where the numbers leap, as seen from inside a block.
#[derive(Clone, Copy, Debug)]
pub struct Leap {
    pub before: u64,
    pub before_at: Micros,
    pub after: u64,
    pub after_at: Micros,
}

impl Stretch {
    pub fn saw(&mut self, seq: u64, at: Micros) {
        self.seen += 1;
        if self.first.is_none() {
            *self = Self { first: Some((seq, at)), least: seq, last: seq, last_at: at, seen: 1, leaps: Vec::new() };
            return;
        }
        self.least = self.least.min(seq);
        if seq > self.last + HOLE {
            self.leaps.push(Leap { before: self.last, before_at: self.last_at, after: seq, after_at: at });
        }
        if seq > self.last {
            (self.last, self.last_at) = (seq, at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_the_same_however_the_numbers_were_cut() {
        let numbers = [5_u64, 6, 300, 7, 8, 301, 302, 900, 901, 640, 902, 2000];
        let mut whole = Sequence::default();
        numbers.iter().enumerate().for_each(|(at, n)| whole.saw(*n, at as Micros));
        assert_eq!(whole.holes.len(), 3);
        for cut in 0..numbers.len() {
            let mut parts = Sequence::default();
            for (from, part) in [(0, &numbers[..cut]), (cut, &numbers[cut..])] {
                let mut stretch = Stretch::default();
                part.iter().enumerate().for_each(|(at, n)| stretch.saw(*n, (from + at) as Micros));
                parts.saw_stretch(&stretch);
            }
            assert_eq!((parts.missing(), &parts.holes), (whole.missing(), &whole.holes), "cut at {cut}");
        }
    }
}
