//! Wire: the kernel's structures of the few answers that are written without fuser.

use std::time::Duration;

use fsd_events::names::Kind;

use crate::kernel::fs::{Attr, Entry, Page, Room};

const HEADER: usize = 16;
/// Room for names that every kernel gives, whatever it asked for.
const ROOM: usize = 4096;
/// Names start at multiples of this.
const ALIGN: usize = 8;
/// `S_IFDIR` and `S_IFREG` as the kernel's 32 bits.
const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
/// As in every answer to a stat.
const BLOCK: u32 = 128 << 10;

/// `fuse_out_header`; `errno` is 0 or positive.
pub(super) fn header(unique: u64, errno: i32, body: usize) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    let length = u32::try_from(HEADER + body).unwrap_or(u32::MAX);
    header[..4].copy_from_slice(&length.to_ne_bytes());
    header[4..8].copy_from_slice(&(-errno).to_ne_bytes());
    header[8..].copy_from_slice(&unique.to_ne_bytes());
    header
}

/// `fuse_attr_out`.
pub(super) fn attributes(entry: &Entry) -> Vec<u8> {
    let mut out = Vec::with_capacity(104);
    long(&mut out, entry.attr_ttl.as_secs());
    word(&mut out, entry.attr_ttl.subsec_nanos());
    word(&mut out, 0);
    attr(&mut out, &entry.attr);
    out
}

/// `fuse_statfs_out`; nothing is free.
pub(super) fn room(room: &Room) -> Vec<u8> {
    let mut out = Vec::with_capacity(80);
    for value in [room.blocks, 0, 0, room.files, 0] {
        long(&mut out, value);
    }
    for value in [room.block_size, room.name_max, room.block_size] {
        word(&mut out, value);
    }
    out.resize(80, 0);
    out
}

/// `fuse_dirent` of each name that has room, behind its `fuse_entry_out` if `plus`.
pub(super) fn names(page: &Page, plus: bool) -> Vec<u8> {
    let mut all = Vec::with_capacity(ROOM);
    let take = |cookie, name: &str, entry: &Entry| {
        let before = all.len();
        if plus {
            known(&mut all, entry);
        }
        dirent(&mut all, cookie, name, &entry.attr);
        let full = all.len() > ROOM;
        if full {
            all.truncate(before);
        }
        full
    };
    if plus {
        page.fill_plus(take)
    } else {
        page.fill(take)
    }
    all
}

/// `fuse_entry_out`.
fn known(out: &mut Vec<u8>, entry: &Entry) {
    // One lifetime for both, as fuser has it.
    let ttl: Duration = entry.entry_ttl.min(entry.attr_ttl);
    for value in [entry.attr.ino.0, 0, ttl.as_secs(), ttl.as_secs()] {
        long(out, value);
    }
    word(out, ttl.subsec_nanos());
    word(out, ttl.subsec_nanos());
    attr(out, &entry.attr);
}

fn dirent(out: &mut Vec<u8>, cookie: u64, name: &str, of: &Attr) {
    long(out, of.ino.0);
    long(out, cookie);
    word(out, u32::try_from(name.len()).unwrap_or(u32::MAX));
    word(out, mode(of) >> 12);
    out.extend(name.as_bytes());
    out.resize(out.len().next_multiple_of(ALIGN), 0);
}

/// `fuse_attr`.
fn attr(out: &mut Vec<u8>, attr: &Attr) {
    let (seconds, nanos) = (attr.modified_us / 1_000_000, (attr.modified_us % 1_000_000) as u32 * 1000);
    for value in [attr.ino.0, attr.size, attr.size.div_ceil(512), seconds, seconds, seconds] {
        long(out, value);
    }
    for value in [nanos, nanos, nanos, mode(attr), attr.links, attr.uid, attr.gid, 0, BLOCK, 0] {
        word(out, value);
    }
}

fn mode(attr: &Attr) -> u32 {
    let kind = match attr.kind {
        Kind::Dir => DIRECTORY,
        Kind::File => REGULAR,
    };
    kind | u32::from(attr.mode)
}

fn long(out: &mut Vec<u8>, value: u64) {
    out.extend(value.to_ne_bytes());
}

fn word(out: &mut Vec<u8>, value: u32) {
    out.extend(value.to_ne_bytes());
}

#[cfg(test)]
mod tests {
    use fsd_events::ids::Ino;

    use super::*;

    #[test]
    fn structures_have_the_sizes_that_the_kernel_wants() {
        let attr = Attr {
            ino: Ino(7),
            kind: Kind::File,
            size: 1000,
            modified_us: 1_000_001,
            mode: 0o444,
            uid: 1,
            gid: 2,
            links: 1,
        };
        let ttl = Duration::from_millis(1500);
        let entry = Entry { attr, entry_ttl: ttl, attr_ttl: ttl };
        let out = attributes(&entry);
        assert_eq!(out.len(), 104);
        assert_eq!(out[16..24], 7_u64.to_ne_bytes());
        assert_eq!(out[16 + 60..16 + 64], 0o100_444_u32.to_ne_bytes());
        let statfs = room(&Room { blocks: 3, files: 2, block_size: 4096, name_max: 255 });
        assert_eq!((statfs.len(), statfs[..8] == 3_u64.to_ne_bytes()), (80, true));
        let mut plus = Vec::new();
        known(&mut plus, &entry);
        assert_eq!(plus.len(), 128);
        dirent(&mut plus, 9, "a", &attr);
        assert_eq!(plus.len(), 128 + 32);
        assert_eq!(plus[128 + 20..128 + 24], 8_u32.to_ne_bytes(), "a regular file");
        assert_eq!(header(5, libc::ESTALE, 0)[4..8], (-libc::ESTALE).to_ne_bytes());
    }
}
