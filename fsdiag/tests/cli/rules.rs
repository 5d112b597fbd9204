//! The rules of pairing and waiting, each with the smallest log that fails without it.

mod inference;

use fsd_events::{
    event::{Body, LockKind, LockMode, LockStep, Phase, PhaseChange, Step},
    ids::OpId,
    op::Op,
};
use fsdiag::engine::{
    fact::{At, Call, Done, Fact, InputId, Key, Place, What},
    model::{Limits, Model, Now},
    report::{Cause, Confidence, Report},
};

struct Log {
    model: Model,
    input: InputId,
    line: u64,
}

impl Log {
    fn new() -> Self {
        let mut model = Model::new(Limits::default());
        let input = model.input("log");
        Self { model, input, line: 0 }
    }

    fn say(&mut self, at: At, what: What) -> &mut Self {
        self.line += 1;
        self.model.apply(&Fact { place: Place { input: self.input, line: self.line, part: 0 }, at, what });
        self
    }

    fn at(&mut self, ms: u64, what: What) -> &mut Self {
        self.say(At { mono_us: Some(ms * 1000), wall_us: None }, what)
    }

    fn lock(&mut self, ms: u64, id: u64, lock: &'static str, mode: LockMode, step: Step) -> &mut Self {
        let holder = Vec::new();
        let lock = LockStep { id: OpId(id), lock: lock.into(), kind: LockKind::RwLock, mode, step, holder, us: 0 };
        self.at(ms, What::Own(Box::new(Body::Lock(lock))))
    }

    /// A request every 20 ms for so long, each answered at once.
    fn busy(&mut self, op: Op, seconds: u64) -> &mut Self {
        for n in 0..seconds * 50 {
            let id = 10_000 * (1 + op as u64) + n;
            self.at(n * 20, enter(id, op)).at(n * 20 + 1, exit(id));
        }
        self
    }

    fn report(&self) -> Report {
        self.model.report(Now::default())
    }
}

fn enter(id: u64, op: Op) -> What {
    What::Enter(Box::new(Call { asynchronous: true, ..Call::new(Key::Num(id), op) }))
}

fn on(id: u64, op: Op, ino: u64) -> What {
    What::Enter(Box::new(Call { ino: Some(ino), asynchronous: true, ..Call::new(Key::Num(id), op) }))
}

fn by(id: u64, thread: &str, asynchronous: bool) -> What {
    What::Enter(Box::new(Call { thread: Some(thread.into()), asynchronous, ..Call::new(Key::Num(id), Op::Getattr) }))
}

fn exit(id: u64) -> What {
    What::Exit(Done { key: Key::Num(id), op: None, us: None, errno: Some(0), bytes: None })
}

fn open(report: &Report) -> Vec<&str> {
    report.orphans.iter().map(|orphan| &*orphan.id).collect()
}

/// The first verdict: its cause, how sure, and whose id.
fn first(report: &Report) -> Option<(Cause, Confidence, Option<&str>)> {
    let verdict = report.verdicts.first()?;
    Some((verdict.cause, verdict.confidence, verdict.culprit.as_ref().and_then(|culprit| culprit.id.as_deref())))
}

#[test]
fn r1_a_step_of_the_wall_clock_makes_nothing_old() {
    let mut log = Log::new();
    let wall = |seconds: u64| At { mono_us: None, wall_us: Some(1_795_000_000_000_000 + seconds * 1_000_000) };
    log.say(wall(7200), enter(1, Op::Read)).say(wall(3601), enter(2, Op::Read)).say(wall(3605), exit(2));
    let report = log.report();
    assert!(report.orphans[0].age_s.is_some_and(|age| age < 10.0), "{:?}", report.orphans);
    assert!(report.notes.iter().any(|note| note.kind == "clock"));
}

#[test]
fn r2_an_id_that_comes_again_ends_the_request_before() {
    let mut log = Log::new();
    let report = log.at(0, enter(2000, Op::Read)).at(1, enter(2000, Op::Getattr)).report();
    assert_eq!((open(&report), report.loss.superseded), (vec!["2000"], 1));
    assert_eq!(report.orphans[0].op, "Getattr");
}

#[test]
fn r3_a_worker_that_takes_other_work_has_ended_what_it_did_unless_it_only_parked_it() {
    let report = Log::new().at(0, by(1, "w", false)).at(1, by(2, "w", false)).report();
    assert_eq!((open(&report), report.loss.superseded), (vec!["2"], 1));
    let report = Log::new().at(0, by(1, "w", true)).at(1, by(2, "w", true)).report();
    assert_eq!((open(&report), report.loss.superseded), (vec!["1", "2"], 0));
}

#[test]
fn r4_what_nobody_answers_is_never_open() {
    let mut log = Log::new();
    for (id, op) in [(1, Op::Forget), (2, Op::BatchForget), (3, Op::Interrupt), (4, Op::Destroy)] {
        log.at(id, enter(id, op));
    }
    assert!(log.report().orphans.is_empty());
}

#[test]
fn r15_a_pool_that_filled_while_others_ended_is_starved_and_no_lock_is_blamed() {
    let mut log = Log::new();
    log.at(0, What::Session { pid: None, run: None, workers: Some(4), banner: "x".into() });
    log.busy(Op::Read, 20).busy(Op::Getattr, 20);
    for n in 0..4 {
        log.at(20_000 + n * 500, enter(n, Op::Read));
        for id in 0..3 {
            let id = 5000 + n * 3 + id;
            log.at(20_100 + n * 500, enter(id, Op::Getattr)).at(20_101 + n * 500, exit(id));
        }
    }
    let report = log.at(45_000, What::Lost { lines: 0 }).report();
    assert_eq!(first(&report).map(|first| (first.0, first.2)), Some((Cause::WorkerStarvation, Some("0"))));
}

#[test]
fn r16_a_lock_is_the_files_own_only_if_all_who_wait_name_that_file() {
    let pile_up = |inos: [u64; 3]| {
        let mut log = Log::new();
        log.busy(Op::Getattr, 20).at(20_100, on(1, Op::Release, 5));
        inos.iter().zip(2..).for_each(|(ino, id)| _ = log.at(20_100 + id * 100, on(id, Op::Getattr, *ino)));
        let report = log.at(45_000, What::Lost { lines: 0 }).report();
        assert_eq!(first(&report).map(|first| (first.0, first.2)), Some((Cause::LockPileup, Some("1"))));
        report.verdicts[0].sentence.clone()
    };
    assert!(pile_up([5, 5, 5]).contains("one of this file"));
    assert!(pile_up([5, 6, 7]).contains("a global one"));
}

#[test]
fn d3_readers_behind_a_queued_writer_wait_for_the_reader_that_holds() {
    let mut log = Log::new();
    (1..4).for_each(|id| _ = log.at(id, enter(id, Op::Getattr)));
    log.lock(10, 1, "tree", LockMode::Read, Step::Hold).lock(11, 3, "tree", LockMode::Read, Step::Wait);
    assert_eq!(log.at(20_000, What::Lost { lines: 0 }).report().verdicts, [], "readers keep no readers out");
    log.lock(20_001, 2, "tree", LockMode::Write, Step::Wait);
    let report = log.at(40_000, What::Lost { lines: 0 }).report();
    assert_eq!(first(&report), Some((Cause::LockPileup, Confidence::Certain, Some("1"))));
    assert_eq!(report.verdicts[0].waiters.len(), 2);
    assert!(report.verdicts[0].sentence.contains("a writer queued behind it"), "{}", report.verdicts[0].sentence);
}

#[test]
fn d3_whoever_has_ended_has_most_likely_let_go_where_lines_are_missing() {
    let held = |missing: bool| {
        let mut log = Log::new();
        (1..4).for_each(|id| _ = log.at(id, enter(id, Op::Release)));
        if missing {
            log.at(5, exit(9));
        }
        log.lock(10, 1, "tree", LockMode::Read, Step::Hold).at(11, exit(1));
        log.lock(12, 2, "tree", LockMode::Write, Step::Wait);
        first(&log.at(40_000, What::Lost { lines: 0 }).report()).map(|first| (first.1, first.2.map(str::to_owned)))
    };
    assert_eq!(held(false), Some((Confidence::Certain, Some("1".to_owned()))));
    assert_eq!(held(true), Some((Confidence::Low, Some("1".to_owned()))));
}

#[test]
fn d3_a_reader_that_has_a_lock_shows_that_the_writer_before_let_go() {
    let mut log = Log::new();
    (1..5).for_each(|id| _ = log.at(id, enter(id, Op::Getattr)));
    log.lock(10, 1, "tree", LockMode::Write, Step::Hold).lock(11, 2, "tree", LockMode::Read, Step::Hold);
    let report = log.lock(12, 3, "tree", LockMode::Write, Step::Wait).at(40_000, What::Lost { lines: 0 }).report();
    assert_eq!(first(&report), Some((Cause::LockPileup, Confidence::Certain, Some("2"))));
}

#[test]
fn d4_a_lock_whose_holder_is_not_in_the_data_is_no_deadlock() {
    let mut log = Log::new();
    (1..3).for_each(|id| _ = log.at(id, enter(id, Op::Getattr)).lock(10, id, "tree", LockMode::Write, Step::Wait));
    let report = log.at(40_000, What::Lost { lines: 0 }).report();
    assert_eq!(first(&report), Some((Cause::LockPileup, Confidence::Medium, None)));
    assert!(report.verdicts.iter().all(|verdict| verdict.cause != Cause::DeadlockCycle));
}

#[test]
fn d4_who_came_first_and_waits_for_a_lock_itself_does_not_hold_it() {
    let mut log = Log::new();
    log.busy(Op::Getattr, 20).busy(Op::Lookup, 20);
    for id in 1..6 {
        log.at(20_100 + id, enter(id, Op::Release)).lock(20_101 + id, id, "tree", LockMode::Write, Step::Wait);
    }
    let report = log.at(45_000, What::Lost { lines: 0 }).report();
    assert_eq!(first(&report), Some((Cause::LockPileup, Confidence::Medium, None)), "{:?}", report.verdicts);
    let culprit = report.verdicts[0].culprit.as_ref();
    assert_eq!(culprit.and_then(|culprit| culprit.lock.as_deref()), Some("tree"));
    assert_eq!((report.verdicts.len(), report.verdicts[0].waiters.len()), (1, 5), "{:?}", report.verdicts);
}

#[test]
fn d5_a_lock_that_was_held_across_io_is_told_though_nothing_hangs() {
    let hold = |phase: Phase, kind: LockKind, before: bool| {
        let mut log = Log::new();
        let step = |step: Step, us: u64| {
            let (id, holder) = (OpId(1), Vec::new());
            What::Own(Box::new(Body::Lock(LockStep {
                id,
                lock: "store#7".into(),
                kind,
                mode: LockMode::Write,
                step,
                holder,
                us,
            })))
        };
        let change = PhaseChange { id: OpId(1), phase, detail: "".into() };
        let phase = What::Own(Box::new(Body::Phase(change)));
        log.at(10, enter(1, Op::Release));
        if before {
            log.at(11, step(Step::Hold, 0));
        }
        log.at(20, phase);
        if !before {
            // A hold of a while is told at its end only, where not every step is logged.
            log.at(900, step(Step::Free, 889_000));
        }
        log.at(901, exit(1));
        let report = log.report();
        assert!(report.healthy, "{:?}", report.verdicts);
        report.notes.into_iter().filter(|note| note.kind == "latent").map(|note| note.text).collect::<Vec<_>>()
    };
    for before in [true, false] {
        let told = hold(Phase::Close, LockKind::RwLock, before);
        assert!(matches!(&told[..], [one] if one.starts_with("`store` was held while closing a store")), "{told:?}");
        assert_eq!(hold(Phase::Alloc, LockKind::RwLock, before), Vec::<String>::new(), "no I/O");
        assert_eq!(hold(Phase::Upstream, LockKind::Permit, before), Vec::<String>::new(), "permits are held so");
    }
}

#[test]
fn d5_a_lock_that_was_given_back_before_the_io_is_not_told() {
    let mut log = Log::new();
    log.at(10, enter(1, Op::Release)).lock(11, 1, "tree", LockMode::Write, Step::Hold);
    log.lock(12, 1, "tree", LockMode::Write, Step::Free);
    let change = PhaseChange { id: OpId(1), phase: Phase::Close, detail: "".into() };
    log.at(13, What::Own(Box::new(Body::Phase(change)))).lock(500, 1, "tree", LockMode::Write, Step::Hold);
    let report = log.at(501, exit(1)).report();
    assert!(report.notes.iter().all(|note| note.kind != "latent"), "{:?}", report.notes);
}

#[test]
fn d6_two_locks_taken_in_both_orders_are_told_though_nothing_hangs() {
    let mut log = Log::new();
    for (id, outer, inner) in [(1, "tree", "store#7"), (2, "store#9", "tree")] {
        log.at(id * 10, enter(id, Op::Open));
        for (lock, step) in [(outer, Step::Hold), (inner, Step::Hold), (inner, Step::Free), (outer, Step::Free)] {
            log.lock(id * 10 + 1, id, lock, LockMode::Write, step);
        }
        log.at(id * 10 + 2, exit(id));
    }
    let report = log.report();
    assert!(report.healthy);
    let told: Vec<&str> = report.notes.iter().filter(|n| n.kind == "latent").map(|n| &*n.text).collect();
    assert_eq!(told, ["`store` and `tree` were taken in both orders: a deadlock in waiting"]);
}
