//! What the screens show at one moment: plain data, made from the engine's model by `feed`, drawn by `view`.
//!
//! A picture of a recording at a moment equals the picture that live use showed then, because both come from the
//! same fold over the same facts.

use std::sync::Arc;

use fsd_events::op::Op;

use crate::engine::report::OpSummary;

/// Everything a frame can show.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Picture {
    pub source: Source,
    /// What can be chosen, while nothing is chosen yet.
    pub mounts: Vec<Choice>,
    /// None: healthy, or nothing known yet.
    pub verdict: Option<Verdict>,
    /// Further verdicts, second best first.
    pub others: Vec<Verdict>,
    pub notes: Vec<String>,
    pub operations: Vec<Operation>,
    pub locks: Vec<Lock>,
    pub stacks: Vec<StackGroup>,
    pub latency: Vec<Latency>,
    pub lanes: Vec<Lane>,
    /// Stall episodes as (start, end), microseconds of the source's clock; an open one has no end.
    pub stalls: Vec<(u64, Option<u64>)>,
    /// Newest last.
    pub events: Vec<Arc<EventLine>>,
    /// Most operations in flight in each second, newest last; the last value is that of now.
    pub inflight: Vec<u64>,
    /// Completions a second, newest last.
    pub completed: Vec<u64>,
    pub acts: Vec<Act>,
}

/// Where the picture comes from and how good it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Source {
    /// Mount point or file names.
    pub title: String,
    /// What serves it, where it is no fsd: `fuse.rclone`.
    pub kind: String,
    pub state: SourceState,
    pub pid: Option<u32>,
    pub flags: Vec<String>,
    /// Time of the newest fact, microseconds of the source's clock.
    pub now_us: u64,
    /// Between an event and its display, milliseconds.
    pub lag_ms: u64,
    pub events_per_s: u64,
    pub lost: u64,
    pub bad_lines: u64,
    /// Fuser loops busy and in all.
    pub workers: Option<(u32, u32)>,
    pub kernel_waiting: Option<u64>,
    /// Why nothing can be told, though nothing hangs that is seen.
    pub untold: Option<&'static str>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub enum SourceState {
    #[default]
    Empty,
    /// The user chooses among the mounts.
    Choosing,
    /// Bytes read and in all.
    Loading {
        done: u64,
        total: u64,
    },
    Live,
    /// A recording, read to its end.
    Recorded,
    Replay {
        speed: Speed,
        paused: bool,
        /// From the first event to the moment shown, and to the last event, microseconds.
        at_us: u64,
        length_us: u64,
    },
    /// The file was removed or the daemon died.
    Gone {
        why: String,
    },
    Reconnecting {
        in_s: u64,
        why: String,
    },
    Failed {
        what: String,
        next: String,
    },
}

/// How fast a recording plays, in tenths of real time; 0 is as fast as it can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speed(pub u32);

impl Speed {
    const STEPS: [u32; 9] = [1, 5, 10, 20, 50, 100, 600, 3000, 0];

    /// The next faster or slower step; the ends stay.
    #[must_use]
    pub fn step(self, faster: bool) -> Self {
        let at = Self::STEPS.iter().position(|s| *s == self.0).unwrap_or(2);
        let next = if faster { (at + 1).min(Self::STEPS.len() - 1) } else { at.saturating_sub(1) };
        Self(Self::STEPS[next])
    }

    pub fn label(self) -> String {
        match self.0 {
            0 => "max".into(),
            n if n % 10 == 0 => format!("{}x", n / 10),
            n => format!("{}.{}x", n / 10, n % 10),
        }
    }
}

/// A mount that can be looked at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choice {
    pub mount: String,
    /// `fuse.rclone`.
    pub kind: String,
    /// Program and process that serve it; empty: nobody, or unknown.
    pub daemon: String,
    /// Unanswered requests; None: unknown.
    pub waiting: Option<u64>,
    /// The oldest of them, in words, and its age.
    pub oldest: String,
    pub oldest_us: Option<u64>,
    /// `ok`, `STALLED`, ...
    pub health: String,
    pub sick: bool,
    /// Nobody can tell how it does.
    pub unknown: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    pub cause: String,
    pub confidence: String,
    pub sentence: String,
    /// Short name of the culprit, `Release(id=456, fuse-0)`.
    pub culprit: String,
    pub age_s: Option<f64>,
    pub waiters: usize,
    pub evidence: Vec<String>,
    pub advice: Vec<String>,
    /// The stall is over; the verdict is kept for the post-mortem.
    pub recovered: bool,
}

/// How an open operation looks, worst first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// The one that everything else waits for.
    Culprit,
    Victim,
    /// Old without an answer, and nobody knows why yet.
    Orphan,
    Slow,
    #[default]
    Normal,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Operation {
    pub id: String,
    /// Which of several that share a log; empty where there is one.
    pub daemon: String,
    pub op: String,
    pub rank: Rank,
    pub age_us: u64,
    pub thread: String,
    pub path: String,
    /// What it waits for, in words.
    pub waits: String,
    /// Depth in the wait tree; 0 waits for nobody that is shown.
    pub depth: u16,
    /// Where it stands in its input; empty for a request that only the kernel knows.
    pub place: String,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lock {
    pub name: String,
    pub kind: String,
    /// Who holds it, with mode; empty: nobody that is known.
    pub holder: String,
    /// None: unknown.
    pub held_us: Option<u64>,
    /// What the holder waits for itself, in words.
    pub then: String,
    /// Longest waiting first.
    pub waiters: Vec<LockWaiter>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct LockWaiter {
    pub name: String,
    /// None: unknown.
    pub us: Option<u64>,
}

/// Threads with the same stack.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StackGroup {
    pub threads: Vec<String>,
    pub state: String,
    pub moved: Moved,
    pub frames: Vec<String>,
    pub waits: String,
}

/// Between the last two dumps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Moved {
    /// There is only one dump.
    #[default]
    Unknown,
    Same,
    Moved,
    New,
    Gone,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Latency {
    pub op: String,
    pub summary: OpSummary,
    /// Completions by power of two of their microseconds: bucket n counts `[2^n, 2^(n+1))`.
    pub buckets: Vec<u64>,
    /// Completions of each second by [`HEAT`], newest second last.
    pub heat: Vec<[u32; HEAT.len() + 1]>,
}

/// Upper ends of the heat map's rows, microseconds; a last row takes the rest.
pub const HEAT: [u64; 6] = [100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000];

/// What one worker did when.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lane {
    pub worker: String,
    pub spans: Vec<LaneSpan>,
}

/// One operation; or several short ones, one after the other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LaneSpan {
    pub start_us: u64,
    /// None: still running.
    pub end_us: Option<u64>,
    pub op: Op,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventLine {
    pub line: u64,
    /// Raw, cut where it is very long.
    pub text: String,
    /// Worth the eye: stall, invariant, lost lines.
    pub loud: bool,
}

/// Something that can be done to the daemon; the same as a command.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Act {
    pub title: String,
    /// Arguments of `fsdiag` that do it.
    pub command: Vec<String>,
    /// What will happen, step by step.
    pub preview: Vec<String>,
    /// Clients may see errors: asked twice.
    pub hurts: bool,
    /// A value that must be typed first (a URL, a command); empty: none.
    pub prompt: String,
    /// That value may hold a secret: it is shown nowhere and stands in no command line.
    pub secret: bool,
}
