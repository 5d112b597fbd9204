//! What a reader of a ring may rely on, whatever happened to the file.

use proptest::prelude::*;

use crate::{
    event::{
        Beat, Body, Enter, Exit, Handover, LockKind, LockMode, LockStep, Phase, PhaseChange, Progress, Stall,
        StalledLock, StalledOp, Step, TaskEnd, TaskKind, TaskStart, Wait, WaitEnd,
    },
    flags::Flag,
    ids::{Fh, Ino, OpId, Unique},
    op::Op,
};

use super::*;

const SLOTS: usize = 64;

/// A ring as its owner would leave it, without the owner.
struct Ring {
    words: Vec<u64>,
    head: u64,
    seq: u64,
}

impl Ring {
    fn new() -> Self {
        let mut words = vec![0; file_words(SLOTS)];
        words[header::MAGIC] = MAGIC;
        words[header::VERSION] = VERSION;
        words[header::SLOTS] = SLOTS as u64;
        words[header::RUN] = 7;
        words[header::WALL_OFFSET] = 1_000_000;
        words[header::OWNER_COUNT] = 1;
        words[header::FIRST_OWNER] = 4301;
        words[header::FIRST_OWNER + 1..][..2].copy_from_slice(&pack_name("fuser-0"));
        Self { words, head: 0, seq: 0 }
    }

    fn push(&mut self, body: &Body<'_>) {
        let draft = Draft::<WIDE>::of(body).unwrap();
        draft.write(self.head, self.seq, 500 + self.seq, |n, stamp, rest| {
            let at = slot_at(self.head + n, SLOTS);
            self.words[at] = stamp;
            self.words[at + 1..at + SLOT_WORDS].copy_from_slice(rest);
        });
        self.head += u64::from(draft.slots());
        self.seq += 1;
        self.words[header::HEAD] = self.head;
    }

    fn bytes(&self) -> Vec<u8> {
        self.words.iter().flat_map(|w| w.to_ne_bytes()).collect()
    }

    fn decoded(&self) -> Decoded {
        decode(&self.bytes(), &mut names).unwrap()
    }
}

fn names(ino: u64) -> Option<String> {
    match ino {
        1 => Some(String::new()),
        2 => Some(String::from("/album")),
        _ => None,
    }
}

fn enter(ino: u64, path: Option<&str>) -> Body<'static> {
    Body::Enter(Enter {
        id: OpId(1),
        op: Op::Read,
        thread: "fuser-0".into(),
        tid: 4301,
        unique: Unique(8),
        resent: true,
        pid: 99,
        ino: Ino(ino),
        fh: Some(Fh(6)),
        path: path.map(|p| p.to_owned().into()),
        off: Some(0),
        len: None,
        count: None,
    })
}

fn bodies() -> Vec<Body<'static>> {
    let ids = vec![OpId(3), OpId(4)];
    let lock = "handles";
    let stall = Stall {
        ops: vec![StalledOp { id: OpId(3), op: Op::Release, us: 12_000_000 }],
        inflight: vec![(Op::Release, 1), (Op::Getattr, 12)],
        kernel_waiting: Some(23),
        locks: vec![StalledLock { lock: lock.into(), holder: ids.clone(), since_us: 5, waiters: ids.clone() }],
        stacks: Some("stacks-20261123T213500.123Z.log".into()),
    };
    let beat =
        Beat { inflight: vec![(Op::Read, 2)], oldest_us: 3, lost: 4, workers: 5, workers_busy: 6, ..Beat::default() };
    vec![
        enter(2, Some("/album")),
        Body::Exit(Exit { id: OpId(1), op: Op::Read, us: 12, errno: 5, bytes: 4096, detached: true }),
        Body::Phase(PhaseChange { id: OpId(1), phase: Phase::Upstream, detail: "http://h/é 0-9".into() }),
        Body::Lock(LockStep {
            id: OpId(1),
            lock: lock.into(),
            kind: LockKind::Permit,
            mode: LockMode::Write,
            step: Step::Hold,
            holder: ids,
            us: 77,
        }),
        Body::Task(TaskStart {
            id: OpId(9),
            task: TaskKind::Close,
            parent: Some(OpId(1)),
            fh: None,
            path: Some("/album/".into()),
        }),
        Body::TaskEnd(TaskEnd { id: OpId(9), task: Some(TaskKind::Close), us: 5, outcome: "ok".into() }),
        Body::Progress(Progress { id: OpId(9), have: 1, want: 2, state: "running".into() }),
        Body::Wait(Wait { id: OpId(1), on: Some(OpId(9)), need: (0, 4096) }),
        Body::WaitEnd(WaitEnd { id: OpId(1), us: 9 }),
        Body::Beat(Box::new(beat)),
        Body::Stall(Box::new(stall.clone())),
        Body::StallEnd(Box::new(Stall { stacks: None, ..stall })),
        Body::Handover(Box::new(Handover {
            cause: "death".into(),
            result: "ok".into(),
            resent: 2,
            ..Handover::default()
        })),
        Body::Interrupt { unique: Unique(4), id: None },
        Body::FlagChange { flag: Flag::DebugLockEvents, value: true },
        Body::Invariant { what: "a".into(), detail: "b".repeat(100).into() },
        Body::Stop { reason: "umount".into() },
    ]
}

#[test]
fn every_body_comes_back_as_it_was() {
    for body in bodies() {
        let mut ring = Ring::new();
        ring.push(&body);
        let decoded = ring.decoded();
        assert_eq!(decoded.torn, 0);
        let event = &decoded.records[0].event;
        assert_eq!(event.body, body);
        assert_eq!((event.head.run, event.head.ts_us, event.head.mono_us), (RunId(7), 1_000_500, 500));
    }
}

#[test]
fn the_docs_name_every_event_phase_task_and_key_of_a_record() {
    let docs = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/EVENTS.md")).unwrap();
    let mut words: Vec<&str> = bodies().iter().map(Body::name).collect();
    words.extend(Phase::ALL.iter().map(|p| p.name()));
    words.extend(TaskKind::ALL.iter().map(|t| t.name()));
    let missing: Vec<_> = words.into_iter().filter(|word| !docs.contains(&format!("`{word}`"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
    // Every key that a line can have stands in the row of its event.
    for body in bodies() {
        let mut line = Vec::new();
        let name = body.name();
        crate::line::encode(
            &Event { head: crate::event::Head::default(), body, carried: false, late: false },
            &mut line,
        );
        let line: serde_json::Value = serde_json::from_slice(&line).unwrap();
        let first = |row: &str| row.split('|').nth(1).is_some_and(|cell| cell.contains(&format!("`{name}`")));
        let row = docs.lines().find(|row| first(row)).unwrap();
        let head = ["run", "mount_run", "seq", "ts", "mono_us", "ev"];
        for key in line.as_object().unwrap().keys().filter(|key| !head.contains(&key.as_str())) {
            assert!(row.contains(key.as_str()), "{name}: {key}");
        }
    }
}

#[test]
fn an_enter_with_a_name_gets_the_path_of_its_directory() {
    for (parent, path) in [(1, "a.mov"), (2, "/album/a.mov"), (99, "?/a.mov")] {
        an_enter_of_a_name_below(parent, path);
    }
}

fn an_enter_of_a_name_below(parent: u64, path: &str) {
    let words = EnterWords { tid: 4301, ino: parent, name: Some("a.mov"), ..EnterWords::default() };
    let draft = Draft::<SMALL>::enter(OpId(1), Op::Lookup, &words);
    let mut ring = Ring::new();
    draft.write(0, 0, 0, |n, stamp, rest| {
        let at = slot_at(n, SLOTS);
        ring.words[at] = stamp;
        ring.words[at + 1..at + SLOT_WORDS].copy_from_slice(rest);
    });
    ring.words[header::HEAD] = u64::from(draft.slots());
    match &ring.decoded().records[0].event.body {
        Body::Enter(enter) => {
            assert_eq!(enter.path.as_deref(), Some(path));
            assert_eq!(enter.thread, "fuser-0");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_getattr_takes_one_slot_and_a_read_two() {
    let getattr = EnterWords { fh: Some(1), ..EnterWords::default() };
    assert_eq!(Draft::<SMALL>::enter(OpId(1), Op::Getattr, &getattr).slots(), 1);
    let read = EnterWords { off: Some(0), len: Some(4096), ..getattr };
    assert_eq!(Draft::<SMALL>::enter(OpId(1), Op::Read, &read).slots(), 2);
}

#[test]
fn a_stall_of_a_thousand_operations_still_fits() {
    let op = StalledOp { id: OpId(1), op: Op::Getattr, us: 1 };
    let lock = StalledLock { lock: "tree".into(), holder: vec![OpId(2); 99], since_us: 0, waiters: vec![OpId(3); 999] };
    let stall = Stall { ops: vec![op; 1000], locks: vec![lock; 99], ..Stall::default() };
    let mut ring = Ring { words: Vec::new(), ..Ring::new() };
    ring.words = vec![0; file_words(128)];
    let draft = Draft::<WIDE>::stall(Kind::Stall, &stall);
    assert!(draft.slots() <= 127);
    let mut payload = Vec::new();
    draft.write(0, 0, 0, |n, stamp, rest| {
        let at = slot_at(n, 128);
        ring.words[at] = stamp;
        ring.words[at + 1..at + SLOT_WORDS].copy_from_slice(rest);
    });
    let Found::Record(head) = read_at(&|n| ring.words[n], 128, 0, &mut payload) else { panic!("torn") };
    match event(&RingHead::default(), &head, &payload, &mut names).unwrap().body {
        Body::Stall(got) => {
            assert!(got.ops.len() > 200 && got.locks.len() > 3, "{} {}", got.ops.len(), got.locks.len())
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_full_lap_leaves_the_newest_records_and_no_torn_one() {
    let mut ring = Ring::new();
    let bodies = bodies();
    for body in bodies.iter().cycle().take(200) {
        ring.push(body);
    }
    ring.words[header::TAIL] = ring.head;
    let decoded = ring.decoded();
    assert_eq!(decoded.torn, 0);
    let seqs: Vec<u64> = decoded.records.iter().map(|r| r.event.head.seq).collect();
    assert_eq!(seqs.last(), Some(&199));
    assert!(seqs.windows(2).all(|w| w[1] == w[0] + 1), "{seqs:?}");
    assert!(decoded.records.iter().all(|r| r.written));
}

#[test]
fn a_record_cut_off_by_death_is_torn_and_those_before_it_are_whole() {
    let mut ring = Ring::new();
    ring.push(&enter(2, Some("/album")));
    let whole = ring.head;
    ring.push(&enter(2, Some("/a/much/longer/path/that/takes/another/slot.mov")));
    let at = slot_at(ring.head - 1, SLOTS);
    ring.words[at + 3] ^= 1;
    let decoded = ring.decoded();
    assert_eq!(decoded.records.len(), 1);
    assert_eq!(decoded.torn, ring.head - whole);
}

#[test]
fn records_newer_than_the_copied_header_are_read_too() {
    let mut ring = Ring::new();
    ring.push(&enter(2, None));
    let before = ring.words[header::HEAD];
    ring.push(&Body::Stop { reason: "umount".into() });
    ring.words[header::HEAD] = before;
    assert_eq!(ring.decoded().records.len(), 2);
}

proptest! {
    #[test]
    fn what_is_unwritten_is_read_from_its_own_bytes_alone(records in 0_usize..150, behind in 0_u64..80) {
        let mut ring = Ring::new();
        bodies().iter().cycle().take(records).for_each(|body| ring.push(body));
        ring.words[header::TAIL] = ring.head.saturating_sub(behind);
        let whole = ring.bytes();
        let head = RingHead::parse(&whole).unwrap();
        let mut some = vec![0; whole.len()];
        some[..HEADER_WORDS * 8].copy_from_slice(&whole[..HEADER_WORDS * 8]);
        for part in head.bytes_of(&head.unwritten()) {
            some[part.clone()].copy_from_slice(&whole[part]);
        }
        let wanted = decode(&whole, &mut names).unwrap().records.into_iter().filter(|r| !r.written);
        prop_assert_eq!(decode_unwritten(&some, &mut names).unwrap().records, wanted.collect::<Vec<_>>());
    }

    #[test]
    fn garbage_is_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..8192)) {
        let _ = (decode(&bytes, &mut names), decode_unwritten(&bytes, &mut names));
        let _ = (tables::decode_inflight(&bytes), tables::decode_tasks(&bytes), tables::decode_locks(&bytes));
    }

    #[test]
    fn a_truncated_file_gives_a_prefix(cut in 0_usize..8192) {
        let mut ring = Ring::new();
        bodies().iter().for_each(|b| ring.push(b));
        let whole = ring.decoded().records;
        let mut bytes = ring.bytes();
        bytes.truncate(cut);
        let got = decode(&bytes, &mut names).map(|d| d.records).unwrap_or_default();
        prop_assert!(whole.starts_with(&got) || got.iter().all(|r| whole.contains(r)));
    }

    #[test]
    fn flipped_words_are_never_taken_for_records(
        flips in proptest::collection::vec((HEADER_WORDS..file_words(SLOTS), 1_u64..), 1..20),
    ) {
        let mut ring = Ring::new();
        bodies().iter().for_each(|b| ring.push(b));
        let whole = ring.decoded().records;
        for (at, bits) in flips {
            ring.words[at] ^= bits;
        }
        prop_assert!(ring.decoded().records.iter().all(|r| whole.contains(r)));
    }

    #[test]
    fn damaged_headers_are_never_a_panic(at in 0_usize..HEADER_WORDS, value: u64) {
        let mut ring = Ring::new();
        bodies().iter().for_each(|b| ring.push(b));
        ring.words[at] = value;
        let _ = (decode(&ring.bytes(), &mut names), decode_unwritten(&ring.bytes(), &mut names));
        let _ = RingHead::parse(&ring.bytes()).map(|head| head.bytes_of(&head.unwritten()));
    }

    #[test]
    fn tables_with_known_headers_and_random_rows_are_never_a_panic(
        magic in prop_oneof![Just(tables::inflight::MAGIC), Just(tables::tasks::MAGIC), Just(tables::locks::MAGIC)],
        rows: u64,
        rest in proptest::collection::vec(any::<u64>(), 0..2048),
    ) {
        let mut words = vec![magic, tables::VERSION, rows];
        words.extend(rest);
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_ne_bytes()).collect();
        let _ = (tables::decode_inflight(&bytes), tables::decode_tasks(&bytes), tables::decode_locks(&bytes));
    }
}
