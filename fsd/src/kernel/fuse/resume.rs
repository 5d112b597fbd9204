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
/// Every request has one of its own; the kernel's are even.
const INIT_UNIQUE: u64 = 1;
const ANSWER_HEADER: usize = 16;
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
    ///
    /// # Errors
    /// When what it said is not the one answer to an INIT: the kernel would get the rest of it.
    pub(super) fn swap(self, session: BorrowedFd<'_>, device: OwnedFd) -> io::Result<()> {
        let mut answer = [0; 256];
        let length = self.ours.recv(&mut answer)?;
        self.ours.set_nonblocking(true)?;
        let more = self.ours.recv(&mut [0; 1]).is_ok();
        if more || !accepts(&answer[..length]) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "fuser did not answer our INIT as expected"));
        }
        replace_fd(session, device)
    }
}

/// An answer to our INIT that is no error: length, error and unique, then the body.
fn accepts(answer: &[u8]) -> bool {
    let word = |at: usize| answer.get(at..at + 4).map(|word| word.try_into().map_or(0, u32::from_ne_bytes));
    let whole = word(0).is_some_and(|length| length as usize == answer.len());
    whole
        && answer.len() > ANSWER_HEADER
        && [word(4), word(8), word(12)] == [Some(0), Some(INIT_UNIQUE as u32), Some(0)]
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
    message.extend(INIT_UNIQUE.to_ne_bytes());
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
    use std::{
        os::fd::{AsFd, AsRawFd},
        sync::{
            Arc,
            atomic::{AtomicU64, Ordering::Relaxed},
        },
        time::Duration,
    };

    use super::*;

    const OPCODE_STATFS: u32 = 17;
    const OPCODE_DESTROY: u32 = 38;

    /// What INIT told it: minor version and offered flags.
    #[derive(Default)]
    struct Nothing(Arc<[AtomicU64; 2]>);

    impl fuser::Filesystem for Nothing {
        fn init(&mut self, _: &fuser::Request, config: &mut fuser::KernelConfig) -> io::Result<()> {
            self.0[0].store(config.kernel_abi().1.into(), Relaxed);
            self.0[1].store(config.capabilities().bits(), Relaxed);
            Ok(())
        }
    }

    /// A session that took our INIT for the kernel's, on `loops` threads, and what it was told.
    fn taken_over(settled: &Negotiated, loops: usize) -> (Handshake, fuser::Session<Nothing>, [u64; 2]) {
        let (handshake, fd) = Handshake::new(settled).unwrap();
        let seen = Arc::default();
        let mut config = fuser::Config::default();
        config.n_threads = Some(loops);
        let fs = Nothing(Arc::clone(&seen));
        let session = fuser::Session::from_fd(fs, fd, fuser::SessionACL::All, config).unwrap();
        (handshake, session, [seen[0].load(Relaxed), seen[1].load(Relaxed)])
    }

    fn settled() -> Negotiated {
        // Both halves of the flags, as a kernel of today offers them, less one that fuser has no name for.
        Negotiated { minor: 45, offered: 0x0000_07f3_73ff_fffb, taken: 0, passthrough: false, resends: true }
    }

    fn request(opcode: u32, unique: u64) -> Vec<u8> {
        let mut message = Vec::with_capacity(HEADER);
        message.extend((HEADER as u32).to_ne_bytes());
        message.extend(opcode.to_ne_bytes());
        message.extend(unique.to_ne_bytes());
        message.extend(1_u64.to_ne_bytes());
        message.resize(HEADER, 0);
        message
    }

    #[test]
    fn fuser_takes_our_init_for_the_kernels_and_reads_the_device_from_then_on() {
        let (handshake, session, seen) = taken_over(&settled(), 1);
        assert_eq!(seen[0], 45);
        assert_eq!(seen[1] & !INIT_EXT, settled().offered & !INIT_EXT, "every flag that was offered, and no other");
        let device: OwnedFd = std::fs::File::open("/dev/null").unwrap().into();
        handshake.swap(session.as_fd(), device).unwrap();
        let link = std::fs::read_link(format!("/proc/self/fd/{}", session.as_fd().as_raw_fd())).unwrap();
        assert_eq!(link, std::path::Path::new("/dev/null"));
    }

    #[test]
    fn after_the_swap_every_loop_answers_what_is_resent_under_the_number_it_came_with() {
        let (handshake, session, _) = taken_over(&settled(), 2);
        let (kernel, device) = sequenced().unwrap();
        kernel.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        handshake.swap(session.as_fd(), device).unwrap();
        let run = move || session.run();
        let running = std::thread::Builder::new().name("session".into()).spawn(run).unwrap();
        for n in 1..20_u64 {
            let unique = (2 * n) | fsd_events::ids::RESEND_BIT;
            kernel.send(&request(OPCODE_STATFS, unique)).unwrap();
            let mut answer = [0; 256];
            let length = kernel.recv(&mut answer).unwrap();
            assert_eq!(answer[4..8], [0; 4], "no error");
            assert_eq!(answer[8..16], unique.to_ne_bytes());
            assert_eq!(answer[..4], (length as u32).to_ne_bytes());
        }
        for unique in [100, 102] {
            kernel.send(&request(OPCODE_DESTROY, unique)).unwrap();
        }
        running.join().unwrap().unwrap();
    }

    #[test]
    fn whatever_is_not_the_one_answer_to_an_init_is_refused() {
        for said in [b"x".as_slice(), &[0; 80]] {
            let (handshake, fd) = Handshake::new(&settled()).unwrap();
            let session = UnixDatagram::from(fd);
            session.send(said).unwrap();
            let device: OwnedFd = std::fs::File::open("/dev/null").unwrap().into();
            assert!(handshake.swap(session.as_fd(), device).is_err(), "{said:?}");
        }
    }
}
