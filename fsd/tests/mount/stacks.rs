//! Stack dumps of a mount at work: they say what waits for what, and nobody who uses the mount notices them.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use fsd_events::{
    event::{Phase, TaskKind},
    op::Op,
    stacks::{self, Cause, Doing, OpWait, StackSource},
};

use super::support::*;

const MIB: u64 = 1 << 20;

/// Asks for a dump and returns its text.
fn dump(mounted: &Mounted) -> String {
    let out = mounted.fsd(&["dump"]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    let file = PathBuf::from(text(&out.stdout).trim_end());
    fs::read_to_string(file).unwrap()
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
