//! The in-flight table: which operations wait for an answer, readable without the daemon's help.

use std::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

use fsd_events::{
    event::Phase,
    ids::OpId,
    op::Op,
    ring::tables::{
        NONE,
        inflight::{
            COUNT_WORDS, COUNTS, FH, ID, ID_AGAIN, INO, LEN, NEED_FROM, NEED_TO, OFF, PHASE_SINCE_US, PID, ROW_WORDS,
            ROWS_AT, SINCE_US, UNIQUE, UNTRACKED, WAITS_ON, WHAT,
        },
    },
};

pub use fsd_events::ring::tables::InFlight;

use crate::platform::{clock, thread};

use super::{memory, memory::Memory, span::Target};

/// Being filled by somebody.
const TAKEN: u64 = u64::MAX;
/// Rows looked at before an operation goes untracked.
const PROBES: usize = 128;

/// Id of the operation that was entered last.
static LAST: AtomicU64 = AtomicU64::new(0);

/// Id of the operation that was entered last; it changes while the daemon reads requests.
pub(super) fn last_id() -> OpId {
    OpId(LAST.load(Relaxed))
}

/// An operation's row, as long as it is in flight.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// None: the table was full.
    words: Option<&'static [AtomicU64; ROW_WORDS]>,
    count: Option<&'static AtomicU64>,
    /// The count of those without a row, for one of them.
    untracked: Option<&'static AtomicU64>,
}

impl Row {
    /// Shows the operation; never blocks.
    #[inline]
    pub(super) fn fill(id: OpId, op: Op, target: &Target<'_>, now_us: u64) -> Self {
        LAST.store(id.0, Relaxed);
        let memory = memory::current();
        let count = memory.inflight.get(COUNTS + op as usize % COUNT_WORDS);
        if let Some(count) = count {
            count.fetch_add(1, Relaxed);
        }
        let words = free_row(memory, id);
        match words {
            Some(row) => {
                let tid = u64::from(thread::tid());
                let fields = [
                    (SINCE_US, now_us),
                    (WHAT, tid << 32 | op as u64),
                    (PID, target.pid.into()),
                    (UNIQUE, target.unique),
                    (INO, target.ino),
                    (FH, target.fh.unwrap_or(NONE)),
                    (OFF, target.off.unwrap_or(NONE)),
                    (LEN, target.len.unwrap_or(NONE)),
                    (WAITS_ON, NONE),
                    (NEED_TO, NONE),
                    (ID_AGAIN, id.0),
                ];
                fields.into_iter().for_each(|(at, value)| row[at].store(value, Relaxed));
                row[ID].store(id.0, Release);
            }
            None => {
                memory.inflight[UNTRACKED].fetch_add(1, Relaxed);
            }
        }
        let untracked = if words.is_none() { memory.inflight.get(UNTRACKED) } else { None };
        Self { words, count, untracked }
    }

    /// The operation has its answer.
    #[inline]
    pub(super) fn clear(self) {
        if let Some(count) = self.count {
            count.fetch_sub(1, Relaxed);
        }
        if let Some(row) = self.words {
            row[ID].store(0, Release);
        }
        if let Some(untracked) = self.untracked {
            untracked.fetch_sub(1, Relaxed);
        }
    }

    #[cfg(feature = "failpoints")]
    pub(super) fn resent(&self) -> bool {
        self.words.is_some_and(|row| fsd_events::ids::split_unique(row[UNIQUE].load(Relaxed)).1)
    }

    pub(super) fn set_phase(&self, phase: Phase) {
        if let Some(row) = self.words {
            let what = row[WHAT].load(Relaxed) & !0xff00;
            row[WHAT].store(what | (phase as u64 + 1) << 8, Relaxed);
            row[PHASE_SINCE_US].store(clock::now_mono_us(), Relaxed);
        }
    }

    /// Waits for bytes, or no longer.
    pub(super) fn set_wait(&self, wait: Option<(Option<OpId>, u64, u64)>) {
        let (on, from, to) = wait.map_or((NONE, 0, NONE), |(on, from, to)| (on.map_or(NONE, |id| id.0), from, to));
        if let Some(row) = self.words {
            row[WAITS_ON].store(on, Relaxed);
            row[NEED_FROM].store(from, Relaxed);
            row[NEED_TO].store(to, Relaxed);
        }
    }
}

/// Takes a free row; ids rise by one, so the first look nearly always finds one.
#[inline]
fn free_row(memory: &'static Memory, id: OpId) -> Option<&'static [AtomicU64; ROW_WORDS]> {
    let rows = (memory.inflight.len() - ROWS_AT) / ROW_WORDS;
    (0..PROBES.min(rows)).find_map(|probe| {
        let at = ROWS_AT + (id.0 as usize + probe) % rows * ROW_WORDS;
        let row: &[AtomicU64; ROW_WORDS] = memory.inflight[at..].first_chunk()?;
        row[ID].compare_exchange(0, TAKEN, AcqRel, Relaxed).is_ok().then_some(row)
    })
}

/// Every operation in flight, in no order; allocates.
pub fn snapshot() -> Vec<InFlight> {
    let mut all = Vec::new();
    visit(&mut |op| all.push(*op));
    all
}

/// Shows every operation in flight; neither allocates nor locks.
pub fn visit(each: &mut dyn FnMut(&InFlight)) {
    for memory in memory::every() {
        for row in Memory::rows(memory.inflight, ROWS_AT, ROW_WORDS) {
            if row[ID].load(Acquire) != 0
                && let Some(op) = InFlight::read(|at| row[at].load(Acquire))
            {
                each(&op);
            }
        }
    }
}

/// Shows how many operations are in flight, per operation, those above zero; neither allocates nor locks.
pub fn visit_counts(each: &mut dyn FnMut(Op, u64)) {
    for op in Op::all() {
        let counts = memory::every().filter_map(|memory| memory.inflight.get(COUNTS + op as usize % COUNT_WORDS));
        let count: u64 = counts.map(|count| count.load(Relaxed)).sum();
        if count > 0 {
            each(op, count);
        }
    }
}

/// Operations in flight per operation, those above zero; allocates.
pub fn counts() -> Vec<(Op, u64)> {
    let mut all = Vec::new();
    visit_counts(&mut |op, count| all.push((op, count)));
    all
}

/// Operations in flight in all.
pub fn total() -> u64 {
    let mut total = 0;
    visit_counts(&mut |_, count| total += count);
    total
}

/// Age of the oldest operation in flight, microseconds; 0 when there is none.
pub fn oldest_us() -> u64 {
    let mut oldest = u64::MAX;
    visit(&mut |op| oldest = oldest.min(op.since_us));
    if oldest == u64::MAX { 0 } else { clock::now_mono_us().saturating_sub(oldest) }
}

/// Whether the operation is in flight, as far as the table knows: while one has no row, any may be that one.
pub(super) fn is_alive(id: OpId) -> bool {
    let mut alive = memory::every().any(|memory| memory.inflight[UNTRACKED].load(Relaxed) > 0);
    visit(&mut |op| alive |= op.id == id);
    alive
}
