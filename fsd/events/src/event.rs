//! The events of the flight recorder, as `docs/EVENTS.md` describes them.
//!
//! Text is borrowed where it can be, because a reader of a ten-gigabyte file must not copy it.

use std::borrow::Cow;

use crate::{
    flags::{DebugFlags, Flag},
    ids::{Fh, Ino, OpId, RunId, Unique},
    op::Op,
};

/// Borrowed from the line it was read from, or owned.
pub type Text<'a> = Cow<'a, str>;

/// What every line starts with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// This worker process.
    pub run: RunId,
    /// This mount; outlives its workers.
    pub mount_run: RunId,
    /// Record counter of the run; dropped records count too, so a gap is the exact number of lost lines.
    pub seq: u64,
    /// Wall clock, microseconds since 1970-01-01 UTC.
    pub ts_us: u64,
    /// Monotonic clock, microseconds.
    pub mono_us: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Event<'a> {
    pub head: Head,
    pub body: Body<'a>,
    /// Repeated after a rotation because it was still open; the numbers are those of the original line.
    pub carried: bool,
    /// Written more than 50 ms out of order.
    pub late: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Body<'a> {
    Start(Box<Start<'a>>),
    Enter(Enter<'a>),
    Exit(Exit),
    Phase(PhaseChange<'a>),
    Lock(LockStep<'a>),
    Task(TaskStart<'a>),
    TaskEnd(TaskEnd<'a>),
    Progress(Progress<'a>),
    Wait(Wait),
    WaitEnd(WaitEnd),
    Beat(Box<Beat>),
    Stall(Box<Stall<'a>>),
    StallEnd(Box<Stall<'a>>),
    Handover(Box<Handover<'a>>),
    Interrupt { unique: Unique, id: Option<OpId> },
    FlagChange { flag: Flag, value: bool },
    Invariant { what: Text<'a>, detail: Text<'a> },
    Stop { reason: Text<'a> },
}

impl Body<'_> {
    /// The value of `ev`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Start(_) => "start",
            Self::Enter(_) => "enter",
            Self::Exit(_) => "exit",
            Self::Phase(_) => "phase",
            Self::Lock(_) => "lock",
            Self::Task(_) => "task",
            Self::TaskEnd(_) => "task_end",
            Self::Progress(_) => "progress",
            Self::Wait(_) => "wait",
            Self::WaitEnd(_) => "wait_end",
            Self::Beat(_) => "beat",
            Self::Stall(_) => "stall",
            Self::StallEnd(_) => "stall_end",
            Self::Handover(_) => "handover",
            Self::Interrupt { .. } => "interrupt",
            Self::FlagChange { .. } => "flag",
            Self::Invariant { .. } => "invariant",
            Self::Stop { .. } => "stop",
        }
    }

    /// Every operation or task that the event names.
    pub fn ids(&self, mut each: impl FnMut(OpId)) {
        match self {
            Self::Enter(e) => each(e.id),
            Self::Exit(e) => each(e.id),
            Self::Phase(p) => each(p.id),
            Self::Lock(step) => [step.id].iter().chain(&step.holder).for_each(|id| each(*id)),
            Self::Task(t) => t.parent.into_iter().chain([t.id]).for_each(each),
            Self::TaskEnd(t) => each(t.id),
            Self::Progress(p) => each(p.id),
            Self::Wait(w) => w.on.into_iter().chain([w.id]).for_each(each),
            Self::WaitEnd(w) => each(w.id),
            Self::Stall(s) | Self::StallEnd(s) => {
                s.ops.iter().for_each(|op| each(op.id));
                s.locks.iter().flat_map(|l| l.holder.iter().chain(&l.waiters)).for_each(|id| each(*id));
            }
            Self::Interrupt { id, .. } => id.iter().for_each(|id| each(*id)),
            Self::Start(_) | Self::Beat(_) | Self::Handover(_) => {}
            Self::FlagChange { .. } | Self::Invariant { .. } | Self::Stop { .. } => {}
        }
    }
}

/// First line of each file, also after rotation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Start<'a> {
    pub schema: u32,
    pub pid: u32,
    pub version: Text<'a>,
    /// Mount point as the kernel names it.
    pub mount: Text<'a>,
    /// Redacted: scheme, host and path only.
    pub source: Text<'a>,
    /// Number of fuser loops.
    pub workers: u32,
    /// Effective value, read back from the kernel where it can be.
    pub max_background: u32,
    /// Redacted, for people.
    pub argv: Vec<Text<'a>>,
    /// Path of the configuration file that was read.
    pub config: Option<Text<'a>>,
    pub flags: DebugFlags,
    /// `shared`, or `heap`: not readable after a crash.
    pub recorder: Text<'a>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Enter<'a> {
    pub id: OpId,
    pub op: Op,
    pub thread: Text<'a>,
    pub tid: u32,
    pub unique: Unique,
    /// The kernel sent it again to this worker.
    pub resent: bool,
    /// The caller; 0 for requests of the kernel itself (RELEASE, read-ahead).
    pub pid: u32,
    pub ino: Ino,
    pub fh: Option<Fh>,
    /// As the mount shows it.
    pub path: Option<Text<'a>>,
    pub off: Option<u64>,
    pub len: Option<u64>,
    /// BatchForget: how many inodes.
    pub count: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exit {
    pub id: OpId,
    pub op: Op,
    /// From ENTER to the answer, microseconds.
    pub us: u64,
    /// 0, or a positive errno.
    pub errno: u32,
    pub bytes: u64,
    /// Answered from another task than it entered on.
    pub detached: bool,
}

/// Declares an enum whose variants have one spelling in the event file.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word in the event file.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The value of that word; None for an unknown one.
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

pub(crate) use words;

words! {
    /// What an operation or task is doing or waiting for.
    Phase {
        Upstream = "upstream", Disk = "disk", Lock = "lock", Close = "close", Permit = "permit", Reply = "reply",
        Notify = "notify", Backoff = "backoff", Listing = "listing", Alloc = "alloc",
    }
}

words! { LockKind { RwLock = "rwlock", Mutex = "mutex", Permit = "permit" } }
words! { LockMode { Read = "read", Write = "write" } }
words! { Step { Wait = "wait", Hold = "hold", Free = "free" } }

words! {
    /// Background work that an operation can wait for.
    TaskKind {
        Download = "download", Close = "close", Evict = "evict", Prefetch = "prefetch", Listing = "listing",
        /// A thread outside any operation, so that a lock it holds has a holder.
        Thread = "thread",
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct PhaseChange<'a> {
    pub id: OpId,
    pub phase: Phase,
    /// URL host and range, file, or lock name; never a query string.
    pub detail: Text<'a>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct LockStep<'a> {
    pub id: OpId,
    pub lock: Text<'a>,
    pub kind: LockKind,
    pub mode: LockMode,
    pub step: Step,
    /// Operations or tasks that hold it now; more than one for permits and readers.
    pub holder: Vec<OpId>,
    /// Waited (wait), held so far (hold), held in all (free), microseconds.
    pub us: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct TaskStart<'a> {
    pub id: OpId,
    pub task: TaskKind,
    /// Operation that started it.
    pub parent: Option<OpId>,
    pub fh: Option<Fh>,
    pub path: Option<Text<'a>>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct TaskEnd<'a> {
    pub id: OpId,
    /// The line may leave it out: its `task` line has said so.
    pub task: Option<TaskKind>,
    pub us: u64,
    /// `ok`, `cancelled`, `timeout`, `panic`, or an error in words.
    pub outcome: Text<'a>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Progress<'a> {
    /// Of the task.
    pub id: OpId,
    /// Bytes present.
    pub have: u64,
    /// Bytes wanted in all.
    pub want: u64,
    /// `running`, `waiting`, `complete`, `failed`, `closed`.
    pub state: Text<'a>,
}

/// A reader parks for bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Wait {
    pub id: OpId,
    /// Task that should deliver.
    pub on: Option<OpId>,
    /// Byte range needed, end exclusive.
    pub need: (u64, u64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WaitEnd {
    pub id: OpId,
    pub us: u64,
}

/// Every 2 s while mounted, so that a reader can tell a dead daemon from an idle one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Beat {
    pub inflight: Vec<(Op, u64)>,
    /// Age of the oldest operation in flight, microseconds.
    pub oldest_us: u64,
    pub replies_queued: u64,
    /// Records dropped so far.
    pub lost: u64,
    pub workers: u32,
    pub workers_busy: u32,
    pub loops_alive: u32,
    /// The kernel's count of unanswered requests; None: unknown.
    pub kernel_waiting: Option<u64>,
    pub runtime_lag_us: u64,
    pub writer_lag_us: u64,
}

impl Beat {
    /// Whether nothing was in flight at that moment. What the kernel waited for then may have been answered since.
    pub fn is_empty(&self) -> bool {
        self.inflight.iter().all(|(_, count)| *count == 0)
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stall<'a> {
    pub ops: Vec<StalledOp>,
    pub inflight: Vec<(Op, u64)>,
    pub kernel_waiting: Option<u64>,
    pub locks: Vec<StalledLock<'a>>,
    /// File name of the dump, beside the event file.
    pub stacks: Option<Text<'a>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StalledOp {
    pub id: OpId,
    pub op: Op,
    pub us: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct StalledLock<'a> {
    pub lock: Text<'a>,
    pub holder: Vec<OpId>,
    pub since_us: u64,
    pub waiters: Vec<OpId>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Handover<'a> {
    pub old_run: RunId,
    pub new_run: RunId,
    /// `death`, `missed_beats`, `restart`, `upgrade`, `supervisor_lost`.
    pub cause: Text<'a>,
    /// `ok`, `replayed`, `aborted`.
    pub result: Text<'a>,
    /// Requests the kernel sent again.
    pub resent: u64,
}
