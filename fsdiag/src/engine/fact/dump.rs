//! Dumps: the threads of a process as a tool shows them, and the locks that they name.

use fsd_events::op::Op;

use super::{InputId, Key, Name};
use crate::engine::tables::Tables;

/// All threads of a process at one moment, from whatever tool took them.
#[derive(Clone, Debug, Default)]
pub struct Dump {
    pub format: Box<str>,
    pub pid: Option<u32>,
    pub process: Option<Box<str>>,
    /// The mount that it serves, where the dump has the daemon's own tables.
    pub mount: Option<Box<str>>,
    pub threads: Vec<Thread>,
    /// What the daemon knows of its operations, where the dump is its own.
    pub tables: Tables,
    /// The tool itself reports a cycle (jstack); thread names, in order.
    pub stated_cycle: Vec<Box<str>>,
    /// What the tool has counted until then, as it says it: at another moment it says something else.
    pub counted: Box<str>,
    /// The file ends in the middle.
    pub truncated: bool,
    /// The tool was asked for one thread: there may be others.
    pub partial: bool,
}

impl Dump {
    /// Whether a debugger took it: it shows every thread of the process down to its system call.
    pub fn is_native(&self) -> bool {
        matches!(&*self.format, "gdb" | "eu-stack")
    }

    /// Whether it shows no functions of the daemon.
    pub fn is_blind(&self) -> bool {
        matches!(&*self.format, "strace" | "proc-stacks")
    }

    /// Whether it shows nothing else than the other one, wherever the two stand.
    pub fn shows_the_same(&self, other: &Self) -> bool {
        let about = |dump: &Self| (dump.pid, dump.partial, dump.threads.len());
        about(self) == about(other)
            && (&self.format, &self.process, &self.mount) == (&other.format, &other.process, &other.mount)
            && (&self.counted, &self.stated_cycle) == (&other.counted, &other.stated_cycle)
            && self.threads.iter().zip(&other.threads).all(|(one, two)| one.shows_the_same(two))
            && self.tables.tell_the_same(&other.tables)
    }
}

/// One thread, goroutine or task.
#[derive(Clone, Debug, Default)]
pub struct Thread {
    /// As the reports name it: `goroutine 18`, `thread 13454`.
    pub label: Box<str>,
    /// Number in the tool's own space (goid, LWP, tid); several threads of one aggregated record share it.
    pub number: u64,
    pub name: Option<Box<str>>,
    /// The tool's own word: `chan receive`, `BLOCKED (on object monitor)`, `D`, ...
    pub state: Option<Box<str>>,
    /// How long it has been in that state, microseconds, where the tool says so.
    pub since_us: Option<u64>,
    /// So much less it may be.
    pub blur_us: u64,
    /// How many identical threads this record stands for (pprof debug=1).
    pub count: u32,
    /// Innermost first.
    pub frames: Vec<Frame>,
    pub waits_for: Option<LockRef>,
    pub holds: Vec<LockRef>,
    /// Where that is not the input of its dump.
    pub input: Option<InputId>,
    /// Line of the thread's header in its input.
    pub line: u64,
    /// Request it serves, where the dump says so.
    pub op: Option<(Option<Key>, Op)>,
    /// Goroutine or thread that made it.
    pub created_by: Option<Box<str>>,
}

impl Thread {
    fn shows_the_same(&self, other: &Self) -> bool {
        let who = |thread: &Self| (thread.number, thread.since_us, thread.blur_us, thread.count, thread.op);
        who(self) == who(other)
            && (&self.label, &self.name, &self.state) == (&other.label, &other.name, &other.state)
            && (&self.frames, &self.created_by) == (&other.frames, &other.created_by)
            && (&self.waits_for, &self.holds) == (&other.waits_for, &other.holds)
    }

    /// Whether it is one of Go, or stands for several (`goroutine record 6`).
    pub fn is_goroutine(&self) -> bool {
        self.label.starts_with("goroutine ")
    }

    /// How long it has been in that state at the least, where that is anything at all.
    pub fn at_least_us(&self) -> Option<u64> {
        self.since_us.map(|us| us.saturating_sub(self.blur_us)).filter(|us| *us > 0 || self.blur_us == 0)
    }
}

#[derive(Clone, Debug, Default, Eq)]
pub struct Frame {
    /// Demangled, without hash suffix.
    pub function: Name,
    /// As printed between the parentheses; empty where the tool prints none.
    pub args: Box<str>,
    pub file: Option<Name>,
    pub line: Option<u32>,
    pub module: Option<Name>,
    /// Local variables where the tool prints them.
    pub locals: Box<str>,
}

impl PartialEq for Frame {
    fn eq(&self, other: &Self) -> bool {
        // Most have neither, and a processor may take long to compare nothing with nothing where no memory is.
        let same = |one: &str, two: &str| one.len() == two.len() && (one.is_empty() || one == two);
        self.line == other.line
            && (&self.function, &self.file, &self.module) == (&other.function, &other.file, &other.module)
            && same(&self.args, &other.args)
            && same(&self.locals, &other.locals)
    }
}

/// A lock as a dump names it; two threads mean the same lock when the keys are equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LockRef {
    /// Address, symbol, or `function:line` of the waiting frame.
    pub key: Box<str>,
    pub mode: LockUse,
    /// Owner as stated by the dump itself.
    pub owner: Option<Box<str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LockUse {
    Read,
    Write,
    Unknown,
}
