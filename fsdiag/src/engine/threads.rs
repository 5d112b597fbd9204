//! What each thread of a dump does: idle, waiting for a lock, blocked in the system, or running.

use fsd_events::op::Op;

use super::fact::{Dump, Frame, Key, Place, Thread};

/// What a thread is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// Waits for work; it holds nothing and nobody waits for it.
    Idle,
    Lock,
    Upstream,
    Disk,
    Sleep,
    /// For another thread: a join, a channel, a condition.
    Another,
    Log,
    Notify,
    Running,
    Unknown,
}

/// Words in the innermost frames, and what they say. First hit from the innermost frame outwards wins.
const SIGNS: &[(&str, Doing)] = &[
    ("fuse_reverse_inval", Doing::Notify),
    ("notify_inval", Doing::Notify),
    ("inval_inode", Doing::Notify),
    ("inval_entry", Doing::Notify),
    ("lll_lock_wait", Doing::Lock),
    ("pthread_mutex_lock", Doing::Lock),
    ("pthread_rwlock_", Doing::Lock),
    ("lock_contended", Doing::Lock),
    ("read_contended", Doing::Lock),
    ("write_contended", Doing::Lock),
    ("RawMutex::lock_slow", Doing::Lock),
    ("lock_shared_slow", Doing::Lock),
    ("lock_exclusive_slow", Doing::Lock),
    ("batch_semaphore", Doing::Lock),
    ("SemacquireMutex", Doing::Lock),
    ("SemacquireRWMutex", Doing::Lock),
    ("(*RWMutex).Lock", Doing::Lock),
    ("(*RWMutex).RLock", Doing::Lock),
    ("(*Mutex).Lock", Doing::Lock),
    ("curl_multi_poll", Doing::Upstream),
    ("curl_easy_perform", Doing::Upstream),
    ("Curl_", Doing::Upstream),
    ("net/http", Doing::Upstream),
    ("roundTrip", Doing::Upstream),
    ("crypto/tls", Doing::Upstream),
    ("reqwest", Doing::Upstream),
    ("hyper", Doing::Upstream),
    ("urllib", Doing::Upstream),
    ("http/client.py", Doing::Upstream),
    ("getresponse", Doing::Upstream),
    ("recv", Doing::Upstream),
    ("getaddrinfo", Doing::Upstream),
    ("SSL_read", Doing::Upstream),
    ("WaitGroup).Wait", Doing::Another),
    ("thread_join", Doing::Another),
    ("pthread_clockjoin", Doing::Another),
    ("JoinHandle", Doing::Another),
    ("_wait_for_tstate_lock", Doing::Another),
    ("(*Cond).Wait", Doing::Another),
    ("pthread_cond_", Doing::Another),
    ("nanosleep", Doing::Sleep),
    ("time.Sleep", Doing::Sleep),
    ("thread::sleep", Doing::Sleep),
    ("fsync", Doing::Disk),
    ("unlink", Doing::Disk),
    ("pread", Doing::Disk),
    ("pwrite", Doing::Disk),
    ("fallocate", Doing::Disk),
    ("ftruncate", Doing::Disk),
];

/// Frames of threads that wait for work.
const IDLE: &[&str] = &[
    "fuse_session_receive",
    "fuse_session_loop",
    "fuse_loop_mt",
    "fuse_do_work",
    "fuse_ll_receive",
    "fuse_kern_chan_receive",
    "channel::receive",
    "receive_retrying",
    "ChannelReceiver",
    "runtime.gopark",
    "bgsweep",
    "bgscavenge",
    "gcBgMarkWorker",
    "runfinq",
    "runFinalizers",
    "forcegchelper",
    "signal_recv",
    "persistConn).readLoop",
    "persistConn).writeLoop",
    "ThreadPoolExecutor.getTask",
    "worker::Context::park",
    "scheduler::multi_thread::park",
    "epoll_wait",
];

/// A thread of the latest dump with what it does.
#[derive(Clone, Debug)]
pub struct Seen<'d> {
    pub thread: &'d Thread,
    pub doing: Doing,
    pub op: Option<(Option<Key>, Op)>,
    pub place: Place,
    pub at_wall: Option<u64>,
}

/// All threads of a dump, classified.
pub fn classify<'d>(dump: &'d Dump, place: Place, at_wall: Option<u64>) -> Vec<Seen<'d>> {
    let seen = |thread: &'d Thread| Seen {
        thread,
        doing: doing(thread),
        op: thread.op.or_else(|| served(thread).map(|op| (None, op))),
        place: Place { line: if thread.line > 0 { thread.line } else { place.line }, ..place },
        at_wall,
    };
    dump.threads.iter().map(seen).collect()
}

fn doing(thread: &Thread) -> Doing {
    if thread.waits_for.is_some() {
        return Doing::Lock;
    }
    let mut found = None;
    for frame in thread.frames.iter().take(12) {
        let said =
            |sign: &str| frame.function.contains(sign) || frame.file.as_deref().is_some_and(|f| f.contains(sign));
        found = found.or_else(|| SIGNS.iter().find(|(sign, _)| said(sign)).map(|(_, doing)| *doing));
    }
    let serves = served(thread).is_some() || thread.op.is_some();
    let idle = thread.frames.iter().any(|f| IDLE.iter().any(|sign| f.function.contains(sign)));
    match found {
        Some(Doing::Upstream | Doing::Another | Doing::Sleep | Doing::Disk) if idle && !serves => Doing::Idle,
        Some(doing) => doing,
        None => by_state(thread, idle && !serves),
    }
}

fn by_state(thread: &Thread, idle: bool) -> Doing {
    let state = thread.state.as_deref().unwrap_or_default();
    let inner = thread.frames.first().map(|f| &*f.function).unwrap_or_default();
    match state {
        _ if idle => Doing::Idle,
        s if s.starts_with("semacquire") || s.contains("Mutex") || s.starts_with("BLOCKED") => Doing::Lock,
        s if s.starts_with("IO wait") => Doing::Upstream,
        s if s.starts_with("chan") || s.starts_with("select") || s.starts_with("sync.") => Doing::Another,
        s if s.starts_with("sleep") => Doing::Sleep,
        s if s.starts_with("running") || s.starts_with("runnable") || s == "R" => Doing::Running,
        _ if inner.contains("poll") || inner.contains("select") => Doing::Upstream,
        _ if inner == "write" || inner.ends_with("_write") || inner.contains("write64") => Doing::Log,
        _ => Doing::Unknown,
    }
}

/// The FUSE operation whose handler the thread is in: the outermost frame that is named like one, below FUSE's own.
pub fn served(thread: &Thread) -> Option<Op> {
    let fuse = |f: &Frame| {
        let own = |s: &str| s.to_ascii_lowercase().contains("fuse");
        own(&f.function) || f.module.as_deref().is_some_and(own) || f.file.as_deref().is_some_and(own)
    };
    let from = thread.frames.iter().rposition(fuse)?;
    thread.frames[..=from].iter().rev().find_map(|f| named_like(&f.function))
}

fn named_like(function: &str) -> Option<Op> {
    let last = function.rsplit(['.', ':', ')']).next().unwrap_or(function);
    let last = last.split(['<', '(']).next().unwrap_or(last);
    let word = last.rsplit('_').next().unwrap_or(last);
    let spelled = |name: &str| match name.to_ascii_lowercase().as_str() {
        "readdirall" => Some(Op::Readdir),
        "init" | "destroy" | "poll" | "interrupt" | "main" => None,
        _ => Op::from_spelling(name),
    };
    spelled(last).or_else(|| spelled(word)).or_else(|| spelled(last.strip_prefix("host").unwrap_or("")))
}

impl Seen<'_> {
    pub fn label(&self) -> String {
        self.thread.label.to_string()
    }

    /// Whether the daemon's own code runs here: not idle, and not a thread of the language's runtime.
    pub fn works(&self) -> bool {
        self.doing != Doing::Idle && self.thread.frames.len() > 1
    }

    /// Whether an address stands among the arguments or locals of any frame.
    pub fn mentions(&self, address: &str) -> bool {
        let in_frame = |f: &Frame| has_word(&f.args, address) || has_word(&f.locals, address);
        self.thread.frames.iter().any(in_frame)
    }

    /// The address of the object whose method wants the lock: the receiver of the frame outside the lock's own.
    pub fn receiver(&self) -> Option<&str> {
        let outside = |f: &&Frame| {
            !SIGNS.iter().any(|(s, d)| *d == Doing::Lock && f.function.contains(s)) && !f.function.starts_with("sync")
        };
        let caller = self.thread.frames.iter().find(outside)?;
        caller.args.split([',', ' ', '{', '=']).map(|a| a.trim_end_matches('?')).find(|a| is_address(a))
    }

    /// In words, for sentences.
    pub fn activity(&self) -> &'static str {
        match self.doing {
            Doing::Idle => "being idle",
            Doing::Lock => "waiting for another lock",
            Doing::Upstream => "waiting for the network",
            Doing::Disk => "working on the disk",
            Doing::Sleep => "sleeping",
            Doing::Another => "waiting for another thread",
            Doing::Log => "writing its log",
            Doing::Notify => "notifying the kernel",
            Doing::Running => "running",
            Doing::Unknown => "doing something that the dump does not tell",
        }
    }
}

fn is_address(text: &str) -> bool {
    text.strip_prefix("0x").is_some_and(|hex| hex.len() >= 6 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let after = text[at + word.len()..].bytes().next();
        !after.is_some_and(|b| b.is_ascii_hexdigit())
    })
}
