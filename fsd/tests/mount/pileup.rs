//! Pile-ups: Release closes under the lock while the origin stalls, and the diagnosis names it, whoever waits where.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    thread::{self, JoinHandle},
};

use fsd::platform::clock;
use serde_json::Value;

use super::support::*;

const MIB: u64 = 1 << 20;
const READERS: usize = 16;
const LISTERS: usize = 2;
/// From the ENTER of the Release to the verdict, with the default thresholds.
const VERDICT_US: u64 = 13_000_000;

/// A mount whose Release is stuck, with readers and `ls` loops behind it.
struct Pileup {
    origin: Origin,
    mounted: Mounted,
    readers: Vec<JoinHandle<bool>>,
    listers: Listers,
    release: Value,
}

impl Pileup {
    fn new(args: &[&str]) -> Self {
        let origin = Origin::start().unwrap();
        origin.file("a", 64 * MIB).fault("a", Fault::StallAt(MIB));
        let names: Vec<String> = (0..READERS).map(|n| format!("other{n}")).collect();
        names.iter().for_each(|name| _ = origin.file(name, MIB));
        let bug = |command: &mut Command| {
            command.env("FAILPOINTS", "release::close_under_lock=return");
        };
        let args = [&["--inactivity-timeout=60s"], args].concat();
        let mounted = try_mount(Dirs::new(), Some(&origin.url("")), &args, bug).ok().unwrap();
        let others: Vec<File> = names.iter().map(|name| File::open(mounted.path(name)).unwrap()).collect();
        let mut file = File::open(mounted.path("a")).unwrap();
        file.read_exact(&mut [0; 1000]).unwrap();
        mounted.await_event(|event| event["ev"] == "progress" && event["have"] == MIB && event["want"] == 64 * MIB);
        drop(file);
        let release = mounted.await_event(|event| event["ev"] == "enter" && event["op"] == "Release");
        let read = |file: File| move || file.read_at(&mut [0; 100], 0).is_ok_and(|got| got == 100);
        let readers = others.into_iter().map(|file| thread::Builder::new().spawn(read(file)).unwrap()).collect();
        let listers = Listers::start(&mounted.dir());
        Self { origin, mounted, readers, listers, release }
    }

    /// Waits for the stall and gives it, with what fsdiag says of the record so far.
    fn diagnosed(&self) -> (Value, Value) {
        let stall = self.mounted.await_event(|event| event["ev"] == "stall");
        let output = Command::new(fsdiag()).args(["analyze", "--format", "json"]).arg(self.mounted.events()).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
        (stall, serde_json::from_slice(&output.stdout).unwrap())
    }

    /// The origin goes on, and so does everybody.
    fn end(self) {
        self.origin.heal().release();
        for reader in self.readers {
            assert!(reader.join().unwrap(), "who waited is served in the end");
        }
        self.mounted.await_event(|event| event["ev"] == "stall_end");
        drop(self.listers);
        let record = self.mounted.finish();
        assert_eq!(orphans(&record), Vec::<String>::new());
        assert_eq!(count(&record, "stall"), 1, "one episode, one stall");
    }
}

/// `ls -l` on and on; they end when dropped.
struct Listers(Vec<Child>);

impl Listers {
    fn start(dir: &Path) -> Self {
        let start = |_| {
            let mut shell = Command::new("sh");
            shell.args(["-c", "while ls -l \"$0\" >/dev/null 2>&1; do :; done"]).arg(dir);
            shell.stdin(Stdio::null()).spawn().unwrap()
        };
        Self((0..LISTERS).map(start).collect())
    }
}

impl Drop for Listers {
    fn drop(&mut self) {
        for shell in &mut self.0 {
            drop(shell.kill().and_then(|()| shell.wait()));
        }
    }
}

/// The companion stands beside the program under test, where the whole workspace is built.
fn fsdiag() -> PathBuf {
    program().with_file_name("fsdiag")
}

fn have_fsdiag() -> bool {
    let built = fsdiag().exists();
    if !built {
        skip("fsdiag", "no such program beside fsd", "cargo build --workspace");
    }
    built
}

/// `fsdiag tail` on a record that grows; killed when dropped.
struct Tail(Child, BufReader<ChildStdout>);

impl Tail {
    fn start(events: &Path) -> Self {
        let mut tail = Command::new(fsdiag());
        tail.args(["tail", "--quiet", "--for", "60"]).arg(events).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = tail.spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        Self(child, said)
    }

    /// The first line that names a cause, or everything it said until its end.
    fn verdict(mut self) -> String {
        let mut said = String::new();
        while !said.contains("lock_pileup") && self.1.read_line(&mut said).unwrap() > 0 {}
        drop(self.0.kill().and_then(|()| self.0.wait()));
        said
    }
}

fn waiters(verdict: &Value) -> usize {
    verdict["waiters"].as_array().map_or(0, Vec::len)
}

/// M of "and M requests that the daemon has not read".
fn unread(verdict: &Value) -> u64 {
    let sentence = verdict["sentence"].as_str().unwrap();
    let (before, _) = sentence.split_once(" that the daemon has not read").expect(sentence);
    before.rsplit(' ').nth(1).and_then(|number| number.parse().ok()).expect(sentence)
}

fn piles_up(loops: usize) {
    if !have_fsdiag() {
        return;
    }
    let pileup = Pileup::new(&["--threads", &loops.to_string()]);
    let tail = Tail::start(&pileup.mounted.events());
    let entered = pileup.release["mono_us"].as_u64().unwrap();
    let said = tail.verdict();
    let took = clock::now_mono_us() - entered;
    assert!(said.contains("lock_pileup") && said.contains(&format!(": Release #{}", pileup.release["id"])), "{said}");
    assert!(took < VERDICT_US, "{took} us from ENTER to verdict");
    let (stall, report) = pileup.diagnosed();
    let took = stall["mono_us"].as_u64().unwrap() - entered;
    assert!(took < VERDICT_US, "{took} us from ENTER to stall");
    let verdict = &report["verdicts"][0];
    let culprit = &verdict["culprit"];
    assert_eq!((&verdict["cause"], &verdict["confidence"]), (&"lock_pileup".into(), &"certain".into()), "{verdict}");
    assert_eq!((&culprit["op"], &culprit["lock"]), (&"Release".into(), &"handles".into()), "{verdict}");
    assert_eq!(culprit["id"], pileup.release["id"].to_string(), "{verdict}");
    // All other loops wait with an ENTER; who came later is in the kernel.
    assert_eq!(waiters(verdict), loops - 1, "{verdict}");
    let late = READERS + LISTERS - (loops - 1);
    assert_eq!(unread(verdict), late as u64, "{verdict}");
    pileup.end();
}

#[test]
fn with_four_loops_the_release_is_named_with_its_waiters_and_the_unread() {
    piles_up(4);
}

#[test]
fn with_sixteen_loops_the_release_is_named_with_its_waiters_and_the_unread() {
    piles_up(16);
}

#[test]
fn with_one_thread_the_worker_is_starved_and_the_release_that_takes_it_is_named() {
    if !have_fsdiag() {
        return;
    }
    let quick = ["--debug-fskit-single-thread", "--stalled-after=2s", "--watchdog-interval=200ms"];
    let pileup = Pileup::new(&quick);
    let (_, report) = pileup.diagnosed();
    let verdict = &report["verdicts"][0];
    assert_eq!(verdict["cause"], "worker_starvation", "{verdict}");
    assert_eq!(verdict["culprit"]["op"], "Release", "{verdict}");
    assert_eq!(verdict["culprit"]["id"], pileup.release["id"].to_string(), "{verdict}");
    assert_eq!(unread(verdict), (READERS + LISTERS) as u64, "{verdict}");
    pileup.end();
}
