//! A play: the critical sections of a store as turns of actors, so that an order of turns is a schedule.
//!
//! The state has no lock and no clock of its own. What stands between two critical sections and touches what others
//! see (a try for a permit, a wait for one, a write) is a turn of its own, as another thread may come in between.

use std::{collections::VecDeque, iter, ops::Range, sync::mpsc, time::Duration};

use bytes::Bytes;
use fsd_events::ids::OpId;

use crate::{
    data::{
        origin::{Resource, Validator},
        store::{
            Reader, StoreError,
            held::Part,
            state::{Keep, Kind, Look, Start, State},
        },
    },
    observe::locks::{Class, Permit, Permits, Rank},
    platform::clock,
};

static FETCHES: Class = Class::new("played fetches", Rank::Permits);
static PREFETCHES: Class = Class::new("played prefetches", Rank::Permits);

/// So many permits that nobody waits for one: then they are left out, and there are fewer orders.
const PLENTY: usize = 8;

/// How a reader ended: how many bytes it got, or why none.
pub(super) type Told = mpsc::Receiver<Result<u64, StoreError>>;

struct Silent(mpsc::Sender<Result<u64, StoreError>>);

impl Reader for Silent {
    fn id(&self) -> OpId {
        OpId(1)
    }

    fn deadline(&self) -> std::time::Instant {
        clock::now() + Duration::from_secs(3600)
    }

    fn waits(&mut self, _on: Option<OpId>, _need: Range<u64>) {}

    fn answer(self: Box<Self>, got: Result<&[u8], StoreError>) {
        drop(self.0.send(got.map(|bytes| bytes.len() as u64)));
    }
}

/// What a thread has to do next outside the lock.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Launch(Start),
    /// A flight that found no permit.
    GiveUp(u64),
}

/// Who takes turns.
pub(super) enum Actor {
    Reading {
        range: Range<u64>,
        again: bool,
        told: bool,
        reader: Box<dyn Reader>,
        steps: VecDeque<Step>,
    },
    /// Has answered, and launches.
    Launching(VecDeque<Step>),
    Request {
        start: Start,
        at: u64,
        fails_at: Option<u64>,
        permits: Option<Vec<Permit>>,
    },
    /// Has let go of its permits, and lands.
    Landing {
        key: u64,
        failed: bool,
    },
    /// Reads bytes that are there, for the reader under this ticket.
    Disk(u64),
    /// Writes what is dirty.
    Writer(Vec<(u64, u64)>),
    Close {
        refused: bool,
    },
    Deadline,
}

impl Actor {
    /// Only when it has one, it can go on.
    pub(super) fn needs_permit(&self) -> bool {
        matches!(self, Self::Request { start, permits: None, .. } if start.kind == Kind::Demand)
    }

    pub(super) fn with_permit(self, permit: Permit) -> Self {
        match self {
            Self::Request { start, at, fails_at, .. } => {
                Self::Request { start, at, fails_at, permits: Some(vec![permit]) }
            }
            other => other,
        }
    }

    fn has_steps(&self) -> bool {
        !matches!(self, Self::Launching(steps) if steps.is_empty())
    }
}

impl Step {
    fn is_simple(&self) -> bool {
        matches!(self, Self::Launch(start) if start.kind != Kind::Ahead)
    }
}

pub(super) struct Play {
    pub(super) state: State,
    size: u64,
    piece: u64,
    permits: Permits,
    ahead: Permits,
    at_once: usize,
    /// The first request breaks here.
    break_at: Option<u64>,
    writes: bool,
    block: Bytes,
}

/// What a play is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scene {
    pub(super) keep: Keep,
    pub(super) size: u64,
    /// Bytes of a chunk, and of what arrives at once.
    pub(super) piece: u64,
    pub(super) at_once: usize,
    pub(super) break_at: Option<u64>,
    /// A reader that has read up to here goes on, and may have so much ahead.
    pub(super) stream: Option<u64>,
    /// What has come is written to the disk, and then read from there.
    pub(super) writes: bool,
}

impl Scene {
    pub(super) fn small(keep: Keep) -> Self {
        Self { keep, size: 8, piece: 4, at_once: PLENTY, break_at: None, stream: None, writes: false }
    }
}

impl Play {
    pub(super) fn new(scene: Scene) -> (Self, Vec<Actor>) {
        let resource = Resource::parse("http://h/f").ok();
        let validator = Validator::Strong("\"v\"".into());
        let mut state = State::new(scene.size, scene.keep, scene.piece, validator, resource);
        for at in (0..scene.stream.unwrap_or(0)).step_by(128 << 10) {
            state.streams.on_read(&(at..at + (128 << 10)), true, u64::MAX);
        }
        let starts: Vec<Start> =
            if scene.keep == Keep::Lru { Vec::new() } else { state.start_main().into_iter().collect() };
        let mut play = Self {
            state,
            size: scene.size,
            piece: scene.piece,
            permits: Permits::new(&FETCHES, scene.at_once),
            ahead: Permits::new(&PREFETCHES, scene.at_once - 1),
            at_once: scene.at_once,
            break_at: scene.break_at,
            writes: scene.writes,
            block: Bytes::from(vec![7; usize::try_from(scene.piece).unwrap()]),
        };
        let first = play.launch(starts);
        (play, first)
    }

    pub(super) fn reader(range: Range<u64>) -> (Actor, Told) {
        let (tell, told) = mpsc::channel();
        let reader = Box::new(Silent(tell));
        (Actor::Reading { range, again: false, told: false, reader, steps: VecDeque::new() }, told)
    }

    pub(super) fn permits(&self) -> &Permits {
        &self.permits
    }

    /// Whether `actor` can go on; else it waits for another.
    pub(super) fn can(&self, actor: &Actor) -> bool {
        match actor {
            actor if actor.needs_permit() => self.state.closing || self.permits.available() > 0,
            Actor::Close { refused: true } => self.state.flights.is_empty() && !self.state.writing,
            _ => true,
        }
    }

    /// One turn, as the store would take it: who goes on after it, the actor itself first.
    pub(super) fn turn(&mut self, actor: Actor) -> Vec<Actor> {
        match actor {
            Actor::Reading { range, again, told, reader, mut steps } if !steps.is_empty() => {
                let launched = self.step(&mut steps);
                iter::once(Actor::Reading { range, again, told, reader, steps }).chain(launched).collect()
            }
            Actor::Reading { range, again, told, reader, .. } => self.look(range, again, told, reader),
            Actor::Launching(mut steps) => {
                let launched = self.step(&mut steps);
                iter::once(Actor::Launching(steps)).filter(Actor::has_steps).chain(launched).collect()
            }
            Actor::Request { start, at, fails_at, permits } => self.fly(start, at, fails_at, permits),
            Actor::Landing { key, failed } => self.land(key, failed),
            Actor::Disk(ticket) => {
                let reader = self.state.waiters.take_ticket(ticket);
                reader.into_iter().for_each(|reader| reader.answer(Ok(&[])));
                Vec::new()
            }
            Actor::Writer(batch) => self.write(batch),
            Actor::Close { refused } => self.close(refused),
            Actor::Deadline => {
                self.deadline();
                Vec::new()
            }
        }
    }

    /// Launches, in a thread that has nothing else to do.
    fn launch(&mut self, starts: Vec<Start>) -> Vec<Actor> {
        let mut steps = starts.into_iter().map(Step::Launch).collect();
        let launched = self.launch_simple(&mut steps);
        iter::once(Actor::Launching(steps)).filter(Actor::has_steps).chain(launched).collect()
    }

    /// What comes first and tries for no permit: nobody sees when that happens.
    fn launch_simple(&mut self, steps: &mut VecDeque<Step>) -> Vec<Actor> {
        let mut launched = Vec::new();
        while let Some(Step::Launch(start)) = steps.pop_front_if(|step| step.is_simple()) {
            let free = start.kind == Kind::Main || self.at_once == PLENTY;
            launched.push(self.request(start, free.then(Vec::new)));
        }
        launched
    }

    /// One try for a permit, or what follows when there was none.
    fn step(&mut self, steps: &mut VecDeque<Step>) -> Vec<Actor> {
        let mut launched = Vec::new();
        match steps.pop_front() {
            Some(Step::Launch(start)) => match self.try_ahead() {
                Some(permits) => launched.push(self.request(start, Some(permits))),
                None => steps.push_front(Step::GiveUp(start.key)),
            },
            Some(Step::GiveUp(key)) => {
                let (_, starts) = self.state.land(key, false, clock::now());
                starts.into_iter().rev().for_each(|start| steps.push_front(Step::Launch(start)));
            }
            None => (),
        }
        launched.extend(self.launch_simple(steps));
        launched
    }

    fn request(&mut self, start: Start, permits: Option<Vec<Permit>>) -> Actor {
        Actor::Request { at: start.range.start, fails_at: self.break_at.take(), start, permits }
    }

    fn try_ahead(&self) -> Option<Vec<Permit>> {
        let ahead = self.ahead.try_acquire(OpId(1))?;
        Some(vec![ahead, self.permits.try_acquire(OpId(1))?])
    }

    fn look(&mut self, range: Range<u64>, again: bool, told: bool, reader: Box<dyn Reader>) -> Vec<Actor> {
        match self.state.look(&range, again, 1 << 30, clock::now()) {
            Look::Ready(parts, starts) => {
                let mut all = self.launch(starts);
                all.extend(self.fulfil(reader, range, &parts));
                all
            }
            Look::Refused(error) => {
                reader.answer(Err(error));
                Vec::new()
            }
            Look::Start(starts) => {
                let mut steps = starts.into_iter().map(Step::Launch).collect();
                let launched = self.launch_simple(&mut steps);
                iter::once(Actor::Reading { range, again: true, told, reader, steps }).chain(launched).collect()
            }
            Look::Coming(..) if !told => {
                vec![Actor::Reading { range, again: true, told: true, reader, steps: VecDeque::new() }]
            }
            Look::Coming(..) => {
                let deadline = reader.deadline();
                self.state.waiters.park(range, deadline, reader);
                Vec::new()
            }
        }
    }

    fn fulfil(&mut self, reader: Box<dyn Reader>, range: Range<u64>, parts: &[Part]) -> Option<Actor> {
        if parts.iter().all(|part| matches!(part, Part::Memory(_))) {
            let len: u64 = parts.iter().map(Part::len).sum();
            assert_eq!(len, range.end - range.start, "all or nothing");
            reader.answer(Ok(&[]));
            return None;
        }
        let deadline = reader.deadline();
        Some(Actor::Disk(self.state.waiters.park_for_disk(range, deadline, reader)))
    }

    fn fly(&mut self, start: Start, at: u64, fails_at: Option<u64>, permits: Option<Vec<Permit>>) -> Vec<Actor> {
        let cancelled = self.state.closing;
        let Some(permits) = permits else {
            // Who waits for a permit is cancelled by a close as well.
            let permits = if cancelled { None } else { self.permits.try_acquire(OpId(1)) };
            return vec![match permits {
                Some(permit) => Actor::Request { start, at, fails_at, permits: Some(vec![permit]) },
                None => Actor::Landing { key: start.key, failed: true },
            }];
        };
        let failed = cancelled || fails_at.is_some_and(|fails| at >= fails);
        if failed || at >= start.range.end {
            // Without one nobody sees a difference.
            let at_once = permits.is_empty();
            drop(permits);
            let landing = Actor::Landing { key: start.key, failed };
            return if at_once { self.land(start.key, failed) } else { vec![landing] };
        }
        let end = (at / self.piece * self.piece + self.piece).min(start.range.end);
        let bytes = self.block.slice(..usize::try_from(end - at).unwrap()).into();
        let ready = self.state.arrive(start.key, at, &bytes);
        let mut all = vec![Actor::Request { start, at: end, fails_at, permits: Some(permits) }];
        for (reader, range, parts) in ready {
            all.extend(self.fulfil(reader, range, &parts));
        }
        all.extend(self.write_behind());
        all
    }

    fn land(&mut self, key: u64, failed: bool) -> Vec<Actor> {
        let (lost, starts) = self.state.land(key, failed, clock::now() + Duration::from_secs(60));
        lost.into_iter().for_each(|(reader, _)| reader.answer(Err(StoreError::Disk("broken".into()))));
        self.launch(starts)
    }

    fn write_behind(&mut self) -> Option<Actor> {
        let due = self.writes && self.state.keep == Keep::Disk && !self.state.writing && !self.state.dirty.is_empty();
        if !due || self.state.closing {
            return None;
        }
        self.state.writing = true;
        Some(Actor::Writer(Vec::new()))
    }

    /// Takes out a batch, or notes that it is written: then memory may go.
    fn write(&mut self, batch: Vec<(u64, u64)>) -> Vec<Actor> {
        for (at, end) in &batch {
            self.state.held.written(*at..*end);
            self.state.dirty_bytes -= end - at;
        }
        self.state.shrink(0);
        if self.state.closing || self.state.dirty.is_empty() {
            self.state.writing = false;
            return Vec::new();
        }
        let batch = self.state.take_dirty(self.piece);
        vec![Actor::Writer(batch.into_iter().map(|(at, bytes)| (at, at + bytes.len() as u64)).collect())]
    }

    fn close(&mut self, refused: bool) -> Vec<Actor> {
        if refused {
            self.state.held.clear();
            self.state.dirty.clear();
            return Vec::new();
        }
        self.state.closing = true;
        let waiting = self.state.waiters.take_all();
        waiting.into_iter().for_each(|(reader, _)| reader.answer(Err(StoreError::Closed)));
        vec![Actor::Close { refused: true }]
    }

    fn deadline(&mut self) {
        let late = self.state.waiters.take_expired(clock::now() + Duration::from_secs(7200));
        for (reader, need) in late {
            assert!(self.state.held.plan(&need).is_none(), "{need:?} was there: a lost wake-up");
            reader.answer(Err(StoreError::Deadline));
        }
        let at_disk = self.state.waiters.take_expired_at_disk(clock::now() + Duration::from_secs(7200));
        at_disk.into_iter().for_each(|(reader, _)| reader.answer(Err(StoreError::Deadline)));
    }

    /// Holds between any two turns: nobody is parked whose bytes are there, and no bytes are asked for twice.
    pub(super) fn check(&self) {
        for need in self.state.waiters.needs() {
            assert!(self.state.held.plan(need).is_none(), "{need:?} is there and its reader sleeps");
        }
        assert!(self.state.flights.iter().all(|flight| flight.end <= self.size));
    }

    /// Holds when nobody has anything to do any more.
    pub(super) fn check_end(&self) {
        assert_eq!(self.state.waiters.len(), 0, "somebody waits for nothing: {:?}", self.state.flights);
        assert!(self.state.flights.is_empty() && !self.state.writing, "{:?}", self.state.flights);
        assert_eq!((self.permits.available(), self.ahead.available()), (self.at_once, self.at_once - 1));
    }
}
