//! Health: what must be so during a fault and after it, whatever the fault was.

use std::{
    fs::File,
    io::Read,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::{Builder, JoinHandle},
    time::Duration,
};

use serde_json::Value;

use super::support::*;

/// What is answered from memory takes less, also on a loaded machine.
pub(crate) const AT_ONCE: Duration = Duration::from_secs(5);
/// A file that no test spoils.
const WELL: &str = "well.bin";
const WELL_SIZE: u64 = (1 << 20) + 17;

/// An origin with a file that stays well.
pub(crate) fn origin() -> Origin {
    let origin = Origin::start().unwrap();
    origin.file(WELL, WELL_SIZE);
    origin
}

/// A command that cannot hang the test; whether it ended well in time.
pub(crate) fn in_time(program: &str, args: &[&str], path: &Path) -> bool {
    let limit = AT_ONCE.as_secs().to_string();
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", &limit, program]).args(args).arg(path);
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
}

/// Reads `len` bytes at `off` with none of them from the kernel's cache.
pub(crate) fn read_anew(path: &Path, off: u64, len: usize) -> std::io::Result<Vec<u8>> {
    let file = File::open(path)?;
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, off).map(|()| bytes)
}

/// A read in the background: its error number, or the bytes, and how long it took.
pub(crate) type Reading = JoinHandle<(Result<Vec<u8>, i32>, Duration)>;

pub(crate) fn reading(path: PathBuf, off: u64, len: usize) -> Reading {
    let read = move || {
        let start = now();
        let got = read_anew(&path, off, len).map_err(|error| error.raw_os_error().unwrap_or(0));
        (got, start.elapsed())
    };
    Builder::new().name("client".into()).spawn(read).unwrap()
}

/// A process that reads the file to its end.
pub(crate) fn cat(path: &Path) -> std::process::Child {
    Command::new("cat").arg(path).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Operations that all reach the daemon.
pub(crate) fn operations(mounted: &Mounted, count: usize) {
    for _ in 0..count {
        rustix::fs::statvfs(mounted.dir()).unwrap();
    }
}

/// Whoever does not want the spoilt bytes notices nothing.
pub(crate) fn serves(mounted: &Mounted, origin: &Origin) {
    assert!(in_time("ls", &["-l"], &mounted.dir()), "ls hangs or fails");
    let well = reading(mounted.path(WELL), 0, WELL_SIZE as usize).join().unwrap().0;
    assert!(well == Ok(origin.bytes(WELL, 0, WELL_SIZE as usize)), "the other file: {:?}", well.err());
}

/// It serves, and nobody who was in trouble has left anything behind.
pub(crate) fn nothing_is_left(mounted: &Mounted, origin: &Origin) {
    serves(mounted, origin);
    let mut last = Value::Null;
    let idle = |status: &Value| {
        let zero = |key: &str| status[key].as_u64().is_none_or(|n| n == 0);
        let quiet = status["inflight"].as_array().is_none_or(|ops| ops.iter().all(|op| op[1] == 0));
        quiet && ["kernel_waiting", "open_handles", "stores", "closing", "reaping", "disk_used"].iter().all(|k| zero(k))
    };
    let until = now() + SOON;
    while !idle(&last) {
        assert!(now() < until, "left behind: {last}");
        last = mounted.status();
    }
    await_true("the temp files", || files(&mounted.home().temp()).is_empty());
    await_true("the descriptors", || mounted.more_files().is_empty());
}

/// Tasks without an end; a thread's own, outside any operation, lives as long as the thread.
pub(crate) fn open_tasks(record: &[Value]) -> Vec<String> {
    let ended = |id: &Value| record.iter().any(|event| event["ev"] == "task_end" && event["id"] == *id);
    let tasks =
        record.iter().filter(|event| event["ev"] == "task" && event["task"] != "thread" && !ended(&event["id"]));
    tasks.map(|event| event.to_string()).collect()
}

/// TERM, a clean end, and a record in which everything that began has ended.
pub(crate) fn finish_clean(mounted: Mounted) -> Vec<Value> {
    let record = mounted.finish();
    assert_eq!(orphans(&record), Vec::<String>::new());
    assert_eq!(open_tasks(&record), Vec::<String>::new());
    record
}

/// Bytes as they come, until the end or an error.
pub(crate) fn drain(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    let read = move || {
        let mut bytes = Vec::new();
        drop(from.read_to_end(&mut bytes));
        text(&bytes)
    };
    Builder::new().name("drain".into()).spawn(read).unwrap()
}
