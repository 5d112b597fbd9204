//! Inside: whom a thread waits for in the kernel, where it is no descriptor, told by the functions it stands in.

use crate::engine::fact::Awaited;

/// Whom a thread waits for.
pub(super) struct Inside {
    pub whom: &'static str,
    awaited: Awaited,
    pub advice: &'static str,
    /// Functions of the kernel, or how they begin.
    frames: &'static [&'static str],
}

const INSIDE: &[Inside] = &[
    Inside {
        whom: "a process that it has started",
        awaited: Awaited::Child,
        advice: "see what the process does that the daemon has started, and waits for: ps --ppid",
        frames: &["do_wait", "kernel_wait4", "kernel_waitid"],
    },
    Inside {
        whom: "a lock on a file, that itself or another process holds",
        awaited: Awaited::FileLock,
        advice: "see who holds it: lslocks",
        frames: &["locks_lock_inode_wait", "fcntl_setlk", "do_lock_file_wait"],
    },
    Inside {
        whom: "the file system or the disk below",
        awaited: Awaited::Storage,
        advice: "see why that does not answer (fsfreeze, a failing disk, a dead server): no debugger gets hold of a thread that waits there",
        frames: &[
            "percpu_rwsem_wait",
            "mnt_want_write",
            "io_schedule",
            "folio_wait",
            "wait_on_buffer",
            "wait_on_page",
            "jbd2_",
            "rpc_wait",
            "nfs_wait",
            "blk_mq_",
            "submit_bio_wait",
        ],
    },
];

/// The same of the innermost functions of a thread, as they are told.
pub(super) fn inside(waits: &str) -> Option<&'static Inside> {
    // A mount below is told by itself.
    let fuse = |frame: &str| frame.starts_with("fuse_") || frame.starts_with("request_wait_answer");
    let within =
        |inside: &&Inside| waits.split(" < ").any(|frame| inside.frames.iter().any(|start| frame.starts_with(start)));
    INSIDE.iter().find(within).filter(|_| !waits.split(" < ").any(fuse))
}

impl Inside {
    /// What is known of that where no thread is known to serve the request.
    pub(super) fn of(awaited: Awaited) -> Option<&'static Self> {
        INSIDE.iter().find(|inside| inside.awaited == awaited)
    }
}

/// Whom the innermost functions of a thread say it waits for.
pub fn awaited(waits: &str) -> Option<Awaited> {
    inside(waits).map(|inside| inside.awaited)
}
