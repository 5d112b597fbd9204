//! Taking over a connection that another worker has negotiated: fuser wants an INIT as the first message, so it gets
//! one from us over a socket, and the real device is then put under the same descriptor number.

use std::{
    io,
    os::{
        fd::{BorrowedFd, OwnedFd},
        unix::net::UnixDatagram,
    },
};

use super::Negotiated;
use crate::platform::process::replace_fd;

const OPCODE_INIT: u32 = 26;
const NOTIFY_RESEND: i32 = 7;
/// `FUSE_INIT_EXT`: the upper half of the flags follows.
const INIT_EXT: u64 = 1 << 30;
const MAX_READAHEAD: u32 = 128 << 10;
const HEADER: usize = 40;
const BODY: usize = 64;

/// A socket that gives fuser the INIT that the kernel sent to an earlier worker.
pub(super) struct Handshake {
    ours: UnixDatagram,
}

impl Handshake {
    /// The descriptor to start the session on, and our end of it.
    pub(super) fn new(settled: &Negotiated) -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = sequenced()?;
        ours.send(&init(settled))?;
        Ok((Self { ours }, theirs))
    }

    /// The session has answered: from now on its descriptor is the real device.
    pub(super) fn swap(self, session: BorrowedFd<'_>, device: OwnedFd) -> io::Result<()> {
        let mut answer = [0; 256];
        self.ours.recv(&mut answer)?;
        replace_fd(session, device)
    }
}

/// A pair that keeps messages apart, as the device does.
fn sequenced() -> io::Result<(UnixDatagram, OwnedFd)> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
    Ok((UnixDatagram::from(ours), theirs))
}

/// The request as the kernel would send it, with what was settled then.
fn init(settled: &Negotiated) -> Vec<u8> {
    let flags = settled.offered | INIT_EXT;
    let (low, high) = (flags as u32, (flags >> 32) as u32);
    let mut message = Vec::with_capacity(HEADER + BODY);
    message.extend(((HEADER + BODY) as u32).to_ne_bytes());
    message.extend(OPCODE_INIT.to_ne_bytes());
    message.extend(1_u64.to_ne_bytes());
    message.resize(HEADER, 0);
    for word in [7, settled.minor, MAX_READAHEAD, low, high] {
        message.extend(word.to_ne_bytes());
    }
    message.resize(HEADER + BODY, 0);
    message
}

/// Asks the kernel to send every unanswered request again.
///
/// # Errors
/// EINVAL on kernels before 6.9.
pub(super) fn resend(device: BorrowedFd<'_>) -> io::Result<()> {
    #[cfg(feature = "failpoints")]
    fail::fail_point!("fuse::no_resend", |_| Err(io::Error::from_raw_os_error(libc::EINVAL)));
    let mut message = Vec::with_capacity(16);
    message.extend(16_u32.to_ne_bytes());
    message.extend(NOTIFY_RESEND.to_ne_bytes());
    message.extend(0_u64.to_ne_bytes());
    nix::unistd::write(device, &message)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsFd, AsRawFd};

    use super::*;

    #[test]
    fn fuser_takes_our_init_for_the_kernels() {
        #[derive(Default)]
        struct Nothing(std::sync::Arc<std::sync::atomic::AtomicU32>);
        impl fuser::Filesystem for Nothing {
            fn init(&mut self, _: &fuser::Request, config: &mut fuser::KernelConfig) -> io::Result<()> {
                self.0.store(config.kernel_abi().1, std::sync::atomic::Ordering::Relaxed);
                Ok(())
            }
        }
        let settled = Negotiated { minor: 45, offered: 0xffff_ffff, taken: 0, passthrough: false, resends: true };
        let (handshake, fd) = Handshake::new(&settled).unwrap();
        let seen = std::sync::Arc::default();
        let fs = Nothing(std::sync::Arc::clone(&seen));
        let session = fuser::Session::from_fd(fs, fd, fuser::SessionACL::All, fuser::Config::default()).unwrap();
        assert_eq!(seen.load(std::sync::atomic::Ordering::Relaxed), 45);
        let device: OwnedFd = std::fs::File::open("/dev/null").unwrap().into();
        handshake.swap(session.as_fd(), device).unwrap();
        let link = std::fs::read_link(format!("/proc/self/fd/{}", session.as_fd().as_raw_fd())).unwrap();
        assert_eq!(link, std::path::Path::new("/dev/null"));
    }
}
