//! Doing: what a thread is at, by the functions that it stands in.

use std::sync::LazyLock;

use fsd_events::op::Op;

use super::serves;
use crate::engine::{
    fact::{Frame, Thread},
    words::Words,
};

/// What a thread is doing or waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Doing {
    /// Waits for work, as it should.
    Idle,
    /// Waits for a lock.
    Lock,
    Network,
    Sleep,
    /// Waits for a process that it has started to end.
    Child,
    /// Waits for another thread: a channel, a condition, a join.
    Wait,
    Disk,
    /// Tells the kernel to forget something, and waits for it.
    Notify,
    Running,
    Other,
}

/// Names that tell, in the order in which they count; the innermost frames are asked first.
const TABLE: &[(Doing, &[&str])] = &[
    (
        Doing::Notify,
        // Of libraries and of the kernel: a daemon's own cache may have an `inval_entry`, too.
        &[
            "fuse_lowlevel_notify_",
            "fuse_reverse_inval_",
            "fuse_notify_inval_",
            "fuser::notify::Notifier::",
            "fuse.(*Server).InodeNotify",
            "fuse.(*Server).EntryNotify",
            "fuse.(*Server).DeleteNotify",
        ],
    ),
    (
        Doing::Network,
        &[
            "net/http.",
            "net.(*conn)",
            "net.(*netFD)",
            "crypto/tls.",
            "curl_",
            "transfer_blocking",
            "recvfrom",
            "recvmsg",
            "__recv",
            "libc_recv",
            "connect",
            "SSL_read",
            "ssl.py",
            "SocketIO.readinto",
            "socket.py",
            "http/client.py",
            "reqwest::",
            "hyper::",
            "asyncreader.(*AsyncReader)",
            "sk_wait_data",
            "java.net.",
            "SocketInputStream",
            "sftp_",
            // Requests in the tables of daemons that speak to servers: to a brick, to storage, to a metadata server.
            "protocol/client: ",
            "ceph: ",
        ],
    ),
    (
        Doing::Sleep,
        &["nanosleep", "time.Sleep", "time_sleep", "Thread.sleep", "thread::sleep", "usleep", "time::sleep"],
    ),
    (
        Doing::Child,
        &[
            "wait4",
            "waitpid",
            "waitid",
            "subprocess.py",
            "os.(*Process).wait",
            "os.(*Process).Wait",
            "ProcessImpl.waitFor",
        ],
    ),
    (
        Doing::Wait,
        &[
            "pthread_cond_wait",
            "sem_wait",
            "pthread_cond_timedwait",
            "sync.(*Cond).Wait",
            "sync.(*WaitGroup).Wait",
            "pthread_join",
            "pthread_clockjoin",
            "_wait_for_tstate_lock",
            "Thread.join",
            "Condvar::wait",
            "Condvar>::wait",
            // C++: a future's state, and an atomic's.
            "__atomic_futex_unsigned",
            "__platform_wait",
            "Object.wait",
            "Unsafe.park",
            "thread::park",
            "chanrecv",
            "selectgo",
        ],
    ),
    (Doing::Disk, &["fsync", "pread", "pwrite", "ftruncate", "io_schedule", "folio_wait", "fallocate"]),
];

/// What a thread with the callback `op` is doing.
pub(super) fn of(thread: &Thread, op: Option<Op>) -> Doing {
    if thread.waits_for.is_some() {
        return Doing::Lock;
    }
    let state = thread.state.as_deref().unwrap_or("");
    if op.is_none() && is_idle(thread, state) {
        return Doing::Idle;
    }
    if op.is_some() && waits_in_python(thread) {
        return Doing::Wait;
    }
    let own = ["lock-wait", "fuse-idle", "net", "epoll", "sleep", "file-io", "running"];
    match own.iter().position(|word| state.split(' ').next() == Some(word)) {
        Some(0) => return Doing::Lock,
        Some(1 | 3) => return Doing::Idle,
        Some(2) => return Doing::Network,
        Some(4) => return Doing::Sleep,
        Some(5) => return Doing::Disk,
        _ => {}
    }
    let frames = thread.frames.iter().take(16);
    let named = frames.filter_map(|f| by_name(&f.function).or_else(|| by_name(f.file.as_deref().unwrap_or(""))));
    let found = named.min_by_key(|doing| TABLE.iter().position(|row| row.0 == *doing));
    match (found, state) {
        (Some(doing), _) => doing,
        (None, "IO wait") => Doing::Network,
        (None, "sleep") => Doing::Sleep,
        (None, "running" | "runnable" | "active" | "active+gil" | "RUNNABLE" | "R") => Doing::Running,
        (None, _) if state.starts_with("chan ") || state.starts_with("select") || state.starts_with("sync.") => {
            Doing::Wait
        }
        (None, _) => Doing::Other,
    }
}

/// Events, conditions, queues and joins all wait in one module; its functions are called like many others.
fn waits_in_python(thread: &Thread) -> bool {
    let file = thread.frames.first().and_then(|frame| frame.file.as_deref());
    file.is_some_and(|file| file == "threading.py" || file.ends_with("/threading.py"))
}

/// Python's events and queues are locks to a native dump, and threads that serve nobody wait for them by design.
pub(super) fn awaits_in_python(thread: &Thread) -> bool {
    thread.frames.iter().take(8).any(|frame| frame.function.starts_with("PyThread_acquire_lock"))
}

/// Whether it waits for what comes from outside, by whichever loop of events: that may be what others wait for.
pub fn listens(thread: &Thread, doing: Doing) -> bool {
    const POLLS: &[&str] = &["poll", "ppoll", "libc_poll", "GI___poll", "libc_ppoll", "GI_ppoll", "pselect", "select"];
    let polls = |name: &str| name.contains("epoll_wait") || name.contains("epoll_pwait") || POLLS.contains(&name);
    let inner = || thread.frames.iter().take(3);
    doing == Doing::Other && reads(thread) || inner().any(|frame| polls(frame.function.trim_start_matches('_')))
}

/// Whether it stands in a `read` of the C library, perhaps in the system call below it.
pub fn reads(thread: &Thread) -> bool {
    const READS: &[&str] = &["read", "libc_read", "GI___libc_read", "read_nocancel", "readv", "libc_readv", "splice"];
    // A callback of python's is called so, too.
    let native = |frame: &&Frame| frame.file.as_deref().is_none_or(|file| !file.ends_with(".py"));
    let mut inner = thread.frames.iter().take(3).filter(native);
    inner.any(|frame| READS.contains(&frame.function.trim_start_matches('_')))
}

fn by_name(name: &str) -> Option<Doing> {
    NAMES.0.first_of(name).map(|word| NAMES.1[word])
}

/// The words of the table, and what each tells: every frame of every thread is asked.
static NAMES: LazyLock<(Words, Vec<Doing>)> = LazyLock::new(|| {
    let (words, tell): (Vec<&str>, Vec<Doing>) =
        TABLE.iter().flat_map(|(doing, words)| words.iter().map(|word| (*word, *doing))).unzip();
    (Words::new(&words), tell)
});
static REST_NAMES: LazyLock<Words> = LazyLock::new(|| Words::new(RESTS));

/// Functions that are on a stack only as long as it waits for work.
const RESTS: &[&str] = &[
    "channel::Channel::receive",
    "fuse3::raw::connection::tokio::",
    "fuse.(*Conn).ReadRequest",
    "fuse.(*Connection).ReadOp",
    "fuse.(*Server).readRequest",
    "(*persistConn).writeLoop",
    "(*persistConn).readLoop",
    "ClientConn).readLoop",
    "lientConnReadLoop).run",
    "(*http2Client).reader",
    "(*loopyWriter).run",
    "signal_recv",
    "signal.loop",
    "net.(*TCPListener)",
    "net.(*UnixListener)",
    "net/http.(*conn).serve",
    "getTask",
    "LinkedBlockingQueue",
    "ReferenceQueue",
    "waitForReferencePendingList",
    "epoll_wait",
    "fuse_dev_do_read",
];

/// Without a callback, a thread that waits for work is as it should be.
fn is_idle(thread: &Thread, state: &str) -> bool {
    let parked = ["idle", "GC ", "finalizer wait", "force gc", "fuse-idle", "epoll"];
    if parked.iter().any(|word| state.starts_with(word)) || state.contains("(idle)") {
        return true;
    }
    serves::awaits_a_request(thread) || thread.frames.iter().any(|frame| REST_NAMES.any(&frame.function))
}
