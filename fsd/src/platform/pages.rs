//! Pages: blocks of memory that are mapped once, filled from front to back, read while they fill, and used again.
//!
//! Fresh memory costs the kernel more than the bytes that are put there, so it is not given back after each use.

use std::{fmt, io, ops::Deref, ops::Range, ptr::NonNull, sync::Arc};

/// Bytes of a block.
pub const BLOCK: usize = 1 << 20;

/// A huge page: one fault instead of 512, where the kernel gives them.
const HUGE: usize = 2 << 20;

/// Where blocks go when nobody needs their bytes any more.
pub trait Home: Send + Sync {
    fn back(&self, block: Block);
}

/// [`BLOCK`] bytes, page-aligned, owned.
pub struct Block {
    mapping: Arc<Mapping>,
    at: usize,
}

impl Block {
    /// Maps as many blocks as are mapped at once.
    ///
    /// # Errors
    /// When the kernel has no memory.
    pub fn map() -> io::Result<Vec<Self>> {
        let mapping = Arc::new(Mapping::new()?);
        Ok((0..HUGE / BLOCK).map(|n| Self { mapping: Arc::clone(&mapping), at: n * BLOCK }).collect())
    }

    /// Whether both were mapped at once: their memory is given back when both are dropped, no sooner.
    pub fn is_beside(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.mapping, &other.mapping)
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Block").field("at", &self.at).finish_non_exhaustive()
    }
}

/// One huge page's worth of private memory.
struct Mapping {
    base: NonNull<u8>,
}

impl Mapping {
    fn new() -> io::Result<Self> {
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours; failure is checked.
        #[expect(unsafe_code, reason = "std gives no memory of a chosen alignment that can fail")]
        let base = unsafe {
            let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
            libc::mmap(std::ptr::null_mut(), 2 * HUGE, prot, flags, -1, 0)
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { base: trim(base) })
    }
}

/// Keeps the aligned half of a mapping of two huge pages.
fn trim(base: NonNull<u8>) -> NonNull<u8> {
    let skip = base.align_offset(HUGE);
    // SAFETY: `skip` is less than a huge page, so all three ranges lie within the mapping of two, which nobody uses
    // yet; the middle one stays.
    #[expect(unsafe_code, reason = "std cannot map memory")]
    unsafe {
        let kept = base.add(skip);
        if skip > 0 {
            libc::munmap(base.as_ptr().cast(), skip);
        }
        libc::munmap(kept.add(HUGE).as_ptr().cast(), HUGE - skip);
        #[cfg(target_os = "linux")]
        libc::madvise(kept.as_ptr().cast(), HUGE, libc::MADV_HUGEPAGE);
        kept
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this length, and nobody can reach it any more.
        #[expect(unsafe_code, reason = "std cannot unmap")]
        unsafe {
            libc::munmap(self.base.as_ptr().cast(), HUGE);
        }
    }
}

// SAFETY: plain memory; who may touch which bytes is ruled by `Filling` and `Filled`.
#[expect(unsafe_code, reason = "a raw pointer is not Send by itself")]
unsafe impl Send for Mapping {}
// SAFETY: as above.
#[expect(unsafe_code, reason = "a raw pointer is not Sync by itself")]
unsafe impl Sync for Mapping {}

/// A block in use: it goes home when its filling and all that was filled are dropped.
struct Lent {
    block: Option<Block>,
    home: Arc<dyn Home>,
}

impl Lent {
    fn base(&self) -> NonNull<u8> {
        let block = self.block.as_ref().expect("only `drop` takes it");
        // SAFETY: a block lies within its mapping.
        #[expect(unsafe_code, reason = "the mapping is memory that the compiler does not know")]
        unsafe {
            block.mapping.base.add(block.at)
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(block) = self.block.take() {
            self.home.back(block);
        }
    }
}

/// The one writer of a block.
pub struct Filling {
    lent: Arc<Lent>,
    next: usize,
}

impl Filling {
    /// Begins at byte `from` of `block`.
    pub fn new(block: Block, from: usize, home: Arc<dyn Home>) -> Self {
        Self { lent: Arc::new(Lent { block: Some(block), home }), next: from.min(BLOCK) }
    }

    /// Byte of the block that is filled next; [`BLOCK`] when it is full.
    pub fn next(&self) -> usize {
        self.next
    }

    /// Copies as much of `bytes` as fits; the result says how much that was.
    pub fn append(&mut self, bytes: &[u8]) -> Filled {
        let room = self.spare();
        let len = bytes.len().min(room.len());
        room[..len].copy_from_slice(&bytes[..len]);
        self.grow(len)
    }

    /// What is filled next, to be written by other means than [`Filling::append`]; empty when the block is full.
    pub fn spare(&mut self) -> &mut [u8] {
        // SAFETY: the bytes from `next` on belong to the one `Filling` of this block, which is borrowed: no `Filled`
        // reaches there before `next` has passed them. The kernel gave the mapping filled with zeros.
        #[expect(unsafe_code, reason = "others read the bytes before these meanwhile")]
        unsafe {
            std::slice::from_raw_parts_mut(self.lent.base().add(self.next).as_ptr(), BLOCK - self.next)
        }
    }

    /// So many bytes of what was spare are filled now.
    pub fn grow(&mut self, bytes: usize) -> Filled {
        let range = self.next..(self.next + bytes).min(BLOCK);
        self.next = range.end;
        Filled { lent: Arc::clone(&self.lent), range }
    }
}

/// Bytes of a block that do not change any more.
#[derive(Clone)]
pub struct Filled {
    lent: Arc<Lent>,
    range: Range<usize>,
}

impl Filled {
    /// A part of it; offsets count from its own start.
    #[must_use]
    pub fn slice(&self, part: Range<usize>) -> Self {
        let start = self.range.start + part.start.min(self.len());
        let end = self.range.start + part.end.min(self.len());
        Self { lent: Arc::clone(&self.lent), range: start..end.max(start) }
    }

    /// Takes in what lies directly behind it in the same block; false when `next` does not.
    pub fn join(&mut self, next: &Self) -> bool {
        let joins = Arc::ptr_eq(&self.lent, &next.lent) && self.range.end == next.range.start;
        if joins {
            self.range.end = next.range.end;
        }
        joins
    }
}

impl Deref for Filled {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: within the block, written before this was made, and never written again while it is lent.
        #[expect(unsafe_code, reason = "the mapping is memory that the compiler does not know")]
        unsafe {
            std::slice::from_raw_parts(self.lent.base().add(self.range.start).as_ptr(), self.range.len())
        }
    }
}

impl fmt::Debug for Filled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Filled").field(&self.range).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Home for Count {
        fn back(&self, _block: Block) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn what_was_filled_reads_as_it_came_while_the_rest_is_filled() {
        let home = Arc::new(Count::default());
        let block = Block::map().unwrap().remove(0);
        let mut filling = Filling::new(block, 10, Arc::clone(&home) as Arc<dyn Home>);
        let mut first = filling.append(b"hello ");
        let second = filling.append(b"world");
        assert_eq!((&*first, &*second.slice(1..99)), (&b"hello "[..], &b"orld"[..]));
        assert!(first.join(&second) && !first.join(&second));
        let rest = filling.append(&vec![7; BLOCK]);
        assert_eq!((rest.len(), filling.next()), (BLOCK - 21, BLOCK));
        assert_eq!(&*first, b"hello world");
        assert!(filling.append(b"x").is_empty());
        drop((filling, second, rest));
        assert_eq!(home.0.load(Ordering::Relaxed), 0);
        drop(first);
        assert_eq!(home.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn blocks_are_aligned_to_pages() {
        for block in Block::map().unwrap() {
            let mut filling = Filling::new(block, 0, Arc::new(Count::default()));
            let filled = filling.append(b"x");
            assert_eq!(filled.as_ptr().align_offset(4096), 0);
        }
    }
}
