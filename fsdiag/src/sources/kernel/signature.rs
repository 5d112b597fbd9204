//! Kernel stack signatures: what a thread that sleeps in FUSE code waits for.

use fsd_events::op::Op;

/// What a stack means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wait {
    /// A client, for the answer to its own request.
    Reply,
    /// A client, for the answer to the READ that fills a page; somebody else may have sent it.
    Page,
    /// A client, for a free slot: the background requests are used up.
    Background,
    /// A client, for another client's LOOKUP or READDIR in the same directory.
    Directory,
    /// A client, for a page that a stalled READ has locked, in OPEN or while a name is looked up.
    LockedPage,
    /// A daemon thread, for its own cache invalidation.
    ReverseNotify,
    /// A daemon thread, idle: it reads the device.
    Idle,
    /// A daemon thread, idle: it polls descriptors, the device maybe among them.
    Polling,
}

/// One signature: functions in this order, innermost first, others may stand between them.
struct Row {
    frames: &'static [&'static str],
    wait: Wait,
    meaning: &'static str,
}

const fn row(frames: &'static [&'static str], wait: Wait, meaning: &'static str) -> Row {
    Row { frames, wait, meaning }
}

/// The single list, most telling first.
const ROWS: &[Row] = &[
    row(
        &["fuse_reverse_inval_inode", "fuse_dev_do_write"],
        Wait::ReverseNotify,
        "the daemon waits for pages that only it can fill: it invalidates an inode while a read of it is unanswered",
    ),
    row(
        &["fuse_reverse_inval_entry", "fuse_dev_do_write"],
        Wait::ReverseNotify,
        "the daemon waits for a directory that a client holds: it invalidates a name while an operation there is unanswered",
    ),
    row(&["fuse_dev_do_read"], Wait::Idle, "an idle daemon thread waits for requests"),
    row(
        &["fuse_get_req"],
        Wait::Background,
        "waits for a free request slot: max_background is used up by other unanswered requests",
    ),
    row(
        &["fuse_lock_inode", "fuse_lookup"],
        Wait::Directory,
        "waits for another client's lookup in that directory (the daemon runs without PARALLEL_DIROPS)",
    ),
    row(
        &["fuse_lock_inode"],
        Wait::Directory,
        "waits for another client's request in that directory (the daemon runs without PARALLEL_DIROPS)",
    ),
    row(
        &["__folio_lock", "fuse_open"],
        Wait::LockedPage,
        "open waits for a stalled read of the same file (the daemon opens without KEEP_CACHE)",
    ),
    row(
        &["__folio_lock", "fuse_dentry_revalidate"],
        Wait::LockedPage,
        "a name lookup waits for a stalled read of the file, whose size or time has changed",
    ),
    row(&["__folio_lock", "fuse_"], Wait::LockedPage, "waits for a page that a stalled read has locked"),
    row(&["folio_wait_bit_common", "filemap_fault"], Wait::Page, "a page fault waits for a READ"),
    row(&["folio_wait_bit_common", "filemap_read"], Wait::Page, "waits for the answer to a READ"),
    row(&["folio_wait_bit_common", "fuse_"], Wait::Page, "waits for the answer to a READ or WRITE"),
    row(&["request_wait_answer", "fuse_direct_io"], Wait::Reply, "waits for the answer to an unbuffered READ or WRITE"),
    row(&["request_wait_answer"], Wait::Reply, "waits for the answer to its request"),
    row(&["ep_poll"], Wait::Polling, "waits for any of several descriptors"),
    row(&["do_sys_poll"], Wait::Polling, "waits for any of several descriptors"),
    row(&["do_select"], Wait::Polling, "waits for any of several descriptors"),
];

/// Functions in `wchan` under which a client of FUSE may sleep.
pub const CLIENT_WCHANS: &[&str] = &[
    "request_wait_answer",
    "folio_wait_bit_common",
    "__folio_lock",
    "fuse_get_req",
    "fuse_lock_inode",
    "fuse_wait_aborted",
    "wait_on_page_bit_common",
    "__lock_page",
    "rwsem_down_read_slowpath",
    "rwsem_down_write_slowpath",
    "__inode_dio_wait",
    "d_alloc_parallel",
];

/// The functions that tell the operation, innermost wins.
const OPERATIONS: &[(&str, Op)] = &[
    ("fuse_lookup_name", Op::Lookup),
    ("fuse_dentry_revalidate", Op::Lookup),
    ("fuse_do_getattr", Op::Getattr),
    ("fuse_do_statx", Op::Statx),
    ("fuse_readdir_uncached", Op::Readdir),
    ("fuse_flush", Op::Flush),
    ("fuse_file_open", Op::Open),
    ("fuse_send_open", Op::Open),
    ("fuse_create_open", Op::Create),
    ("fuse_access", Op::Access),
    ("fuse_statfs", Op::Statfs),
    ("fuse_fsync_common", Op::Fsync),
    ("fuse_getxattr", Op::Getxattr),
    ("fuse_listxattr", Op::Listxattr),
    ("fuse_readlink_page", Op::Readlink),
    ("fuse_get_link", Op::Readlink),
    ("fuse_do_setattr", Op::Setattr),
    ("fuse_unlink", Op::Unlink),
    ("fuse_rename_common", Op::Rename),
    ("fuse_mkdir", Op::Mkdir),
    ("fuse_direct_io", Op::Read),
    ("fuse_readahead", Op::Read),
    ("fuse_read_folio", Op::Read),
    ("fuse_file_read_iter", Op::Read),
    ("filemap_fault", Op::Read),
    ("filemap_read", Op::Read),
];

/// What a stack means, with a sentence; None for one that has no FUSE in it.
pub fn of(stack: &[Box<str>]) -> Option<(Wait, &'static str)> {
    ROWS.iter().find(|row| matches(stack, row.frames)).map(|row| (row.wait, row.meaning))
}

/// The operation that a client's stack shows.
pub fn operation(stack: &[Box<str>]) -> Option<Op> {
    stack.iter().find_map(|frame| OPERATIONS.iter().find(|(name, _)| **name == **frame).map(|row| row.1))
}

/// Whether a stack runs through the FUSE client code.
pub fn in_fuse(stack: &[Box<str>]) -> bool {
    stack.iter().any(|frame| frame.starts_with("fuse_") || frame.starts_with("__fuse_"))
}

/// A pattern that ends in `_` is a prefix.
fn matches(stack: &[Box<str>], frames: &[&str]) -> bool {
    let mut rest = stack.iter();
    let same = |frame: &str, want: &str| frame == want || (want.ends_with('_') && frame.starts_with(want));
    frames.iter().all(|want| rest.any(|frame| same(frame, want)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(frames: &str) -> Vec<Box<str>> {
        frames.split(' ').map(Into::into).collect()
    }

    #[test]
    fn measured_stacks_get_their_meaning() {
        let cases = [
            ("folio_wait_bit_common filemap_get_pages filemap_read vfs_read", Wait::Page, Some(Op::Read)),
            ("request_wait_answer __fuse_simple_request fuse_direct_io", Wait::Reply, Some(Op::Read)),
            ("request_wait_answer __fuse_simple_request fuse_lookup_name fuse_lookup", Wait::Reply, Some(Op::Lookup)),
            ("request_wait_answer __fuse_simple_request fuse_flush filp_flush", Wait::Reply, Some(Op::Flush)),
            ("fuse_get_req fuse_simple_background fuse_readahead read_pages", Wait::Background, Some(Op::Read)),
            ("fuse_lock_inode fuse_lookup __lookup_slow", Wait::Directory, None),
            ("__folio_lock invalidate_inode_pages2_range fuse_open do_dentry_open", Wait::LockedPage, None),
            (
                "folio_wait_bit_common __folio_lock invalidate_inode_pages2_range fuse_reverse_inval_inode fuse_dev_do_write",
                Wait::ReverseNotify,
                None,
            ),
            ("fuse_dev_do_read fuse_dev_read vfs_read", Wait::Idle, None),
        ];
        for (frames, wait, op) in cases {
            let stack = stack(frames);
            assert_eq!(of(&stack).map(|found| found.0), Some(wait), "{frames}");
            assert_eq!(operation(&stack), op, "{frames}");
        }
        assert_eq!(of(&stack("futex_wait_queue futex_wait")), None);
    }
}
