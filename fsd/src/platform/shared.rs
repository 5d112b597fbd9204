//! Shared words: 64-bit atomics in a file that other processes map too and that outlive this process.

use std::{fs::File, io, os::fd::AsRawFd, ptr::NonNull, sync::atomic::AtomicU64};

/// A row of atomics, in a mapped file or in private memory.
#[derive(Debug)]
pub struct SharedWords(Memory);

#[derive(Debug)]
enum Memory {
    Mapped(Mapping),
    Private(Box<[AtomicU64]>),
}

#[derive(Debug)]
struct Mapping {
    base: NonNull<AtomicU64>,
    words: usize,
}

impl SharedWords {
    /// Maps `bytes` of `file` from `offset` on, allocated now, so that no later access can fail for lack of room.
    /// Both must be multiples of the page size.
    ///
    /// # Errors
    /// When the file system has no room or cannot map.
    pub fn map(file: &File, offset: u64, bytes: usize) -> io::Result<Self> {
        allocate(file, offset, bytes)?;
        Self::again(file, offset, bytes)
    }

    /// The same where another process did so before, and therefore all is allocated.
    ///
    /// # Errors
    /// When the file system cannot map.
    pub fn again(file: &File, offset: u64, bytes: usize) -> io::Result<Self> {
        Ok(Self(Memory::Mapped(Mapping::new(file, offset, bytes)?)))
    }

    /// Brings in every page, so that no later access waits for one. Where the kernel cannot do that at once, each comes
    /// when it is first used.
    pub fn populate(&self) {
        if let Memory::Mapped(mapping) = &self.0 {
            mapping.populate();
        }
    }

    /// The same in private memory: gone with this process.
    pub fn private(bytes: usize) -> Self {
        Self(Memory::Private((0..bytes / 8).map(|_| AtomicU64::new(0)).collect()))
    }

    pub fn words(&self) -> &[AtomicU64] {
        match &self.0 {
            Memory::Mapped(mapping) => mapping.words(),
            Memory::Private(words) => words,
        }
    }

    /// Whether others can read it.
    pub fn is_shared(&self) -> bool {
        matches!(self.0, Memory::Mapped(_))
    }
}

#[cfg(target_os = "linux")]
fn allocate(file: &File, offset: u64, bytes: usize) -> io::Result<()> {
    let (offset, bytes) = (libc::off_t::try_from(offset), libc::off_t::try_from(bytes));
    let (Ok(offset), Ok(bytes)) = (offset, bytes) else { return Err(io::ErrorKind::InvalidInput.into()) };
    // SAFETY: takes numbers only; the descriptor is open as long as `file` lives.
    #[expect(unsafe_code, reason = "std cannot allocate the blocks of a file")]
    let error = unsafe { libc::posix_fallocate(file.as_raw_fd(), offset, bytes) };
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}

#[cfg(not(target_os = "linux"))]
fn allocate(file: &File, offset: u64, bytes: usize) -> io::Result<()> {
    file.set_len(offset + bytes as u64)
}

/// Whoever maps memory meanwhile waits for so many bytes at most.
#[cfg(target_os = "linux")]
const POPULATED_AT_ONCE: usize = 64 << 10;

impl Mapping {
    fn new(file: &File, offset: u64, bytes: usize) -> io::Result<Self> {
        let offset = libc::off_t::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours; failure is checked.
        #[expect(unsafe_code, reason = "std cannot map a file")]
        let base = unsafe {
            let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
            libc::mmap(std::ptr::null_mut(), bytes, prot, flags, file.as_raw_fd(), offset)
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self { base, words: bytes / 8 })
    }

    #[cfg(target_os = "linux")]
    fn populate(&self) {
        let bytes = self.words * 8;
        for at in (0..bytes).step_by(POPULATED_AT_ONCE) {
            // SAFETY: a part of exactly the mapping made in `new`; its pages are brought in and stay as they are.
            #[expect(unsafe_code, reason = "std cannot advise the kernel")]
            unsafe {
                let part = self.base.as_ptr().cast::<u8>().add(at).cast();
                libc::madvise(part, POPULATED_AT_ONCE.min(bytes - at), libc::MADV_POPULATE_WRITE);
            }
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn populate(&self) {}

    fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping is page-aligned, lives as long as `self`, has room for `words` values, and every
        // access of any process goes through atomics.
        #[expect(unsafe_code, reason = "the mapping is memory that the compiler does not know")]
        unsafe {
            std::slice::from_raw_parts(self.base.as_ptr(), self.words)
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping made in `new`; `&mut self` proves that no slice of it is left.
        #[expect(unsafe_code, reason = "std cannot unmap")]
        unsafe {
            libc::munmap(self.base.as_ptr().cast(), self.words * 8);
        }
    }
}

// SAFETY: the mapping is reachable through atomics only and is unmapped by its one owner.
#[expect(unsafe_code, reason = "a raw pointer is not Send by itself")]
unsafe impl Send for Mapping {}
// SAFETY: as above: shared references give atomics only.
#[expect(unsafe_code, reason = "a raw pointer is not Sync by itself")]
unsafe impl Sync for Mapping {}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn what_one_mapping_writes_another_reads() {
        let file = tempfile::tempfile().unwrap();
        let one = SharedWords::map(&file, 0, 8192).unwrap();
        let two = SharedWords::map(&file, 4096, 4096).unwrap();
        one.words()[512].store(7, Ordering::Release);
        assert_eq!(two.words()[0].load(Ordering::Acquire), 7);
        assert!(one.is_shared() && !SharedWords::private(4096).is_shared());
    }
}
