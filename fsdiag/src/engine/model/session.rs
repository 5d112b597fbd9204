//! One life of one daemon, as its events or its log tell it.

mod told;

use std::collections::{BTreeMap, BTreeSet};

use fsd_events::{
    event::{Beat, Start},
    ids::RunId,
    op::Op,
};
use hashbrown::HashMap;

pub use self::told::{About, Ended, Hint, StallSeen};
use super::{
    answered::Answered,
    clock::Clock,
    deaths::{Deaths, Since},
    gaps::{LossSeen, Sequence},
    hash::NumberMap,
    hints::Hints,
    ids::{Anew, Ids},
    late::Late,
    locks::Locks,
    numbers::Numbers,
    open::{Glance, OpenOps},
    ops::{Micros, OpStats, OpenOp, PhaseAt},
    slow::{Slow, Slowest},
    tasks::{Task, Waiting},
};
use crate::engine::fact::{At, Call, Done, Key, Place};

/// Everything between a start and an end.
#[derive(Clone, Debug, Default)]
pub struct Session {
    pub origin: Origin,
    /// Made of the tables of a stack dump: one moment, without a history.
    pub of_dump: bool,
    pub clock: Clock,
    pub about: About,
    pub open: OpenOps,
    pub stats: BTreeMap<Op, OpStats>,
    pub locks: Locks,
    pub tasks: BTreeMap<u64, Task>,
    pub waits: NumberMap<u64, Waiting>,
    pub loss: LossSeen,
    pub sequence: Sequence,
    pub last_beat: Option<(Beat, Option<Micros>, Place)>,
    /// The episode that has not ended.
    pub stall: Option<StallSeen>,
    pub ended: Option<Ended>,
    /// How far it was when it ended.
    pub(super) ended_since: Since,
    /// Of whose deaths others tell in its log.
    pub(super) deaths: Deaths,
    /// When it last wrote itself.
    pub(super) spoke: Option<Micros>,
    /// Handed over to that run, with that result.
    pub handed_over: Option<(RunId, Box<str>)>,
    pub hints: Hints,
    /// Broken rules that the daemon reports itself: what, detail.
    pub invariants: Vec<(Box<str>, Box<str>, Place)>,
    pub slow: Slowest,
    /// A watchdog's last list of stalled requests: key, operation, age in us.
    pub watch_stalled: Vec<(Key, Op, u64)>,
    pub watch_place: Option<(Place, Option<Micros>)>,
    /// What each thread serves, of those that were ever named.
    on_thread: HashMap<Box<str>, Option<Key>>,
    pub threads: BTreeSet<Box<str>>,
    pub max_open: usize,
    pub entered: u64,
    /// Those of its requests, where it is no event file: that has numbers for all of its records.
    pub(super) numbers: Numbers,
    /// The number of the first request that it tells of.
    pub(super) first_key: Option<u64>,
    /// Only ids that are given out again tell that another life followed (rule R0).
    pub by_ids: bool,
    /// When that one began.
    pub followed_at: Option<Micros>,
    /// Its source knows the kernel's own numbers.
    pub tells_uniques: bool,
    /// Its log tells of requests, never of answers.
    pub one_sided: bool,
    /// Nothing is here any more: it is where its daemon's is, or with those that are over.
    pub vacant: bool,
    ids: Ids,
    pub answered: Answered,
    /// Lines that stand before or behind their place.
    pub(super) late: Late,
    /// Greatest id that any event has named.
    pub(super) top: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// fsd's own event file.
    Own { run: RunId, mount_run: RunId },
    /// Whatever else; the number of its stream.
    #[default]
    Foreign,
}

/// Rule R4.
fn waits_for_an_answer(op: Op) -> bool {
    op.replied() && op != Op::Destroy
}

impl Session {
    pub fn own(run: RunId, mount_run: RunId) -> Self {
        Self { origin: Origin::Own { run, mount_run }, ..Self::default() }
    }

    pub fn is_own(&self) -> bool {
        matches!(self.origin, Origin::Own { .. })
    }

    /// Whether a request has begun, with a number or without.
    pub(super) fn has_entered_anything(&self) -> bool {
        self.entered > 0
    }

    /// Whether it is the kernel's trace of a daemon.
    pub fn is_trace(&self) -> bool {
        !self.is_own() && self.tells_uniques
    }

    /// Whether none of its requests is missing, and no line of a pair that can be known to be.
    pub fn has_all_numbers(&self) -> bool {
        self.loss.count() == 0 && self.numbers.are_whole()
    }

    /// Whether a request is missing in it, or a line of a pair.
    pub fn misses_any(&self) -> bool {
        self.loss.count() > 0 || self.numbers.have_gaps()
    }

    /// Whether its requests have numbers of their own.
    pub fn has_numbers(&self) -> bool {
        self.first_key.is_some()
    }

    /// Whether a request has begun.
    pub(super) fn has_entered(&self) -> bool {
        self.first_key.is_some()
    }

    pub fn started(&mut self, start: &Start<'_>, place: Place) {
        self.about.pid = Some(start.pid);
        self.about.workers = Some(start.workers);
        self.about.flags = start.flags;
        self.about.mount = (&*start.mount).into();
        self.about.max_background = start.max_background;
        self.about.started.get_or_insert(place);
    }

    /// What time it is by something that is written now.
    pub(super) fn time(&mut self, at: At) -> Option<Micros> {
        self.hears(at);
        self.clock.time(at)
    }

    /// Time went on, in whatever somebody else wrote.
    pub(super) fn passes(&mut self, at: At) {
        self.hears(at);
        self.clock.passes(at);
    }

    #[inline]
    fn hears(&mut self, at: At) {
        if !self.open.is_empty() {
            self.clock.breaks_silence(at);
        }
    }

    /// How exactly its source tells how long requests took, microseconds.
    pub(in crate::engine) fn resolution_us(&self) -> u64 {
        let told = self.stats.values().filter_map(|stats| stats.latency.resolution_us()).min();
        told.unwrap_or_else(|| self.clock.blur_us().max(1))
    }

    pub fn stats(&mut self, op: Op) -> &mut OpStats {
        self.stats.entry(op).or_default()
    }

    /// A request begins. Rules R2 (id reuse), R3 (thread reuse), R4 (no reply).
    pub fn enter(&mut self, mut call: Box<Call>, at: Option<Micros>, place: Place) {
        self.entered += 1;
        if let Key::Num(n) | Key::Hex(n) = call.key {
            self.first_key.get_or_insert(n);
            if !self.is_own() && call.op != Op::Interrupt {
                self.numbers.note(n);
            }
        }
        self.tells_uniques |= call.unique.is_some();
        let waits = waits_for_an_answer(call.op);
        if waits || call.op == Op::Interrupt {
            self.reuse_thread(&call);
        }
        if !waits {
            return;
        }
        let order = self.entered;
        let doing = call.doing.take();
        let phase = doing.map(|(phase, detail)| PhaseAt { phase, detail, since: at, place });
        let op = OpenOp { call, place, at, order, phase, interrupted: false };
        if let Some(before) = self.open.insert(op) {
            self.closed(&before);
            self.loss.superseded += 1;
        }
        self.max_open = self.max_open.max(self.open.len());
    }

    /// A request ends. False: its ENTER is not known.
    pub fn exit(&mut self, done: &Done, at: Option<Micros>, place: Place) -> bool {
        let Some(open) = self.open.remove(&done.key) else {
            // Of what nobody answers (FORGET, DESTROY) no beginning is remembered.
            if done.op.is_none_or(waits_for_an_answer) {
                self.lone_exit(done, at);
            }
            return false;
        };
        self.closed(&open);
        self.ids.exit(open.order);
        if !self.is_own() {
            self.has_served(&open, done, at);
        }
        let us = done.us.or_else(|| u64::try_from(at? - open.at?).ok());
        let op = done.op.unwrap_or(open.op());
        self.clock.measured(open.at, at, done.us);
        self.completed(op, done.key, at, us, done.errno, place).began(at, open.order);
        open.call.ended();
        true
    }

    pub fn completed(
        &mut self,
        op: Op,
        key: Key,
        at: Option<Micros>,
        us: Option<u64>,
        errno: Option<u32>,
        place: Place,
    ) -> &mut OpStats {
        if let Some(us) = us {
            self.slow.add(Slow { op, key, us, place });
        }
        let writers = self.late.writers();
        let stats = self.stats.entry(op).or_insert_with(|| OpStats::one_of(writers));
        stats.add(at, us, errno);
        stats
    }

    /// Rule R0: the first request of a new life, once it is sure that one has begun.
    pub(super) fn is_anew(&mut self, key: Key, at: Option<Micros>) -> Option<Anew> {
        let (Key::Num(id) | Key::Hex(id)) = key else { return None };
        self.ids.enter(id, Anew { order: self.entered, at })
    }

    /// The life that began with that request; what was open before stays here.
    pub(super) fn split(&mut self, first: Anew) -> Self {
        (self.by_ids, self.followed_at) = (true, first.at);
        let (clock, about) = (self.clock.going_on(), self.about.clone());
        let mut later = Self { clock, about, first_key: self.first_key, ..Self::default() };
        later.open.judge_as(&self.open);
        let mut keys: Vec<(u64, Key)> =
            self.open.glances().filter(|op| op.order >= first.order).map(|op| (op.order, op.key)).collect();
        keys.sort_unstable();
        for mut op in keys.into_iter().filter_map(|(_, key)| self.close(key)) {
            op.call.doing = op.phase.map(|doing| (doing.phase, doing.detail));
            later.enter(op.call, op.at, op.place);
        }
        later
    }

    /// Counts what an earlier life of the same daemon did; of what it was doing nothing is kept.
    pub(super) fn absorb(&mut self, earlier: &Self) {
        earlier.stats.iter().for_each(|(op, stats)| self.stats(*op).merge(stats));
        self.loss.add(&earlier.loss);
        self.slow.absorb(&earlier.slow);
    }

    /// Takes an operation out; whatever waits or holds in its name goes with it.
    pub fn close(&mut self, key: Key) -> Option<OpenOp> {
        let open = self.open.remove(&key)?;
        self.closed(&open);
        Some(open)
    }

    fn closed(&mut self, open: &OpenOp) {
        let key = open.key();
        if let Key::Num(id) = key {
            if !self.waits.is_empty() {
                self.waits.remove(&id);
            }
            if !self.locks.is_empty() {
                self.locks.op_ended(id);
            }
        }
        if let Some(serves) = open.call.thread.as_deref().and_then(|thread| self.on_thread.get_mut(thread)) {
            serves.take_if(|serves| *serves == key);
        }
    }

    /// Whether anything else than that it is open is remembered under that id.
    pub(super) fn mentions(&self, id: u64) -> bool {
        self.waits.contains_key(&id) || self.tasks.contains_key(&id) || self.locks.mentions(id)
    }

    /// What the daemon's own pulse contradicts: older than the oldest, or of a kind of which none is in flight.
    pub fn beat(&mut self, beat: &Beat, at: Option<Micros>, place: Place) {
        const SLACK: Micros = 1_000_000;
        self.last_beat = Some((beat.clone(), at, place));
        let (Some(now), Ok(oldest)) = (at, Micros::try_from(beat.oldest_us)) else { return };
        let counted = |op: Op| beat.inflight.iter().find(|(o, _)| *o == op).map_or(0, |(_, n)| *n);
        let gone = |open: &Glance| {
            let Some(age) = open.at.map(|t| now - t) else { return false };
            age > SLACK && (age > oldest + SLACK || counted(open.op) == 0)
        };
        let gone: Vec<Key> = self.open.glances().filter(gone).map(|open| open.key).collect();
        for key in gone {
            self.close(key);
            self.loss.lost_exits += 1;
        }
    }

    fn reuse_thread(&mut self, call: &Call) {
        let Some(thread) = call.thread.as_deref() else { return };
        if call.asynchronous {
            return;
        }
        let Some(serves) = self.on_thread.get_mut(thread) else {
            self.threads.insert(thread.into());
            self.on_thread.insert(thread.into(), Some(call.key));
            return;
        };
        if let Some(before) = serves.replace(call.key)
            && before != call.key
            && self.open.get(&before).is_some_and(|o| !o.call.asynchronous)
        {
            self.close(before);
            // Where no end is ever told none is lost.
            self.loss.lost_exits += u64::from(!self.one_sided);
        }
    }

    /// The EXIT of an operation that began before the log is no loss.
    fn lone_exit(&mut self, done: &Done, at: Option<Micros>) {
        let began_before = match (at, self.clock.first, done.us) {
            (Some(at), Some(first), Some(us)) => at - Micros::try_from(us).unwrap_or(0) <= first,
            (Some(at), Some(first), None) if self.first_key.is_none() => at - first < 60_000_000,
            _ => false,
        };
        let older_id = matches!((done.key, self.first_key), (Key::Num(n) | Key::Hex(n), Some(first)) if n < first);
        if !began_before && !older_id {
            self.loss.lone_exits += 1;
        }
    }

    /// Age of an operation at `now`, microseconds.
    pub fn age(&self, since: Option<Micros>, now: Option<Micros>) -> Option<Micros> {
        Some((now? - since?).max(0))
    }
}
