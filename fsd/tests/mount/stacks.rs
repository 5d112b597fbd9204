//! Stack dumps of a mount at work: they say what waits for what, and nobody who uses the mount notices them.

use std::{
    fs,
    io::Read,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use fsd_events::{
    event::{Phase, TaskKind},
    op::Op,
    stacks::{self, Cause, Doing, OpWait, StackSource},
};

use nix::sys::signal::Signal;
use serde_json::Value;

use super::support::*;

const MIB: u64 = 1 << 20;

/// What `analyze` is told to call a stall.
const STALLED: Duration = Duration::from_millis(200);

/// Asks for a dump and returns its text.
fn dump(mounted: &Mounted) -> String {
    fs::read_to_string(file_of(mounted)).unwrap()
}

/// Asks for a dump and returns its file.
fn file_of(mounted: &Mounted) -> PathBuf {
    let out = mounted.fsd(&["dump"]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    PathBuf::from(text(&out.stdout).trim_end())
}

#[test]
fn a_read_that_waits_leads_through_its_download_to_the_origin() {
    let origin = Origin::start().unwrap();
    origin.file("slow", 4 * MIB).always("slow", Fault::StallAt(MIB));
    let mounted = mount(Some(&origin.url("")), &[]);
    let path = mounted.path("slow");
    let reader = thread::Builder::new().spawn(move || fs::read(path)).unwrap();
    mounted.await_event(|event| event["ev"] == "wait");
    let written = dump(&mounted);
    let read = stacks::read(&written);
    assert!(read.is_sound(), "{:?}\n{written}", read.problems);
    let dump = read.dump;
    assert_eq!(dump.header.reason.cause, Cause::Request);
    assert_eq!(dump.header.mount.as_deref().map(Path::new), Some(&*mounted.dir()));
    let fuse = dump.header.fuse.unwrap();
    assert!(fuse.waiting >= Some(1) && fuse.workers > 0, "{fuse:?}");
    let op = dump.ops.iter().find(|op| op.op == Op::Read).unwrap();
    let OpWait::Task(id) = op.wait else { panic!("the read waits for nothing: {op:?}") };
    let task = dump.tasks.iter().find(|task| task.id == id).unwrap();
    assert_eq!((task.kind, task.phase.map(|(phase, _)| phase)), (TaskKind::Download, Some(Phase::Upstream)));
    let idle = dump.threads.iter().filter(|thread| thread.head.doing == Doing::FuseIdle).count();
    assert!(idle > 0, "{written}");
    for thread in dump.threads.iter().filter(|thread| thread.head.doing != Doing::Dumper) {
        assert_eq!(thread.head.stack, StackSource::Signal, "{thread:?}");
    }
    origin.heal().release();
    assert_eq!(reader.join().unwrap().unwrap().len() as u64, 4 * MIB);
    mounted.finish();
}

/// Runs the companion on dumps and gives its words, and its report.
fn analyzed(dumps: &[PathBuf]) -> (String, Value) {
    let run = |format: &str| {
        let mut fsdiag = Command::new(program().with_file_name("fsdiag"));
        let out = fsdiag.args(["analyze", "--stalled-after", "0.2", "--format", format]).args(dumps).output().unwrap();
        assert_eq!(out.status.code(), Some(1), "{}{}", text(&out.stderr), text(&out.stdout));
        text(&out.stdout)
    };
    (run("text"), serde_json::from_str(&run("json")).unwrap())
}

#[test]
fn two_dumps_of_a_stall_tell_what_waits_for_what_and_what_moved() {
    if !program().with_file_name("fsdiag").exists() {
        skip("fsdiag", "no such program beside fsd", "cargo build --workspace");
        return;
    }
    let origin = Origin::start().unwrap();
    origin.file("stuck", 4 * MIB).always("stuck", Fault::StallAt(MIB));
    origin.file("late", 4 * MIB).always("late", Fault::StallAt(MIB));
    // Slow enough to be seen by the first dump, and over by the second.
    origin.file("over", 100).always("over", Fault::Trickle(Duration::from_millis(50)));
    let mounted = mount(Some(&origin.url("")), &["--inactivity-timeout=60s"]);
    let parked = |mounted: &Mounted| mounted.recorded().iter().filter(|e| e["ev"] == "wait").count();
    let read = |name: &str| {
        let (path, before) = (mounted.path(name), parked(&mounted));
        let reader = thread::Builder::new().spawn(move || read_plainly(&path).0).unwrap();
        await_true("a read that waits", || parked(&mounted) > before);
        reader
    };
    let stuck = read("stuck");
    let over = read("over");
    let first = file_of(&mounted);
    assert_eq!(over.join().unwrap(), 100);
    let late = read("late");
    let begun = now();
    await_true("the age of a stall", || begun.elapsed() > STALLED);
    let second = file_of(&mounted);
    for file in [&first, &second] {
        // The helper puts paths in; asking for a dump does not wait for it for ever.
        await_true("paths", || fs::read_to_string(file).unwrap().contains("path=\"stuck\""));
    }
    let (words, report) = analyzed(&[second, first]);
    let verdict = &report["verdicts"][0];
    assert_eq!((&verdict["cause"], &verdict["confidence"]), (&"upstream_stall".into(), &"certain".into()), "{words}");
    let ops = report["episodes"][0]["ops"].as_array().unwrap();
    let change = |path: &str| ops.iter().find(|op| op["path"] == path).map(|op| op["change"].as_str().unwrap());
    assert_eq!(
        (change("stuck"), change("late"), change("over")),
        (Some("not_moved"), Some("new"), Some("gone")),
        "{words}"
    );
    let said = format!("Read {} waits for download ", ops[0]["id"].as_str().unwrap());
    assert!(words.contains(&said) && words.contains(", which waits for the origin since "), "{words}");
    origin.heal().release();
    assert_eq!((stuck.join().unwrap(), late.join().unwrap()), (4 * MIB, 4 * MIB));
    mounted.finish();
}

/// Stopped until it goes.
struct Stopped<'a>(&'a Mounted);

impl<'a> Stopped<'a> {
    fn new(mounted: &'a Mounted) -> Self {
        mounted.signal(Signal::SIGSTOP);
        let stat = || fs::read_to_string(format!("/proc/{}/stat", mounted.pid())).unwrap();
        await_true("a stopped fsd", || stat().contains(") T "));
        Self(mounted)
    }
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        self.0.signal(Signal::SIGCONT);
    }
}

#[test]
fn a_stopped_fsd_is_dumped_from_outside_with_its_operations_locks_and_tasks() {
    if !program().with_file_name("fsdiag").exists() {
        skip("fsdiag", "no such program beside fsd", "cargo build --workspace");
        return;
    }
    let origin = Origin::start().unwrap();
    origin.file("a", 64 * MIB).fault("a", Fault::StallAt(MIB)).file("other", MIB);
    let bug = |command: &mut Command| {
        command.env("FAILPOINTS", "release::close_under_lock=return");
    };
    let args = ["--inactivity-timeout=60s", "--no-supervisor"];
    let mounted = try_mount(Dirs::new(), Some(&origin.url("")), &args, bug).ok().unwrap();
    let other = fs::File::open(mounted.path("other")).unwrap();
    let mut file = fs::File::open(mounted.path("a")).unwrap();
    file.read_exact(&mut [0; 1000]).unwrap();
    mounted.await_event(|event| event["ev"] == "progress" && event["have"] == MIB && event["want"] == 64 * MIB);
    drop(file);
    let release = mounted.await_event(|event| event["ev"] == "enter" && event["op"] == "Release");
    let behind = thread::Builder::new().spawn(move || other.read_at(&mut [0; 100], 0).unwrap()).unwrap();
    // Told again after a second: what waits has then waited for longer than any quick operation takes.
    mounted.await_event(|event| {
        let waited = event["step"] == "wait" && event["us"].as_u64() >= Some(1_000_000);
        event["ev"] == "lock" && event["lock"] == "handles" && waited
    });
    let file = mounted.dirs().root().join("outside.log");
    let said = {
        let _stopped = Stopped::new(&mounted);
        let fsdiag = program().with_file_name("fsdiag");
        let mut dump = mounted.home().command(&fsdiag);
        let out = dump.args(["dump", "--no-names", "-o"]).arg(&file).arg(mounted.pid().to_string()).output().unwrap();
        assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
        text(&out.stderr)
    };
    assert!(said.contains("they pause one after the other, for "), "{said}");
    let written = fs::read_to_string(&file).unwrap();
    let read = stacks::read(&written);
    assert!(read.is_sound(), "{:?}\n{written}", read.problems);
    let dump = read.dump;
    let op = |op: Op| dump.ops.iter().find(|line| line.op == op).unwrap();
    assert_eq!(
        (op(Op::Release).id.0.into(), op(Op::Release).path.as_deref()),
        (release["id"].clone(), Some("a")),
        "{written}"
    );
    let lock = dump.locks.iter().find(|lock| lock.head.name == "handles").unwrap();
    assert_eq!(
        (lock.holders[0].op, op(Op::Read).wait),
        (op(Op::Release).id, OpWait::Lock(lock.head.number)),
        "{written}"
    );
    assert!(dump.tasks.iter().any(|task| task.kind == TaskKind::Download), "{written}");
    let (words, report) = analyzed(&[file]);
    let verdict = &report["verdicts"][0];
    assert_eq!((&verdict["cause"], &verdict["confidence"]), (&"lock_pileup".into(), &"certain".into()), "{words}");
    assert_eq!(
        (&verdict["culprit"]["op"], &verdict["culprit"]["lock"]),
        (&"Release".into(), &"handles".into()),
        "{words}"
    );
    assert!(words.contains("waits for lock `handles`, held by Release "), "{words}");
    origin.heal().release();
    assert_eq!(behind.join().unwrap(), 100);
    mounted.finish();
}

/// Size and checksum, with `read` and not `read_to_end`: an EINTR is a failure.
fn read_plainly(path: &Path) -> (u64, u64) {
    let mut file = fs::File::open(path).unwrap();
    let (mut sum, mut total, mut buffer) = (Checksum::default(), 0, vec![0; 1 << 17]);
    loop {
        let got = file.read(&mut buffer).unwrap();
        if got == 0 {
            return (total, sum.sum());
        }
        total += got as u64;
        sum.update(&buffer[..got]);
    }
}

/// Sets it when it goes, also on a panic.
struct Finally<'a>(&'a AtomicBool);

impl Drop for Finally<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn dumps_under_load_cost_no_reader_an_error() {
    const READERS: usize = 4;
    let origin = Origin::start().unwrap();
    let names: Vec<String> = (0..READERS).map(|n| format!("file{n}")).collect();
    for name in &names {
        origin.file(name, 2 * MIB);
    }
    let mounted = mount(Some(&origin.url("")), &[]);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let readers: Vec<_> = names
            .iter()
            .map(|name| {
                let (path, done) = (mounted.path(name), &done);
                scope.spawn(move || {
                    let mut rounds = 0;
                    while rounds == 0 || !done.load(Ordering::Relaxed) {
                        assert_eq!(read_plainly(&path), (2 * MIB, checksum(name, 2 * MIB)));
                        rounds += 1;
                    }
                    rounds
                })
            })
            .collect();
        // A dump that fails must end the readers too.
        let end = Finally(&done);
        for _ in 0..5 {
            let written = dump(&mounted);
            let read = stacks::read(&written);
            assert!(read.is_sound(), "{:?}", read.problems);
        }
        drop(end);
        readers.into_iter().for_each(|reader| assert!(reader.join().unwrap() > 0));
    });
    let record = mounted.finish();
    let failed = record.iter().filter(|event| event["ev"] == "exit" && event["errno"].as_u64() == Some(4)).count();
    assert_eq!(failed, 0, "operations that ended with EINTR");
}
