//! Slab: the blocks of memory that streams fill, a bounded number, used again and again.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::{Buf, Bytes};

use crate::{
    observe::locks::{Class, Mutex, Rank},
    platform::pages::{BLOCK, Block, Filling, Home},
};

use super::chunk::Chunk;

static SLAB: Class = Class::new("slab", Rank::Usage);

/// Blocks that are kept for the next stream: most streams need no more, and what is kept is nobody else's.
const KEPT: usize = 16;
/// A stream shorter than this is not worth a block.
const WORTH_A_BLOCK: u64 = 256 << 10;

#[derive(Clone)]
pub(super) struct Slab {
    blocks: Arc<Blocks>,
}

struct Blocks {
    free: Mutex<Vec<Block>>,
    /// Blocks that may still be mapped.
    left: AtomicUsize,
}

impl Slab {
    /// At most about `bytes` of memory.
    pub(super) fn new(bytes: u64) -> Self {
        let left = usize::try_from(bytes).unwrap_or(usize::MAX) / BLOCK;
        Self { blocks: Arc::new(Blocks { free: Mutex::new(&SLAB, Vec::new()), left: AtomicUsize::new(left) }) }
    }

    /// For a stream of `bytes`, of a store that may hold `share` bytes.
    pub(super) fn filler(&self, bytes: u64, share: u64) -> Filler {
        // Each stream keeps a block or two that are not full.
        let worth = bytes >= WORTH_A_BLOCK && share >= 4 * BLOCK as u64;
        Filler { slab: worth.then(|| self.clone()), filling: None, at: 0 }
    }

    fn take(&self) -> Option<Block> {
        let used = self.blocks.free.lock().pop();
        if used.is_some() {
            return used;
        }
        let left = |left: usize| left.checked_sub(BLOCKS_AT_ONCE);
        self.blocks.left.fetch_update(Ordering::AcqRel, Ordering::Acquire, left).ok()?;
        let Ok(mut mapped) = Block::map() else {
            self.blocks.left.fetch_add(BLOCKS_AT_ONCE, Ordering::AcqRel);
            return None;
        };
        let block = mapped.pop();
        self.blocks.free.lock().append(&mut mapped);
        block
    }
}

/// Blocks come in pairs: a huge page.
const BLOCKS_AT_ONCE: usize = 2;

impl Home for Blocks {
    fn back(&self, block: Block) {
        let surplus = {
            let mut free = self.free.lock();
            match free.iter().position(|other| other.is_beside(&block)) {
                Some(at) if free.len() >= KEPT => Some([free.swap_remove(at), block]),
                // Alone it would give no memory back.
                _ => {
                    free.push(block);
                    None
                }
            }
        };
        if let Some(pair) = surplus {
            // Unmapped without the lock, and before somebody maps others instead.
            drop(pair);
            self.left.fetch_add(BLOCKS_AT_ONCE, Ordering::AcqRel);
        }
    }
}

/// One stream's way into the slab: pieces lie in a block as they lie in the content, so that answers are page-aligned
/// and in one piece.
pub(super) struct Filler {
    slab: Option<Slab>,
    filling: Option<Filling>,
    /// Offset in the content of the byte that the filling takes next.
    at: u64,
}

impl Filler {
    /// The next chunk of `frame`, whose first byte is at `at`; None when it is used up. Without a block the frame
    /// itself is the chunk.
    pub(super) fn next(&mut self, at: u64, frame: &mut Bytes) -> Option<Chunk> {
        if frame.is_empty() {
            return None;
        }
        let Some(filling) = self.filling(at) else { return Some(Chunk::Frame(std::mem::take(frame))) };
        let filled = filling.append(frame);
        frame.advance(filled.len());
        self.took(filled.len());
        Some(Chunk::Block(filled))
    }

    /// Where the byte `at` is to go, for somebody who puts it there and then says so to [`Filler::took`]; None without a
    /// block.
    pub(super) fn filling(&mut self, at: u64) -> Option<&mut Filling> {
        let fits = self.at == at && self.filling.as_ref().is_some_and(|filling| filling.next() < BLOCK);
        if !fits {
            let slab = self.slab.as_ref()?;
            let from = usize::try_from(at % BLOCK as u64).unwrap_or(0);
            let home = Arc::clone(&slab.blocks) as Arc<dyn Home>;
            self.filling = slab.take().map(|block| Filling::new(block, from, home));
            self.at = at;
        }
        self.filling.as_mut()
    }

    /// The filling took in so many bytes more.
    pub(super) fn took(&mut self, bytes: usize) {
        self.at += bytes as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(filler: &mut Filler, at: u64, frame: &'static [u8]) -> Vec<Chunk> {
        let (mut at, mut frame, mut chunks) = (at, Bytes::from_static(frame), Vec::new());
        while let Some(chunk) = filler.next(at, &mut frame) {
            at += chunk.len() as u64;
            chunks.push(chunk);
        }
        chunks
    }

    #[test]
    fn pieces_of_a_stream_lie_one_behind_the_other() {
        let slab = Slab::new(4 << 20);
        let mut filler = slab.filler(u64::MAX, u64::MAX);
        let mut first = fill(&mut filler, 5, b"one ").remove(0);
        assert!(first.join(&fill(&mut filler, 9, b"two").remove(0)));
        assert_eq!(&*first, b"one two");
        let over = fill(&mut filler, BLOCK as u64 - 2, b"over");
        assert_eq!(over.iter().map(|chunk| chunk.len()).collect::<Vec<_>>(), [2, 2]);
    }

    #[test]
    fn memory_counts_until_it_is_given_back() {
        const ALL: usize = 64;
        let slab = Slab::new((ALL * BLOCK) as u64);
        let free = || slab.blocks.free.lock().len();
        let left = || slab.blocks.left.load(Ordering::Relaxed);
        let lend = |_| fill(&mut slab.filler(u64::MAX, u64::MAX), 0, b"x");
        let lent: Vec<_> = (0..ALL).map(lend).collect();
        assert_eq!((free(), left()), (0, 0));
        // One of each pair: as much is mapped as before.
        let (gone, held): (Vec<_>, Vec<_>) = lent.into_iter().enumerate().partition(|(n, _)| n % 2 == 0);
        drop(gone);
        assert_eq!((free(), left()), (ALL / 2, 0));
        drop(held);
        assert!(free() <= KEPT, "{} are kept", free());
        assert_eq!(free() + left(), ALL);
    }

    #[test]
    fn without_a_block_the_frame_itself_is_kept() {
        let slab = Slab::new(2 << 20);
        let held = [0, BLOCK as u64].map(|at| fill(&mut slab.filler(u64::MAX, u64::MAX), at, b"x"));
        let mut third = slab.filler(u64::MAX, u64::MAX);
        assert!(matches!(fill(&mut third, 0, b"frame").as_slice(), [Chunk::Frame(bytes)] if bytes == &b"frame"[..]));
        drop(held);
        assert!(matches!(fill(&mut third, 5, b"block").as_slice(), [Chunk::Block(_)]));
        assert!(matches!(fill(&mut slab.filler(1, u64::MAX), 0, b"short").as_slice(), [Chunk::Frame(_)]));
    }
}
