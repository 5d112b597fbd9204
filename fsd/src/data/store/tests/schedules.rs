//! Every schedule: readers, requests, close and deadline, one critical section at a time, in every order.
//!
//! The state has no lock and no clock of its own, so an order of critical sections is all that a schedule is.

use std::{ops::Range, sync::mpsc, time::Duration};

use bytes::Bytes;
use fsd_events::ids::OpId;

use crate::{
    data::{
        origin::{Resource, Validator},
        store::{
            Reader, StoreError,
            held::Part,
            state::{Keep, Look, Start, State},
        },
    },
    platform::clock,
};

const SIZE: u64 = 8;
const PIECE: u64 = 4;

/// Orders that are tried for one set of actors; far more than there are.
const MOST: usize = 2_000_000;

type Told = mpsc::Sender<Result<u64, StoreError>>;

struct Silent(Told);

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

/// Who takes turns; each turn is one critical section.
enum Actor {
    Reading { range: Range<u64>, again: bool, told: bool, reader: Box<dyn Reader> },
    Request { start: Start, at: u64, fails_at: Option<u64> },
    Close,
    Deadline,
}

struct Play {
    state: State,
    actors: Vec<Actor>,
    /// The first request breaks here.
    break_at: Option<u64>,
}

impl Play {
    fn new(keep: Keep, break_at: Option<u64>) -> Self {
        let resource = Resource::parse("http://h/f").ok();
        let mut state = State::new(SIZE, keep, PIECE, Validator::Strong("\"v\"".into()), resource);
        let starts: Vec<Start> = if keep == Keep::Lru { Vec::new() } else { state.start_main().into_iter().collect() };
        let mut play = Self { state, actors: Vec::new(), break_at };
        play.launch(starts);
        play
    }

    fn launch(&mut self, starts: Vec<Start>) {
        for start in starts {
            let at = start.range.start;
            self.actors.push(Actor::Request { at, fails_at: self.break_at.take(), start });
        }
    }

    fn read(&mut self, range: Range<u64>) -> mpsc::Receiver<Result<u64, StoreError>> {
        let (tell, told) = mpsc::channel();
        let reader = Box::new(Silent(tell));
        self.actors.push(Actor::Reading { range, again: false, told: false, reader });
        told
    }

    /// One turn of the actor `n`, as the store would take it.
    fn turn(&mut self, n: usize) {
        match self.actors.remove(n) {
            Actor::Reading { range, again, told, reader } => self.turn_of_reader(n, range, again, told, reader),
            Actor::Request { start, at, fails_at } => self.turn_of_request(n, start, at, fails_at),
            Actor::Close => {
                self.state.closing = true;
                let waiting = self.state.waiters.take_all();
                waiting.into_iter().for_each(|(reader, _)| reader.answer(Err(StoreError::Closed)));
            }
            Actor::Deadline => {
                let late = self.state.waiters.take_expired(clock::now() + Duration::from_secs(7200));
                for (reader, need) in late {
                    assert!(self.state.held.plan(&need).is_none(), "{need:?} was there: a lost wake-up");
                    reader.answer(Err(StoreError::Deadline));
                }
            }
        }
    }

    fn turn_of_reader(&mut self, n: usize, range: Range<u64>, again: bool, told: bool, reader: Box<dyn Reader>) {
        match self.state.look(&range, again, 1 << 20, clock::now()) {
            Look::Ready(parts, starts) => {
                answer(reader, &parts);
                self.launch(starts);
            }
            Look::Refused(error) => reader.answer(Err(error)),
            Look::Start(starts) => {
                self.actors.insert(n, Actor::Reading { range, again: true, told, reader });
                self.launch(starts);
            }
            Look::Coming(..) if !told => {
                self.actors.insert(n, Actor::Reading { range, again: true, told: true, reader });
            }
            Look::Coming(..) => {
                let deadline = reader.deadline();
                self.state.waiters.park(range, deadline, reader);
            }
        }
    }

    fn turn_of_request(&mut self, n: usize, start: Start, at: u64, fails_at: Option<u64>) {
        let failed = fails_at.is_some_and(|fails| at >= fails);
        if at >= start.range.end || failed || self.state.closing {
            let now = clock::now();
            let lost = self.state.land(start.key, failed || self.state.closing, now);
            lost.into_iter().for_each(|(reader, _)| reader.answer(Err(StoreError::Disk("broken".into()))));
            let starts = self.state.kick(now + Duration::from_secs(60));
            return self.launch(starts);
        }
        let end = (at + PIECE).min(start.range.end);
        let bytes = Bytes::from(vec![7; usize::try_from(end - at).unwrap()]).into();
        let ready = self.state.arrive(start.key, at, &bytes);
        ready.into_iter().for_each(|(reader, _, parts)| answer(reader, &parts));
        self.actors.insert(n, Actor::Request { start, at: end, fails_at });
    }

    /// Nobody may be parked whose bytes are there: the waker's predicate is the waiter's.
    fn check(&self) {
        for need in self.state.waiters.needs() {
            assert!(self.state.held.plan(need).is_none(), "{need:?} is there and its reader sleeps");
        }
    }
}

fn answer(reader: Box<dyn Reader>, parts: &[Part]) {
    let len: u64 = parts.iter().map(Part::len).sum();
    reader.answer(Ok(&vec![7; usize::try_from(len).unwrap()]));
}

/// Plays `scene` in every order; `judge` sees what each reader was told.
fn in_every_order(
    scene: impl Fn() -> (Play, Vec<mpsc::Receiver<Result<u64, StoreError>>>),
    judge: impl Fn(&[Result<u64, StoreError>]),
) -> usize {
    let mut choices: Vec<(usize, usize)> = Vec::new();
    for played in 1..=MOST {
        let (mut play, told) = scene();
        let mut depth = 0;
        while !play.actors.is_empty() {
            if depth == choices.len() {
                choices.push((0, 0));
            }
            choices[depth].1 = play.actors.len();
            play.turn(choices[depth].0);
            play.check();
            depth += 1;
            assert!(depth < 200, "it does not end");
        }
        choices.truncate(depth);
        let answers: Vec<_> = told.iter().map(|told| told.try_recv().expect("every reader is answered")).collect();
        assert!(told.iter().all(|told| told.try_recv().is_err()), "and once only");
        judge(&answers);
        while choices.last().is_some_and(|(choice, of)| choice + 1 == *of) {
            choices.pop();
        }
        match choices.last_mut() {
            Some((choice, _)) => *choice += 1,
            None => return played,
        }
    }
    panic!("more than {MOST} orders");
}

const KEEPS: [Keep; 2] = [Keep::Disk, Keep::Lru];

#[test]
fn r01_no_wake_up_is_lost_in_any_order() {
    for keep in KEEPS {
        let scene = || {
            let mut play = Play::new(keep, None);
            let told = vec![play.read(0..3), play.read(3..SIZE)];
            (play, told)
        };
        let orders = in_every_order(scene, |answers| assert_eq!(answers, [Ok(3), Ok(SIZE - 3)]));
        assert!(orders > 100, "{keep:?}: {orders} orders");
    }
}

#[test]
fn r02_a_reader_that_comes_after_the_end_is_answered() {
    for keep in KEEPS {
        let scene = || {
            let mut play = Play::new(keep, None);
            let told = vec![play.read(0..SIZE)];
            (play, told)
        };
        in_every_order(scene, |answers| assert_eq!(answers, [Ok(SIZE)]));
    }
}

#[test]
fn r19_a_close_at_any_moment_answers_every_reader() {
    for keep in KEEPS {
        let scene = || {
            let mut play = Play::new(keep, None);
            let told = vec![play.read(2..6), play.read(0..SIZE)];
            play.actors.push(Actor::Close);
            (play, told)
        };
        in_every_order(scene, |answers| {
            assert!(answers.iter().all(|answer| matches!(answer, Ok(_) | Err(StoreError::Closed))), "{answers:?}");
        });
    }
}

#[test]
fn r44_a_request_that_breaks_anywhere_leaves_no_reader_behind() {
    for keep in KEEPS {
        for break_at in [0, PIECE] {
            let scene = || {
                let mut play = Play::new(keep, Some(break_at));
                let told = vec![play.read(0..5), play.read(5..SIZE)];
                (play, told)
            };
            in_every_order(scene, |answers| {
                assert!(answers.iter().all(|answer| matches!(answer, Ok(_) | Err(StoreError::Disk(_)))), "{answers:?}");
            });
        }
    }
}

#[test]
fn a_deadline_at_any_moment_finds_no_reader_whose_bytes_are_there() {
    for keep in KEEPS {
        let scene = || {
            let mut play = Play::new(keep, None);
            let told = vec![play.read(0..SIZE), play.read(5..7)];
            play.actors.push(Actor::Deadline);
            (play, told)
        };
        in_every_order(scene, |answers| {
            assert!(answers.iter().all(|answer| matches!(answer, Ok(_) | Err(StoreError::Deadline))), "{answers:?}");
        });
    }
}
