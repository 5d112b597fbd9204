//! A daemon in a box: workers, one global lock with a queue, quick operations, slow Reads, and one injected fault.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, VecDeque},
};

use fsd_events::{
    event::{Body, LockKind, LockMode, LockStep, Step},
    ids::OpId,
    op::Op,
};
use fsdiag::engine::fact::{At, Call, Done, Fact, InputId, Key, Place, What};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scenario {
    Release,
    Open,
    Readdir,
    Getattr,
    /// One of a kind of which there is one in two hundred.
    Flush,
    /// A reader keeps the lock shared, a writer queues behind it, everybody behind the writer.
    Reader,
    /// The holder takes the lock only up to 2 s after its ENTER.
    Late,
    /// Two operations take two locks in opposite order.
    Inversion,
    /// A thread that serves no request takes the lock and keeps it: the log shows its victims only.
    Outside,
    /// Reads hang one by one until no worker is left.
    Pool,
    Healthy,
}

impl Scenario {
    pub(super) const ALL: [Self; 11] = [
        Self::Release,
        Self::Open,
        Self::Readdir,
        Self::Getattr,
        Self::Flush,
        Self::Reader,
        Self::Late,
        Self::Inversion,
        Self::Outside,
        Self::Pool,
        Self::Healthy,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Release => "Release holds the lock",
            Self::Open => "Open holds the lock",
            Self::Readdir => "Readdir holds the lock",
            Self::Getattr => "Getattr holds the lock",
            Self::Flush => "Flush, a rare kind, holds the lock",
            Self::Reader => "a reader holds the lock, a writer is queued",
            Self::Late => "late acquirer: Release takes the lock 0-2 s after ENTER",
            Self::Inversion => "two locks in opposite order",
            Self::Outside => "a thread outside the log holds the lock",
            Self::Pool => "pool exhausted by hung Reads (recognised)",
            Self::Healthy => "healthy",
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Losses {
    None,
    Share(f64),
    /// All lines of 300 ms.
    Hole,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) workers: usize,
    /// Requests a second.
    pub(super) rate: f64,
    /// Share of the Reads that take 3 to 60 s without any lock.
    pub(super) long: f64,
    pub(super) losses: Losses,
    pub(super) lock_events: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    Arrive,
    /// The operation asks for the lock.
    Ask(u64),
    /// It lets go of the lock and ends.
    Free(u64),
    /// It ends, without a lock.
    End(u64),
    /// Somebody who is no request asks for the lock.
    Seize,
}

struct Live {
    op: Op,
    worker: usize,
    since: u64,
    mode: LockMode,
    root: bool,
}

#[derive(Default)]
struct Lock {
    holders: Vec<u64>,
    shared: bool,
    queue: VecDeque<u64>,
}

pub(super) struct Daemon {
    settings: Settings,
    scenario: Scenario,
    rng: u64,
    events: BinaryHeap<Reverse<(u64, u64, Next)>>,
    order: u64,
    live: BTreeMap<u64, Live>,
    idle: Vec<usize>,
    waiting: VecDeque<Op>,
    lock: Lock,
    facts: Vec<Fact>,
    next_id: u64,
    fault_at: u64,
    until: u64,
    roots: Vec<u64>,
}

const SECOND: u64 = 1_000_000;
/// Whoever serves no request: no line names it.
const OUTSIDE: u64 = u64::MAX;

impl Daemon {
    pub(super) fn new(settings: Settings, scenario: Scenario, seed: u64) -> Self {
        let mut daemon = Self {
            settings,
            scenario,
            rng: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            events: BinaryHeap::new(),
            order: 0,
            live: BTreeMap::new(),
            idle: (0..settings.workers).rev().collect(),
            waiting: VecDeque::new(),
            lock: Lock::default(),
            facts: Vec::new(),
            next_id: 1,
            fault_at: 0,
            until: 0,
            roots: Vec::new(),
        };
        daemon.fault_at = 20 * SECOND + (daemon.random() * 15e6) as u64;
        daemon.until = daemon.fault_at + 12 * SECOND + (daemon.random() * 2e6) as u64;
        daemon
    }

    /// The log, with its losses, and the ids that may be blamed.
    pub(super) fn run(mut self) -> (Vec<Fact>, Vec<u64>) {
        self.at(0, Next::Arrive);
        if self.scenario == Scenario::Outside {
            self.at(self.fault_at, Next::Seize);
        }
        let mut now = 0;
        while let Some(Reverse((time, _, next))) = self.events.pop() {
            if time > self.until {
                break;
            }
            now = time;
            self.step(now, next);
        }
        // A heartbeat of the log: its last line tells the present.
        let end = self.until.max(now);
        self.say(end, What::Watch { inflight: Vec::new(), stalled: Vec::new() });
        self.lose();
        (self.facts, self.roots)
    }

    fn step(&mut self, now: u64, next: Next) {
        match next {
            Next::Arrive => {
                let gap = -(1.0 - self.random()).ln() / self.settings.rate * 1e6;
                self.at(now + gap as u64 + 1, Next::Arrive);
                let op = self.pick();
                self.waiting.push_back(op);
            }
            Next::Ask(id) => self.ask(now, id),
            Next::Free(id) => {
                self.free(now, id);
                self.end(now, id);
            }
            Next::End(id) => self.end(now, id),
            Next::Seize => {
                let (op, worker) = (Op::Release, usize::MAX);
                self.live.insert(OUTSIDE, Live { op, worker, since: now, mode: LockMode::Write, root: true });
                self.ask(now, OUTSIDE);
            }
        }
        while !self.idle.is_empty() && !self.waiting.is_empty() {
            let op = self.waiting.pop_front().unwrap();
            self.begin(now, op);
        }
    }

    fn pick(&mut self) -> Op {
        const MIX: [(f64, Op); 8] = [
            (0.40, Op::Getattr),
            (0.60, Op::Lookup),
            (0.80, Op::Read),
            (0.86, Op::Open),
            (0.92, Op::Release),
            (0.97, Op::Readdir),
            (0.995, Op::Access),
            (1.00, Op::Flush),
        ];
        let at = self.random();
        MIX.iter().find(|(share, _)| at < *share).map_or(Op::Getattr, |(_, op)| *op)
    }

    fn begin(&mut self, now: u64, op: Op) {
        let id = self.next_id;
        self.next_id += 1;
        let worker = self.idle.pop().unwrap();
        let mode = if matches!(op, Op::Open | Op::Release) { LockMode::Write } else { LockMode::Read };
        let root = self.is_root(now, op);
        let mode = match self.scenario {
            Scenario::Reader if root => LockMode::Read,
            _ if root => LockMode::Write,
            _ => mode,
        };
        if root {
            self.roots.push(id);
        }
        self.live.insert(id, Live { op, worker, since: now, mode, root });
        let mut call = Call::new(Key::Num(id), op);
        call.thread = Some(format!("worker-{worker}").into());
        self.say(now, What::Enter(Box::new(call)));
        let think = 20 + (self.random() * 300.0) as u64;
        if op == Op::Read && !root {
            let hangs = self.scenario == Scenario::Pool && now >= self.fault_at;
            let long = self.random() < self.settings.long;
            let takes = if long { 3 * SECOND + (self.random() * 57e6) as u64 } else { 10 * think };
            if !hangs {
                self.at(now + takes, Next::End(id));
            }
            return;
        }
        let late = if root && self.scenario == Scenario::Late { (self.random() * 2e6) as u64 } else { 0 };
        self.at(now + think + late, Next::Ask(id));
    }

    /// The first of its kind after the fault; for an inversion the first two.
    fn is_root(&self, now: u64, op: Op) -> bool {
        let kind = match self.scenario {
            Scenario::Release | Scenario::Late | Scenario::Inversion => Op::Release,
            Scenario::Open => Op::Open,
            Scenario::Readdir | Scenario::Reader => Op::Readdir,
            Scenario::Getattr => Op::Getattr,
            Scenario::Flush => Op::Flush,
            Scenario::Outside | Scenario::Pool | Scenario::Healthy => return false,
        };
        now >= self.fault_at && op == kind && self.roots.is_empty()
    }

    fn ask(&mut self, now: u64, id: u64) {
        let mode = self.live[&id].mode;
        if self.lock.holders.is_empty() || self.lock.shared && self.lock.queue.is_empty() && mode == LockMode::Read {
            self.take(now, id);
        } else {
            self.lock.queue.push_back(id);
            let holders = self.lock.holders.clone();
            self.lock_event(now, id, Step::Wait, mode, &holders);
        }
    }

    fn take(&mut self, now: u64, id: u64) {
        let live = &self.live[&id];
        let (mode, root) = (live.mode, live.root);
        self.lock.shared = mode == LockMode::Read;
        self.lock.holders.push(id);
        self.lock_event(now, id, Step::Hold, mode, &[id]);
        if root && self.scenario == Scenario::Inversion {
            self.invert(now, id);
        }
        if !root {
            let hold = 20 + (self.random() * 200.0) as u64;
            self.at(now + hold, Next::Free(id));
        }
    }

    /// A second operation holds another lock and wants this one, which the root holds while it wants the other.
    fn invert(&mut self, now: u64, root: u64) {
        let Some(worker) = self.idle.pop() else { return };
        let id = self.next_id;
        self.next_id += 1;
        self.roots.push(id);
        self.live.insert(id, Live { op: Op::Read, worker, since: now, mode: LockMode::Write, root: true });
        let mut call = Call::new(Key::Num(id), Op::Read);
        call.thread = Some(format!("worker-{worker}").into());
        self.say(now, What::Enter(Box::new(call)));
        self.named_event(now + 10, id, "file", Step::Hold, LockMode::Write, &[id]);
        self.named_event(now + 20, root, "file", Step::Wait, LockMode::Write, &[id]);
        self.lock.queue.push_back(id);
        self.lock_event(now + 30, id, Step::Wait, LockMode::Write, &[root]);
    }

    fn free(&mut self, now: u64, id: u64) {
        let mode = self.live[&id].mode;
        self.lock.holders.retain(|h| *h != id);
        self.lock_event(now, id, Step::Free, mode, &[]);
        while let Some(next) = self.lock.queue.front().copied() {
            let reads = self.live[&next].mode == LockMode::Read;
            if !(self.lock.holders.is_empty() || self.lock.shared && reads) {
                break;
            }
            self.lock.queue.pop_front();
            self.take(now, next);
        }
    }

    fn end(&mut self, now: u64, id: u64) {
        let live = self.live.remove(&id).unwrap();
        self.idle.push(live.worker);
        let us = Some(now - live.since);
        self.say(now, What::Exit(Done { key: Key::Num(id), op: Some(live.op), us, errno: Some(0), bytes: None }));
    }

    fn lock_event(&mut self, now: u64, id: u64, step: Step, mode: LockMode, holders: &[u64]) {
        self.named_event(now, id, "global", step, mode, holders);
    }

    fn named_event(&mut self, now: u64, id: u64, lock: &'static str, step: Step, mode: LockMode, holders: &[u64]) {
        if !self.settings.lock_events || id == OUTSIDE {
            return;
        }
        let holder = holders.iter().filter(|h| **h != OUTSIDE).map(|h| OpId(*h)).collect();
        let step = LockStep { id: OpId(id), lock: lock.into(), kind: LockKind::RwLock, mode, step, holder, us: 0 };
        self.say(now, What::Own(Box::new(Body::Lock(step))));
    }

    fn say(&mut self, now: u64, what: What) {
        let place = Place { input: InputId(0), line: self.facts.len() as u64 + 1, part: 0 };
        self.facts.push(Fact { place, at: At { mono_us: Some(now), wall_us: None }, what });
    }

    fn lose(&mut self) {
        let hole = (self.random() * self.until as f64) as u64;
        let mut facts = std::mem::take(&mut self.facts);
        let last = facts.pop();
        facts.retain(|fact| match self.settings.losses {
            Losses::None => true,
            Losses::Share(share) => self.random() >= share,
            Losses::Hole => !(hole..hole + 300_000).contains(&fact.at.mono_us.unwrap_or(0)),
        });
        facts.extend(last);
        self.facts = facts;
    }

    fn at(&mut self, time: u64, next: Next) {
        self.order += 1;
        self.events.push(Reverse((time, self.order, next)));
    }

    fn random(&mut self) -> f64 {
        self.rng ^= self.rng << 13;
        self.rng ^= self.rng >> 7;
        self.rng ^= self.rng << 17;
        (self.rng >> 11) as f64 / (1_u64 << 53) as f64
    }
}
