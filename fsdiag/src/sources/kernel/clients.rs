//! Clients: the threads that sleep in FUSE code, what they do and on which mount, from `/proc` alone.

use std::{
    fs,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use fsd_events::op::Op;

use super::{
    bounded, holders,
    mountinfo::{self, Mount},
    signature,
    task::{self, Syscall, Task},
};

/// Longest path a system call takes.
const PATH_MAX: usize = 4096;

/// Most descriptors that are looked at of those that a thread polls.
const MOST_POLLED: usize = 64;

/// A thread that sleeps in FUSE code, or in code that FUSE shares.
#[derive(Clone, Debug)]
pub struct Client {
    pub task: Task,
    /// From its kernel stack, else from its system call.
    pub op: Option<Op>,
    /// What it works on, absolute, and the mount that holds it. None where only the kernel's lists could tell.
    pub target: Option<Target>,
    pub blocked_us: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub path: PathBuf,
    pub connection: u64,
}

impl Client {
    /// Path as the mount shows it.
    pub fn path_in(&self, mount: &Mount) -> Option<String> {
        let inside = self.target.as_ref()?.path.strip_prefix(&mount.point).ok()?;
        Some(if inside.as_os_str().is_empty() { String::from("/") } else { inside.display().to_string() })
    }
}

/// Every blocked client of any FUSE mount, daemons' own threads included.
pub fn scan(mounts: &[Mount]) -> Vec<Client> {
    let own = std::process::id();
    let all = holders::pids().into_iter().filter(|pid| *pid != own).collect();
    let mounts = mounts.to_vec();
    bounded::each(all, move |pid| of_process(pid, &mounts)).into_iter().flatten().collect()
}

fn of_process(pid: u32, mounts: &[Mount]) -> Vec<Client> {
    let sleeps = |tid: &u32| {
        let wchan = Task::sleeps_in(pid, *tid);
        signature::CLIENT_WCHANS.contains(&&*wchan) || wchan.starts_with("fuse_") && !wchan.starts_with("fuse_dev")
    };
    task::ids(pid).into_iter().filter(sleeps).filter_map(|tid| in_fuse(look(pid, tid, mounts)?)).collect()
}

/// One thread, if it is there, answers, and sleeps in FUSE code.
pub fn read(pid: u32, tid: u32, mounts: &[Mount]) -> Option<Client> {
    let list = mounts.to_vec();
    in_fuse(bounded::one(pid, move |pid| look(pid, tid, &list))??)
}

fn in_fuse(client: Client) -> Option<Client> {
    let shared_code = client.target.is_none() && !signature::in_fuse(&client.task.stack);
    let fuse_wchan = client.task.wchan.starts_with("fuse_") || &*client.task.wchan == "request_wait_answer";
    (!shared_code || fuse_wchan).then_some(client)
}

fn look(pid: u32, tid: u32, mounts: &[Mount]) -> Option<Client> {
    let task = Task::read(pid, tid)?;
    let call = task.syscall.and_then(|call| meaning(&call).map(|m| (call, m)));
    // The first thread of a process that was killed has nothing of it any more.
    let thread = format!("/proc/{pid}/task/{tid}");
    let target = call.and_then(|(call, meaning)| target(&thread, &call, meaning.subject, mounts));
    let op = signature::operation(&task.stack).or_else(|| call.and_then(|(_, meaning)| meaning.op));
    let blocked_us = task.idle_us(task::clock_ms());
    Some(Client { task, op, target, blocked_us })
}

/// How a system call names what it works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    /// Argument with a descriptor.
    Fd(usize),
    /// Arguments with directory descriptor and path.
    At(usize, usize),
    /// Argument with a path, relative to the working directory.
    Path(usize),
}

#[derive(Clone, Copy, Debug)]
struct Meaning {
    subject: Subject,
    op: Option<Op>,
}

/// System calls that a client of a hung mount sleeps in. The operation is that of the kernel's first request, and
/// only a guess: a path may hang in an earlier component.
fn meaning(call: &Syscall) -> Option<Meaning> {
    use Subject::{At, Fd, Path};
    const COMMON: &[(libc::c_long, Subject, Option<Op>)] = &[
        (libc::SYS_read, Fd(0), Some(Op::Read)),
        (libc::SYS_pread64, Fd(0), Some(Op::Read)),
        (libc::SYS_readv, Fd(0), Some(Op::Read)),
        (libc::SYS_preadv, Fd(0), Some(Op::Read)),
        (libc::SYS_preadv2, Fd(0), Some(Op::Read)),
        (libc::SYS_write, Fd(0), Some(Op::Write)),
        (libc::SYS_pwrite64, Fd(0), Some(Op::Write)),
        (libc::SYS_writev, Fd(0), Some(Op::Write)),
        (libc::SYS_pwritev, Fd(0), Some(Op::Write)),
        (libc::SYS_sendfile, Fd(1), Some(Op::Read)),
        (libc::SYS_copy_file_range, Fd(0), Some(Op::Read)),
        (libc::SYS_splice, Fd(0), Some(Op::Read)),
        (libc::SYS_readahead, Fd(0), Some(Op::Read)),
        (libc::SYS_fadvise64, Fd(0), Some(Op::Read)),
        (libc::SYS_getdents64, Fd(0), Some(Op::Readdir)),
        (libc::SYS_fstat, Fd(0), Some(Op::Getattr)),
        (libc::SYS_fstatfs, Fd(0), Some(Op::Statfs)),
        (libc::SYS_lseek, Fd(0), Some(Op::Lseek)),
        (libc::SYS_fsync, Fd(0), Some(Op::Fsync)),
        (libc::SYS_fdatasync, Fd(0), Some(Op::Fsync)),
        (libc::SYS_ftruncate, Fd(0), Some(Op::Setattr)),
        (libc::SYS_fchdir, Fd(0), Some(Op::Access)),
        (libc::SYS_openat, At(0, 1), None),
        (libc::SYS_openat2, At(0, 1), None),
        (libc::SYS_newfstatat, At(0, 1), None),
        (libc::SYS_statx, At(0, 1), None),
        (libc::SYS_faccessat, At(0, 1), None),
        (libc::SYS_faccessat2, At(0, 1), None),
        (libc::SYS_readlinkat, At(0, 1), None),
        (libc::SYS_unlinkat, At(0, 1), None),
        (libc::SYS_mkdirat, At(0, 1), None),
        (libc::SYS_statfs, Path(0), None),
        (libc::SYS_chdir, Path(0), None),
        (libc::SYS_execve, Path(0), None),
        (libc::SYS_getxattr, Path(0), None),
        (libc::SYS_lgetxattr, Path(0), None),
        (libc::SYS_listxattr, Path(0), None),
        (libc::SYS_umount2, Path(0), None),
    ];
    #[cfg(target_arch = "x86_64")]
    const OLD: &[(libc::c_long, Subject, Option<Op>)] = &[
        (libc::SYS_open, Path(0), None),
        (libc::SYS_stat, Path(0), None),
        (libc::SYS_lstat, Path(0), None),
        (libc::SYS_access, Path(0), None),
        (libc::SYS_readlink, Path(0), None),
        (libc::SYS_unlink, Path(0), None),
        (libc::SYS_mkdir, Path(0), None),
        (libc::SYS_rmdir, Path(0), None),
    ];
    #[cfg(not(target_arch = "x86_64"))]
    const OLD: &[(libc::c_long, Subject, Option<Op>)] = &[];
    let row = COMMON.iter().chain(OLD).find(|row| row.0 == call.number)?;
    Some(Meaning { subject: row.1, op: row.2 })
}

/// The mount, FUSE or not, that the system call of a thread works on.
pub fn works_on(task: &Task, mounts: &[Mount]) -> Option<Mount> {
    let (call, thread) = (task.syscall?, format!("/proc/{}/task/{}", task.pid, task.tid));
    named(&thread, &call, meaning(&call)?.subject, mounts).map(|(_, mount)| mount.clone())
}

/// Descriptors that a thread polls; none where it does something else.
pub fn polled(task: &Task, mounts: &[Mount]) -> Vec<u32> {
    #[cfg(target_arch = "x86_64")]
    const POLLS: &[libc::c_long] = &[libc::SYS_ppoll, libc::SYS_poll];
    #[cfg(not(target_arch = "x86_64"))]
    const POLLS: &[libc::c_long] = &[libc::SYS_ppoll];
    let Some(call) = task.syscall.filter(|call| POLLS.contains(&call.number)) else { return Vec::new() };
    let thread = format!("/proc/{}/task/{}", task.pid, task.tid);
    let size = usize::try_from(call.args[1]).unwrap_or(usize::MAX).min(MOST_POLLED) * size_of::<libc::pollfd>();
    let raw = bytes_at(&thread, call.args[0], size, mounts).unwrap_or_default();
    let fd = |entry: &[u8]| entry.get(..4)?.try_into().ok().map(u32::from_ne_bytes);
    raw.chunks_exact(size_of::<libc::pollfd>()).filter_map(fd).collect()
}

fn target(thread: &str, call: &Syscall, subject: Subject, mounts: &[Mount]) -> Option<Target> {
    let (path, mount) = named(thread, call, subject, mounts).filter(|(_, mount)| mount.is_fuse())?;
    Some(Target { path, connection: mount.connection() })
}

fn named<'m>(thread: &str, call: &Syscall, subject: Subject, mounts: &'m [Mount]) -> Option<(PathBuf, &'m Mount)> {
    match subject {
        Subject::Fd(arg) => of_fd(thread, call.args[arg], mounts),
        Subject::At(dir, arg) => of_path(thread, Some(call.args[dir]), call.args[arg], mounts),
        Subject::Path(arg) => of_path(thread, None, call.args[arg], mounts),
    }
}

/// A descriptor: its link is text that the kernel makes without asking the file system.
fn of_fd<'m>(thread: &str, fd: u64, mounts: &'m [Mount]) -> Option<(PathBuf, &'m Mount)> {
    let path = fs::read_link(format!("{thread}/fd/{fd}")).ok()?;
    let info = fs::read_to_string(format!("{thread}/fdinfo/{fd}")).ok()?;
    let id = mount_id(&info)?;
    Some((path, mounts.iter().find(|m| m.id == id)?))
}

/// A path in the caller's memory, resolved by its letters alone, from where the caller stands.
fn of_path<'m>(thread: &str, dir: Option<u64>, pointer: u64, mounts: &'m [Mount]) -> Option<(PathBuf, &'m Mount)> {
    const AT_FDCWD: u32 = libc::AT_FDCWD.cast_unsigned();
    let text = string_at(thread, pointer, mounts)?;
    let given = Path::new(&text);
    let (path, mount) = match dir.filter(|fd| *fd as u32 != AT_FDCWD) {
        _ if given.is_absolute() => {
            let path = mountinfo::lexical(Path::new("/"), given);
            (path.clone(), mountinfo::serving(mounts, &path))
        }
        Some(fd) => {
            let base = fs::read_link(format!("{thread}/fd/{fd}")).ok()?;
            let id = mount_id(&fs::read_to_string(format!("{thread}/fdinfo/{fd}")).ok()?)?;
            let path = mountinfo::lexical(&base, given);
            (path.clone(), mountinfo::reached(mounts, (id, &base), &path))
        }
        // Of a working directory no number tells which of two mounts it is on.
        None => {
            let base = fs::read_link(format!("{thread}/cwd")).ok()?;
            let path = mountinfo::lexical(&base, given);
            let told = !mountinfo::hides_another(mounts, &base);
            (path.clone(), mountinfo::serving(mounts, &path).filter(|_| told))
        }
    };
    Some((path, mount?))
}

fn mount_id(fdinfo: &str) -> Option<u32> {
    holders::field(fdinfo, "mnt_id")?.parse().ok()
}

fn string_at(thread: &str, pointer: u64, mounts: &[Mount]) -> Option<String> {
    let raw = bytes_at(thread, pointer, PATH_MAX, mounts)?;
    let text = raw.split(|b| *b == 0).next().filter(|t| !t.is_empty())?;
    Some(String::from_utf8_lossy(text).into_owned())
}

/// At most so many bytes of the memory of a thread, if that memory is its own: reading a page of a mapped file could
/// itself wait for the file's mount.
fn bytes_at(thread: &str, pointer: u64, most: usize, mounts: &[Mount]) -> Option<Vec<u8>> {
    let maps = fs::read_to_string(format!("{thread}/maps")).ok()?;
    let end = private_end(&maps, pointer, mounts)?;
    let mut raw = vec![0; usize::try_from(end - pointer).ok()?.min(most)];
    let memory = fs::File::open(format!("{thread}/mem")).ok()?;
    let got = memory.read_at(&mut raw, pointer).ok()?;
    raw.truncate(got);
    Some(raw)
}

/// End of the memory area that holds `pointer`, if no file stands behind it, or one on a real disk: its device has
/// a major number, which of FUSE mounts only fuseblk has.
fn private_end(maps: &str, pointer: u64, mounts: &[Mount]) -> Option<u64> {
    let fuse: Vec<String> =
        mounts.iter().filter(|m| m.is_fuse()).map(|m| format!("{:02x}:{:02x}", m.major, m.minor)).collect();
    maps.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let (start, end) = (u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?);
        let device = words.nth(2)?;
        let anonymous = words.next() == Some("0");
        let on_disk = !device.starts_with("00:") && !fuse.iter().any(|d| d == device);
        ((start..end).contains(&pointer) && (anonymous || on_disk)).then_some(end)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_memory_that_no_mount_stands_behind_is_read() {
        let maps = "\
00400000-00452000 r-xp 00000000 00:27 13 /mnt/hung/program
00600000-00700000 r-xp 00000000 fe:01 13 /bin/ls
7ffc0000-7ffd0000 rw-p 00000000 00:00 0  [stack]
";
        assert_eq!(private_end(maps, 0x40_0010, &[]), None);
        assert_eq!(private_end(maps, 0x60_0010, &[]), Some(0x70_0000));
        assert_eq!(private_end(maps, 0x7ffc_0010, &[]), Some(0x7ffd_0000));
        assert_eq!(private_end(maps, 5, &[]), None);
    }

    #[test]
    fn our_own_string_is_found() {
        let text = String::from("some/path\0");
        assert_eq!(string_at("/proc/self", text.as_ptr().addr() as u64, &[]).as_deref(), Some("some/path"));
    }

    proptest! {
        #[test]
        fn any_maps_are_read_without_panic(text in "[0-9a-f -:\n]{0,200}", pointer: u64) {
            let _ = private_end(&text, pointer, &[]);
        }
    }
}
