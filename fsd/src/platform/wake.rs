//! The wake-up: a descriptor that ends another thread's sleep, also from a signal handler.

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    time::Duration,
};

/// One sleeper, any number of wakers.
#[derive(Debug)]
pub struct Wake {
    read: OwnedFd,
    write: OwnedFd,
}

impl Wake {
    /// # Errors
    /// When the process has no descriptor left.
    #[expect(unsafe_code, reason = "std has no non-blocking pipe")]
    pub fn new() -> io::Result<Self> {
        let mut ends = [-1; 2];
        // SAFETY: the kernel writes two descriptors into `ends`, which has room for them.
        if unsafe { libc::pipe(ends.as_mut_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: both descriptors were just made and belong to nobody else.
        let [read, write] = ends.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
        for end in [&read, &write] {
            // SAFETY: fcntl on a descriptor that we own touches no memory.
            let set = unsafe {
                libc::fcntl(end.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC)
                    | libc::fcntl(end.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK)
            };
            if set < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(Self { read, write })
    }

    /// Ends the sleep; one write(2), so a signal handler may call it. A full pipe has woken the sleeper already.
    #[expect(unsafe_code, reason = "must be callable from a signal handler")]
    pub fn wake(&self) {
        // SAFETY: one byte of static memory is read.
        let _sent = unsafe { libc::write(self.write.as_raw_fd(), b"!".as_ptr().cast(), 1) };
    }

    /// The end to write to: any bytes wake the sleeper.
    pub fn fd(&self) -> RawFd {
        self.write.as_raw_fd()
    }

    /// Sleeps; true when woken. Neither allocates nor locks. May return early.
    #[expect(unsafe_code, reason = "std has no poll")]
    pub fn sleep(&self, limit: Duration) -> bool {
        let mut poll = libc::pollfd { fd: self.read.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let ms = i32::try_from(limit.as_millis().max(1)).unwrap_or(i32::MAX);
        // SAFETY: one pollfd on this stack.
        if unsafe { libc::poll(&raw mut poll, 1, ms) } <= 0 {
            return false;
        }
        let mut bytes = [0_u8; 64];
        // SAFETY: the kernel writes at most as many bytes as the array has.
        while unsafe { libc::read(self.read.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len()) } > 0 {}
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_up_before_the_sleep_is_not_lost_and_counts_once() {
        let wake = Wake::new().unwrap();
        for _ in 0..100_000 {
            wake.wake();
        }
        assert!(wake.sleep(Duration::from_secs(60)));
        while wake.sleep(Duration::from_millis(1)) {}
        assert!(!wake.sleep(Duration::from_millis(1)));
    }
}
