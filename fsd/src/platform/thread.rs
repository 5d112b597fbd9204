//! The thread as the kernel knows it.

use std::cell::Cell;

thread_local! {
    static TID: Cell<u32> = const { Cell::new(0) };
}

/// Kernel id of this thread; asked once a thread.
pub fn tid() -> u32 {
    TID.with(|cell| match cell.get() {
        0 => {
            let tid = ask();
            cell.set(tid);
            tid
        }
        tid => tid,
    })
}

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "std does not give the kernel's thread id")]
fn ask() -> u32 {
    // SAFETY: gettid takes nothing and cannot fail.
    unsafe { libc::gettid() }.unsigned_abs()
}

#[cfg(not(target_os = "linux"))]
fn ask() -> u32 {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Name of this thread as the kernel keeps it: at most fifteen bytes, then NULs.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "std does not know the names of threads that it did not start")]
pub fn name() -> [u8; 16] {
    let mut name = [0; 16];
    // SAFETY: the kernel writes sixteen bytes at most.
    unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
    name
}

#[cfg(not(target_os = "linux"))]
pub fn name() -> [u8; 16] {
    let mut name = [0; 16];
    let current = std::thread::current();
    for (to, from) in name.iter_mut().take(15).zip(current.name().unwrap_or_default().bytes()) {
        *to = from;
    }
    name
}

/// Number of threads of this process whose name starts with `prefix`; None when the kernel does not tell.
/// Neither allocates nor locks, so that it works while malloc hangs.
#[cfg(target_os = "linux")]
pub fn count_named(prefix: &[u8]) -> Option<u32> {
    let tasks = procfs::open(None, c"/proc/self/task", libc::O_DIRECTORY)?;
    let mut buffer = procfs::Entries::default();
    let mut count = 0;
    while let Some(len) = buffer.fill(&tasks) {
        for tid in buffer.names(len) {
            let mut comm = [0; 16];
            let len = procfs::comm(&tasks, tid, &mut comm).unwrap_or(0);
            count += u32::from(comm[..len].starts_with(prefix));
        }
    }
    Some(count)
}

#[cfg(not(target_os = "linux"))]
pub fn count_named(_prefix: &[u8]) -> Option<u32> {
    None
}

/// Reading `/proc` without the allocator.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "std allocates to read a directory")]
mod procfs {
    use std::{
        ffi::CStr,
        os::fd::{AsRawFd, FromRawFd, OwnedFd},
    };

    pub(super) fn open(below: Option<&OwnedFd>, path: &CStr, flags: i32) -> Option<OwnedFd> {
        let at = below.map_or(libc::AT_FDCWD, AsRawFd::as_raw_fd);
        // SAFETY: the path ends in NUL.
        let fd = unsafe { libc::openat(at, path.as_ptr(), flags | libc::O_RDONLY | libc::O_CLOEXEC) };
        // SAFETY: a descriptor that was just made belongs to nobody else.
        (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
    }

    pub(super) fn comm(tasks: &OwnedFd, tid: &[u8], into: &mut [u8; 16]) -> Option<usize> {
        let mut path = [0_u8; 32];
        path.get_mut(..tid.len())?.copy_from_slice(tid);
        path.get_mut(tid.len()..tid.len() + 5)?.copy_from_slice(b"/comm");
        let file = open(Some(tasks), CStr::from_bytes_until_nul(&path).ok()?, 0)?;
        // SAFETY: the kernel writes at most as many bytes as the array has.
        let len = unsafe { libc::read(file.as_raw_fd(), into.as_mut_ptr().cast(), into.len()) };
        usize::try_from(len).ok()
    }

    /// Directory entries as getdents64 writes them.
    #[repr(align(8))]
    pub(super) struct Entries([u8; 4096]);

    impl Default for Entries {
        fn default() -> Self {
            Self([0; 4096])
        }
    }

    impl Entries {
        /// Reads on; None at the end.
        pub(super) fn fill(&mut self, dir: &OwnedFd) -> Option<usize> {
            // SAFETY: the kernel writes at most as many bytes as the array has.
            let len =
                unsafe { libc::syscall(libc::SYS_getdents64, dir.as_raw_fd(), self.0.as_mut_ptr(), self.0.len()) };
            usize::try_from(len).ok().filter(|len| *len > 0)
        }

        /// The names in the first `len` bytes, those that are numbers.
        pub(super) fn names(&self, len: usize) -> impl Iterator<Item = &[u8]> {
            /// Bytes before an entry's name: inode, offset, length, type.
            const NAME_AT: usize = 19;
            let mut rest = self.0.get(..len).unwrap_or_default();
            std::iter::from_fn(move || {
                let size = u16::from_ne_bytes([*rest.get(16)?, *rest.get(17)?]);
                let (entry, next) = rest.split_at_checked(usize::from(size).max(NAME_AT))?;
                rest = next;
                entry[NAME_AT..].split(|b| *b == 0).next()
            })
            .filter(|name| name.iter().all(u8::is_ascii_digit) && !name.is_empty())
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn named_threads_are_counted_while_they_live() {
        let (tell, told) = std::sync::mpsc::channel::<()>();
        let (up, is_up) = std::sync::mpsc::channel();
        let work = move || {
            up.send((tid(), name())).unwrap();
            let _ended = told.recv();
        };
        let thread = std::thread::Builder::new().name("counted-7".into()).spawn(work).unwrap();
        let (other, name) = is_up.recv().unwrap();
        assert_ne!(other, tid());
        assert!(name.starts_with(b"counted-7\0"));
        assert_eq!(count_named(b"counted-"), Some(1));
        drop(tell);
        thread.join().unwrap();
        assert_eq!(count_named(b"counted-"), Some(0));
    }
}
