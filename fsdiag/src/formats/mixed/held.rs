//! Held: the lines of a log whose latest stands first, packed, to be given back the earliest first.

use std::io::{Read as _, Write as _};

use flate2::{Compression, read::DeflateDecoder, write::DeflateEncoder};

use super::front::time_of;

/// Such lines.
#[derive(Default)]
pub(super) struct Held {
    packed: Vec<Box<[u8]>>,
    bytes: usize,
    /// The last lines, which are not packed yet.
    open: Vec<u8>,
    /// Lines that were too many.
    pub(super) left_out: u64,
}

/// A line, and whether those behind it belong to it that have no time of their own.
struct Entry<'a> {
    number: u64,
    first: bool,
    line: &'a [u8],
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
        let first = time_of(line).is_some();
        if self.open.len() >= PIECE && (first || self.open.len() >= 4 * PIECE) {
            self.pack();
        }
        self.open.extend_from_slice(&number.to_le_bytes());
        self.open.extend_from_slice(&(line.len() as u32).to_le_bytes());
        self.open.push(first.into());
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

    /// Gives all of them, the last one first, but those that belong together in their order.
    pub(super) fn turned(mut self, mut each: impl FnMut(u64, &[u8])) {
        let mut piece = std::mem::take(&mut self.open);
        loop {
            let entries = entries(&piece);
            for group in entries.chunk_by(|_, next| !next.first).rev() {
                group.iter().for_each(|entry| each(entry.number, entry.line));
            }
            let Some(packed) = self.packed.pop() else { return };
            piece.clear();
            // It was packed here, and is whole.
            let _ = DeflateDecoder::new(&*packed).read_to_end(&mut piece);
        }
    }
}

fn entries(mut piece: &[u8]) -> Vec<Entry<'_>> {
    let mut entries = Vec::new();
    while let Some((head, rest)) = piece.split_first_chunk::<HEAD>() {
        let [n0, n1, n2, n3, n4, n5, n6, n7, l0, l1, l2, l3, first] = *head;
        let number = u64::from_le_bytes([n0, n1, n2, n3, n4, n5, n6, n7]);
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        let Some((line, rest)) = rest.split_at_checked(length) else { break };
        entries.push(Entry { number, first: first != 0, line });
        piece = rest;
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turned(held: Held) -> Vec<(u64, String)> {
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
        let all: Vec<u64> = turned(held).iter().map(|(number, _)| *number).collect();
        assert_eq!(all, [3, 1, 2]);
    }

    #[test]
    fn lines_of_many_pieces_are_all_given_back() {
        let mut held = Held::default();
        let line = |number: u64| format!("2026-11-22T09:43:26Z {number} {}", "x".repeat(1000));
        (1..=5000).for_each(|number| held.add(number, line(number).as_bytes()));
        assert!(held.packed.len() >= 4, "{}", held.packed.len());
        let wanted: Vec<_> = (1..=5000).rev().map(|number| (number, line(number))).collect();
        assert!(turned(held) == wanted);
    }

    #[test]
    fn what_is_too_much_is_counted() {
        let mut held = Held { bytes: MOST, ..Held::default() };
        held.add(1, b"x");
        assert_eq!((held.left_out, turned(held).len()), (1, 0));
    }
}
