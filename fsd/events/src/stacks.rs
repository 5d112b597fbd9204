//! The stack dump: what every thread, operation, lock and task of a process was doing at one moment.
//!
//! Writer and strict reader of `stacks-<time>.log` stand side by side here; `docs/STACKS.md` shows a file.

mod read;
#[cfg(test)]
mod tests;
mod text;
mod write;

pub use read::{Problem, Read, read};
pub use text::FileName;
pub use write::{Section, Writer, write};

use std::borrow::Cow;

use crate::{
    event::{LockKind, LockMode, Phase, TaskKind, Text, words},
    ids::{Fh, Ino, OpId, Unique},
    op::Op,
};

/// Version of the grammar; a reader of version 1 refuses every line it does not know, `x-` headers apart.
pub const VERSION: u32 = 1;

/// A whole file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StackDump<'a> {
    pub header: Header<'a>,
    pub modules: Vec<Module<'a>>,
    pub ops: Vec<OpLine<'a>>,
    pub locks: Vec<LockBlock<'a>>,
    pub findings: Vec<Finding<'a>>,
    pub threads: Vec<ThreadBlock<'a>>,
    pub tasks: Vec<TaskBlock<'a>>,
}

/// Where, when, of whom and why.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Header<'a> {
    /// Wall clock, microseconds since 1970-01-01 UTC.
    pub time_us: u64,
    /// `fsd`, or the command name of another process.
    pub program: Text<'a>,
    /// Empty: unknown.
    pub version: Text<'a>,
    pub os: Text<'a>,
    pub arch: Text<'a>,
    pub pid: u32,
    pub uptime_ms: Option<u64>,
    /// Mount point that the process serves.
    pub mount: Option<Text<'a>>,
    pub fuse: Option<Fuse>,
    pub reason: Reason,
    pub capture: Capture,
    pub symbols: Symbols,
    /// Keys (without `x-`) and values that this version does not know.
    pub extra: Vec<(Text<'a>, Text<'a>)>,
}

/// The connection and the loops that serve it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fuse {
    pub major: u32,
    pub minor: u32,
    /// The kernel's count of unanswered requests.
    pub waiting: Option<u64>,
    pub inflight: u64,
    /// Loops, and how many of them are inside a callback.
    pub workers: u32,
    pub busy: u32,
}

/// What led to the dump.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reason {
    pub cause: Cause,
    /// Stall: age of the oldest operation.
    pub oldest_ms: Option<u64>,
    /// Stall: dumps of the episode before this one.
    pub repeat: Option<u32>,
}

words! { #[derive(Default)] Cause {
    Stall = "stall", #[default] Request = "request", Panic = "panic", ShutdownTimeout = "shutdown-timeout",
} }

/// How the stacks were taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capture {
    pub how: How,
    pub threads: u64,
    /// Threads that answered the signal, or stopped for the tracer.
    pub answered: u64,
    /// Threads whose stack was read without their help.
    pub fallback: u64,
    pub took_us: u64,
}

words! { #[derive(Default)] How { #[default] Signal = "signal", Procfs = "procfs", Ptrace = "ptrace", Mach = "mach" } }

words! {
    /// `none`: addresses only, written by the hung process itself; `full`: names were added afterwards.
    #[derive(Default)]
    Symbols { #[default] None = "none", Full = "full" }
}

/// One loaded object; frames name it by its number.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Module<'a> {
    pub number: u32,
    pub start: u64,
    pub end: u64,
    /// Where its address 0 lies: `base + 0x10f36` is offset 0x10f36.
    pub base: u64,
    /// Hexadecimal; empty: it has none.
    pub build_id: Text<'a>,
    pub path: Text<'a>,
}

/// One operation without an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct OpLine<'a> {
    pub id: OpId,
    pub op: Op,
    pub age_ms: u64,
    /// Thread that it entered on.
    pub thread: u32,
    /// The caller; 0 for the kernel itself.
    pub pid: u32,
    pub unique: Unique,
    pub ino: Ino,
    pub fh: Option<Fh>,
    pub wait: OpWait,
    /// Byte range that it waits for, end exclusive.
    pub need: Option<(u64, u64)>,
    pub phase: Option<Phase>,
    /// As the mount shows it.
    pub path: Option<Text<'a>>,
}

/// What an operation waits for, as far as its tables know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OpWait {
    #[default]
    Unknown,
    /// Number of the lock in this file.
    Lock(u32),
    Task(OpId),
}

/// One lock that is held or waited for.
#[derive(Clone, Debug, PartialEq)]
pub struct LockBlock<'a> {
    pub head: LockHead<'a>,
    pub holders: Vec<LockUser<'a>>,
    pub waiters: Vec<LockUser<'a>>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct LockHead<'a> {
    /// `L<number>`, unique in the file.
    pub number: u32,
    pub name: Text<'a>,
    pub kind: LockKind,
    /// Tells locks of one name apart (an inode, say); 0: there is only one.
    pub key: u64,
}

/// One holder of, or waiter for, a lock.
#[derive(Clone, Debug, PartialEq)]
pub struct LockUser<'a> {
    pub op: OpId,
    /// None: a task holds it, wherever it runs.
    pub thread: Option<u32>,
    pub mode: LockMode,
    pub for_ms: u64,
    /// File and line that took it.
    pub at: Option<(Text<'a>, u32)>,
    /// Changed while it was read: do not build on it.
    pub unstable: bool,
}

/// What the tables prove, computed by the process itself.
#[derive(Clone, Debug, PartialEq)]
pub enum Finding<'a> {
    /// Operations queue behind one lock; the root is the first holder in the chain that waits for no lock.
    Pileup {
        lock: u32,
        waiters: u64,
        /// Operations that wait for it, directly or behind another lock.
        blocked_ops: u64,
        root_thread: Option<u32>,
        root_op: OpId,
        root_doing: Doing,
    },
    Cycle {
        threads: Cow<'a, [u32]>,
        locks: Cow<'a, [u32]>,
    },
    /// The holder sits in a system call that does I/O.
    LockAcrossIo {
        lock: u32,
        thread: u32,
        op: OpId,
        syscall: i64,
        for_ms: u64,
    },
    /// Every loop is inside a callback, and the kernel has requests that none of them has read.
    PoolStarved {
        workers: u32,
        busy: u32,
        kernel_waiting: u64,
    },
    /// An operation in flight that waits for nothing, while its thread is idle or gone.
    Orphan {
        op: OpId,
        thread: u32,
    },
}

/// One thread: what the kernel says, its locks, its stack.
#[derive(Clone, Debug, PartialEq)]
pub struct ThreadBlock<'a> {
    pub head: ThreadHead<'a>,
    pub waiting: Option<LockWait<'a>>,
    pub holding: Vec<LockHold<'a>>,
    /// Innermost first.
    pub frames: Vec<Frame<'a>>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct ThreadHead<'a> {
    pub tid: u32,
    pub comm: Text<'a>,
    pub doing: Doing,
    /// Of the lock wait, else of the operation.
    pub age_ms: Option<u64>,
    pub op: Option<OpId>,
    /// As in `/proc/<pid>/stat`: `R`, `S`, `D`, `T`, `Z`; `?`: unknown.
    pub state: char,
    /// Kernel function it sleeps in; `0`: none, None: unreadable.
    pub wchan: Option<Text<'a>>,
    pub syscall: Syscall,
    /// User and system time used, milliseconds.
    pub cpu_ms: Option<u64>,
    /// Kernel functions, innermost first, joined by ` < `; only root may read them.
    pub kstack: Option<Text<'a>>,
    pub stack: StackSource,
}

words! {
    /// What a thread is doing, in one word.
    #[derive(Default)]
    Doing {
        /// Our own lock wrapper says so.
        LockWait = "lock-wait",
        /// Waits for the next request on `/dev/fuse`.
        FuseIdle = "fuse-idle",
        Epoll = "epoll", Net = "net", FileIo = "file-io", Futex = "futex", Sleep = "sleep", Running = "running",
        /// State D.
        Uninterruptible = "uninterruptible",
        /// The thread that wrote this dump.
        Dumper = "dumper",
        Stopped = "stopped",
        #[default]
        Other = "other",
    }
}

/// The system call that a thread is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Syscall {
    /// -1: blocked outside a system call.
    Number(i64),
    /// On a processor.
    Running,
    #[default]
    Unknown,
}

/// Where the stack of a thread came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StackSource {
    Signal,
    Procfs,
    /// The walk did not reach the thread's start.
    ProcfsPartial,
    Ptrace,
    None(NoStack),
}

impl Default for StackSource {
    fn default() -> Self {
        Self::None(NoStack::NoAnswer)
    }
}

words! { NoStack {
    Dumper = "self", NoAnswer = "no-answer", BlockedSignal = "blocked-signal", Gone = "gone", Denied = "denied",
} }

#[derive(Clone, Debug, PartialEq)]
pub struct LockWait<'a> {
    pub lock: u32,
    pub name: Text<'a>,
    pub mode: LockMode,
    /// First holder; its thread where it has one.
    pub held_by: Option<(OpId, Option<u32>)>,
    /// Further holders.
    pub more: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct LockHold<'a> {
    pub lock: u32,
    pub name: Text<'a>,
    pub key: u64,
    pub mode: LockMode,
    pub for_ms: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Frame<'a> {
    Call {
        /// None: inlined into the frame below it.
        address: Option<u64>,
        /// None: unknown, written `??`.
        function: Option<Text<'a>>,
        place: Place<'a>,
    },
    /// So many frames between the innermost and the outermost ones were left out.
    Elided(u64),
    /// The walk ended before the thread's start.
    Truncated,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Place<'a> {
    Source {
        file: Text<'a>,
        line: u32,
    },
    /// Offset from the module's base.
    Module {
        module: u32,
        offset: u64,
    },
    Unknown,
}

/// One background task.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskBlock<'a> {
    pub id: OpId,
    pub kind: TaskKind,
    /// Inside its poll function right now: the thread's stack shows where.
    pub polling: bool,
    pub age_ms: u64,
    /// Operation or task that started it.
    pub parent: Option<OpId>,
    pub fh: Option<Fh>,
    pub polls: u64,
    pub last_thread: u32,
    /// What it waits for, and for how long.
    pub phase: Option<(Phase, u64)>,
    /// Bytes present, and wanted in all.
    pub have: u64,
    pub want: u64,
    /// As the mount shows it.
    pub path: Option<Text<'a>>,
}
