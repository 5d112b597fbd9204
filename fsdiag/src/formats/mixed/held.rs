//! Held: the lines of a log whose latest stands first, packed, to be given back the earliest first.

use std::io::{Read as _, Write as _};

use flate2::{Compression, read::DeflateDecoder, write::DeflateEncoder};

use super::{front::time_of, ties};

/// Such lines.
#[derive(Default)]
pub(super) struct Held {
    packed: Vec<Box<[u8]>>,
    bytes: usize,
    /// The last lines, which are not packed yet.
    open: Vec<u8>,
    last: Option<(u8, u64)>,
    /// How often time went on from a line to the next less how often it went back.
    forward: i64,
    /// Lines that were too many.
    pub(super) left_out: u64,
}

/// A line, and how it stands to the one before.
struct Entry<'a> {
    number: u64,
    tie: Tie,
    line: &'a [u8],
}

/// How a line stands to the one before.
#[derive(Clone, Copy, PartialEq)]
enum Tie {
    /// It has another time.
    Apart,
    /// It has the same time.
    Same,
    /// It has none, and belongs to it.
    Part,
}

/// Bytes that are packed at once.
const PIECE: usize = 1 << 20;
/// Most bytes of all pieces together: of a log some gigabytes.
const MOST: usize = 32 << 20;
/// Of an entry before its line.
const HEAD: usize = 13;

impl Held {
    pub(super) fn add(&mut self, number: u64, line: &[u8]) {
        if self.bytes >= MOST {
            self.left_out += 1;
            return;
        }
        let time = time_of(line);
        let tie = match time {
            None => Tie::Part,
            time if time == self.last => Tie::Same,
            _ => Tie::Apart,
        };
        self.forward += match (self.last, time) {
            (Some((before, then)), Some((clock, now))) if before == clock => now.cmp(&then) as i64,
            _ => 0,
        };
        self.last = time.or(self.last);
        if self.open.len() >= PIECE && (tie == Tie::Apart || self.open.len() >= 4 * PIECE) {
            self.pack();
        }
        self.open.extend_from_slice(&number.to_le_bytes());
        self.open.extend_from_slice(&(line.len() as u32).to_le_bytes());
        self.open.push(tie as u8);
        self.open.extend_from_slice(line);
    }

    fn pack(&mut self) {
        let mut packer = DeflateEncoder::new(Vec::new(), Compression::fast());
        // Memory takes whatever is written.
        let packed = packer.write_all(&self.open).and_then(|()| packer.finish()).unwrap_or_default();
        self.bytes += packed.len();
        self.packed.push(packed.into());
        self.open.clear();
    }

    /// Whether the first lines deceived: on the whole the latest stands last.
    pub(super) fn is_forward(&self) -> bool {
        self.forward > 0
    }

    /// Gives all of them as they stand.
    pub(super) fn unturned(self, mut each: impl FnMut(u64, &[u8])) {
        let mut give = |piece: &[u8]| entries(piece).iter().for_each(|entry| each(entry.number, entry.line));
        self.packed.iter().for_each(|packed| give(&unpacked(packed)));
        give(&self.open);
    }

    /// Gives all of them, the last one first, but those that belong together in their order.
    pub(super) fn turned(mut self, mut each: impl FnMut(u64, &[u8])) {
        let mut piece = std::mem::take(&mut self.open);
        let before = self.packed.last().filter(|_| piece.len() < PIECE / 4).map(|packed| unpacked(packed));
        let as_written = are_as_written(&entries(before.as_ref().unwrap_or(&piece)));
        loop {
            let entries = entries(&piece);
            turned(&entries, as_written).for_each(|entry| each(entry.number, entry.line));
            let Some(packed) = self.packed.pop() else { return };
            piece = unpacked(&packed);
        }
    }
}

fn unpacked(packed: &[u8]) -> Vec<u8> {
    let mut piece = Vec::new();
    // It was packed here, and is whole.
    let _ = DeflateDecoder::new(packed).read_to_end(&mut piece);
    piece
}

/// The last one first; `as_written`: those of one time in their order.
fn turned<'e, 'a>(entries: &'e [Entry<'a>], as_written: bool) -> impl Iterator<Item = &'e Entry<'a>> {
    let together = move |tie: Tie| tie == Tie::Part || as_written && tie == Tie::Same;
    entries.chunk_by(move |_, next| together(next.tie)).rev().flatten()
}

/// Whether lines of one time stand in the order in which they were written.
fn are_as_written(entries: &[Entry<'_>]) -> bool {
    /// So many lines are enough to tell.
    const ENOUGH: usize = 4096;
    let last = &entries[entries.len().saturating_sub(ENOUGH)..];
    let paired = |as_written| ties::paired(turned(last, as_written).map(|entry| entry.line));
    last.iter().any(|entry| entry.tie == Tie::Same) && paired(true) > paired(false)
}

fn entries(mut piece: &[u8]) -> Vec<Entry<'_>> {
    let mut entries = Vec::new();
    while let Some((head, rest)) = piece.split_first_chunk::<HEAD>() {
        let [n0, n1, n2, n3, n4, n5, n6, n7, l0, l1, l2, l3, tie] = *head;
        let number = u64::from_le_bytes([n0, n1, n2, n3, n4, n5, n6, n7]);
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        let Some((line, rest)) = rest.split_at_checked(length) else { break };
        let tie = [Tie::Apart, Tie::Same, Tie::Part][usize::from(tie).min(2)];
        entries.push(Entry { number, tie, line });
        piece = rest;
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(held: Held) -> Vec<(u64, String)> {
        let mut all = Vec::new();
        held.turned(|number, line| all.push((number, String::from_utf8_lossy(line).into_owned())));
        all
    }

    #[test]
    fn what_was_last_is_first_with_what_stands_below_it() {
        let mut held = Held::default();
        for (line, number) in ["2026-11-22T09:43:27Z b", "  of b", "2026-11-22T09:43:26Z a"].iter().zip(1..) {
            held.add(number, line.as_bytes());
        }
        let all: Vec<u64> = all(held).iter().map(|(number, _)| *number).collect();
        assert_eq!(all, [3, 1, 2]);
    }

    #[test]
    fn lines_of_one_time_stand_so_that_requests_begin_before_they_end() {
        let at = |second: u32, text: &str| format!("2026-11-22T09:43:{second}Z [FUSE] {text}");
        let (begin, end) = ("Release ENTER (id=456)", "Release EXIT (id=456) after 1ms");
        for (lines, order) in [
            ([at(27, "x"), at(26, begin), at(26, end)], [2, 3, 1]),
            ([at(27, "x"), at(26, end), at(26, begin)], [3, 2, 1]),
        ] {
            let mut held = Held::default();
            (1..).zip(&lines).for_each(|(number, line)| held.add(number, line.as_bytes()));
            let all: Vec<u64> = all(held).iter().map(|(number, _)| *number).collect();
            assert_eq!(all, order, "{lines:?}");
        }
    }

    #[test]
    fn lines_of_many_pieces_are_all_given_back() {
        let mut held = Held::default();
        let line = |number: u64| format!("{} {number} {}", 1_795_350_000.0 - number as f64, "x".repeat(1000));
        (1..=5000).for_each(|number| held.add(number, line(number).as_bytes()));
        assert!(held.packed.len() >= 4, "{}", held.packed.len());
        let wanted: Vec<_> = (1..=5000).rev().map(|number| (number, line(number))).collect();
        assert!(all(held) == wanted);
    }

    #[test]
    fn a_few_lines_that_fall_before_a_log_that_rises_leave_it_as_it_is() {
        let mut held = Held::default();
        let seconds = (0..9).rev().chain(10..59);
        let lines: Vec<(u64, String)> =
            (1..).zip(seconds.map(|second| format!("2026-11-22T09:43:{second:02}Z x"))).collect();
        lines.iter().for_each(|(number, line)| held.add(*number, line.as_bytes()));
        let mut found = Vec::new();
        assert!(held.is_forward());
        held.unturned(|number, line| found.push((number, String::from_utf8_lossy(line).into_owned())));
        assert_eq!(found, lines);
    }

    #[test]
    fn what_is_too_much_is_counted() {
        let mut held = Held { bytes: MOST, ..Held::default() };
        held.add(1, b"x");
        assert_eq!((held.left_out, all(held).len()), (1, 0));
    }
}
