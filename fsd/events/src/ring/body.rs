//! Bodies of events as payload words, and back.

use crate::{
    event::{
        Beat, Body, Enter, Exit, Handover, LockKind, LockMode, LockStep, Phase, PhaseChange, Progress, Stall,
        StalledLock, StalledOp, Step, TaskEnd, TaskKind, TaskStart, Text, Wait, WaitEnd,
    },
    flags::Flag,
    ids::{Fh, Ino, OpId, RESEND_BIT, RunId, Unique, split_unique},
    op::Op,
};

use super::{
    draft::{Draft, Kind, RecordHead},
    words,
};

const HAS_FH: u8 = 1;
const HAS_OFF: u8 = 2;
const HAS_LEN: u8 = 4;
const HAS_COUNT: u8 = 8;
/// The text is the last component below `ino`.
const HAS_NAME: u8 = 16;
/// The text is the whole path.
const HAS_PATH: u8 = 32;

const PID_BITS: u32 = 28;
const PID_MASK: u64 = (1 << PID_BITS) - 1;
/// Stands for an absent number.
const NONE: u64 = u64::MAX;
/// Operations that wait for one lock, and its holders, as far as a record tells them.
const LISTED: usize = 16;

/// ENTER as it is recorded: the path is made later from inode and name.
#[derive(Clone, Copy, Debug, Default)]
pub struct EnterWords<'a> {
    pub tid: u32,
    /// With the resend bit, as the kernel sent it.
    pub unique: u64,
    pub pid: u32,
    pub ino: u64,
    pub fh: Option<u64>,
    pub off: Option<u64>,
    pub len: Option<u64>,
    pub count: Option<u64>,
    /// Last component below `ino`.
    pub name: Option<&'a str>,
}

impl<const N: usize> Draft<N> {
    #[inline]
    pub fn enter(id: OpId, op: Op, enter: &EnterWords<'_>) -> Self {
        let mut draft = Self::new(Kind::Enter, op as u8, id);
        draft.enter_words(enter, enter.name.map_or(0, |_| HAS_NAME));
        if let Some(name) = enter.name {
            draft.text(name);
        }
        draft
    }

    #[inline]
    fn enter_words(&mut self, enter: &EnterWords<'_>, text: u8) {
        let optional = [(enter.fh, HAS_FH), (enter.off, HAS_OFF), (enter.len, HAS_LEN), (enter.count, HAS_COUNT)];
        let flags = optional.iter().filter(|(v, _)| v.is_some()).fold(text, |all, (_, flag)| all | flag);
        let (tid, pid) = (u64::from(enter.tid) & PID_MASK, u64::from(enter.pid) & PID_MASK);
        self.word(enter.unique);
        self.word(u64::from(flags) << (2 * PID_BITS) | tid << PID_BITS | pid);
        self.word(enter.ino);
        for value in optional.iter().filter_map(|(v, _)| *v) {
            self.word(value);
        }
    }

    #[inline]
    pub fn exit(exit: &Exit) -> Self {
        let mut draft = Self::new(Kind::Exit, exit.op as u8, exit.id);
        draft.word(exit.us);
        draft.word(u64::from(exit.errno) << 1 | u64::from(exit.detached));
        draft.word(exit.bytes);
        draft
    }

    pub fn phase(id: OpId, phase: Phase, detail: &str) -> Self {
        let mut draft = Self::new(Kind::Phase, phase as u8, id);
        draft.text(detail);
        draft
    }

    pub fn lock(id: OpId, name: &str, how: (LockKind, LockMode, Step), holders: &[OpId], us: u64) -> Self {
        let mut draft = Self::new(Kind::Lock, 0, id);
        draft.word(u64::from(how.0 as u8) | u64::from(how.1 as u8) << 8 | u64::from(how.2 as u8) << 16);
        draft.word(us);
        draft.ids(holders);
        draft.text(name);
        draft
    }

    pub fn task(id: OpId, kind: TaskKind, parent: Option<OpId>, fh: Option<u64>, path: Option<&str>) -> Self {
        let mut draft = Self::new(Kind::Task, kind as u8, id);
        draft.word(parent.map_or(NONE, |id| id.0));
        draft.word(fh.unwrap_or(NONE));
        draft.optional_text(path);
        draft
    }

    pub fn task_end(id: OpId, kind: Option<TaskKind>, us: u64, outcome: &str) -> Self {
        let mut draft = Self::new(Kind::TaskEnd, kind.map_or(u8::MAX, |kind| kind as u8), id);
        draft.word(us);
        draft.text(outcome);
        draft
    }

    pub fn progress(id: OpId, have: u64, want: u64, state: &str) -> Self {
        let mut draft = Self::new(Kind::Progress, 0, id);
        draft.word(have);
        draft.word(want);
        draft.text(state);
        draft
    }

    pub fn wait(id: OpId, on: Option<OpId>, need: (u64, u64)) -> Self {
        let mut draft = Self::new(Kind::Wait, 0, id);
        draft.word(on.map_or(NONE, |id| id.0));
        draft.word(need.0);
        draft.word(need.1);
        draft
    }

    pub fn wait_end(id: OpId, us: u64) -> Self {
        let mut draft = Self::new(Kind::WaitEnd, 0, id);
        draft.word(us);
        draft
    }

    pub fn invariant(what: &str, detail: &str) -> Self {
        let mut draft = Self::new(Kind::Invariant, 0, OpId(0));
        draft.text(what);
        draft.text(detail);
        draft
    }

    /// Any body but `start`, which no ring holds: None.
    pub fn of(body: &Body<'_>) -> Option<Self> {
        Some(match body {
            Body::Start(_) => return None,
            Body::Enter(enter) => Self::whole_enter(enter),
            Body::Exit(exit) => Self::exit(exit),
            Body::Phase(p) => Self::phase(p.id, p.phase, &p.detail),
            Body::Lock(l) => Self::lock(l.id, &l.lock, (l.kind, l.mode, l.step), &l.holder, l.us),
            Body::Task(t) => Self::task(t.id, t.task, t.parent, t.fh.map(|fh| fh.0), t.path.as_deref()),
            Body::TaskEnd(t) => Self::task_end(t.id, t.task, t.us, &t.outcome),
            Body::Progress(p) => Self::progress(p.id, p.have, p.want, &p.state),
            Body::Wait(w) => Self::wait(w.id, w.on, w.need),
            Body::WaitEnd(w) => Self::wait_end(w.id, w.us),
            Body::Beat(beat) => Self::beat(beat),
            Body::Stall(stall) => Self::stall(Kind::Stall, stall),
            Body::StallEnd(stall) => Self::stall(Kind::StallEnd, stall),
            Body::Handover(handover) => Self::handover(handover),
            Body::Interrupt { unique, id } => {
                let mut draft = Self::new(Kind::Interrupt, 0, id.unwrap_or_default());
                draft.word(unique.0);
                draft
            }
            Body::FlagChange { flag, value } => {
                let mut draft = Self::new(Kind::Flag, *flag as u8, OpId(0));
                draft.word(u64::from(*value));
                draft
            }
            Body::Invariant { what, detail } => Self::invariant(what, detail),
            Body::Stop { reason } => {
                let mut draft = Self::new(Kind::Stop, 0, OpId(0));
                draft.text(reason);
                draft
            }
        })
    }

    fn whole_enter(enter: &Enter<'_>) -> Self {
        let mut draft = Self::new(Kind::Enter, enter.op as u8, enter.id);
        let words = EnterWords {
            tid: enter.tid,
            unique: enter.unique.0 | if enter.resent { RESEND_BIT } else { 0 },
            pid: enter.pid,
            ino: enter.ino.0,
            fh: enter.fh.map(|fh| fh.0),
            off: enter.off,
            len: enter.len,
            count: enter.count,
            name: None,
        };
        draft.enter_words(&words, enter.path.as_ref().map_or(0, |_| HAS_PATH));
        if let Some(path) = &enter.path {
            draft.text(path);
        }
        draft
    }

    pub fn beat(beat: &Beat) -> Self {
        let mut draft = Self::new(Kind::Beat, 0, OpId(0));
        let numbers = [beat.oldest_us, beat.replies_queued, beat.lost, beat.runtime_lag_us, beat.writer_lag_us];
        numbers.into_iter().for_each(|n| draft.word(n));
        draft.word(u64::from(beat.workers) | u64::from(beat.workers_busy) << 32);
        draft.word(u64::from(beat.loops_alive));
        draft.word(beat.kernel_waiting.unwrap_or(NONE));
        draft.counts(&beat.inflight);
        draft
    }

    pub fn stall(kind: Kind, stall: &Stall<'_>) -> Self {
        let mut draft = Self::new(kind, 0, OpId(0));
        draft.word(stall.kernel_waiting.unwrap_or(NONE));
        draft.optional_text(stall.stacks.as_deref());
        draft.counts(&stall.inflight);
        // Half of the room at most: the operations matter more. A lock without a name is an unused row.
        let named = || stall.locks.iter().filter(|lock| !lock.lock.is_empty());
        let mut room = draft.room() / 2;
        let fits = named().take_while(|lock| {
            let fits = lock_words(lock) <= room;
            room = room.saturating_sub(lock_words(lock));
            fits
        });
        let locks = fits.count();
        draft.word(locks as u64);
        for lock in named().take(locks) {
            draft.text(&lock.lock);
            draft.word(lock.since_us);
            draft.ids(&lock.holder);
            draft.ids(&lock.waiters);
        }
        let ops = stall.ops.len().min(draft.room().saturating_sub(1) / 2);
        draft.word(ops as u64);
        for op in &stall.ops[..ops] {
            draft.word(op.id.0);
            draft.word(u64::from(op.op as u8) << 56 | op.us & (u64::MAX >> 8));
        }
        draft
    }

    fn handover(handover: &Handover<'_>) -> Self {
        let mut draft = Self::new(Kind::Handover, 0, OpId(0));
        draft.word(handover.old_run.0);
        draft.word(handover.new_run.0);
        draft.word(handover.resent);
        draft.text(&handover.cause);
        draft.text(&handover.result);
        draft
    }

    fn optional_text(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.text(text),
            None => self.word(NONE),
        }
    }

    fn ids(&mut self, ids: &[OpId]) {
        let listed = ids.len().min(LISTED);
        self.word(listed as u64);
        ids[..listed].iter().for_each(|id| self.word(id.0));
    }

    fn counts(&mut self, counts: &[(Op, u64)]) {
        self.word(counts.len() as u64);
        for (op, count) in counts {
            self.word(u64::from(*op as u8) << 56 | count & (u64::MAX >> 8));
        }
    }
}

fn lock_words(lock: &StalledLock<'_>) -> usize {
    4 + lock.lock.len().div_ceil(8) + lock.holder.len().min(LISTED) + lock.waiters.len().min(LISTED)
}

/// The body of a record; None when its payload cannot be one.
pub(super) fn decode(
    head: &RecordHead,
    payload: &[u64],
    threads: &mut dyn FnMut(u32) -> Text<'static>,
    names: &mut dyn FnMut(u64) -> Option<String>,
) -> Option<Body<'static>> {
    let mut from = Payload(payload);
    let id = head.id;
    Some(match head.kind {
        Kind::Enter => Body::Enter(enter(head, &mut from, threads, names)?),
        Kind::Exit => {
            let (us, how, bytes) = (from.word()?, from.word()?, from.word()?);
            let errno = u32::try_from(how >> 1).ok()?;
            Body::Exit(Exit { id, op: op_of(head.small)?, us, errno, bytes, detached: how & 1 == 1 })
        }
        Kind::Phase => {
            Body::Phase(PhaseChange { id, phase: nth(Phase::ALL, head.small.into())?, detail: from.text()? })
        }
        Kind::Lock => Body::Lock(lock(id, &mut from)?),
        Kind::Task => Body::Task(TaskStart {
            id,
            task: nth(TaskKind::ALL, head.small.into())?,
            parent: from.optional()?.map(OpId),
            fh: from.optional()?.map(Fh),
            path: from.optional_text()?,
        }),
        Kind::TaskEnd => {
            let task = nth(TaskKind::ALL, head.small.into());
            Body::TaskEnd(TaskEnd { id, task, us: from.word()?, outcome: from.text()? })
        }
        Kind::Progress => Body::Progress(Progress { id, have: from.word()?, want: from.word()?, state: from.text()? }),
        Kind::Wait => Body::Wait(Wait { id, on: from.optional()?.map(OpId), need: (from.word()?, from.word()?) }),
        Kind::WaitEnd => Body::WaitEnd(WaitEnd { id, us: from.word()? }),
        Kind::Beat => Body::Beat(Box::new(beat(&mut from)?)),
        Kind::Stall => Body::Stall(Box::new(stall(&mut from)?)),
        Kind::StallEnd => Body::StallEnd(Box::new(stall(&mut from)?)),
        Kind::Handover => Body::Handover(Box::new(Handover {
            old_run: RunId(from.word()?),
            new_run: RunId(from.word()?),
            resent: from.word()?,
            cause: from.text()?,
            result: from.text()?,
        })),
        Kind::Interrupt => Body::Interrupt { unique: Unique(from.word()?), id: (id.0 != 0).then_some(id) },
        Kind::Flag => Body::FlagChange { flag: nth(&Flag::ALL, head.small.into())?, value: from.word()? != 0 },
        Kind::Invariant => Body::Invariant { what: from.text()?, detail: from.text()? },
        Kind::Stop => Body::Stop { reason: from.text()? },
    })
}

fn enter(
    head: &RecordHead,
    from: &mut Payload<'_>,
    threads: &mut dyn FnMut(u32) -> Text<'static>,
    names: &mut dyn FnMut(u64) -> Option<String>,
) -> Option<Enter<'static>> {
    let (unique, resent) = split_unique(from.word()?);
    let packed = from.word()?;
    let flags = (packed >> (2 * PID_BITS)) as u8;
    let tid = (packed >> PID_BITS & PID_MASK) as u32;
    let ino = from.word()?;
    let mut when = |flag: u8| if flags & flag == 0 { Some(None) } else { from.word().map(Some) };
    let (fh, off, len, count) = (when(HAS_FH)?, when(HAS_OFF)?, when(HAS_LEN)?, when(HAS_COUNT)?);
    let path = match flags & (HAS_NAME | HAS_PATH) {
        0 if ino == 0 => None,
        0 => names(ino).map(Text::Owned),
        HAS_NAME => Some(Text::Owned(below(names(ino), &from.text()?))),
        _ => Some(from.text()?),
    };
    Some(Enter {
        id: head.id,
        op: op_of(head.small)?,
        thread: threads(tid),
        tid,
        unique,
        resent,
        pid: (packed & PID_MASK) as u32,
        ino: Ino(ino),
        fh: fh.map(Fh),
        path,
        off,
        len,
        count,
    })
}

/// The path of `name` in the directory `parent`, which is empty for the root; an unknown directory is written as `?`.
fn below(parent: Option<String>, name: &str) -> String {
    let mut path = parent.unwrap_or_else(|| String::from("?"));
    if !path.is_empty() && !path.ends_with('/') {
        path.push('/');
    }
    path.push_str(name);
    path
}

fn lock(id: OpId, from: &mut Payload<'_>) -> Option<LockStep<'static>> {
    let how = from.word()?;
    Some(LockStep {
        id,
        kind: nth(LockKind::ALL, how & 0xff)?,
        mode: nth(LockMode::ALL, how >> 8 & 0xff)?,
        step: nth(Step::ALL, how >> 16 & 0xff)?,
        us: from.word()?,
        holder: from.ids()?,
        lock: from.text()?,
    })
}

fn beat(from: &mut Payload<'_>) -> Option<Beat> {
    let mut beat = Beat {
        oldest_us: from.word()?,
        replies_queued: from.word()?,
        lost: from.word()?,
        runtime_lag_us: from.word()?,
        writer_lag_us: from.word()?,
        ..Beat::default()
    };
    let workers = from.word()?;
    (beat.workers, beat.workers_busy) = (workers as u32, (workers >> 32) as u32);
    beat.loops_alive = u32::try_from(from.word()?).ok()?;
    beat.kernel_waiting = from.optional()?;
    beat.inflight = from.counts()?;
    Some(beat)
}

fn stall(from: &mut Payload<'_>) -> Option<Stall<'static>> {
    let kernel_waiting = from.optional()?;
    let stacks = from.optional_text()?;
    let inflight = from.counts()?;
    let mut locks = Vec::new();
    for _ in 0..from.count()? {
        let (lock, since_us) = (from.text()?, from.word()?);
        locks.push(StalledLock { lock, since_us, holder: from.ids()?, waiters: from.ids()? });
    }
    let mut ops = Vec::new();
    for _ in 0..from.count()? {
        let (id, packed) = (OpId(from.word()?), from.word()?);
        ops.push(StalledOp { id, op: op_of((packed >> 56) as u8)?, us: packed & (u64::MAX >> 8) });
    }
    Some(Stall { ops, inflight, kernel_waiting, locks, stacks })
}

/// The operation whose kernel number fits into a byte; all do.
fn op_of(small: u8) -> Option<Op> {
    Op::from_opcode(small.into())
}

fn nth<T: Copy>(all: &[T], index: u64) -> Option<T> {
    all.get(usize::try_from(index).ok()?).copied()
}

/// Payload words not yet read.
struct Payload<'a>(&'a [u64]);

impl Payload<'_> {
    fn word(&mut self) -> Option<u64> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn optional(&mut self) -> Option<Option<u64>> {
        self.word().map(|w| (w != NONE).then_some(w))
    }

    /// A length that the rest can hold.
    fn count(&mut self) -> Option<usize> {
        let count = usize::try_from(self.word()?).ok()?;
        (count <= self.0.len()).then_some(count)
    }

    fn ids(&mut self) -> Option<Vec<OpId>> {
        let count = self.count()?;
        (0..count).map(|_| self.word().map(OpId)).collect()
    }

    fn counts(&mut self) -> Option<Vec<(Op, u64)>> {
        let count = self.count()?;
        let each = |w: u64| Some((op_of((w >> 56) as u8)?, w & (u64::MAX >> 8)));
        (0..count).map(|_| each(self.word()?)).collect()
    }

    fn text(&mut self) -> Option<Text<'static>> {
        self.optional_text()?
    }

    /// Text, or the mark of none.
    fn optional_text(&mut self) -> Option<Option<Text<'static>>> {
        let Some(len) = self.optional()? else { return Some(None) };
        let len = usize::try_from(len).ok()?;
        let (text, rest) = self.0.split_at_checked(len.div_ceil(8))?;
        self.0 = rest;
        Some(Some(Text::Owned(words::text_of(text, len))))
    }
}
