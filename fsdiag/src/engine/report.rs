//! The report: what every view is drawn from, and what `--format json` prints.
//!
//! Within `schema` 1 fields may be added, never removed or renamed.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Version of the JSON form.
pub const SCHEMA: u32 = 1;
/// The format of an input in which no format's own line was found.
pub const UNKNOWN: &str = "unknown";

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub schema: u32,
    /// True exactly when there is no verdict.
    pub healthy: bool,
    pub inputs: Vec<Input>,
    /// Best first.
    pub verdicts: Vec<Verdict>,
    pub notes: Vec<Note>,
    /// Requests without an answer; of very many the oldest.
    pub orphans: Vec<Orphan>,
    /// Open requests that are not listed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub orphans_left_out: u64,
    /// A log tells of requests and never of answers, and some that it tells of may hang.
    #[serde(default, skip_serializing_if = "is_false")]
    pub one_sided: bool,
    /// Operations open at the end, per operation.
    pub inflight: BTreeMap<String, u64>,
    /// The kernel's count of unanswered requests.
    pub kernel_waiting: Option<u64>,
    pub ops: BTreeMap<String, OpSummary>,
    /// Dumps that tell of operations, one for each process; left out where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub episodes: Vec<Episode>,
    pub loss: Loss,
}

impl Report {
    /// Open requests, listed or not.
    pub fn open(&self) -> usize {
        self.orphans.len() + usize::try_from(self.orphans_left_out).unwrap_or(0)
    }

    /// Whether nothing in it shows how a daemon does.
    pub fn is_unjudged(&self) -> bool {
        let tells = !self.ops.is_empty() && !self.one_sided;
        self.healthy && !tells && self.notes.iter().any(|note| note.kind == "cannot_tell")
    }

    /// Whether no line of a known format told of anything: such a text does not show how a daemon does.
    pub fn tells_nothing(&self) -> bool {
        self.healthy && self.inputs.iter().all(|input| input.events == 0 || input.format == UNKNOWN)
    }
}

impl Verdict {
    /// Waiters, listed or not.
    pub fn waiting(&self) -> usize {
        self.waiters.len() + usize::try_from(self.waiters_left_out).unwrap_or(0)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks like this")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks like this")]
fn is_false(b: &bool) -> bool {
    !*b
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Input {
    pub path: String,
    /// One of the contract's words; the one that gave most events where formats are mixed.
    pub format: String,
    pub lines: u64,
    pub events: u64,
    pub bad_lines: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    pub cause: Cause,
    pub confidence: Confidence,
    pub sentence: String,
    pub culprit: Option<Culprit>,
    /// What else it could be, best first.
    pub alternatives: Vec<Culprit>,
    /// Of very many the first.
    pub waiters: Vec<Waiter>,
    /// Waiters that are not listed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub waiters_left_out: u64,
    pub evidence: Vec<Evidence>,
    pub advice: Vec<String>,
    /// Debug flags that would settle it.
    pub isolate: Vec<String>,
}

/// The operation, thread or resource that everything else waits for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Culprit {
    pub op: Option<String>,
    pub id: Option<String>,
    pub thread: Option<String>,
    pub path: Option<String>,
    pub lock: Option<String>,
    /// Seconds; None where the source has no clock.
    pub age_s: Option<f64>,
    /// Which of the daemons that share a log, as it calls itself there; which fsd of several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daemon: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Waiter {
    pub op: Option<String>,
    pub id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
    /// Which of the daemons that share a log, as it calls itself there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daemon: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    pub input: String,
    /// 1-based.
    pub line: u64,
    /// The line, trimmed; empty where it can no longer be read.
    pub text: String,
}

/// Something worth knowing that is no verdict.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Note {
    /// `slow`, `open`, `loss`, `clock`, `restart`, `latent`, `handover`, `client_gone`, `cannot_tell`, `daemons`, ...
    pub kind: String,
    pub op: Option<String>,
    pub id: Option<String>,
    pub text: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Orphan {
    pub op: String,
    pub id: String,
    pub age_s: Option<f64>,
    pub path: Option<String>,
    pub input: String,
    pub line: u64,
    /// Which of the daemons that share a log, as it calls itself there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daemon: Option<String>,
}

/// The dumps of one process, and its operations compared by id.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Episode {
    pub process: Option<String>,
    pub pid: Option<u32>,
    /// Inputs, oldest first.
    pub dumps: Vec<String>,
    /// Seconds from the first to the last; None for one dump.
    pub span_s: Option<f64>,
    /// Those of the last dump, then those that are gone.
    pub ops: Vec<Compared>,
}

/// One operation in the dumps of a process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    pub op: String,
    pub id: String,
    pub path: Option<String>,
    pub age_s: f64,
    /// Against the dump before; None for one dump.
    pub change: Option<Change>,
    /// What moved, or for how many dumps nothing did.
    pub detail: Option<String>,
    /// What it waits for, and what that waits for, as the tables state it.
    pub chain: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    NotMoved,
    Moved,
    New,
    Gone,
}

impl Change {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotMoved => "not moved",
            Self::Moved => "moved",
            Self::New => "new",
            Self::Gone => "gone",
        }
    }
}

/// Latencies of the completed operations of one kind, microseconds; null where none was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OpSummary {
    pub count: u64,
    pub errors: u64,
    pub p50_us: Option<u64>,
    pub p90_us: Option<u64>,
    pub p99_us: Option<u64>,
    pub max_us: Option<u64>,
    /// How exactly they are told: 0 is anything below.
    pub resolution_us: u64,
}

impl OpSummary {
    /// `resolution_us`: how exactly the `times` are told.
    pub fn new(count: u64, errors: u64, times: &Histogram<u32>, resolution_us: u64) -> Self {
        // Nothing less is recorded.
        let told = |us: u64| if us > 1 || resolution_us == 1 { us } else { 0 };
        let max = (!times.is_empty()).then(|| times.max());
        let at = |quantile| max.map(|max| told(times.value_at_quantile(quantile).min(max)));
        let [p50_us, p90_us, p99_us] = [0.5, 0.9, 0.99].map(at);
        Self { count, errors, p50_us, p90_us, p99_us, max_us: max.map(told), resolution_us }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Loss {
    pub bad_lines: u64,
    pub seq_gaps: u64,
    pub lone_exits: u64,
    pub superseded: u64,
}

/// How sure a verdict is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    Low,
    Medium,
    High,
    /// The data states holder and waiters, or a cycle.
    Certain,
}

impl Confidence {
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Certain => "certain",
        }
    }
}

/// Declares the causes with their word, class and one line of meaning.
macro_rules! causes {
    ($($variant:ident = $word:literal, $class:literal, $means:literal;)+) => {
        /// What a verdict says is wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Cause { $(#[doc = $means] $variant),+ }

        impl Cause {
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word in reports.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// Class in the taxonomy of known freezes.
            pub fn class(self) -> &'static str {
                match self { $(Self::$variant => $class),+ }
            }

            /// One line for help and headings.
            pub fn means(self) -> &'static str {
                match self { $(Self::$variant => $means),+ }
            }
        }
    };
}

causes! {
    LockPileup = "lock_pileup", "V01", "operations wait for a lock whose holder does something slow or blocked";
    DeadlockCycle = "deadlock_cycle", "V02 V03", "a cycle in the wait-for graph, self-waits included";
    WorkerStarvation = "worker_starvation", "V04", "every worker of the pool is taken; new requests are not picked up";
    UpstreamStall = "upstream_stall", "V05", "reads wait for an origin that sends nothing";
    LostWakeup = "lost_wakeup", "V06", "the waiter waits for what is already there";
    OrphanedFetch = "orphaned_fetch", "V07", "the task that should deliver has ended or was cancelled";
    CloseBlocked = "close_blocked", "V08", "Release or close waits for a downloader or reader";
    PermitExhaustion = "permit_exhaustion", "V09", "all permits or buffers are held by those who wait for more";
    ReverseNotify = "reverse_notify", "V10", "a daemon thread is stuck in a kernel invalidation call";
    SelfAccess = "self_access", "V11", "the daemon, its child or its watcher uses its own mount";
    RuntimeBlocked = "runtime_blocked", "V12", "the async runtime has no thread left to poll";
    UnreadQueue = "unread_queue", "V13", "the kernel has requests that the daemon does not read";
    LostReply = "lost_reply", "V14", "an operation ended or vanished without an answer to the kernel, while others go on";
    DaemonGone = "daemon_gone", "V15", "the daemon died: orphans because of a crash or kill, not of a hang";
    UnmountStuck = "unmount_stuck", "V16", "unmount waits for holders";
    LogBlocked = "log_blocked", "V17", "operations wait for their own logging";
    Spin = "spin", "V18", "running, no progress";
    Backoff = "backoff", "V19", "alive, sleeping between retries";
    WrongBytes = "wrong_bytes", "V20", "short, mixed or mistaken data";
    ResourceExhausted = "resource_exhausted", "V21", "memory, disk, descriptors, DNS";
    ObserverFault = "observer_fault", "V22", "the watchdog or log itself is late, stopped or blind";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_in_json_are_those_of_the_contract() {
        for cause in Cause::ALL {
            assert_eq!(serde_json::to_value(cause).unwrap(), cause.name());
        }
        assert_eq!(Cause::ALL.len(), 21);
        assert_eq!(serde_json::to_value(Confidence::Certain).unwrap(), "certain");
        assert!(Confidence::Certain > Confidence::High && Confidence::Medium > Confidence::Low);
    }
}
