//! The tables beside the rings: operations in flight, tasks, locks; their layout and how a copy is read.
//!
//! Like a ring, each is a header of 512 bytes and rows of 64-bit words. A row's first word is its key and 0 when the
//! row is free; the key is repeated where it is written last, so that a row caught half-way is recognised.

use crate::{
    event::{LockKind, LockMode, Phase, TaskKind},
    ids::{Fh, Ino, OpId, RunId, Unique, split_unique},
    op::Op,
};

use super::words;

pub const VERSION: u64 = 1;
pub const HEADER_WORDS: usize = 64;
/// Stands for an absent number.
pub const NONE: u64 = u64::MAX;

/// Words that every table's header has.
pub mod header {
    pub const MAGIC: usize = 0;
    pub const VERSION: usize = 1;
    pub const ROWS: usize = 2;
    pub const RUN: usize = 3;
    pub const MOUNT_RUN: usize = 4;
    pub const PID: usize = 5;
}

/// Operations in flight; its header also holds the heart's beat and a count per operation.
pub mod inflight {
    use crate::op::Op;

    pub const MAGIC: u64 = u64::from_le_bytes(*b"FSDINFL1");
    pub const ROW_WORDS: usize = 16;
    /// Beats of the heart so far, and the monotonic time of the last one.
    pub const BEATS: usize = 16;
    pub const BEAT_US: usize = 17;
    /// Operations in flight that found no row; they are counted all the same.
    pub const UNTRACKED: usize = 24;
    /// One count per kernel number of an operation, behind the header.
    pub const COUNTS: usize = super::HEADER_WORDS;
    pub const COUNT_WORDS: usize = 64;
    pub const ROWS_AT: usize = COUNTS + COUNT_WORDS;

    pub const ID: usize = 0;
    pub const SINCE_US: usize = 1;
    /// Operation, phase + 1 above it, thread id in the upper half.
    pub const WHAT: usize = 2;
    pub const PID: usize = 3;
    pub const UNIQUE: usize = 4;
    pub const INO: usize = 5;
    pub const FH: usize = 6;
    pub const OFF: usize = 7;
    pub const LEN: usize = 8;
    pub const WAITS_ON: usize = 9;
    pub const NEED_FROM: usize = 10;
    pub const NEED_TO: usize = 11;
    pub const PHASE_SINCE_US: usize = 12;
    pub const ID_AGAIN: usize = 15;

    pub const fn file_words(rows: usize) -> usize {
        ROWS_AT + rows * ROW_WORDS
    }

    /// Whether a request of a client was answered, in a copy of the table: its row is free and still says what it
    /// was. The handshake is none.
    pub fn served(table: &[u64]) -> bool {
        let rows = table.get(ROWS_AT..).unwrap_or_default().chunks_exact(ROW_WORDS);
        let handshake = u64::from(Op::Init.opcode());
        rows.into_iter().any(|row| row[ID] == 0 && row[ID_AGAIN] != 0 && row[WHAT] & 0xff != handshake)
    }
}

/// Background tasks.
pub mod tasks {
    pub const MAGIC: u64 = u64::from_le_bytes(*b"FSDTASK1");
    pub const ROW_WORDS: usize = 32;

    pub const ID: usize = 0;
    pub const SINCE_US: usize = 1;
    /// Kind, phase + 1 above it.
    pub const WHAT: usize = 2;
    pub const PARENT: usize = 3;
    pub const FH: usize = 4;
    pub const PHASE_SINCE_US: usize = 5;
    pub const HAVE: usize = 6;
    pub const WANT: usize = 7;
    /// Two words of text.
    pub const STATE: usize = 8;
    /// Monotonic time of the last `progress` event, and whether the newest state is not yet in one.
    pub const TOLD_US: usize = 10;
    pub const UNTOLD: usize = 11;
    pub const POLLS: usize = 12;
    /// Thread that polled it last; bit 32 while it polls.
    pub const POLLED_BY: usize = 13;
    /// The end of its path.
    pub const PATH: usize = 14;
    pub const PATH_WORDS: usize = 17;
    pub const ID_AGAIN: usize = 31;

    pub const fn file_words(rows: usize) -> usize {
        super::HEADER_WORDS + rows * ROW_WORDS
    }
}

/// Locks: names of the classes, what each thread holds and waits for, and who has or wants a permit.
pub mod locks {
    pub const MAGIC: u64 = u64::from_le_bytes(*b"FSDLOCK1");
    /// Words of the header: number of permit rows.
    pub const PERMIT_ROWS: usize = 6;
    pub const CLASSES: usize = 64;
    pub const CLASS_WORDS: usize = 8;
    pub const CLASSES_AT: usize = super::HEADER_WORDS;
    pub const THREADS_AT: usize = CLASSES_AT + CLASSES * CLASS_WORDS;
    pub const THREAD_WORDS: usize = 64;
    pub const PERMIT_WORDS: usize = 8;

    /// Thread: id (0: free), changes so far, number of locks held.
    pub const TID: usize = 0;
    pub const CHANGES: usize = 1;
    pub const HELD: usize = 2;
    /// Operation or task that the thread works for, and the pseudo-task that it is otherwise.
    pub const WORKS_FOR: usize = 3;
    pub const PSEUDO: usize = 4;
    /// Whether the pseudo-task stands in the journal.
    pub const ANNOUNCED: usize = 5;
    /// Two words.
    pub const NAME: usize = 6;
    /// An entry, as below, for what it waits for; tag 0: nothing.
    pub const WAIT_AT: usize = 8;
    pub const HELD_AT: usize = 16;
    /// Deepest nesting that is told apart.
    pub const MAX_HELD: usize = 8;

    /// Entry: tag, key, since (monotonic microseconds), operation.
    pub const ENTRY_WORDS: usize = 4;
    /// Permit row: the entry, and whether it is held (2) or waited for (1); first of all the key of the row.
    pub const PERMIT_STATE: usize = 0;
    pub const PERMIT_ENTRY: usize = 1;
    pub const PERMIT_WAITS: u64 = 1;
    pub const PERMIT_HELD: u64 = 2;
    /// Being filled by somebody.
    pub const PERMIT_TAKEN: u64 = 3;

    pub const fn permits_at(threads: usize) -> usize {
        THREADS_AT + threads * THREAD_WORDS
    }

    pub const fn file_words(threads: usize, permits: usize) -> usize {
        permits_at(threads) + permits * PERMIT_WORDS
    }
}

/// What a lock entry's tag says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Number of the class, from 1.
    pub class: u16,
    pub kind: LockKind,
    pub mode: LockMode,
    pub rank: u8,
}

impl Tag {
    pub const fn pack(self) -> u64 {
        self.class as u64 | (self.kind as u64) << 16 | (self.mode as u64) << 24 | (self.rank as u64) << 32
    }

    pub fn unpack(tag: u64) -> Option<Self> {
        let [low, high, kind, mode, rank, ..] = tag.to_le_bytes();
        Some(Self {
            class: u16::from_le_bytes([low, high]),
            kind: *LockKind::ALL.get(usize::from(kind))?,
            mode: *LockMode::ALL.get(usize::from(mode))?,
            rank,
        })
    }
}

/// One operation without an answer yet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InFlight {
    pub id: OpId,
    pub op: Op,
    /// Monotonic microseconds of its ENTER.
    pub since_us: u64,
    /// Thread that it entered on.
    pub tid: u32,
    /// The caller; 0 for the kernel itself.
    pub pid: u32,
    pub unique: Unique,
    pub resent: bool,
    pub ino: Ino,
    pub fh: Option<Fh>,
    pub off: Option<u64>,
    pub len: Option<u64>,
    pub phase: Option<Phase>,
    /// Monotonic microseconds since when it is in `phase`.
    pub phase_since_us: u64,
    /// Task that it waits for.
    pub waits_on: Option<OpId>,
    /// Bytes that it waits for, end exclusive.
    pub need: Option<(u64, u64)>,
}

impl InFlight {
    /// One row, read through `word` (its argument counts from the row's start); None when free or half written.
    pub fn read(word: impl Fn(usize) -> u64) -> Option<Self> {
        let id = word(inflight::ID);
        let what = word(inflight::WHAT);
        let [op, phase, ..] = what.to_le_bytes();
        let (unique, resent) = split_unique(word(inflight::UNIQUE));
        let row = Self {
            id: OpId(id),
            op: Op::from_opcode(op.into())?,
            since_us: word(inflight::SINCE_US),
            tid: (what >> 32) as u32,
            pid: word(inflight::PID) as u32,
            unique,
            resent,
            ino: Ino(word(inflight::INO)),
            fh: present(word(inflight::FH)).map(Fh),
            off: present(word(inflight::OFF)),
            len: present(word(inflight::LEN)),
            phase: phase_of(phase),
            phase_since_us: word(inflight::PHASE_SINCE_US),
            waits_on: present(word(inflight::WAITS_ON)).map(OpId),
            need: present(word(inflight::NEED_TO)).map(|to| (word(inflight::NEED_FROM), to)),
        };
        (id != 0 && word(inflight::ID_AGAIN) == id && word(inflight::ID) == id).then_some(row)
    }
}

/// One task in the table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TaskRow {
    pub id: OpId,
    pub kind: TaskKind,
    pub parent: Option<OpId>,
    pub fh: Option<u64>,
    /// Monotonic microseconds of its start.
    pub since_us: u64,
    pub phase: Option<Phase>,
    /// Monotonic microseconds since when it is in `phase`.
    pub phase_since_us: u64,
    pub have: u64,
    pub want: u64,
    pub polls: u64,
    /// Thread that polled it last.
    pub last_tid: u32,
    /// Being polled right now: the thread's stack shows where it is.
    pub polling: bool,
}

impl TaskRow {
    /// One row, read through `word` (its argument counts from the row's start); None when free or half written.
    pub fn read(word: impl Fn(usize) -> u64) -> Option<Self> {
        let id = word(tasks::ID);
        let [kind, phase, ..] = word(tasks::WHAT).to_le_bytes();
        let polled = word(tasks::POLLED_BY);
        let row = Self {
            id: OpId(id),
            kind: *TaskKind::ALL.get(usize::from(kind))?,
            parent: present(word(tasks::PARENT)).map(OpId),
            fh: present(word(tasks::FH)),
            since_us: word(tasks::SINCE_US),
            phase: phase_of(phase),
            phase_since_us: word(tasks::PHASE_SINCE_US),
            have: word(tasks::HAVE),
            want: word(tasks::WANT),
            polls: word(tasks::POLLS),
            last_tid: polled as u32,
            polling: polled >> 32 != 0,
        };
        (id != 0 && word(tasks::ID_AGAIN) == id && word(tasks::ID) == id).then_some(row)
    }
}

/// The in-flight table of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct InFlightTable {
    pub run: RunId,
    pub mount_run: RunId,
    pub pid: u32,
    /// Beats of the heart so far, and the monotonic time of the last one.
    pub beats: u64,
    pub beat_us: u64,
    pub untracked: u64,
    pub counts: Vec<(Op, u64)>,
    pub ops: Vec<InFlight>,
}

/// Decodes a copy of the in-flight table; None when the bytes are no table of this version.
pub fn decode_inflight(bytes: &[u8]) -> Option<InFlightTable> {
    let word = words::reader(bytes);
    let rows = rows(&word, inflight::MAGIC, bytes.len(), inflight::ROWS_AT, inflight::ROW_WORDS)?;
    let count = |op: Op| word(inflight::COUNTS + op.opcode() as usize % inflight::COUNT_WORDS);
    Some(InFlightTable {
        run: RunId(word(header::RUN)),
        mount_run: RunId(word(header::MOUNT_RUN)),
        pid: word(header::PID) as u32,
        beats: word(inflight::BEATS),
        beat_us: word(inflight::BEAT_US),
        untracked: word(inflight::UNTRACKED),
        counts: Op::all().map(|op| (op, count(op))).filter(|(_, n)| *n > 0).collect(),
        ops: (0..rows)
            .filter_map(|n| InFlight::read(|w| word(inflight::ROWS_AT + n * inflight::ROW_WORDS + w)))
            .collect(),
    })
}

/// Decodes a copy of the task table, each task with the end of its path; None when the bytes are no table of this
/// version.
pub fn decode_tasks(bytes: &[u8]) -> Option<Vec<(TaskRow, String)>> {
    let word = words::reader(bytes);
    let rows = rows(&word, tasks::MAGIC, bytes.len(), HEADER_WORDS, tasks::ROW_WORDS)?;
    let row = |n: usize| {
        let at = HEADER_WORDS + n * tasks::ROW_WORDS;
        let path: Vec<u64> = (0..tasks::PATH_WORDS).map(|w| word(at + tasks::PATH + w)).collect();
        TaskRow::read(|w| word(at + w)).map(|task| (task, words::text_of(&path, tasks::PATH_WORDS * 8)))
    };
    Some((0..rows).filter_map(row).collect())
}

/// One holding of or waiting for a lock.
#[derive(Clone, Debug, PartialEq)]
pub struct LockRow {
    pub lock: String,
    pub kind: LockKind,
    pub mode: LockMode,
    pub key: u64,
    /// Waiting for it; else holding it.
    pub waiting: bool,
    pub op: OpId,
    /// 0 and empty for a permit, which belongs to a task.
    pub tid: u32,
    pub thread: String,
    /// Monotonic microseconds, exact to 50 ms.
    pub since_us: u64,
}

/// Decodes a copy of the lock table; None when the bytes are no table of this version.
pub fn decode_locks(bytes: &[u8]) -> Option<Vec<LockRow>> {
    let word = words::reader(bytes);
    let threads = rows(&word, locks::MAGIC, bytes.len(), locks::THREADS_AT, locks::THREAD_WORDS)?;
    let mut all = Vec::new();
    for n in 0..threads {
        let at = locks::THREADS_AT + n * locks::THREAD_WORDS;
        let thread =
            (word(at + locks::TID) as u32, words::unpack_name([word(at + locks::NAME), word(at + locks::NAME + 1)]));
        if thread.0 == 0 {
            continue;
        }
        all.extend(lock_row(&word, at + locks::WAIT_AT, true, thread.clone()));
        let held = word(at + locks::HELD).min(locks::MAX_HELD as u64) as usize;
        let entries = (0..held).map(|n| at + locks::HELD_AT + n * locks::ENTRY_WORDS);
        all.extend(entries.filter_map(|at| lock_row(&word, at, false, thread.clone())));
    }
    let permits = usize::try_from(word(locks::PERMIT_ROWS)).ok()?.min(bytes.len() / 8);
    for n in 0..permits {
        let at = locks::permits_at(threads) + n * locks::PERMIT_WORDS;
        let state = word(at + locks::PERMIT_STATE);
        if matches!(state, locks::PERMIT_HELD | locks::PERMIT_WAITS) {
            let waiting = state == locks::PERMIT_WAITS;
            all.extend(lock_row(&word, at + locks::PERMIT_ENTRY, waiting, (0, String::new())));
        }
    }
    Some(all)
}

fn lock_row(word: &impl Fn(usize) -> u64, at: usize, waiting: bool, thread: (u32, String)) -> Option<LockRow> {
    let tag = Tag::unpack(word(at)).filter(|tag| tag.class != 0)?;
    let class = locks::CLASSES_AT + (usize::from(tag.class) - 1) % locks::CLASSES * locks::CLASS_WORDS;
    let name: Vec<u64> = (0..locks::CLASS_WORDS).map(|n| word(class + n)).collect();
    Some(LockRow {
        lock: words::text_of(&name, locks::CLASS_WORDS * 8),
        kind: tag.kind,
        mode: tag.mode,
        key: word(at + 1),
        waiting,
        op: OpId(word(at + 3)),
        tid: thread.0,
        thread: thread.1,
        since_us: word(at + 2),
    })
}

/// Number of rows, as far as the file holds them; None when it is another kind of file.
fn rows(word: &impl Fn(usize) -> u64, magic: u64, len: usize, first: usize, row_words: usize) -> Option<usize> {
    let known = word(header::MAGIC) == magic && word(header::VERSION) == VERSION;
    let room = (len / 8).saturating_sub(first) / row_words;
    known.then(|| usize::try_from(word(header::ROWS)).unwrap_or(usize::MAX).min(room))
}

fn present(word: u64) -> Option<u64> {
    (word != NONE).then_some(word)
}

fn phase_of(byte: u8) -> Option<Phase> {
    Phase::ALL.get(usize::from(byte).checked_sub(1)?).copied()
}
