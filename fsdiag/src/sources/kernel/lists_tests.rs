//! A connection in made-up memory: whole, torn, freed under the walk.

use std::{cell::RefCell, collections::BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::sources::kernel::layout::{Conn, Dentry, Dev, FlagBits, Inode, Req, Task};

const BASE: u64 = 0xffff_8880_0000_0000;
pub(in crate::sources::kernel) const CONN: u64 = BASE + 0x1000;
const MOUNT: u64 = BASE + 0x2000;
const DEV: u64 = BASE + 0x3000;
const HEADS: u64 = BASE + 0x4000;
const REQUESTS: u64 = BASE + 0x6000;

/// Bytes at `BASE`; everything else faults.
pub(in crate::sources::kernel) struct Image(RefCell<Vec<u8>>);

impl Memory for Image {
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Fault> {
        let start = usize::try_from(address.wrapping_sub(BASE)).map_err(|_| Fault(address))?;
        let all = self.0.borrow();
        let from = all.get(start..start.saturating_add(into.len())).ok_or(Fault(address))?;
        into.copy_from_slice(from);
        Ok(())
    }

    fn current(&self) -> u64 {
        BASE
    }

    fn jiffies(&self) -> u64 {
        5000
    }
}

impl Image {
    fn put(&self, address: u64, value: u64) {
        let at = usize::try_from(address - BASE).unwrap();
        self.0.borrow_mut()[at..at + 8].copy_from_slice(&value.to_ne_bytes());
    }

    fn text(&self, address: u64, text: &str) {
        let at = usize::try_from(address - BASE).unwrap();
        self.0.borrow_mut()[at..at + text.len()].copy_from_slice(text.as_bytes());
    }

    /// Links entries into a ring behind `head`.
    fn ring(&self, head: u64, entries: &[u64]) {
        let all: Vec<u64> = [head].iter().chain(entries).copied().collect();
        for (n, at) in all.iter().enumerate() {
            self.put(*at, all[(n + 1) % all.len()]);
            self.put(at + 8, all[(n + all.len() - 1) % all.len()]);
        }
    }

    fn request(&self, n: u64, unique: u64, opcode: u64, nodeid: u64) -> u64 {
        let at = REQUESTS + n * 0x200;
        self.put(at + 24, opcode);
        self.put(at + 32, unique);
        self.put(at + 40, nodeid);
        self.put(at + 52, 4711);
        self.put(at + 64, MOUNT);
        self.put(at + 72, 4000);
        self.put(at + 80, at + 0x100);
        // READ: fh, offset, size
        self.put(at + 0x100, 24);
        self.put(at + 0x108, at + 0x180);
        self.put(at + 0x180, 7);
        self.put(at + 0x188, 131_072);
        self.put(at + 0x190, 4096);
        at
    }
}

fn number(offset: u64) -> Field {
    Field { offset, size: 4, bits: None }
}

pub(in crate::sources::kernel) fn layout() -> Layout {
    Layout {
        task: Task {
            tasks: 0,
            tgid: 0,
            files: 0,
            fdt: 0,
            fd: 0,
            max_fds: 0,
            private_data: 0,
            f_inode: 0,
            i_private: 0,
        },
        conn: Conn {
            chan: None,
            of_chan: None,
            dev: number(8),
            devices: 0x20,
            pending: 0x40,
            bg_queue: 0x60,
            mounts: 0x80,
            numbers: vec![
                ("num_waiting", Place::Conn, number(16)),
                ("blocked", Place::Conn, Field { offset: 20, size: 4, bits: Some((3, 1)) }),
            ],
        },
        dev: Dev { entry: 0x10, fc: 0, io: 0x20, processing: 0x30 },
        req: Req {
            size: 96,
            list: 0,
            flags: 16,
            opcode: 24,
            unique: 32,
            nodeid: 40,
            uid: 48,
            pid: 52,
            owner: Owner::Mount { fm: 64, fc: 0 },
            create_time: Some(72),
            args: 80,
            in_args: 0,
            in_numargs: 0,
            arg_size: 0,
            arg_value: 8,
            arg_step: 16,
            flag_bits: FlagBits { force: 1, background: 2, interrupted: 5, sent: 8 },
        },
        inode: Inode {
            sb: 0,
            mount_sb: 8,
            mount_entry: 0x20,
            s_inodes: 0x10,
            s_root: 0x20,
            sb_list: 0x10,
            i_dentry: 0x20,
            nodeid: 0x28,
        },
        dentry: Dentry { alias: 0, parent: 0x10, inode: 0x18, name: 0x20, len: 0x28 },
    }
}

/// One READ in the daemon, one LOOKUP queued, one READ held back.
pub(in crate::sources::kernel) fn image() -> Image {
    let image = Image(RefCell::new(vec![0; 0x8000]));
    image.put(CONN + 8, 39);
    image.put(CONN + 16, 3 | 8 << 32);
    image.put(MOUNT, CONN);
    image.ring(CONN + 0x20, &[DEV + 0x10]);
    image.ring(CONN + 0x80, &[MOUNT + 0x20]);
    image.ring(DEV + 0x20, &[]);
    image.put(DEV + 0x30, HEADS);
    for n in 0..PROCESSING_HEADS {
        image.ring(HEADS + n * 16, &[]);
    }
    let read = image.request(0, 8, 15, 2);
    let lookup = image.request(1, 1 << 63 | 10, 1, 1);
    image.put(lookup + 0x100, 0);
    image.put(lookup + 0x110, 4);
    image.put(lookup + 0x118, lookup + 0x180);
    image.text(lookup + 0x180, "big\0");
    let held = image.request(2, 0, 15, 2);
    image.ring(HEADS + 5 * 16, &[read]);
    image.ring(CONN + 0x40, &[lookup]);
    image.ring(CONN + 0x60, &[held]);
    image
}

fn snapshot(image: &Image) -> Snapshot {
    Walker { memory: image, layout: &layout() }.snapshot(CONN).unwrap()
}

#[test]
fn every_list_gives_its_requests_with_their_arguments() {
    let found = snapshot(&image());
    let seen: Vec<_> = found.requests.iter().map(|r| (r.listed, r.unique, r.op().unwrap())).collect();
    assert_eq!(
        seen,
        [(Listed::Processing, 8, Op::Read), (Listed::Pending, 10, Op::Lookup), (Listed::Background, 0, Op::Read)]
    );
    let (read, lookup) = (&found.requests[0], &found.requests[1]);
    assert_eq!((read.off, read.len, read.fh, read.pid), (Some(131_072), Some(4096), Some(7), 4711));
    assert_eq!((lookup.name.as_deref(), lookup.resent), (Some("big"), true));
    assert_eq!((found.torn, found.numbers["num_waiting"], found.numbers["blocked"]), (0, 3, 1));
}

#[test]
fn a_torn_list_ends_and_is_counted() {
    let image = image();
    let (first, second) = (REQUESTS + 0x200, REQUESTS + 0x600);
    image.request(3, 12, 1, 1);
    image.ring(CONN + 0x40, &[first, second]);
    image.put(second + 8, BASE);
    let found = snapshot(&image);
    assert_eq!(found.torn, 1);
    assert!(found.requests.iter().all(|r| r.unique != 12), "an entry with a wrong back pointer is not believed");
}

#[test]
fn a_request_of_another_connection_is_not_believed() {
    let image = image();
    image.put(REQUESTS + 0x200 + 64, BASE + 0x7000);
    assert!(snapshot(&image).requests.iter().all(|r| r.unique != 10));
}

#[test]
fn only_what_two_snapshots_share_is_believed() {
    let (first, second) = (image(), image());
    second.put(REQUESTS + 32, 99);
    let both = snapshot(&second).confirmed_by(&snapshot(&first));
    assert_eq!(both.requests.iter().map(|r| r.unique).collect::<Vec<_>>(), [10, 0]);
}

#[test]
fn a_path_is_followed_to_the_root_and_a_foreign_number_is_refused() {
    let image = image();
    let (sb, inode, file, dir, root) = (BASE + 0x100, BASE + 0x200, BASE + 0x300, BASE + 0x400, BASE + 0x500);
    image.put(MOUNT + 8, sb);
    image.ring(sb + 0x10, &[inode + 0x10]);
    image.put(sb + 0x20, root);
    image.put(inode, sb);
    image.put(inode + 0x20, file);
    image.put(inode + 0x28, 2);
    for (dentry, parent, name) in [(file, dir, "big.bin"), (dir, root, "sub")] {
        image.put(dentry + 0x10, parent);
        image.put(dentry + 0x18, inode);
        image.put(dentry + 0x20, dentry + 0x40);
        image.put(dentry + 0x28, name.len() as u64);
        image.text(dentry + 0x40, name);
    }
    image.put(root + 0x10, root);
    let layout = layout();
    let walker = Walker { memory: &image, layout: &layout };
    let paths = walker.paths(CONN, &BTreeSet::from([1, 2, 9])).unwrap();
    assert_eq!(paths.into_iter().collect::<Vec<_>>(), [(1, String::from("/")), (2, String::from("sub/big.bin"))]);
    assert!(walker.is_connection(CONN, 39) && !walker.is_connection(CONN, 40) && !walker.is_connection(0, 39));
}

proptest! {
    #[test]
    fn garbage_in_memory_never_panics(writes in prop::collection::vec((0u64..0xff0, any::<u64>()), 0..40)) {
        let image = image();
        for (slot, value) in writes {
            // Half of the values point back into the image, so that walks go astray instead of ending.
            let value = if value % 2 == 0 { BASE + value % 0x8000 } else { value };
            image.put(BASE + slot * 8, value);
        }
        let layout = layout();
        let walker = Walker { memory: &image, layout: &layout };
        let _ = walker.snapshot(CONN);
        let _ = walker.paths(CONN, &BTreeSet::from([1, 2]));
        let _ = (walker.connection_of_door(3), walker.connection_of_daemon(7, 3));
    }
}
