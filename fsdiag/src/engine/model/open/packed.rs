//! Packed: rows one behind the other in small chunks, and a table that leads from a key to its row.
//!
//! A row that is taken out leaves a gap. Once a third of the bytes are gaps, all rows move together: each byte that
//! was ever written is moved twice at most.

use std::{
    collections::BinaryHeap,
    hash::{Hash as _, Hasher as _},
};

use hashbrown::HashTable;

use super::{
    Glance,
    names::Names,
    row::{Base, LONGEST, Row},
};
use crate::engine::{
    fact::Key,
    model::{hash::NumberHasher, ops::OpenOp},
};

#[derive(Clone, Debug, Default)]
pub(super) struct Packed {
    chunks: Vec<Chunk>,
    /// Where the row of a key begins.
    places: HashTable<Spot>,
    names: Names,
    /// Bytes of rows, and of gaps between them.
    used: usize,
    gaps: usize,
}

#[derive(Clone, Debug)]
struct Chunk {
    base: Base,
    bytes: Vec<u8>,
}

/// The number of a chunk above the place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Spot(u32);

const CHUNK_BITS: u32 = 12;
const CHUNK: usize = 1 << CHUNK_BITS;
/// Gaps that are not worth the trouble, bytes.
const FEW: usize = 16 * CHUNK;

impl Spot {
    fn new(chunk: usize, at: usize) -> Self {
        Self((chunk << CHUNK_BITS | at) as u32)
    }

    fn chunk(self) -> usize {
        (self.0 >> CHUNK_BITS) as usize
    }

    fn at(self) -> usize {
        self.0 as usize % CHUNK
    }
}

impl Packed {
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether another row has a place: four GiB hold a hundred million.
    pub(super) fn has_room(&self) -> bool {
        self.chunks.len() < 1 << (u32::BITS - CHUNK_BITS)
    }

    pub(super) fn contains(&self, key: &Key) -> bool {
        self.spot(key).is_some()
    }

    pub(super) fn get(&self, key: &Key) -> Option<OpenOp> {
        self.spot(key).map(|spot| self.op(spot))
    }

    pub(super) fn glances(&self) -> impl Iterator<Item = Glance> {
        self.places.iter().map(|spot| row(&self.chunks, *spot).0.glance())
    }

    /// One of that key must not be there.
    pub(super) fn insert(&mut self, op: OpenOp) {
        let row = Row::of(op, &mut self.names);
        self.push(&row);
    }

    pub(super) fn remove(&mut self, key: &Key) -> Option<OpenOp> {
        let chunks = &self.chunks;
        let is_it = |spot: &Spot| key_of(chunks, *spot) == *key;
        let (spot, _) = self.places.find_entry(hash(key), is_it).ok()?.remove();
        let (row, len) = row(&self.chunks, spot);
        (self.used, self.gaps) = (self.used - len, self.gaps + len);
        if self.gaps > self.used / 2 + FEW {
            self.move_together();
        }
        Some(row.into_op(|name| self.names.drop_use(name)))
    }

    /// So many, those that are mentioned first and then the oldest, in their order.
    pub(super) fn oldest(&self, most: usize, mentioned: impl Fn(Key) -> bool) -> Vec<OpenOp> {
        let mut chosen: BinaryHeap<(bool, u64, Spot)> = BinaryHeap::new();
        for spot in &self.places {
            let glance = row(&self.chunks, *spot).0.glance();
            let rank = (self.len() > most && !mentioned(glance.key), glance.order, *spot);
            if chosen.len() < most {
                chosen.push(rank);
            } else if let Some(mut last) = chosen.peek_mut().filter(|last| rank < **last) {
                *last = rank;
            }
        }
        let mut chosen: Vec<(u64, Spot)> = chosen.into_iter().map(|(_, order, spot)| (order, spot)).collect();
        chosen.sort_unstable();
        chosen.into_iter().map(|(_, spot)| self.op(spot)).collect()
    }

    /// What it takes, without the names.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        let chunks: usize = self.chunks.iter().map(|chunk| chunk.bytes.capacity() + size_of::<Chunk>()).sum();
        chunks + self.places.allocation_size()
    }

    fn op(&self, spot: Spot) -> OpenOp {
        row(&self.chunks, spot).0.into_op(|name| self.names.text(name))
    }

    fn spot(&self, key: &Key) -> Option<Spot> {
        self.places.find(hash(key), |spot| key_of(&self.chunks, *spot) == *key).copied()
    }

    fn push(&mut self, row: &Row) {
        if self.chunks.last().is_none_or(|chunk| chunk.bytes.len() + LONGEST > CHUNK) {
            self.chunks.push(Chunk { base: row.base(), bytes: Vec::with_capacity(CHUNK) });
        }
        let number = self.chunks.len() - 1;
        let chunk = &mut self.chunks[number];
        let at = chunk.bytes.len();
        row.write(&chunk.base, &mut chunk.bytes);
        self.used += chunk.bytes.len() - at;
        let chunks = &self.chunks;
        let again = |spot: &Spot| hash(&key_of(chunks, *spot));
        self.places.insert_unique(hash(&row.key()), Spot::new(number, at), again);
    }

    fn move_together(&mut self) {
        let mut spots: Vec<Spot> = self.places.iter().copied().collect();
        spots.sort_unstable();
        let mut chunks = std::mem::take(&mut self.chunks);
        self.places = HashTable::with_capacity(spots.len());
        (self.used, self.gaps) = (0, 0);
        let mut passed = 0;
        for spot in spots {
            // What lies behind is needed no more: old and new together take the room of one.
            chunks[passed..spot.chunk()].iter_mut().for_each(|chunk| chunk.bytes = Vec::new());
            passed = spot.chunk();
            self.push(&row(&chunks, spot).0);
        }
    }
}

fn row(chunks: &[Chunk], spot: Spot) -> (Row, usize) {
    let chunk = &chunks[spot.chunk()];
    Row::read(&chunk.base, &chunk.bytes[spot.at()..])
}

/// The key alone: whoever looks for a row needs no more of the others.
fn key_of(chunks: &[Chunk], spot: Spot) -> Key {
    let chunk = &chunks[spot.chunk()];
    Row::key_of(&chunk.base, &chunk.bytes[spot.at()..])
}

fn hash(key: &Key) -> u64 {
    let mut hasher = NumberHasher::default();
    key.hash(&mut hasher);
    hasher.finish()
}
