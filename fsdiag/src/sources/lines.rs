//! Bytes to lines: whole ones only, of bounded length, with one buffer.

use std::iter;

use memchr::{memchr, memchr_iter};

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

    /// The bytes as text, if they are whole lines of UTF-8, none of them too long, and stand behind whole lines.
    pub fn text<'a>(&self, bytes: &'a [u8]) -> Option<&'a str> {
        let whole = self.is_between() && bytes.len() <= LONGEST && bytes.ends_with(b"\n");
        std::str::from_utf8(bytes).ok().filter(|_| whole)
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

/// The lines of a text of whole lines, without their ends.
pub fn of(text: &str) -> impl Iterator<Item = &str> {
    let (mut rest, mut short) = (text, true);
    iter::from_fn(move || {
        let end = end_of(rest.as_bytes(), short)?;
        let line = &rest[..end];
        (rest, short) = (&rest[end + 1..], end < SHORT);
        Some(line.strip_suffix('\r').unwrap_or(line))
    })
}

/// Bytes of a line whose end a few steps of eight find before a search that is made for long texts has begun.
const SHORT: usize = 56;

/// Where the first line ends. Short lines come in runs: `short` says where to look first.
#[inline(always)]
fn end_of(text: &[u8], short: bool) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let mut from = 0;
    if short {
        for eight in text[..text.len().min(SHORT)].as_chunks::<8>().0 {
            let other = u64::from_le_bytes(*eight) ^ (ONES * u64::from(b'\n'));
            // The lowest byte that is zero borrows first.
            let found = other.wrapping_sub(ONES) & !other & (ONES << 7);
            if found != 0 {
                return Some(from + found.trailing_zeros() as usize / 8);
            }
            from += 8;
        }
    }
    memchr(b'\n', &text[from..]).map(|at| from + at)
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

        #[test]
        fn text_has_the_lines_that_its_bytes_have(text in "[aµ\r\n]{0,40}\n") {
            let lines: Vec<Vec<u8>> = of(&text).map(|line| line.as_bytes().to_vec()).collect();
            prop_assert_eq!(Lines::default().text(text.as_bytes()), Some(&*text));
            prop_assert_eq!((lines, Vec::new()), split(&[text.as_bytes()]));
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
