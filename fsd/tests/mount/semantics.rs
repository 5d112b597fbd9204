//! Semantics: what every operation answers on a real mount (`docs/SEMANTICS.md`).

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions, Permissions},
    io::{Read, Seek},
    os::unix::{
        fs::{FileExt, MetadataExt, PermissionsExt, symlink},
        process::CommandExt,
    },
    path::Path,
    process::{Command, Stdio},
};

use fsd_events::op::Op;
use nix::{
    errno::Errno,
    unistd::{AccessFlags, access, geteuid},
};
use rustix::fs::{AtFlags, SeekFrom, StatxFlags, XattrFlags, statx};

use super::support::*;

const MIB: u64 = 1 << 20;

fn errno<T>(result: std::io::Result<T>) -> Option<i32> {
    result.err().map(|error| error.raw_os_error().unwrap_or(-1))
}

fn code<T>(result: rustix::io::Result<T>) -> Option<i32> {
    result.err().map(rustix::io::Errno::raw_os_error)
}

/// Tries every change there is; each must be refused as read-only.
fn every_change_is_refused(file: &Path, dir: &Path) {
    let new = dir.join("new");
    let open = |options: &mut OpenOptions| errno(options.open(file));
    let handle = File::open(file).unwrap();
    let tries = [
        ("create", errno(File::create(&new))),
        ("mkdir", errno(fs::create_dir(&new))),
        ("mknod", code(rustix::fs::mkfifoat(rustix::fs::CWD, &new, rustix::fs::Mode::RUSR))),
        ("unlink", errno(fs::remove_file(file))),
        ("rmdir", errno(fs::remove_dir(dir))),
        ("rename", errno(fs::rename(file, &new))),
        ("symlink", errno(symlink("x", &new))),
        ("link", errno(fs::hard_link(file, &new))),
        ("write", open(OpenOptions::new().write(true))),
        ("append", open(OpenOptions::new().append(true))),
        ("read and write", open(OpenOptions::new().read(true).write(true))),
        ("truncate", open(OpenOptions::new().write(true).truncate(true))),
        ("chmod", errno(fs::set_permissions(file, Permissions::from_mode(0o777)))),
        ("times", errno(handle.set_modified(std::time::SystemTime::UNIX_EPOCH))),
        ("chown", errno(std::os::unix::fs::chown(file, Some(1), None))),
        ("setxattr", code(rustix::fs::setxattr(file, "user.a", b"b", XattrFlags::empty()))),
        ("removexattr", code(rustix::fs::removexattr(file, "user.a"))),
    ];
    for (what, refused) in tries {
        assert_eq!(refused, Some(Errno::EROFS as i32), "{what}");
    }
}

#[test]
fn every_change_is_erofs_also_where_the_kernel_lets_it_through() {
    let origin = Origin::start().unwrap();
    origin.file("d/a", MIB);
    for args in [&[][..], &["--debug-all-callbacks"]] {
        let mounted = mount(Some(&origin.url("")), args);
        every_change_is_refused(&mounted.path("d/a"), &mounted.path("d"));
        assert_eq!(fs::read(mounted.path("d/a")).unwrap(), origin.bytes("d/a", 0, MIB as usize), "{args:?}");
        assert_eq!(orphans(&mounted.finish()), Vec::<String>::new());
    }
}

/// Operations that no client can make the kernel send to this daemon, and why.
const NEVER: [(Op, &str); 19] = [
    (Op::Interrupt, "fuser answers it itself"),
    (Op::NotifyReply, "fsd never notifies"),
    (Op::Forget, "sent one by one only when a single inode is dropped"),
    (Op::BatchForget, "sent when the kernel drops inodes, or at the end, when it does not wait for us"),
    (Op::Destroy, "the kernel sends none for a mount that is not a block device; fuser's end is recorded if it comes"),
    (Op::Readlink, "there are no links"),
    (Op::Write, "nothing can be opened for writing"),
    (Op::Fallocate, "nothing can be opened for writing"),
    (Op::CopyFileRange, "nothing can be opened for writing"),
    (Op::Getlk, "the kernel keeps locks by itself"),
    (Op::Setlk, "the kernel keeps locks by itself"),
    (Op::Setlkw, "the kernel keeps locks by itself"),
    (Op::Bmap, "for block devices"),
    (Op::Setupmapping, "virtiofs"),
    (Op::Removemapping, "virtiofs"),
    (Op::Syncfs, "virtiofs"),
    (Op::Tmpfile, "fuser does not know it"),
    (Op::Statx, "fuser does not know it"),
    (Op::Rename, "the kernel says RENAME2 only with flags; see the test"),
];

/// macOS only.
const ELSEWHERE: [Op; 3] = [Op::Setvolname, Op::Getxtimes, Op::Exchange];

#[test]
fn every_callback_that_the_kernel_can_send_stands_in_the_record() {
    let origin = Origin::start().unwrap();
    origin.file("d/a", MIB).file("d/b", MIB);
    let mounted = mount(Some(&origin.url("")), &["--debug-all-callbacks"]);
    let (file, dir) = (mounted.path("d/a"), mounted.path("d"));
    every_change_is_refused(&file, &dir);
    let exchange = rustix::fs::RenameFlags::EXCHANGE;
    let here = rustix::fs::CWD;
    assert_eq!(code(rustix::fs::renameat_with(here, &file, here, mounted.path("d/b"), exchange)), Some(30));
    let mut open = File::open(&file).unwrap();
    assert_eq!(open.read(&mut [0; 100]).unwrap(), 100);
    open.sync_all().unwrap();
    File::open(&dir).unwrap().sync_all().unwrap();
    assert_eq!(open.metadata().unwrap().size(), MIB);
    assert_eq!(rustix::fs::seek(&open, SeekFrom::Data(5)).unwrap(), 5);
    assert_eq!(rustix::fs::seek(&open, SeekFrom::Hole(5)).unwrap(), MIB);
    assert_eq!(code(rustix::fs::seek(&open, SeekFrom::Data(MIB))), Some(Errno::ENXIO as i32));
    open.rewind().unwrap();
    let mut name = [0; 100];
    assert_eq!(code(rustix::fs::getxattr(&file, "user.a", &mut name)), Some(Errno::ENODATA as i32));
    assert_eq!(rustix::fs::listxattr(&file, &mut name).unwrap(), 0);
    access(&file, AccessFlags::R_OK).unwrap();
    assert!(fs::read_dir(&dir).unwrap().all(|entry| entry.unwrap().metadata().is_ok()));
    assert!(rustix::fs::statvfs(&file).is_ok());
    let mut wait = [nix::poll::PollFd::new(std::os::fd::AsFd::as_fd(&open), nix::poll::PollFlags::POLLIN)];
    assert_eq!(nix::poll::poll(&mut wait, nix::poll::PollTimeout::ZERO).unwrap(), 1);
    // FS_IOC_GETFLAGS and the like: any ioctl does.
    let lsattr = Command::new("lsattr").arg(&file).stdout(Stdio::null()).stderr(Stdio::null()).status();
    drop(open);
    let record = mounted.finish();
    let lookup = |path: &str| record.iter().any(|event| event["op"] == "Lookup" && event["path"] == path);
    assert!(lookup("d") && lookup("d/a"), "paths are as the mount shows them");
    assert!(!record.iter().filter_map(|event| event["path"].as_str()).any(|path| path.starts_with('/')));
    let seen: BTreeSet<Op> = record
        .iter()
        .filter(|event| event["ev"] == "enter")
        .filter_map(|event| Op::from_name(event["op"].as_str()?))
        .collect();
    let excused = |op: &Op| NEVER.iter().any(|row| row.0 == *op) || ELSEWHERE.contains(op);
    let mut missing: Vec<Op> = Op::all().filter(|op| !seen.contains(op) && !excused(op)).collect();
    if lsattr.is_err() {
        missing.retain(|op| *op != Op::Ioctl);
    }
    // The kernel chooses between the two by itself.
    if seen.contains(&Op::Readdir) || seen.contains(&Op::Readdirplus) {
        missing.retain(|op| !matches!(op, Op::Readdir | Op::Readdirplus));
    }
    assert_eq!(missing, [], "never entered");
    assert_eq!(orphans(&record), Vec::<String>::new());
}

/// Runs `program` as nobody; its standard output, or None when it failed.
fn as_nobody(program: &str, args: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    command.args(args).uid(65534).gid(65534).stdin(Stdio::null()).stderr(Stdio::null());
    let output = command.output().unwrap();
    output.status.success().then(|| text(&output.stdout))
}

/// Lets nobody reach the mount point.
fn open_the_way(mounted: &Mounted) {
    fs::set_permissions(mounted.dirs().root(), Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_foreign_user_gets_what_the_mode_allows_and_nothing_else() {
    if !geteuid().is_root() {
        return skip("a foreign user", "a plain user", "root");
    }
    let origin = Origin::start().unwrap();
    origin.file("a", 10);
    let mounted = mount(Some(&origin.url("")), &["--allow-other"]);
    open_the_way(&mounted);
    let file = mounted.path("a").display().to_string();
    assert_eq!(as_nobody("wc", &["-c", &file]).as_deref().map(|said| said.starts_with("10 ")), Some(true));
    assert!(as_nobody("test", &["-r", &file]).is_some());
    assert!(as_nobody("test", &["-x", &file]).is_none(), "nobody may run it");
    assert!(as_nobody("test", &["-w", &file]).is_none(), "nobody may write it");
    assert!(as_nobody("ls", &["-l", &mounted.dir().display().to_string()]).is_some());
    let record = mounted.finish();
    assert!(record.iter().any(|event| event["ev"] == "exit" && event["op"] == "Access" && event["errno"] == 13));
}

#[test]
fn without_allow_other_a_foreign_user_sees_nothing() {
    if !geteuid().is_root() {
        return skip("a foreign user", "a plain user", "root");
    }
    let mounted = mount(None, &[]);
    open_the_way(&mounted);
    assert!(as_nobody("ls", &[&mounted.dir().display().to_string()]).is_none());
    mounted.finish();
}

#[test]
fn attributes_are_those_of_the_origin_and_statfs_tells_the_names() {
    let origin = Origin::start().unwrap();
    origin.file("d/a b.mkv", 3 * MIB + 1);
    let mounted = mount(Some(&origin.url("")), &[]);
    let seen = fs::metadata(mounted.path("d/a b.mkv")).unwrap();
    assert_eq!((seen.size(), seen.mode() & 0o7777, seen.nlink()), (3 * MIB + 1, 0o444, 1));
    assert_eq!(seen.uid(), geteuid().as_raw());
    assert!(seen.mtime() > 1_000_000_000, "{}", seen.mtime());
    assert_eq!(seen.blocks(), (3 * MIB + 1).div_ceil(512));
    let dir = fs::metadata(mounted.path("d")).unwrap();
    assert!(dir.is_dir() && dir.mode() & 0o7777 == 0o555);
    let names = rustix::fs::statvfs(mounted.dir()).unwrap();
    assert!(names.f_files >= 4, "root, Staged, d and the file: {}", names.f_files);
    assert_eq!(names.f_namemax, 255);
    assert_eq!(errno(fs::metadata(mounted.path("none"))), Some(Errno::ENOENT as i32));
    assert_eq!(errno(fs::read_dir(mounted.path("d/a b.mkv"))), Some(Errno::ENOTDIR as i32));
    mounted.finish();
}

#[test]
fn the_last_bytes_come_exactly_and_nothing_behind_them() {
    let origin = Origin::start().unwrap();
    let size = MIB + 4097;
    origin.file("a", size);
    let mounted = mount(Some(&origin.url("")), &[]);
    let file = File::open(mounted.path("a")).unwrap();
    let mut last = [0; 8192];
    // r12: the partial block at the end is read exactly.
    assert_eq!(file.read_at(&mut last, size - 97).unwrap(), 97);
    assert_eq!(last[..97], origin.bytes("a", size - 97, 97));
    assert_eq!(file.read_at(&mut last, size).unwrap(), 0);
    assert_eq!(file.read_at(&mut last, size + MIB).unwrap(), 0);
    drop(file);
    mounted.finish();
}

#[test]
fn an_open_file_keeps_its_time_when_its_name_leads_to_a_newer_one() {
    let origin = Origin::start().unwrap();
    origin.file("a", MIB);
    let mounted = mount(Some(&origin.url("")), &["--listing-ttl=100ms"]);
    let held = File::open(mounted.path("a")).unwrap();
    let ask = || statx(&held, "", AtFlags::EMPTY_PATH | AtFlags::STATX_FORCE_SYNC, StatxFlags::BASIC_STATS).unwrap();
    let before = ask();
    origin.file("a", MIB);
    await_true("the newer one", || fs::metadata(mounted.path("a")).unwrap().ino() != before.stx_ino);
    let after = ask();
    assert_eq!((after.stx_ino, after.stx_mtime.tv_sec), (before.stx_ino, before.stx_mtime.tv_sec));
    drop(held);
    mounted.finish();
}
