//! Conversions between our types and fuser's.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fsd_events::names::Kind;
use fuser::{
    FileAttr, FileHandle, FileType, FopenFlags, Generation, INodeNo, ReplyAttr, ReplyBmap, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyLock, ReplyLseek, ReplyOpen,
    ReplyPoll, ReplyStatfs, ReplyWrite, ReplyXattr,
};

use crate::{
    kernel::fs::{Attr, Entry, Errno, Opened, Page, Room},
    names::handles::Mode,
};

use super::backing;

/// A reply that can carry an error.
pub(super) trait Refuse: Send + 'static {
    fn refuse(self, errno: Errno);
}

/// A reply that can carry a `T`; gives the number of bytes of content.
pub(super) trait Answer<T>: Refuse {
    fn answer(self, value: T) -> u64;
}

/// A reply that can carry content.
pub(super) trait AnswerBytes: Refuse {
    fn bytes(self, bytes: &[u8]);
}

impl AnswerBytes for ReplyData {
    fn bytes(self, bytes: &[u8]) {
        self.data(bytes);
    }
}

macro_rules! refuse {
    ($($reply:ty),+ $(,)?) => {
        $(impl Refuse for $reply {
            fn refuse(self, errno: Errno) {
                self.error(fuser::Errno::from_i32(errno.code()));
            }
        })+
    };
}

refuse!(
    ReplyAttr,
    ReplyBmap,
    ReplyCreate,
    ReplyData,
    ReplyDirectory,
    ReplyDirectoryPlus,
    ReplyEmpty,
    ReplyEntry,
    ReplyIoctl,
    ReplyLock,
    ReplyLseek,
    ReplyOpen,
    ReplyPoll,
    ReplyStatfs,
    ReplyWrite,
    ReplyXattr,
);

impl Answer<()> for ReplyEmpty {
    fn answer(self, (): ()) -> u64 {
        self.ok();
        0
    }
}

impl Answer<()> for ReplyOpen {
    /// A directory: its handle says nothing, because cookies do.
    fn answer(self, (): ()) -> u64 {
        self.opened(FileHandle(0), FopenFlags::empty());
        0
    }
}

impl Answer<Entry> for ReplyEntry {
    fn answer(self, entry: Entry) -> u64 {
        self.entry_with_ttls(&entry.attr_ttl, &entry.entry_ttl, &file_attr(&entry.attr), Generation(0));
        0
    }
}

impl Answer<Entry> for ReplyAttr {
    fn answer(self, entry: Entry) -> u64 {
        self.attr(&entry.attr_ttl, &file_attr(&entry.attr));
        0
    }
}

/// Answers an OPEN; `direct`: of one who reads past the cache.
pub(super) fn opened(reply: ReplyOpen, unique: u64, opened: &Opened, direct: bool) {
    let mut flags = if opened.no_flush { FopenFlags::FOPEN_NOFLUSH } else { FopenFlags::empty() };
    // All who have a file open must have it open in one way, but the disk below would refuse such reads: they go
    // through us all the same.
    let past = if direct { FopenFlags::FOPEN_DIRECT_IO } else { FopenFlags::empty() };
    let reply = match &opened.mode {
        Mode::Passthrough(file) => match backing::answer(reply, unique, opened.fh, flags | past, file) {
            Ok(()) => return,
            // The kernel would refuse a cached answer too, but it must get one.
            Err(reply) => reply,
        },
        Mode::Cached => reply,
    };
    flags.set(FopenFlags::FOPEN_KEEP_CACHE, !opened.stale);
    reply.opened(FileHandle(opened.fh.0), flags);
}

impl Answer<Page> for ReplyDirectory {
    fn answer(mut self, page: Page) -> u64 {
        page.fill(|cookie, name, entry| self.add(INodeNo(entry.attr.ino.0), cookie, kind(entry.attr.kind), name));
        self.ok();
        0
    }
}

impl Answer<Page> for ReplyDirectoryPlus {
    fn answer(mut self, page: Page) -> u64 {
        page.fill_plus(|cookie, name, entry| {
            // fuser has one lifetime for both here; the shorter is right for both.
            let ttl = entry.entry_ttl.min(entry.attr_ttl);
            self.add(INodeNo(entry.attr.ino.0), cookie, name, &ttl, &file_attr(&entry.attr), Generation(0))
        });
        self.ok();
        0
    }
}

impl Answer<Room> for ReplyStatfs {
    fn answer(self, room: Room) -> u64 {
        let Room { blocks, files, block_size, name_max } = room;
        self.statfs(blocks, 0, 0, files, 0, block_size, name_max, block_size);
        0
    }
}

impl Answer<u64> for ReplyLseek {
    fn answer(self, off: u64) -> u64 {
        self.offset(i64::try_from(off).unwrap_or(i64::MAX));
        0
    }
}

/// No extended attributes, for a caller with so much room; without room it asks how much it needs.
pub(super) struct NoNames {
    pub(super) room: u32,
}

impl Answer<NoNames> for ReplyXattr {
    fn answer(self, names: NoNames) -> u64 {
        if names.room == 0 {
            self.size(0)
        } else {
            self.data(&[])
        }
        0
    }
}

fn kind(kind: Kind) -> FileType {
    match kind {
        Kind::Dir => FileType::Directory,
        Kind::File => FileType::RegularFile,
    }
}

fn time(us: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(us)
}

fn file_attr(attr: &Attr) -> FileAttr {
    let modified = time(attr.modified_us);
    FileAttr {
        ino: INodeNo(attr.ino.0),
        size: attr.size,
        blocks: attr.size.div_ceil(512),
        atime: modified,
        mtime: modified,
        ctime: modified,
        crtime: modified,
        kind: kind(attr.kind),
        perm: attr.mode,
        nlink: attr.links,
        uid: attr.uid,
        gid: attr.gid,
        rdev: 0,
        // Large reads: the kernel's read-ahead does the rest.
        blksize: 128 << 10,
        flags: 0,
    }
}
