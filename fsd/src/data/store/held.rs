//! Holdings: the bytes of a content that are at hand, in memory or on disk.

use std::ops::Range;

use super::{chunk::Chunk, extents::Extents, memory::Memory};

/// One part of an answer.
#[derive(Clone, Debug)]
pub(super) enum Part {
    Memory(Chunk),
    Disk(Range<u64>),
}

#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) memory: Memory,
    pub(super) disk: Extents,
    /// What is in either.
    have: Extents,
}

impl Held {
    /// Takes in what is not at hand yet; returns which bytes those were.
    pub(super) fn insert(&mut self, at: u64, bytes: &Chunk) -> Vec<Range<u64>> {
        let fresh: Vec<_> = self.have.gaps(at..at + bytes.len() as u64).collect();
        for gap in &fresh {
            self.memory.insert(gap.start, &bytes.slice(index(gap.start - at)..index(gap.end - at)));
            self.have.insert(gap.clone());
        }
        fresh
    }

    /// All of it is on disk now.
    pub(super) fn written(&mut self, range: Range<u64>) {
        self.have.insert(range.clone());
        self.disk.insert(range);
    }

    pub(super) fn have(&self) -> &Extents {
        &self.have
    }

    /// How to answer a read of `range`: the one predicate for "the bytes are there". None: they are not.
    pub(super) fn plan(&self, range: &Range<u64>) -> Option<Vec<Part>> {
        if !self.have.covers(range) {
            return None;
        }
        let (mut parts, mut at) = (Vec::new(), range.start);
        while at < range.end {
            let part = match self.memory.piece(at, range.end) {
                Some(piece) => Part::Memory(piece),
                None => Part::Disk(at..self.disk.run_from(at).min(range.end)),
            };
            at += part.len();
            parts.push(part);
        }
        Some(parts)
    }

    /// Gives up memory down to `bytes`; what is nowhere else only if `may` says so.
    pub(super) fn shrink(&mut self, bytes: u64, may: impl Fn(&Range<u64>) -> bool) {
        let disk = &self.disk;
        for gone in self.memory.shrink(bytes, |range| disk.covers(range) || may(range)) {
            let lost: Vec<_> = self.disk.gaps(gone).collect();
            lost.iter().for_each(|gap| self.have.remove(gap));
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Part {
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Memory(piece) => piece.len() as u64,
            Self::Disk(range) => range.end - range.start,
        }
    }
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}
