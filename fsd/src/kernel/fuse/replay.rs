//! Replay: a kernel that sends nothing again waits for answers all the same. It gets them under the numbers that the
//! dead worker's table of operations in flight has.

mod wire;

use std::{
    io::IoSlice,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

use fsd_events::{
    ids::{Fh, RESEND_BIT},
    op::Op,
    ring::tables::InFlight,
};

use crate::{
    kernel::fs::{Entry, Errno, Page, Room},
    observe::Target,
};

use super::{
    convert::{Answer, AnswerBytes, Refuse},
    lanes::{Call, Lanes},
};

/// Answers each of `left`, at once or when its bytes are there.
///
/// What names a path is answered ESTALE: upon that the kernel walks the path again by itself, with new requests. It does
/// so once for each call of a client.
pub(super) fn replay(device: &Arc<OwnedFd>, lanes: &Lanes, left: &[InFlight]) {
    for row in left {
        again(lanes, Late { device: Arc::clone(device), unique: row.unique.0 }, row);
    }
}

fn again(lanes: &Lanes, late: Late, row: &InFlight) {
    let InFlight { op, ino, fh, off, .. } = *row;
    let target = Target {
        unique: row.unique.0 | RESEND_BIT,
        pid: row.pid,
        ino: ino.0,
        fh: fh.map(|fh| fh.0),
        off,
        len: row.len,
        ..Target::default()
    };
    let len = row.len.and_then(|len| u32::try_from(len).ok());
    match (op, fh, off, len) {
        // They want no answer, or have had one.
        (Op::Init | Op::Destroy | Op::Forget | Op::BatchForget, ..) => {}
        (Op::Read, Some(fh), Some(off), Some(len)) => {
            lanes.run(op, &target, late, |fs, call| fs.read(call, ino, fh, off, len));
        }
        (Op::Getattr, ..) => lanes.run(op, &target, late, |fs, call| fs.getattr(call, ino, fh)),
        (Op::Readdir, _, Some(off), _) => {
            lanes.run(op, &target, Names { late, plus: false }, |fs, call| fs.readdir(call, ino, off));
        }
        (Op::Readdirplus, _, Some(off), _) => {
            lanes.run(op, &target, Names { late, plus: true }, |fs, call| fs.readdir(call, ino, off));
        }
        (Op::Release, Some(fh), ..) => lanes.run(op, &target, late, |fs, call| fs.release(call, ino, fh)),
        (Op::Releasedir | Op::Flush | Op::Fsync | Op::Fsyncdir, ..) => {
            lanes.run(op, &target, late, |_, call: Call<Late>| fs_done(call));
        }
        (Op::Statfs, ..) => lanes.run(op, &target, late, |fs, call| fs.statfs(call)),
        // Who asks by a descriptor has no path to be walked again. Upon this answer the kernel finds its own from then
        // on, and that is ours: a file is all data, and there are no extended attributes.
        (Op::Lseek | Op::Getxattr | Op::Listxattr | Op::Poll | Op::Bmap, ..) => {
            lanes.run(op, &target, late, |_, call: Call<Late>| fs_refused(call, Errno::ENOSYS));
        }
        // It may have been counted already, and the next one has another number.
        (Op::Open, ..) => {
            lanes.run(op, &target, Stale(late), |fs, call| fs.release(call, ino, Fh(row.unique.0)));
        }
        _ => lanes.run(op, &target, Stale(late), |_, call: Call<Stale>| fs_done(call)),
    }
}

fn fs_done(call: impl crate::kernel::fs::Ask<()>) {
    call.answer(Ok(()));
}

fn fs_refused(call: impl crate::kernel::fs::Ask<()>, errno: Errno) {
    call.answer(Err(errno));
}

/// The answer to a request that an earlier worker read.
struct Late {
    device: Arc<OwnedFd>,
    unique: u64,
}

impl Late {
    fn send(self, errno: i32, body: &[u8]) -> u64 {
        let header = wire::header(self.unique, errno, body.len());
        let parts = [IoSlice::new(&header), IoSlice::new(body)];
        match nix::sys::uio::writev(self.device.as_fd(), &parts) {
            // It had an answer after all, or its caller was killed.
            Ok(_) | Err(nix::Error::ENOENT) => (),
            Err(error) => tracing::warn!("the answer to request {} did not reach the kernel: {error}", self.unique),
        }
        body.len() as u64
    }
}

impl Refuse for Late {
    fn refuse(self, errno: Errno) {
        self.send(errno.code(), &[]);
    }
}

impl AnswerBytes for Late {
    fn bytes(self, bytes: &[u8]) {
        self.send(0, bytes);
    }
}

impl Answer<()> for Late {
    fn answer(self, (): ()) -> u64 {
        self.send(0, &[]);
        0
    }
}

impl Answer<Entry> for Late {
    fn answer(self, entry: Entry) -> u64 {
        self.send(0, &wire::attributes(&entry));
        0
    }
}

impl Answer<Room> for Late {
    fn answer(self, room: Room) -> u64 {
        self.send(0, &wire::room(&room));
        0
    }
}

/// The answer to a look into a directory.
struct Names {
    late: Late,
    plus: bool,
}

impl Refuse for Names {
    fn refuse(self, errno: Errno) {
        self.late.refuse(errno);
    }
}

impl Answer<Page> for Names {
    fn answer(self, page: Page) -> u64 {
        self.late.send(0, &wire::names(&page, self.plus));
        0
    }
}

/// Whatever comes of it, the caller hears ESTALE.
struct Stale(Late);

impl Refuse for Stale {
    fn refuse(self, _: Errno) {
        self.0.refuse(Errno::ESTALE);
    }
}

impl Answer<()> for Stale {
    fn answer(self, (): ()) -> u64 {
        self.refuse(Errno::ESTALE);
        0
    }
}
