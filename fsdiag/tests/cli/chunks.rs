//! However an input is cut into blocks, and however many threads read them, the report is the same, byte for byte.

use std::fs;

use fsd_events::{
    event::{
        Beat, Body, Enter, Event, Exit, Handover, Head, LockKind, LockMode, LockStep, Phase, PhaseChange, Stall,
        StalledOp, Start, Step, TaskEnd, TaskKind, TaskStart, Wait, WaitEnd,
    },
    ids::{Fh, Ino, OpId, RunId, Unique},
    line,
    op::Op,
};
use fsdiag::{
    commands::analyze::{
        quote::Kept,
        read::{self, How},
        select::Window,
    },
    engine::model::{Limits, Model, Now},
    formats::Mixed,
    output::json,
    sources::{file::Input, lines::Lines},
};
use proptest::prelude::*;

/// What a daemon may do next; ids are few, so that they meet again.
#[derive(Clone, Debug)]
enum Act {
    Enter(u64, u8),
    Exit(u64),
    /// Any other event about an operation.
    About(u64, u8),
    Beat,
    /// The wall clock is set, in seconds.
    Step(i64),
    /// Records are lost.
    Lose(u64),
    /// Time passes, in milliseconds.
    Pass(u64),
    /// The last line again, as another copy of the file would have it.
    Again,
    Restart,
    Foreign(&'static str),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let about = (0_u64..60, 0_u8..11).prop_map(|(back, kind)| Act::About(back, kind));
    let foreign = prop::sample::select(
        &[
            "[FUSE] Release ENTER (id=456)",
            "unique: 4, opcode: READ (15), nodeid: 2, insize: 80, pid: 7",
            "{\"run\":\"00\",\"seq\":1}",
            "{\"run\":\"0000000000000007\",\"mount_run\":\"0000000000000001\",\"seq\":9999,\"ev\":\"new\"}",
            "",
            "what no parser knows",
        ][..],
    );
    let act = prop_oneof![
        600 => (0_u64..3, any::<u8>()).prop_map(|(back, op)| Act::Enter(back, op)),
        600 => (0_u64..8).prop_map(Act::Exit),
        20 => about,
        6 => Just(Act::Beat),
        1 => (-5_i64..5).prop_map(Act::Step),
        4 => (1_u64..300).prop_map(Act::Lose),
        60 => (0_u64..2000).prop_map(Act::Pass),
        1 => Just(Act::Again),
        1 => Just(Act::Restart),
        1 => foreign.prop_map(Act::Foreign),
    ];
    prop::collection::vec(act, 0..600)
}

/// A daemon that does as it is told.
struct Daemon {
    bytes: Vec<u8>,
    run: u64,
    seq: u64,
    mono_us: u64,
    wall_us: i64,
    next: u64,
}

impl Daemon {
    fn text(acts: &[Act]) -> Vec<u8> {
        let mut daemon =
            Self { bytes: Vec::new(), run: 7, seq: 0, mono_us: 0, wall_us: 1_795_000_000_000_000, next: 20 };
        daemon.start();
        acts.iter().for_each(|act| daemon.act(act));
        daemon.bytes
    }

    fn start(&mut self) {
        let start = Start { schema: 1, pid: 4711, workers: 4, mount: "/mnt".into(), ..Start::default() };
        self.say(Body::Start(Box::new(start)));
    }

    fn act(&mut self, act: &Act) {
        self.mono_us += 700;
        let recent = |back: u64| OpId(self.next.saturating_sub(back));
        match act {
            Act::Enter(back, kind) => {
                self.next += 1;
                self.enter(OpId(self.next - back), *kind);
            }
            Act::Exit(back) => {
                let (id, us) = (recent(*back), 400 + 3_000_000 * u64::from(back % 7 == 6));
                self.say(Body::Exit(Exit { id, op: Op::Read, us, errno: 0, bytes: 9, detached: false }));
            }
            Act::About(back, kind) => self.about(recent(*back), *kind),
            Act::Beat => {
                let inflight = vec![(Op::Read, 2)];
                self.say(Body::Beat(Box::new(Beat { inflight, oldest_us: 900_000, workers: 4, ..Beat::default() })));
            }
            Act::Step(seconds) => self.wall_us += seconds * 1_000_000,
            Act::Lose(count) => self.seq += count,
            Act::Pass(ms) => self.mono_us += ms * 1000,
            Act::Again => {
                let from = self.bytes[..self.bytes.len() - 1].iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
                self.bytes.extend_from_within(from..);
            }
            Act::Restart => {
                self.run += 1;
                self.seq = 0;
                self.start();
            }
            Act::Foreign(line) => self.bytes.extend(line.bytes().chain([b'\n'])),
        }
    }

    fn enter(&mut self, id: OpId, kind: u8) {
        let ops = [Op::Read, Op::Getattr, Op::Forget, Op::Release, Op::Open, Op::Destroy, Op::Lookup, Op::Read];
        self.say(Body::Enter(Enter {
            id,
            op: ops[usize::from(kind % 8)],
            thread: "fuser-1".into(),
            tid: 5,
            unique: Unique(2 * id.0),
            resent: kind == 255,
            pid: 1,
            ino: Ino(2),
            fh: Some(Fh(3)),
            path: Some(if kind == 254 { "a \"quoted\" name" } else { "Staged/a/movie.mkv" }.into()),
            off: None,
            len: None,
            count: None,
        }));
    }

    fn about(&mut self, id: OpId, kind: u8) {
        let holder = vec![OpId(id.0.saturating_sub(2))];
        let lock = |step| {
            let (kind, mode, lock) = (LockKind::Mutex, LockMode::Write, "handles".into());
            Body::Lock(LockStep { id, lock, kind, mode, step, holder: holder.clone(), us: 5 })
        };
        let task = TaskKind::Download;
        let stalled = |us| Stall { ops: vec![StalledOp { id, op: Op::Read, us }], ..Stall::default() };
        self.say(match kind {
            0 => Body::Phase(PhaseChange { id, phase: Phase::Upstream, detail: "host".into() }),
            1 => lock(Step::Wait),
            2 => lock(Step::Hold),
            3 => lock(Step::Free),
            4 => Body::Task(TaskStart { id, task, parent: None, fh: None, path: None }),
            5 => Body::TaskEnd(TaskEnd { id, task: Some(task), us: 7, outcome: "ok".into() }),
            6 => Body::Wait(Wait { id, on: Some(holder[0]), need: (0, 9) }),
            7 => Body::WaitEnd(WaitEnd { id, us: 8 }),
            8 => Body::Stall(Box::new(stalled(11_000_000))),
            9 => Body::Interrupt { unique: Unique(2 * id.0), id: None },
            _ => Body::Handover(Box::new(Handover { old_run: RunId(self.run), ..Handover::default() })),
        });
    }

    fn say(&mut self, body: Body<'_>) {
        let ts_us = self.wall_us.unsigned_abs() + self.mono_us;
        let head = Head { run: RunId(self.run), mount_run: RunId(1), seq: self.seq, ts_us, mono_us: self.mono_us };
        self.seq += 1;
        line::encode(&Event { head, body, carried: false, late: false }, &mut self.bytes);
    }
}

/// Line by line, without blocks and without threads.
fn one_by_one(name: &str, bytes: &[u8], window: Window) -> String {
    let mut model = Model::new(Limits::default());
    let id = model.input(name);
    let (mut mixed, mut lines) = (Mixed::new(id), Lines::default());
    let mut inside = true;
    let mut sink = window.before(&mut model, &mut inside);
    lines.feed(bytes, |line| mixed.line(line, &mut sink));
    if !lines.rest().is_empty() {
        mixed.line(lines.rest(), &mut sink);
    }
    mixed.finish(&mut sink);
    let counts = mixed.counts().clone();
    model.counted(id, mixed.format(), counts.lines, counts.events, counts.bad_lines);
    open_of(&model) + &json::render(&model.report(Now::default())).unwrap()
}

fn in_blocks(input: &Input, how: How) -> String {
    let mut model = Model::new(Limits::default());
    let read = read::all(std::slice::from_ref(input), &mut model, how, &mut Kept::default(), &mut Vec::new());
    assert_eq!(read, 1);
    open_of(&model) + &json::render(&model.report(Now::default())).unwrap()
}

/// What a report does not show of every request, and rules may ask for.
fn open_of(model: &Model) -> String {
    let mut open: Vec<String> = model.sessions.iter().flat_map(|s| s.judged()).map(|o| format!("{o:?}")).collect();
    open.sort();
    let sums = model.sessions.iter().map(|s| (s.max_open, s.entered, &s.loss, &s.sequence.holes, &s.clock, &s.waits));
    format!("{:?}\n{open:?}\n", sums.collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn events_are_the_same_in_any_blocks_on_any_threads(
        acts in acts(),
        block in prop_oneof![1_usize..3000, Just(1_000_000)],
        threads in 1_usize..5,
        since in prop::option::of(0_u64..3_000_000),
        cut in 0_usize..100,
    ) {
        let mut bytes = Daemon::text(&acts);
        bytes.truncate(bytes.len() - cut.min(bytes.len()));
        let window = Window { since: since.map(|us| 1_795_000_000_000_000 + us), until: None };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        fs::write(&path, &bytes).unwrap();
        let want = one_by_one(&path.display().to_string(), &bytes, window);
        prop_assert_eq!(in_blocks(&Input::File(path), How { window, threads, block }), want);
    }
}

/// Their parsers carry state from line to line (a request's second line, a thread's frames), so their blocks are read
/// in turn; the cut must not show.
#[test]
fn every_other_format_is_the_same_in_any_blocks() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/formats");
    let mut files = 0;
    for dir in fs::read_dir(root).unwrap().flatten() {
        for file in fs::read_dir(dir.path()).unwrap().flatten() {
            let bytes = fs::read(file.path()).unwrap();
            let want = one_by_one(&file.path().display().to_string(), &bytes, Window::default());
            for (threads, block) in [(1, 1), (2, 37), (3, 1000), (2, 1 << 20)] {
                let how = How { window: Window::default(), threads, block };
                assert_eq!(in_blocks(&Input::File(file.path()), how), want, "{} {how:?}", file.path().display());
            }
            files += 1;
        }
    }
    assert!(files > 50, "only {files} files");
}
