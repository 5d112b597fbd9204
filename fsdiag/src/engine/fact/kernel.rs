//! Kernel facts: what only the kernel knows of a mount, a request or a task.

use fsd_events::op::Op;

/// What only the kernel knows.
#[derive(Clone, Debug)]
pub enum KernelFact {
    /// fusectl `waiting` of a connection.
    Waiting { connection: u64, waiting: u64 },
    /// A request on the kernel's own lists.
    Pending(Box<Pending>),
    /// A task blocked in the kernel: hung_task report, /proc stack, wchan.
    Blocked(Box<BlockedTask>),
    /// The mount has no daemon any more, or its connection was aborted.
    Dead { connection: u64, aborted: bool },
    /// Nobody reads the device although requests are pending: idle readers and all threads of the daemon.
    Readers { idle: u32, threads: u32 },
    /// The process that serves, as `/proc` shows it.
    Daemon(Box<DaemonProcess>),
    /// Limits of the connection; None where the kernel does not say.
    Connection { max_background: Option<u64>, parallel_dirops: Option<bool> },
}

/// A daemon seen from outside.
#[derive(Clone, Debug, Default)]
pub struct DaemonProcess {
    pub pid: u32,
    pub comm: Box<str>,
    /// By a signal or a debugger.
    pub stopped: bool,
    /// Threads in states in which they can take no request are counted too.
    pub threads: u32,
    /// TCP peers, with the connection's state.
    pub peers: Vec<Box<str>>,
    /// A thread that runs all the time.
    pub burning: Option<Burns>,
    /// A thread with no known request that waits for somebody else (ssh behind a socket, a FUSE mount below).
    pub awaits: Option<Awaits>,
    /// Nobody works: each thread reads the device, or has slept at a lock since before the oldest request was sent, and
    /// nothing outside could wake one.
    pub at_rest: bool,
}

/// A thread that wants a processor nearly all the time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Burns {
    pub thread: Box<str>,
    pub percent: u32,
    /// How long that was looked at.
    pub over_us: u64,
}

/// A thread of a daemon that waits for somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Awaits {
    pub thread: Box<str>,
    pub whom: Awaited,
    /// Mount point of the file system below, where that is known.
    pub below: Option<Box<str>>,
}

/// The thread of a daemon that serves a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serving {
    pub thread: Box<str>,
    /// Functions of the kernel that it stands in, innermost first.
    pub waits: Box<str>,
    /// False: told by nothing but the time at which it fell asleep.
    pub sure: bool,
    pub awaits: Option<Awaits>,
}

/// Who the threads of a daemon wait for besides TCP peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// The process at the other end of a socket or pipe.
    Process,
    /// A FUSE mount other than the one looked at.
    Mount,
    /// A file system of the kernel's own, or the disk under it.
    Storage,
    /// A process that the daemon has started.
    Child,
    /// A lock on a file, which may be its own.
    FileLock,
}

/// A request in the kernel's hands.
#[derive(Clone, Debug)]
pub struct Pending {
    pub state: PendingState,
    pub unique: u64,
    pub op: Op,
    pub ino: u64,
    pub name: Option<Box<str>>,
    pub path: Option<Box<str>>,
    pub off: Option<u64>,
    pub len: Option<u64>,
    pub client_pid: Option<u32>,
    pub client: Option<Box<str>>,
    pub age_us: Option<u64>,
    pub server: Option<Serving>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PendingState {
    /// Held back by `max_background`.
    HeldBack,
    /// Never read by the daemon.
    Queued,
    /// Read by the daemon and unanswered.
    InDaemon,
    /// One of the two above; the source cannot tell.
    Unknown,
}

#[derive(Clone, Debug, Default)]
pub struct BlockedTask {
    pub pid: u32,
    pub comm: Box<str>,
    /// Belongs to the daemon itself, not to a client.
    pub of_daemon: bool,
    /// `D`, `S`, ...
    pub state: Option<Box<str>>,
    pub blocked_us: Option<u64>,
    /// Kernel functions, innermost first.
    pub stack: Vec<Box<str>>,
    /// "likely owned by" of recent kernels.
    pub owner: Option<(u32, Box<str>)>,
}
