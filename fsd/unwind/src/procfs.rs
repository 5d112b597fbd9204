//! What the kernel says of a thread in `/proc/<pid>/task/<tid>`, and what that means.

use fsd_events::stacks::{Doing, Syscall};

use crate::maps::hex;

/// From `stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat<'a> {
    pub comm: &'a [u8],
    /// `R`, `S`, `D`, `T`, `Z`, ...
    pub state: char,
    /// User and system time, clock ticks.
    pub ticks: u64,
}

/// Reads `stat`; the name stands between the first `(` and the last `)`.
pub fn stat(text: &[u8]) -> Option<Stat<'_>> {
    let open = text.iter().position(|b| *b == b'(')?;
    let close = text.iter().rposition(|b| *b == b')')?;
    let mut fields = text.get(close + 2..)?.split(|b| *b == b' ');
    let state = char::from(*fields.next()?.first()?);
    let user = decimal(fields.nth(10)?)?;
    let system = decimal(fields.next()?)?;
    Some(Stat { comm: text.get(open + 1..close)?, state, ticks: user + system })
}

/// Start of the process, clock ticks since boot (field 22 of `stat`).
pub fn started(stat: &[u8]) -> Option<u64> {
    let close = stat.iter().rposition(|b| *b == b')')?;
    decimal(stat.get(close + 2..)?.split(|b| *b == b' ').nth(19)?)
}

/// From `syscall`: the call, and where the thread will go on, unless it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocked {
    pub syscall: i64,
    pub sp: u64,
    pub pc: u64,
}

/// Reads `syscall`.
pub fn syscall(text: &[u8]) -> (Syscall, Option<Blocked>) {
    if text.starts_with(b"running") {
        return (Syscall::Running, None);
    }
    let mut fields = text.trim_ascii_end().split(|b| *b == b' ');
    let number = fields.next().and_then(|n| std::str::from_utf8(n).ok()?.parse().ok());
    let Some(number) = number else { return (Syscall::Unknown, None) };
    let mut last = fields.rev();
    let mut address = || last.next()?.strip_prefix(b"0x").and_then(hex);
    let (pc, sp) = (address(), address());
    let blocked = pc.zip(sp).map(|(pc, sp)| Blocked { syscall: number, sp, pc });
    (Syscall::Number(number), blocked)
}

/// Whether the line `SigBlk:` of `status` has that signal in it.
pub fn blocks_signal(status: &[u8], signal: i32) -> bool {
    let mask = status.split(|b| *b == b'\n').find_map(|line| line.strip_prefix(b"SigBlk:"));
    let mask = mask.and_then(|text| hex(text.trim_ascii())).unwrap_or(0);
    u32::try_from(signal - 1).is_ok_and(|bit| mask.checked_shr(bit).unwrap_or(0) & 1 == 1)
}

fn decimal(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.trim_ascii_end().parse().ok()
}

/// Whether a thread that sleeps in that kernel function waits for the next request of a FUSE mount.
pub fn waits_for_requests(wchan: &str) -> bool {
    wchan.contains("fuse_dev_do_read")
}

/// What a thread is doing, from its state, the kernel function it sleeps in and its system call.
pub fn doing(state: char, wchan: Option<&str>, syscall: Syscall) -> Doing {
    let sleeps_in = |part: &str| wchan.is_some_and(|wchan| wchan.contains(part));
    match (state, syscall) {
        ('D', _) => Doing::Uninterruptible,
        ('T' | 't', _) => Doing::Stopped,
        ('R', _) | (_, Syscall::Running) => Doing::Running,
        _ if wchan.is_some_and(waits_for_requests) => Doing::FuseIdle,
        (_, Syscall::Number(number)) => {
            let socket = ["sk_wait", "skb_wait", "unix_stream", "tcp_", "inet_"].into_iter().any(sleeps_in);
            match class(number) {
                Doing::FileIo if socket => Doing::Net,
                class => class,
            }
        }
        _ => Doing::Other,
    }
}

fn class(number: i64) -> Doing {
    TABLE.iter().find(|(calls, _)| calls.contains(&number)).map_or(Doing::Other, |(_, doing)| *doing)
}

/// Whether a system call moves data, or waits for a disk or a peer.
pub fn does_io(number: i64) -> bool {
    matches!(class(number), Doing::Net | Doing::FileIo)
}

const TABLE: &[(&[i64], Doing)] = &[
    (&[libc::SYS_futex], Doing::Futex),
    (&[libc::SYS_epoll_pwait, libc::SYS_epoll_pwait2, libc::SYS_ppoll, libc::SYS_pselect6], Doing::Epoll),
    (&[libc::SYS_nanosleep, libc::SYS_clock_nanosleep], Doing::Sleep),
    (
        &[
            libc::SYS_recvfrom,
            libc::SYS_recvmsg,
            libc::SYS_recvmmsg,
            libc::SYS_sendto,
            libc::SYS_sendmsg,
            libc::SYS_sendmmsg,
            libc::SYS_connect,
            libc::SYS_accept,
            libc::SYS_accept4,
        ],
        Doing::Net,
    ),
    (
        &[
            libc::SYS_read,
            libc::SYS_readv,
            libc::SYS_pread64,
            libc::SYS_preadv,
            libc::SYS_preadv2,
            libc::SYS_write,
            libc::SYS_writev,
            libc::SYS_pwrite64,
            libc::SYS_pwritev,
            libc::SYS_pwritev2,
            libc::SYS_fsync,
            libc::SYS_fdatasync,
            libc::SYS_fallocate,
            libc::SYS_ftruncate,
            libc::SYS_openat,
            libc::SYS_close,
            libc::SYS_unlinkat,
            libc::SYS_renameat2,
            libc::SYS_mkdirat,
            libc::SYS_getdents64,
            libc::SYS_newfstatat,
            libc::SYS_statx,
            libc::SYS_splice,
            libc::SYS_sendfile,
            libc::SYS_copy_file_range,
            libc::SYS_flock,
        ],
        Doing::FileIo,
    ),
    #[cfg(target_arch = "x86_64")]
    (&[libc::SYS_epoll_wait, libc::SYS_poll, libc::SYS_select], Doing::Epoll),
    #[cfg(target_arch = "x86_64")]
    (
        &[libc::SYS_open, libc::SYS_unlink, libc::SYS_rename, libc::SYS_mkdir, libc::SYS_stat, libc::SYS_lstat],
        Doing::FileIo,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_blanks_is_read_whole() {
        let text = b"77 (a (b) c) D 1 77 77 0 -1 4194560 1 0 0 0 120 30 0 0 20 0 1 0 900 1 2 3\n";
        assert_eq!(stat(text), Some(Stat { comm: b"a (b) c", state: 'D', ticks: 150 }));
        assert_eq!(started(text), Some(900));
    }

    #[test]
    fn the_three_forms_of_the_syscall_file_are_read() {
        let blocked = b"202 0x1 0x2 0x3 0x4 0x5 0x6 0x7ffc10 0x7f4410\n";
        assert_eq!(
            syscall(blocked),
            (Syscall::Number(202), Some(Blocked { syscall: 202, sp: 0x7ffc10, pc: 0x7f4410 }))
        );
        assert_eq!(syscall(b"-1 0x7ffc10 0x7f4410\n").1.map(|b| b.sp), Some(0x7ffc10));
        assert_eq!(syscall(b"running\n"), (Syscall::Running, None));
        assert_eq!(syscall(b""), (Syscall::Unknown, None));
    }

    #[test]
    fn a_blocked_signal_is_seen() {
        let status = b"Name:\tx\nSigBlk:\t0000000200000000\nSigIgn:\t0\n";
        assert!(blocks_signal(status, 34));
        assert!(!blocks_signal(status, 35));
    }

    #[test]
    fn reading_a_socket_is_waiting_for_the_network() {
        let read = Syscall::Number(libc::SYS_read);
        assert_eq!(doing('S', Some("unix_stream_read_generic"), read), Doing::Net);
        assert_eq!(doing('S', Some("pipe_read"), read), Doing::FileIo);
        assert_eq!(doing('S', Some("fuse_dev_do_read.constprop.0"), read), Doing::FuseIdle);
        assert_eq!(doing('D', Some("folio_wait_bit_common"), read), Doing::Uninterruptible);
        assert!(does_io(libc::SYS_recvfrom) && !does_io(libc::SYS_futex));
    }
}
