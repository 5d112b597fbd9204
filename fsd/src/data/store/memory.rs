//! Memory: pieces of a content as they came from the network.

use std::{collections::BTreeMap, ops::Range};

use bytes::BytesMut;

use super::{chunk::Chunk, extents::Extents};

/// Pieces up to this size are merged with their neighbour, so that a trickle does not cost a piece a byte.
const SMALL: usize = 64 << 10;

/// Who goes first when room is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    /// Read by a sequential reader that is past it.
    Behind,
    Kept,
}

type Rank = (Worth, u64);

#[derive(Debug)]
struct Piece {
    bytes: Chunk,
    rank: Rank,
}

/// Pieces by offset, never overlapping, with the order in which they are given up.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pieces: BTreeMap<u64, Piece>,
    order: BTreeMap<Rank, u64>,
    present: Extents,
    clock: u64,
}

impl Memory {
    /// Takes in what is not there yet.
    pub(super) fn insert(&mut self, at: u64, bytes: &Chunk) {
        let range = at..at + bytes.len() as u64;
        let gaps: Vec<_> = self.present.gaps(range).collect();
        for gap in gaps {
            let part = bytes.slice(index(gap.start - at)..index(gap.end - at));
            self.present.insert(gap.clone());
            self.put(gap.start, part);
        }
    }

    fn put(&mut self, mut at: u64, mut bytes: Chunk) {
        if self.extend(at, &bytes) {
            return;
        }
        while let Some((before, piece)) = self.pieces.range(..at).next_back() {
            let touches = before + piece.bytes.len() as u64 == at;
            if !touches || bytes.len() > SMALL || piece.bytes.len() > bytes.len() {
                break;
            }
            let before = *before;
            let Some(piece) = self.take(before) else { break };
            bytes = [piece, bytes]
                .iter()
                .fold(BytesMut::new(), |mut both, part| {
                    both.extend_from_slice(part);
                    both
                })
                .freeze()
                .into();
            at = before;
        }
        self.clock += 1;
        let rank = (Worth::Kept, self.clock);
        self.order.insert(rank, at);
        self.pieces.insert(at, Piece { bytes, rank });
    }

    /// Puts `bytes` to the piece before, which lies directly before them in memory.
    fn extend(&mut self, at: u64, bytes: &Chunk) -> bool {
        let Some((before, piece)) = self.pieces.range_mut(..at).next_back() else { return false };
        if before + piece.bytes.len() as u64 != at || !piece.bytes.join(bytes) {
            return false;
        }
        self.clock += 1;
        self.order.remove(&piece.rank);
        piece.rank = (Worth::Kept, self.clock);
        self.order.insert(piece.rank, *before);
        true
    }

    fn take(&mut self, at: u64) -> Option<Chunk> {
        let piece = self.pieces.remove(&at)?;
        self.order.remove(&piece.rank);
        Some(piece.bytes)
    }

    #[cfg(test)]
    fn present(&self) -> &Extents {
        &self.present
    }

    pub(super) fn bytes(&self) -> u64 {
        self.present.bytes()
    }

    /// The bytes from `at` on that one piece has, at most up to `end`.
    pub(super) fn piece(&self, at: u64, end: u64) -> Option<Chunk> {
        let (start, piece) = self.pieces.range(..=at).next_back()?;
        let skip = at - start;
        let len = (piece.bytes.len() as u64).min(end - start);
        (skip < len).then(|| piece.bytes.slice(index(skip)..index(len)))
    }

    /// Notes that `range` was read; `passed`: by a sequential reader that will not come back.
    pub(super) fn touch(&mut self, range: &Range<u64>, passed: bool) {
        let first = self.pieces.range(..=range.start).next_back().map_or(range.start, |(at, _)| *at);
        for (at, piece) in self.pieces.range_mut(first..range.end) {
            let end = at + piece.bytes.len() as u64;
            if end <= range.start {
                continue;
            }
            self.clock += 1;
            let worth = if passed && end <= range.end { Worth::Behind } else { Worth::Kept };
            self.order.remove(&piece.rank);
            piece.rank = (worth, self.clock);
            self.order.insert(piece.rank, *at);
        }
    }

    /// Gives up pieces, the least worthy first, until `bytes` are left; only those that `may` names.
    pub(super) fn shrink(&mut self, bytes: u64, may: impl Fn(&Range<u64>) -> bool) -> Vec<Range<u64>> {
        if self.bytes() <= bytes {
            return Vec::new();
        }
        let mut excess = self.bytes() - bytes;
        let mut gone = Vec::new();
        for at in self.order.values() {
            let len = self.pieces.get(at).map_or(0, |piece| piece.bytes.len() as u64);
            if may(&(*at..at + len)) {
                gone.push(*at..at + len);
                excess = excess.saturating_sub(len);
            }
            if excess == 0 {
                break;
            }
        }
        for range in &gone {
            self.take(range.start);
            self.present.remove(range);
        }
        gone
    }
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn content(at: u64, len: u64) -> Chunk {
        (at..at + len).map(|n| (n % 251) as u8).collect::<bytes::Bytes>().into()
    }

    fn read(memory: &Memory, range: Range<u64>) -> Option<Vec<u8>> {
        let mut got = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let piece = memory.piece(at, range.end)?;
            at += piece.len() as u64;
            got.extend_from_slice(&piece);
        }
        Some(got)
    }

    proptest! {
        #[test]
        fn what_is_present_reads_as_it_came(parts in proptest::collection::vec((0..500_u64, 1..60_u64), 1..30), keep in 0..400_u64) {
            let mut memory = Memory::default();
            for (at, len) in parts {
                memory.insert(at, &content(at, len));
                memory.touch(&(at..at + 3), true);
            }
            memory.shrink(keep, |range| range.start % 3 != 0);
            let total: u64 = memory.pieces.values().map(|piece| piece.bytes.len() as u64).sum();
            prop_assert_eq!(memory.bytes(), total);
            prop_assert_eq!(memory.order.len(), memory.pieces.len());
            for at in 0..560 {
                let there = memory.present().covers(&(at..at + 1));
                prop_assert_eq!(read(&memory, at..at + 1), there.then(|| content(at, 1).to_vec()));
            }
        }
    }

    #[test]
    fn a_trickle_becomes_few_pieces() {
        let mut memory = Memory::default();
        (0..100_000).for_each(|at| memory.insert(at, &content(at, 1)));
        assert!(memory.pieces.len() < 30, "{}", memory.pieces.len());
        assert_eq!(read(&memory, 0..100_000), Some(content(0, 100_000).to_vec()));
    }

    #[test]
    fn what_a_reader_has_passed_goes_before_what_it_has_not_read() {
        let mut memory = Memory::default();
        (0..4).for_each(|n| memory.insert(n * 100_000, &content(n * 100_000, 100_000)));
        memory.touch(&(100_000..200_000), true);
        memory.shrink(300_000, |_| true);
        assert!(!memory.present().covers(&(100_000..100_001)));
        memory.shrink(200_000, |_| true);
        assert!(!memory.present().covers(&(0..1)));
    }

    #[test]
    fn r45_a_hit_makes_young() {
        let mut memory = Memory::default();
        (0..3).for_each(|n| memory.insert(n * 100_000, &content(n * 100_000, 100_000)));
        memory.touch(&(0..10), false);
        memory.shrink(200_000, |_| true);
        assert!(memory.present().covers(&(0..100_000)));
        assert!(!memory.present().covers(&(100_000..200_000)));
    }
}
