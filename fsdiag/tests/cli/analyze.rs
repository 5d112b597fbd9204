//! `fsdiag analyze` over event files: each kind of trouble gives its verdict, health and damage give none.

use std::{fs, path::Path, process::Command};

use fsd_events::{
    event::{
        Beat, Body, Enter, Event, Exit, Head, LockKind, LockMode, LockStep, Phase, PhaseChange, Progress, Stall,
        StalledOp, Start, Step, TaskEnd, TaskKind, TaskStart, Wait,
    },
    ids::{Fh, Ino, OpId, RunId, Unique},
    line,
    op::Op,
};
use fsdiag::engine::report::{Cause, Confidence, Report};

/// An event file in the making; times in seconds.
struct Record {
    run: u64,
    seq: u64,
    bytes: Vec<u8>,
}

impl Record {
    fn new() -> Self {
        let mut record = Self { run: 7, seq: 0, bytes: Vec::new() };
        record.start(0.0);
        record
    }

    fn say(&mut self, at: f64, body: Body<'_>) -> &mut Self {
        let mono_us = (at * 1e6) as u64;
        let ts_us = 1_795_000_000_000_000 + mono_us;
        let head = Head { run: RunId(self.run), mount_run: RunId(1), seq: self.seq, ts_us, mono_us };
        self.seq += 1;
        line::encode(&Event { head, body, carried: false, late: false }, &mut self.bytes);
        self
    }

    fn start(&mut self, at: f64) {
        let start = Start {
            schema: 1,
            pid: 4711,
            workers: 4,
            mount: "/mnt".into(),
            recorder: "shared".into(),
            ..Start::default()
        };
        self.say(at, Body::Start(Box::new(start)));
    }

    fn enter(&mut self, at: f64, id: u64, op: Op) -> &mut Self {
        let path = Some("Staged/a/movie.mkv".into());
        self.say(
            at,
            Body::Enter(Enter {
                id: OpId(id),
                op,
                thread: "fuser-1".into(),
                tid: 5,
                unique: Unique(2 * id),
                resent: false,
                pid: 1,
                ino: Ino(2),
                fh: Some(Fh(3)),
                path,
                off: None,
                len: None,
                count: None,
            }),
        )
    }

    fn exit(&mut self, at: f64, id: u64, op: Op, us: u64) -> &mut Self {
        self.say(at, Body::Exit(Exit { id: OpId(id), op, us, errno: 0, bytes: 0, detached: false }))
    }

    fn lock(&mut self, at: f64, id: u64, lock: &'static str, step: Step, holder: u64) -> &mut Self {
        let holder = vec![OpId(holder)];
        let (kind, mode) = (LockKind::Mutex, LockMode::Write);
        self.say(at, Body::Lock(LockStep { id: OpId(id), lock: lock.into(), kind, mode, step, holder, us: 0 }))
    }

    fn beat(&mut self, at: f64, inflight: &[(Op, u64)], oldest_us: u64, kernel_waiting: u64) -> &mut Self {
        let beat = Beat {
            inflight: inflight.to_vec(),
            oldest_us,
            workers: 4,
            workers_busy: 4,
            loops_alive: 4,
            kernel_waiting: Some(kernel_waiting),
            ..Beat::default()
        };
        self.say(at, Body::Beat(Box::new(beat)))
    }

    /// A second of ordinary work.
    fn busy(&mut self, from: f64) -> &mut Self {
        for n in 0..20 {
            let (id, at) = (10_000 + self.seq, from + f64::from(n) * 0.05);
            self.enter(at, id, Op::Getattr).exit(at + 0.001, id, Op::Getattr, 1000);
        }
        self
    }

    fn download(&mut self, at: f64, id: u64) -> &mut Self {
        let path = Some("Staged/a/movie.mkv".into());
        self.say(
            at,
            Body::Task(TaskStart { id: OpId(id), task: TaskKind::Download, parent: None, fh: Some(Fh(3)), path }),
        )
    }

    fn progress(&mut self, at: f64, id: u64, have: u64, state: &'static str) -> &mut Self {
        self.say(at, Body::Progress(Progress { id: OpId(id), have, want: 1_000_000, state: state.into() }))
    }

    fn wait(&mut self, at: f64, id: u64, on: u64, to: u64) -> &mut Self {
        self.say(at, Body::Wait(Wait { id: OpId(id), on: Some(OpId(on)), need: (to - 4096, to) }))
    }
}

fn run(args: &[&str], stdin: &[u8]) -> (i32, String, String) {
    use std::{io::Write as _, process::Stdio};
    let mut child = Command::new(env!("CARGO_BIN_EXE_fsdiag"))
        .args(args)
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(stdin).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

fn analyze(bytes: &[u8]) -> (i32, Report) {
    let (code, out, err) = run(&["analyze", "--format", "json", "-"], bytes);
    (code, serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}{err}")))
}

/// The first verdict: its cause, how sure, and whose id.
fn verdict(bytes: &[u8]) -> (Cause, Confidence, String) {
    let (code, report) = analyze(bytes);
    let first = report.verdicts.first().unwrap_or_else(|| panic!("no verdict: {report:?}"));
    assert_eq!((code, report.healthy), (1, false));
    assert!(!first.evidence.is_empty() && first.evidence.iter().all(|e| e.line > 0 && e.text.contains("\"ev\"")));
    (first.cause, first.confidence, first.culprit.clone().and_then(|c| c.id).unwrap_or_default())
}

fn pile_up() -> Record {
    let mut r = Record::new();
    r.busy(1.0).enter(3.0, 456, Op::Release).lock(3.001, 456, "handles", Step::Hold, 456);
    r.say(3.002, Body::Phase(PhaseChange { id: OpId(456), phase: Phase::Close, detail: "closing a store".into() }));
    for id in [457, 458] {
        r.enter(3.1, id, Op::Getattr).lock(3.2, id, "handles", Step::Wait, 456);
    }
    r.enter(3.1, 459, Op::Readdir).lock(3.2, 459, "handles", Step::Wait, 456);
    r.beat(37.2, &[(Op::Release, 1), (Op::Getattr, 2), (Op::Readdir, 1)], 34_200_000, 21);
    r
}

#[test]
fn a_pile_up_names_the_holder_those_who_wait_and_what_is_unread() {
    let (_, report) = analyze(&pile_up().bytes);
    let first = &report.verdicts[0];
    assert_eq!((first.cause, first.confidence), (Cause::LockPileup, Confidence::Certain));
    assert_eq!(first.waiters.len(), 3);
    assert!(
        first.sentence.starts_with("Release #456 has held lock `handles` (write) for 34.2 s while closing a store"),
        "{}",
        first.sentence
    );
    assert!(
        first.sentence.contains(
            "3 operations wait behind it (2 Getattr, 1 Readdir), and 17 requests that the daemon has not read"
        ),
        "{}",
        first.sentence
    );
    assert!(first.isolate.contains(&"debug_skip_eviction".to_owned()));
    assert!(first.advice.iter().any(|a| a.contains("if the hangs stop, the bug is in the eviction or close path")));
    assert_eq!((report.kernel_waiting, report.orphans.len(), report.inflight["Getattr"]), (Some(21), 4, 2));
}

#[test]
fn a_cycle_is_certain() {
    let mut r = Record::new();
    r.enter(1.0, 39, Op::Read).lock(1.1, 39, "file", Step::Hold, 39);
    r.enter(1.0, 40, Op::Release).lock(1.1, 40, "fs", Step::Hold, 40);
    r.lock(1.2, 39, "fs", Step::Wait, 40).lock(1.2, 40, "file", Step::Wait, 39);
    r.beat(20.0, &[(Op::Read, 1), (Op::Release, 1)], 19_000_000, 2);
    let (cause, confidence, id) = verdict(&r.bytes);
    assert_eq!((cause, confidence), (Cause::DeadlockCycle, Confidence::Certain));
    assert!(id == "39" || id == "40");
}

#[test]
fn readers_without_bytes_are_told_apart_by_what_their_download_does() {
    let parked = |have: u64, state: &'static str| {
        let mut r = Record::new();
        r.download(1.0, 9).progress(1.5, 9, have, state).enter(2.0, 77, Op::Read).wait(2.1, 77, 9, 500_000);
        r
    };
    let mut r = parked(300_000, "running");
    r.beat(30.0, &[(Op::Read, 1)], 28_000_000, 1);
    assert_eq!(verdict(&r.bytes), (Cause::UpstreamStall, Confidence::Certain, "77".into()));
    let mut r = parked(1_000_000, "complete");
    r.beat(30.0, &[(Op::Read, 1)], 28_000_000, 1);
    assert_eq!(verdict(&r.bytes), (Cause::LostWakeup, Confidence::Certain, "77".into()));
    let mut r = parked(300_000, "running");
    let ended = TaskEnd { id: OpId(9), task: Some(TaskKind::Download), us: 1, outcome: "cancelled".into() };
    r.say(3.0, Body::TaskEnd(ended)).beat(30.0, &[(Op::Read, 1)], 28_000_000, 1);
    assert_eq!(verdict(&r.bytes), (Cause::OrphanedFetch, Confidence::Certain, "77".into()));
}

#[test]
fn a_stall_of_the_daemons_own_watchdog_counts_before_ten_seconds() {
    let mut r = Record::new();
    r.enter(1.0, 5, Op::Release).lock(1.1, 5, "handles", Step::Hold, 5);
    r.enter(1.2, 6, Op::Open).lock(1.3, 6, "handles", Step::Wait, 5);
    let ops = vec![StalledOp { id: OpId(5), op: Op::Release, us: 4_000_000 }];
    r.say(5.0, Body::Stall(Box::new(Stall { ops, ..Stall::default() })));
    assert_eq!(verdict(&r.bytes), (Cause::LockPileup, Confidence::Certain, "5".into()));
}

#[test]
fn health_restarts_and_slow_operations_are_no_verdict() {
    let mut r = Record::new();
    r.busy(1.0).enter(2.0, 77, Op::Read).exit(10.0, 77, Op::Read, 8_000_000).beat(12.0, &[], 0, 0);
    let (code, report) = analyze(&r.bytes);
    assert_eq!((code, report.healthy), (0, true), "{report:?}");
    let slow = report.notes.iter().find(|n| n.kind == "slow").unwrap();
    let (input, line) = (&report.inputs[0].path, report.inputs[0].lines - 1);
    assert_eq!(slow.text, format!("Read #77 took 8.0 s and completed ({input} line {line})"));
    // A new run: what the old one left open ended with it.
    r.enter(13.0, 90, Op::Read);
    (r.run, r.seq) = (8, 0);
    r.start(14.0);
    r.busy(15.0).beat(40.0, &[], 0, 0);
    let (code, report) = analyze(&r.bytes);
    assert_eq!((code, report.healthy, report.orphans.len()), (0, true, 0), "{report:?}");
    let restart = report.notes.iter().find(|n| n.kind == "restart").unwrap();
    assert!(restart.text.contains("; 1 request that was open ended with it"), "{restart:?}");
}

#[test]
fn damage_is_counted_and_changes_nothing() {
    let mut bytes = pile_up().bytes;
    bytes.extend_from_slice(&[0; 4096]);
    bytes.extend_from_slice(b"\n{\"run\":\"000000000000\xff\xfe\n");
    bytes.extend_from_slice(&pile_up().bytes[..100]);
    let (cause, confidence, id) = verdict(&bytes);
    assert_eq!((cause, confidence, id.as_str()), (Cause::LockPileup, Confidence::Certain, "456"));
    let (whole, damaged) = (analyze(&pile_up().bytes).1, analyze(&bytes).1);
    assert_eq!((whole.loss.bad_lines, damaged.loss.bad_lines), (0, 3), "NULs, a garbled line, and a torn one");
    // What stands behind NULs on the same line is not lost.
    let torn = [&[0; 4096][..], &pile_up().bytes].concat();
    assert_eq!(analyze(&torn).1.inputs, whole.inputs);
}

#[test]
fn what_nobody_answers_is_no_loss() {
    let mut r = Record::new();
    for (id, op) in [(1, Op::Getattr), (2, Op::Forget), (3, Op::BatchForget), (4, Op::Destroy)] {
        r.enter(1.0, id, op).exit(1.5, id, op, 9);
    }
    let (code, report) = analyze(&r.bytes);
    assert_eq!((code, report.healthy, report.loss.lone_exits), (0, true, 0), "{report:?}");
}

#[test]
fn rotated_and_packed_files_may_be_named_in_any_order() {
    use std::io::Write as _;
    let dir = tempfile::tempdir().unwrap();
    let bytes = pile_up().bytes;
    let cut = bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').nth(40).map_or(0, |(at, _)| at + 1);
    let (old, new) = (dir.path().join("events-7.000001.jsonl"), dir.path().join("events-7.jsonl.gz"));
    fs::write(&old, &bytes[..cut]).unwrap();
    let mut packed = flate2::write::GzEncoder::new(fs::File::create(&new).unwrap(), flate2::Compression::fast());
    packed.write_all(&bytes[cut..]).unwrap();
    packed.finish().unwrap();
    let report = |names: [&Path; 2]| {
        let names = names.map(|n| n.to_str().unwrap());
        let (code, out, _) = run(&["analyze", "--format", "json", names[0], names[1]], b"");
        assert_eq!(code, 1);
        serde_json::from_str::<Report>(&out).unwrap()
    };
    assert_eq!(report([&old, &new]), report([&new, &old]));
    assert_eq!(report([&old, &new]).verdicts[0].culprit.as_ref().unwrap().id.as_deref(), Some("456"));
}

#[test]
fn exit_codes_are_those_of_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let (empty, stall) = (dir.path().join("empty"), dir.path().join("stall.jsonl"));
    fs::write(&empty, "").unwrap();
    fs::write(&stall, pile_up().bytes).unwrap();
    let (empty, stall) = (empty.to_str().unwrap(), stall.to_str().unwrap());
    let code = |args: &[&str]| run(args, b"").0;
    assert_eq!(code(&["analyze", stall]), 1);
    assert_eq!(code(&["analyze", "--fail-on", "never", stall]), 0);
    assert_eq!(code(&["analyze", "--fail-on", "upstream_stall", stall]), 0);
    assert_eq!(code(&["analyze", "--fail-on", "nonsense", stall]), 2);
    assert_eq!(code(&["analyze", "--no-such-flag"]), 2);
    assert_eq!(code(&["analyze", empty]), 3);
    assert_eq!(code(&["analyze", "/no/such/file"]), 3);
    let (code, text, _) = run(&["analyze", dir.path().to_str().unwrap()], b"");
    assert_eq!(code, 1);
    assert!(text.starts_with("! Release #456 has held lock `handles`"), "{text}");
}

#[test]
fn tail_says_when_a_stall_forms() {
    let (code, text, _) = run(&["tail", "-"], &pile_up().bytes);
    assert_eq!(code, 1);
    assert!(text.contains("!! lock_pileup (certain): Release #456"), "{text}");
    assert!(text.contains("?  Release #456 Staged/a/movie.mkv has been open for 34.2 s"), "{text}");
}

#[test]
fn tail_of_nothing_that_is_known_ends_as_analyze_does() {
    assert_eq!(run(&["tail", "-"], b"").0, 3);
    assert_eq!(run(&["tail", "-"], b"When you unmount it, retry.\n").0, 3);
    assert_eq!(run(&["tail", "-"], b"[FUSE] Read ENTER (id=1)\n[FUSE] Read EXIT (id=1)\n").0, 0);
}

#[test]
fn tail_in_json_is_the_report_with_its_lines() {
    let (_, text, _) = run(&["tail", "--format", "json", "-"], &pile_up().bytes);
    let report: Report = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let evidence = &report.verdicts[0].evidence;
    assert!(!evidence.is_empty() && evidence.iter().all(|e| e.text.contains("\"ev\"")), "{evidence:?}");
    let (_, whole) = analyze(&pile_up().bytes);
    assert_eq!(report.verdicts, whole.verdicts);
}

#[test]
fn who_was_in_flight_when_the_kernel_counted_is_not_unread_after_its_end() {
    let mut r = pile_up();
    r.say(37.3, Body::Stall(Box::new(Stall { kernel_waiting: Some(4), ..Stall::default() })));
    r.beat(38.0, &[(Op::Release, 1), (Op::Getattr, 2), (Op::Readdir, 1)], 35_000_000, 4);
    for (id, op) in [(456, Op::Release), (457, Op::Getattr), (458, Op::Getattr), (459, Op::Readdir)] {
        r.exit(38.5, id, op, 35_000_000);
    }
    let (code, report) = analyze(&r.bytes);
    assert_eq!((code, report.healthy), (0, true), "{:?}", report.verdicts);
}

/// The first pulse comes before the loops: a worker that is stopped then was said to have none.
#[test]
fn a_pulse_that_has_stopped_says_nothing_of_the_loops() {
    let mut r = Record::new();
    let beat = Beat { workers: 4, loops_alive: 0, kernel_waiting: Some(1), ..Beat::default() };
    r.say(0.1, Body::Beat(Box::new(beat)));
    assert_eq!(verdict(&r.bytes), (Cause::UnreadQueue, Confidence::Certain, String::new()));
    r.busy(11.0);
    let (_, report) = analyze(&r.bytes);
    assert!(report.verdicts.iter().all(|verdict| verdict.cause != Cause::UnreadQueue), "{:?}", report.verdicts);
}

#[test]
fn questions_that_nothing_can_answer_are_told_from_healthy_answers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.jsonl");
    fs::write(&path, &pile_up().bytes).unwrap();
    let file = path.to_str().unwrap();
    let (code, text, problem) = run(&["analyze", file, "--since", "2040-01-01 00:00:00"], b"");
    assert_eq!(code, 3, "{text}");
    assert!(!text.contains("healthy") && problem.contains("no event lies in the time"), "{text}{problem}");
    for wrong in [["--op", "Bogus"], ["--stalled-after", "nan"], ["--stalled-after", "inf"]] {
        assert_eq!(run(&["analyze", file, wrong[0], wrong[1]], b"").0, 2, "{wrong:?}");
    }
    assert_eq!(run(&["analyze", file, "--op", "GETATTR"], b"").0, 1);
}

#[test]
fn a_time_that_is_no_number_of_seconds_is_a_wrong_use_of_any_command() {
    for command in [["attach", "/", "--for"], ["attach", "/", "--stalled-after"], ["tail", "/", "--for"]] {
        for wrong in ["nan", "inf", "-1", "soon"] {
            assert_eq!(run(&[&command[..], &[wrong]].concat(), b"").0, 2, "{command:?} {wrong}");
        }
    }
    for command in ["mounts", "isolate"] {
        assert_eq!(run(&[command, "--stalled-after", "nan"], b"").0, 2, "{command}");
    }
}
