//! The adapter: every callback of fuser's trait, written out, and nothing but translated.

use std::{cell::Cell, ffi::OsStr, io, path::Path, time::SystemTime};

use fsd_events::{
    ids::{Fh, Ino, RESEND_BIT},
    op::Op,
};
use fuser::{
    AccessFlags, BsdFileFlags, CopyFileRangeFlags, FileHandle, Filesystem, INodeNo, IoctlFlags, KernelConfig,
    LockOwner, OpenFlags, PollEvents, PollFlags, PollNotifier, RenameFlags, ReplyAttr, ReplyBmap, ReplyCreate,
    ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyLock, ReplyLseek,
    ReplyOpen, ReplyPoll, ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};

use crate::{
    kernel::fs::{self, Ask, Caller, Errno},
    observe::Target,
};

use super::{
    convert::{NoNames, Refuse},
    init::{self, Wishes},
    lanes::{Lanes, OpenCall},
};

/// What fuser calls.
#[derive(Debug)]
pub(super) struct Adapter {
    pub(super) lanes: Lanes,
    pub(super) wishes: Wishes,
    /// Set by INIT.
    pub(super) passthrough: bool,
}

fn target(req: &Request, ino: INodeNo) -> Target<'static> {
    Target { unique: req.unique().0, pid: req.pid(), ino: ino.0, ..Target::default() }
}

fn opened(req: &Request, ino: INodeNo, fh: FileHandle) -> Target<'static> {
    Target { fh: Some(fh.0), ..target(req, ino) }
}

fn named<'a>(req: &Request, parent: INodeNo, name: &'a OsStr) -> Target<'a> {
    Target { name: name.to_str(), ..target(req, parent) }
}

fn caller(req: &Request) -> Caller {
    Caller { uid: req.uid(), gid: req.gid() }
}

impl Adapter {
    /// What a read-only file system, or one without that feature, always answers.
    fn refuse<R: Refuse>(&self, op: Op, target: &Target<'_>, reply: R, errno: Errno) {
        self.lanes.run(op, target, Refused(reply), |_, call| call.answer(Err(errno)));
    }
}

/// A reply that only ever carries an error.
struct Refused<R>(R);

impl<R: Refuse> Refuse for Refused<R> {
    fn refuse(self, errno: Errno) {
        self.0.refuse(errno);
    }
}

impl<R: Refuse> super::convert::Answer<Never> for Refused<R> {
    fn answer(self, never: Never) -> u64 {
        match never {}
    }
}

/// There is no good answer.
enum Never {}

thread_local! {
    /// Batched FORGET that this loop takes apart: its unique, so that it is recorded once.
    static BATCH: Cell<u64> = const { Cell::new(0) };
}

impl Filesystem for Adapter {
    fn init(&mut self, req: &Request, config: &mut KernelConfig) -> io::Result<()> {
        Lanes::note(Op::Init, &target(req, INodeNo(0)));
        self.passthrough = init::negotiate(config, &self.wishes);
        Ok(())
    }

    fn destroy(&mut self) {
        Lanes::note(Op::Destroy, &Target::default());
    }

    fn lookup(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let target = named(req, parent, name);
        self.lanes.run(Op::Lookup, &target, reply, |fs, call| fs.lookup(call, Ino(parent.0), name));
    }

    /// Inodes are never taken back: the name table knows them as long as the mount lives. fuser takes a batch apart
    /// and calls this for each part; the batch is recorded once.
    fn forget(&self, req: &Request, ino: INodeNo, lookups: u64) {
        self.lanes.fs.forget(Ino(ino.0), lookups);
        match init::batch(req) {
            Some(count) if BATCH.replace(req.unique().0) != req.unique().0 => {
                Lanes::note(Op::BatchForget, &Target { count: Some(count), ..target(req, INodeNo(0)) });
            }
            Some(_) => {}
            None => Lanes::note(Op::Forget, &target(req, ino)),
        }
    }

    fn getattr(&self, req: &Request, ino: INodeNo, fh: Option<FileHandle>, reply: ReplyAttr) {
        let target = Target { fh: fh.map(|fh| fh.0), ..target(req, ino) };
        self.lanes.run(Op::Getattr, &target, reply, |fs, call| fs.getattr(call, Ino(ino.0), fh.map(|fh| Fh(fh.0))));
    }

    fn setattr(
        &self,
        req: &Request,
        ino: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let target = Target { fh: fh.map(|fh| fh.0), len: size, ..target(req, ino) };
        self.refuse(Op::Setattr, &target, reply, Errno::EROFS);
    }

    /// There are no links.
    fn readlink(&self, req: &Request, ino: INodeNo, reply: ReplyData) {
        self.refuse(Op::Readlink, &target(req, ino), reply, Errno::EINVAL);
    }

    fn mknod(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        _rdev: u32,
        reply: ReplyEntry,
    ) {
        self.refuse(Op::Mknod, &named(req, parent, name), reply, Errno::EROFS);
    }

    fn mkdir(&self, req: &Request, parent: INodeNo, name: &OsStr, _mode: u32, _umask: u32, reply: ReplyEntry) {
        self.refuse(Op::Mkdir, &named(req, parent, name), reply, Errno::EROFS);
    }

    fn unlink(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.refuse(Op::Unlink, &named(req, parent, name), reply, Errno::EROFS);
    }

    fn rmdir(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.refuse(Op::Rmdir, &named(req, parent, name), reply, Errno::EROFS);
    }

    fn symlink(&self, req: &Request, parent: INodeNo, name: &OsStr, _to: &Path, reply: ReplyEntry) {
        self.refuse(Op::Symlink, &named(req, parent, name), reply, Errno::EROFS);
    }

    fn rename(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        _newparent: INodeNo,
        _newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let op = if flags.is_empty() { Op::Rename } else { Op::Rename2 };
        self.refuse(op, &named(req, parent, name), reply, Errno::EROFS);
    }

    fn link(&self, req: &Request, ino: INodeNo, _newparent: INodeNo, newname: &OsStr, reply: ReplyEntry) {
        self.refuse(Op::Link, &named(req, ino, newname), reply, Errno::EROFS);
    }

    /// The handle is the request's own number: whoever sees the request again gives the same.
    fn open(&self, req: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let fh = Fh(req.unique().0 & !RESEND_BIT);
        let target = Target { fh: Some(fh.0), ..target(req, ino) };
        self.lanes.run(Op::Open, &target, reply, |fs, call| {
            let flags = fs::OpenFlags(flags.0);
            // Past the cache, the disk below wants aligned reads, which nobody owes us.
            let passthrough = self.passthrough && !flags.direct();
            let call = OpenCall { call, unique: req.unique().0, passthrough, direct: flags.direct() };
            fs.open(call, caller(req), Ino(ino.0), fh, flags);
        });
    }

    fn read(
        &self,
        req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let target = Target { off: Some(offset), len: Some(u64::from(size)), ..opened(req, ino, fh) };
        self.lanes.run(Op::Read, &target, reply, |fs, call| fs.read(call, Ino(ino.0), Fh(fh.0), offset, size));
    }

    fn write(
        &self,
        req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let target = Target { off: Some(offset), len: Some(data.len() as u64), ..opened(req, ino, fh) };
        self.refuse(Op::Write, &target, reply, Errno::EROFS);
    }

    /// Nothing is ever buffered.
    fn flush(&self, req: &Request, ino: INodeNo, fh: FileHandle, _lock_owner: LockOwner, reply: ReplyEmpty) {
        self.lanes.run(Op::Flush, &opened(req, ino, fh), reply, |_, call| call.answer(Ok(())));
    }

    fn release(
        &self,
        req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        let target = opened(req, ino, fh);
        self.lanes.run(Op::Release, &target, reply, |fs, call| fs.release(call, Ino(ino.0), Fh(fh.0)));
    }

    fn fsync(&self, req: &Request, ino: INodeNo, fh: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        self.lanes.run(Op::Fsync, &opened(req, ino, fh), reply, |_, call| call.answer(Ok(())));
    }

    fn opendir(&self, req: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let target = target(req, ino);
        self.lanes.run(Op::Opendir, &target, reply, |fs, call| fs.opendir(call, caller(req), Ino(ino.0)));
    }

    fn readdir(&self, req: &Request, ino: INodeNo, fh: FileHandle, offset: u64, reply: ReplyDirectory) {
        let target = Target { off: Some(offset), ..opened(req, ino, fh) };
        self.lanes.run(Op::Readdir, &target, reply, |fs, call| fs.readdir(call, Ino(ino.0), offset));
    }

    fn readdirplus(&self, req: &Request, ino: INodeNo, fh: FileHandle, offset: u64, reply: ReplyDirectoryPlus) {
        let target = Target { off: Some(offset), ..opened(req, ino, fh) };
        self.lanes.run(Op::Readdirplus, &target, reply, |fs, call| fs.readdir(call, Ino(ino.0), offset));
    }

    fn releasedir(&self, req: &Request, ino: INodeNo, fh: FileHandle, _flags: OpenFlags, reply: ReplyEmpty) {
        self.lanes.run(Op::Releasedir, &opened(req, ino, fh), reply, |_, call| call.answer(Ok(())));
    }

    fn fsyncdir(&self, req: &Request, ino: INodeNo, fh: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        self.lanes.run(Op::Fsyncdir, &opened(req, ino, fh), reply, |_, call| call.answer(Ok(())));
    }

    fn statfs(&self, req: &Request, ino: INodeNo, reply: ReplyStatfs) {
        self.lanes.run(Op::Statfs, &target(req, ino), reply, |fs, call| fs.statfs(call));
    }

    fn setxattr(
        &self,
        req: &Request,
        ino: INodeNo,
        name: &OsStr,
        _value: &[u8],
        _flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        self.refuse(Op::Setxattr, &named(req, ino, name), reply, Errno::EROFS);
    }

    /// There are none. ENOSYS lets the kernel say so by itself from then on.
    fn getxattr(&self, req: &Request, ino: INodeNo, name: &OsStr, _size: u32, reply: ReplyXattr) {
        let errno = if self.wishes.all_callbacks { Errno::ENODATA } else { Errno::ENOSYS };
        self.refuse(Op::Getxattr, &named(req, ino, name), reply, errno);
    }

    fn listxattr(&self, req: &Request, ino: INodeNo, room: u32, reply: ReplyXattr) {
        let target = target(req, ino);
        if !self.wishes.all_callbacks {
            return self.refuse(Op::Listxattr, &target, reply, Errno::ENOSYS);
        }
        self.lanes.run(Op::Listxattr, &target, reply, |_, call| call.answer(Ok(NoNames { room })));
    }

    fn removexattr(&self, req: &Request, ino: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.refuse(Op::Removexattr, &named(req, ino, name), reply, Errno::EROFS);
    }

    fn access(&self, req: &Request, ino: INodeNo, mask: AccessFlags, reply: ReplyEmpty) {
        let want = (mask.bits() & 7) as u16;
        let target = target(req, ino);
        self.lanes.run(Op::Access, &target, reply, |fs, call| fs.access(call, caller(req), Ino(ino.0), want));
    }

    fn create(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        self.refuse(Op::Create, &named(req, parent, name), reply, Errno::EROFS);
    }

    /// Locks are the kernel's own business here.
    fn getlk(
        &self,
        req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        _lock_owner: LockOwner,
        _start: u64,
        _end: u64,
        _typ: i32,
        _pid: u32,
        reply: ReplyLock,
    ) {
        self.refuse(Op::Getlk, &opened(req, ino, fh), reply, Errno::ENOSYS);
    }

    fn setlk(
        &self,
        req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        _lock_owner: LockOwner,
        _start: u64,
        _end: u64,
        _typ: i32,
        _pid: u32,
        sleep: bool,
        reply: ReplyEmpty,
    ) {
        let op = if sleep { Op::Setlkw } else { Op::Setlk };
        self.refuse(op, &opened(req, ino, fh), reply, Errno::ENOSYS);
    }

    fn bmap(&self, req: &Request, ino: INodeNo, _blocksize: u32, _idx: u64, reply: ReplyBmap) {
        self.refuse(Op::Bmap, &target(req, ino), reply, Errno::ENOSYS);
    }

    fn ioctl(
        &self,
        req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        _flags: IoctlFlags,
        _cmd: u32,
        _in_data: &[u8],
        _out_size: u32,
        reply: ReplyIoctl,
    ) {
        self.refuse(Op::Ioctl, &opened(req, ino, fh), reply, Errno::ENOTTY);
    }

    /// ENOSYS: always ready, says the kernel then.
    fn poll(
        &self,
        req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        _ph: PollNotifier,
        _events: PollEvents,
        _flags: PollFlags,
        reply: ReplyPoll,
    ) {
        self.refuse(Op::Poll, &opened(req, ino, fh), reply, Errno::ENOSYS);
    }

    fn fallocate(
        &self,
        req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        length: u64,
        _mode: i32,
        reply: ReplyEmpty,
    ) {
        let target = Target { off: Some(offset), len: Some(length), ..opened(req, ino, fh) };
        self.refuse(Op::Fallocate, &target, reply, Errno::EROFS);
    }

    fn lseek(&self, req: &Request, ino: INodeNo, fh: FileHandle, offset: i64, whence: i32, reply: ReplyLseek) {
        let target = Target { off: offset.try_into().ok(), ..opened(req, ino, fh) };
        let hole = match whence {
            libc::SEEK_DATA => Some(false),
            libc::SEEK_HOLE => Some(true),
            _ => None,
        };
        self.lanes.run(Op::Lseek, &target, reply, |fs, call| match (hole, u64::try_from(offset)) {
            (Some(hole), Ok(off)) => fs.lseek(call, Ino(ino.0), off, hole),
            _ => call.answer(Err(Errno::EINVAL)),
        });
    }

    fn copy_file_range(
        &self,
        req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        _ino_out: INodeNo,
        _fh_out: FileHandle,
        _offset_out: u64,
        len: u64,
        _flags: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        let target = Target { off: Some(offset), len: Some(len), ..opened(req, ino, fh) };
        self.refuse(Op::CopyFileRange, &target, reply, Errno::EROFS);
    }

    #[cfg(target_os = "macos")]
    fn setvolname(&self, req: &Request, name: &OsStr, reply: ReplyEmpty) {
        self.refuse(Op::Setvolname, &named(req, INodeNo(1), name), reply, Errno::EROFS);
    }

    #[cfg(target_os = "macos")]
    fn exchange(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        _newparent: INodeNo,
        _newname: &OsStr,
        _options: u64,
        reply: ReplyEmpty,
    ) {
        self.refuse(Op::Exchange, &named(req, parent, name), reply, Errno::EROFS);
    }

    #[cfg(target_os = "macos")]
    fn getxtimes(&self, req: &Request, ino: INodeNo, reply: fuser::ReplyXTimes) {
        self.refuse(Op::Getxtimes, &target(req, ino), reply, Errno::ENOSYS);
    }
}
