//! What the engine eats: one observation, from whatever log, dump, ring or kernel table it came.
//!
//! Formats and sources make facts, the model folds them, rules read the model. A fact carries its own time and
//! its own place in an input, because the engine has neither clock nor I/O.

mod dump;
mod kernel;

use std::{cell::RefCell, fmt, sync::Arc};

use fsd_events::{
    event::{Body, Event, Phase},
    ids::RunId,
    op::Op,
};

pub use self::dump::{Dump, Frame, LockRef, LockUse, Thread};
pub use self::kernel::{
    Awaited, Awaits, BlockedTask, Burns, DaemonProcess, KernelFact, Pending, PendingState, Serving,
};

/// Index into the list of inputs of one analysis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InputId(pub u16);

/// Where a fact stands: evidence points here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    pub input: InputId,
    /// 1-based line; for binary sources the record's number.
    pub line: u64,
    /// Which of them, where a line of the input has many lines of a log.
    pub part: u16,
}

impl Place {
    /// The name of a request that began here and has none of its own.
    pub fn key(self) -> Key {
        Key::Line((u64::from(self.input.0) << INPUT_SHIFT) | (u64::from(self.part) << PART_SHIFT) | self.line)
    }
}

/// Where the number of the input stands in [`Key::Line`]: a rotated set is one session with many lines of one number.
const INPUT_SHIFT: u32 = 48;
/// The same of the part; no input has as many lines as fit below.
const PART_SHIFT: u32 = 32;

/// When a fact happened, as far as its source knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct At {
    /// Microseconds of a clock that never steps; comparable within one session only.
    pub mono_us: Option<u64>,
    /// Microseconds since 1970-01-01 UTC.
    pub wall_us: Option<u64>,
}

/// One observation.
#[derive(Clone, Debug)]
pub struct Fact {
    pub place: Place,
    pub at: At,
    pub what: What,
}

/// Who wrote a line, where that is known: several daemons may share a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writer {
    /// The same for all lines of one process, or of one container where processes have no numbers.
    pub identity: u64,
    /// Machine, container or pod; may be empty.
    pub host: Box<str>,
    /// What it calls itself; may be empty.
    pub name: Box<str>,
    pub pid: Option<u32>,
}

impl Writer {
    /// `rclone[812]`, `rclone[812] on nas`, `fuse-1`.
    pub fn label(&self, with_host: bool) -> String {
        let Self { host, name, pid, .. } = self;
        let pid = pid.map(|pid| format!("[{pid}]")).unwrap_or_default();
        match (name.is_empty(), with_host && !host.is_empty()) {
            (true, _) => format!("{host}{pid}"),
            (false, true) => format!("{name}{pid} on {host}"),
            (false, false) => format!("{name}{pid}"),
        }
    }

    /// What others call it; may be empty.
    pub fn called(&self) -> &str {
        if self.name.is_empty() { &self.host } else { &self.name }
    }
}

/// Who eats facts: the model, a filter in front of it, or a test.
pub trait Sink {
    fn fact(&mut self, fact: Fact);
    /// Whose the facts that follow from that input are. `speaks`: it has written a line, and does not only hand over
    /// what it wrote before.
    fn writer(&mut self, _input: InputId, _writer: Option<&Writer>, _speaks: bool) {}
    /// The machine on which that input's log was written was started anew.
    fn boots(&mut self, _input: InputId) {}
    /// What `other` wrote into that input was written by a thread of `daemon`.
    fn joins(&mut self, _input: InputId, _other: &Writer, _daemon: &Writer) {}
    /// Whoever writes into that input now is one of too many to be told apart: which end is that of what it began without
    /// a number is not known from here on.
    fn leaves(&mut self, _input: InputId) {}
    /// A line that tells nothing but that time went on. `own`: of a format that the input's daemon writes.
    fn passed(&mut self, _input: InputId, _at: At, _own: bool) {}
    /// An event of fsd itself; nothing is copied on the way.
    fn event(&mut self, place: Place, event: &Event<'_>);
    /// An event of a later schema: it counts in the sequence of its run.
    fn unknown(&mut self, place: Place, run: RunId, seq: u64, wall_us: u64);
    /// What is left of a cut or garbled event.
    fn remains(&mut self, _place: Place, _remains: Remains) {}
}

/// What can still be read of a damaged event (rule R7): it may end a request, never begin one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remains {
    pub run: RunId,
    pub seq: u64,
    /// The request whose EXIT it was.
    pub exit: Option<u64>,
}

/// Name of a request within one session of one daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// The source's own number.
    Num(u64),
    /// The same, written in hexadecimal by its source.
    Hex(u64),
    /// The source has no ids: the place of its ENTER, see [`Place::key`].
    Line(u64),
    /// The source has no ids and no lines: the thread that serves it.
    Thread(u64),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Num(n) => write!(f, "{n}"),
            Self::Hex(n) => write!(f, "{n:#x}"),
            Self::Line(n) => write!(f, "line {}", n & ((1 << PART_SHIFT) - 1)),
            Self::Thread(n) => write!(f, "thread {n}"),
        }
    }
}

/// A text that many requests share.
pub type Name = Arc<str>;

/// A request begins.
#[derive(Clone, Debug)]
pub struct Call {
    pub key: Key,
    pub op: Op,
    /// Worker that runs the callback, where the source names it.
    pub thread: Option<Name>,
    pub tid: Option<u32>,
    /// The calling process; 0 for the kernel's own requests.
    pub pid: Option<u32>,
    pub ino: Option<u64>,
    pub fh: Option<u64>,
    pub path: Option<Name>,
    pub off: Option<u64>,
    pub len: Option<u64>,
    /// The kernel's id, where the source is sure of it (fsd's own events, the kernel's trace).
    pub unique: Option<u64>,
    pub resent: bool,
    /// The handler may answer from elsewhere: a later ENTER on its thread does not end it (rule R3 is off).
    pub asynchronous: bool,
    /// The pairing of this call is a guess: several calls of the same name were open.
    pub ambiguous: bool,
    /// What the daemon does for it from the begin on, and with whom, where its source tells.
    pub doing: Option<(Phase, Name)>,
}

thread_local! {
    #[expect(clippy::vec_box, reason = "the room on the heap is what is kept")]
    /// Calls that have ended. Most requests end before many others begin, and the next one takes their room: so a log of
    /// millions does not ask for memory millions of times.
    static ENDED: RefCell<Vec<Box<Call>>> = const { RefCell::new(Vec::new()) };
}

impl Call {
    /// The same on the heap.
    pub fn boxed(self) -> Box<Self> {
        match ENDED.with_borrow_mut(Vec::pop) {
            Some(mut room) => {
                *room = self;
                room
            }
            None => Box::new(self),
        }
    }

    /// Nobody needs it any more.
    pub fn ended(self: Box<Self>) {
        /// More are never open at once where it matters.
        const KEPT: usize = 32;
        ENDED.with_borrow_mut(|ended| {
            if ended.len() < KEPT {
                ended.push(self);
            }
        });
    }

    /// A call of which only the name is known.
    pub fn new(key: Key, op: Op) -> Self {
        Self {
            key,
            op,
            thread: None,
            tid: None,
            pid: None,
            ino: None,
            fh: None,
            path: None,
            off: None,
            len: None,
            unique: None,
            resent: false,
            asynchronous: false,
            ambiguous: false,
            doing: None,
        }
    }
}

/// A request ends.
#[derive(Clone, Copy, Debug)]
pub struct Done {
    pub key: Key,
    /// None where the end line does not repeat it.
    pub op: Option<Op>,
    /// As the source measured it.
    pub us: Option<u64>,
    /// 0, or a positive errno; None: not said.
    pub errno: Option<u32>,
    pub bytes: Option<u64>,
}

/// A request of which only the end was logged (access logs): never an orphan, still a latency.
#[derive(Clone, Copy, Debug)]
pub struct Completed {
    pub op: Op,
    pub us: u64,
    pub errno: Option<u32>,
}

#[derive(Clone, Debug)]
pub enum What {
    /// A daemon starts; open calls of the session before were killed with it.
    Session {
        pid: Option<u32>,
        run: Option<u64>,
        workers: Option<u32>,
        banner: Box<str>,
    },
    /// A daemon ends. `crash`: it was not told to.
    SessionEnd {
        crash: bool,
        text: Box<str>,
        /// None: it says so itself.
        victim: Option<Victim>,
    },
    Enter(Box<Call>),
    Exit(Done),
    Completed(Completed),
    /// Its log tells of requests, never of answers.
    OneSided,
    /// The client of that request was signalled while it was unanswered.
    Interrupt(Key),
    /// An event of fsd that foreign formats do not have (lock, task, progress, wait, beat, stall, phase, flag ...).
    Own(Box<Body<'static>>),
    /// A watchdog's count of requests in flight, and those it calls stalled (key, op, age in us).
    Watch {
        inflight: Vec<(Op, u64)>,
        stalled: Vec<(Key, Op, u64)>,
    },
    /// All threads of a process at one moment.
    Dump(Box<Dump>),
    /// What the kernel says of a mount, a task or a pending request.
    Kernel(Box<KernelFact>),
    /// A line of the daemon that is no request but tells a cause (no space, no answer from the server, retry 3 of 10).
    Hint {
        kind: HintKind,
        key: Option<Key>,
        path: Option<Box<str>>,
        text: Box<str>,
    },
    /// Lines that are known to be missing before this place.
    Lost {
        lines: u64,
    },
}

/// Who died, as far as somebody else tells: a shell, the init system, the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Victim {
    /// The kernel tells of it, which tells of any program of the machine; shells and init systems tell of what they ran.
    pub by_kernel: bool,
    pub pid: Option<u32>,
    /// Its program, unit or container.
    pub name: Option<Box<str>>,
    /// The machine of whoever tells of it; empty: not told.
    pub host: Box<str>,
}

impl Victim {
    /// Whether nothing tells who it was.
    pub fn is_nameless(&self) -> bool {
        self.pid.is_none() && self.name.is_none()
    }
}

/// What a telling line of a foreign log is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HintKind {
    Upstream,
    Retry,
    NoSpace,
    NoMemory,
    /// The kernel killed somebody because there was no memory left.
    KilledForMemory,
    NoDescriptors,
    Dns,
    ShortBody,
    Changed,
    CloseTimedOut,
    Panic,
    Permit,
    LogLost,
    Unmount,
}
