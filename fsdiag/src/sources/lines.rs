//! Bytes to lines: whole ones only, of bounded length, with one buffer.

use memchr::memchr_iter;

/// Longest line that is kept; the rest of a longer one is dropped.
pub const LONGEST: usize = 1 << 20;

/// Splits what it is fed; keeps a last line without its end until the end comes.
#[derive(Debug, Default)]
pub struct Lines {
    carry: Vec<u8>,
    /// Lines that were longer than [`LONGEST`].
    pub cut: u64,
    cutting: bool,
}

impl Lines {
    /// Gives each whole line, without its line feed, in order.
    pub fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(&[u8])) {
        let mut start = 0;
        for end in memchr_iter(b'\n', bytes) {
            if self.carry.is_empty() && !self.cutting && end - start <= LONGEST {
                each(strip(&bytes[start..end]));
            } else {
                self.keep(&bytes[start..end]);
                each(strip(&self.carry));
                self.carry.clear();
                self.cutting = false;
            }
            start = end + 1;
        }
        self.keep(&bytes[start..]);
    }

    /// What stands at the end without a line feed.
    pub fn rest(&self) -> &[u8] {
        strip(&self.carry)
    }

    /// Whether the next byte begins a line.
    pub fn is_between(&self) -> bool {
        self.carry.is_empty() && !self.cutting
    }

    /// Forgets the unfinished line: what follows is another file.
    pub fn clear(&mut self) {
        self.carry.clear();
        self.cutting = false;
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = LONGEST - self.carry.len();
        if bytes.len() > room && !self.cutting {
            self.cutting = true;
            self.cut += 1;
        }
        self.carry.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

fn strip(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(pieces: &[&[u8]]) -> (Vec<Vec<u8>>, Vec<u8>) {
        let (mut lines, mut got) = (Lines::default(), Vec::new());
        for piece in pieces {
            lines.feed(piece, |line| got.push(line.to_vec()));
        }
        (got, lines.rest().to_vec())
    }

    proptest! {
        #[test]
        fn where_the_bytes_are_cut_does_not_matter(bytes: Vec<u8>, at: prop::sample::Index) {
            let at = at.index(bytes.len() + 1);
            prop_assert_eq!(split(&[&bytes]), split(&[&bytes[..at], &bytes[at..]]));
        }
    }

    #[test]
    fn a_line_that_never_ends_is_cut_and_counted() {
        let mut lines = Lines::default();
        let mut got = Vec::new();
        for _ in 0..3 {
            lines.feed(&vec![b'x'; LONGEST], |line| got.push(line.len()));
        }
        lines.feed(b"\nnext\n", |line| got.push(line.len()));
        assert_eq!((got, lines.cut), (vec![LONGEST, 4], 1));
    }
}
