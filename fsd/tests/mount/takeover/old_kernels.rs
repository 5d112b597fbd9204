//! Old kernels: they send nothing again to the next worker, which answers from the table of the one before; what was
//! lost even so fails, and the mount is made anew.

use std::{
    fs::{self, File},
    os::unix::fs::{FileExt, MetadataExt},
    path::Path,
};

use super::{super::support::*, *};

const OLD: [&str; 2] = ["--failpoint", "fuse::no_resend=return"];
/// Nothing gives up while a test looks.
const LONG: [&str; 2] = ["--meta-timeout=100s", "--first-byte-timeout=100s"];
const SIZE: u64 = 4 * MIB;

fn on_an_old_kernel(origin: &Origin, more: &[&str]) -> Mounted {
    let mounted = mount(Some(&origin.url("")), &[&OLD[..], more].concat());
    await_true("the warning", || mounted.messages().contains("does not send requests again"));
    mounted
}

/// Who waits for an answer: a read of bytes that do not come, and a look into a directory that does not come either.
struct Waiting {
    read: JoinHandle<Vec<u8>>,
    names: JoinHandle<Vec<String>>,
}

impl Waiting {
    fn start(mounted: &Mounted) -> Self {
        let (file, listed) = (File::open(mounted.path("b")).unwrap(), mounted.path("listed"));
        let read = in_background(move || {
            let mut bytes = vec![0; 1000];
            file.read_exact_at(&mut bytes, 3 * MIB).unwrap();
            bytes
        });
        let waiting = Self { read, names: in_background(move || names(&listed)) };
        await_in_flight(mounted, &["Read\"", "Readdir"]);
        waiting
    }

    fn finish(self, origin: &Origin) {
        assert!(self.read.join().unwrap() == origin.bytes("b", 3 * MIB, 1000));
        assert_eq!(self.names.join().unwrap(), ["x", "y"]);
    }
}

fn await_in_flight(mounted: &Mounted, ops: &[&str]) {
    await_true("requests that wait", || {
        let status = mounted.status()["inflight"].to_string();
        ops.iter().all(|op| status.contains(op))
    });
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn slow_origin() -> Origin {
    let origin = Origin::start().unwrap();
    origin.file("b", SIZE).file("listed/x", 1).file("listed/y", 1).file("entered/c", 77);
    origin.always("b", Fault::StallAt(MIB)).always("listed/", Fault::Silent).always("entered/", Fault::Silent);
    origin
}

#[test]
fn whoever_waits_is_answered_by_the_next_worker_and_the_one_after_it() {
    let origin = slow_origin();
    let mounted = on_an_old_kernel(&origin, &LONG);
    let held = File::open(mounted.path("b")).unwrap();
    let waiting = Waiting::start(&mounted);
    let restart = mounted.fsd(&["restart"]);
    assert!(restart.status.success(), "{}{}", text(&restart.stderr), mounted.messages());
    await_in_flight(&mounted, &["Read\"", "Readdir"]);
    let old = worker(&mounted);
    send(old, Signal::SIGKILL);
    await_successor(&mounted, old);
    await_in_flight(&mounted, &["Read\"", "Readdir"]);
    origin.heal().release();
    waiting.finish(&origin);
    let mut byte = [0; 1];
    held.read_exact_at(&mut byte, SIZE - 1).unwrap();
    assert_eq!(byte[..], origin.bytes("b", SIZE - 1, 1));
    drop(held);
    let resent = all_runs(&mounted).iter().filter(|event| event["ev"] == "enter" && event["resent"] == true).count();
    assert!(resent >= 3, "{resent}");
    mounted.finish();
}

#[test]
fn a_path_is_walked_again_and_what_was_done_counts_once() {
    for op in ["Open", "Release"] {
        let origin = slow_origin();
        origin.file("c", MIB);
        let die = format!("handover::die=return({op})");
        let mounted = on_an_old_kernel(&origin, &[&LONG[..], &["--failpoint", die.as_str()][..]].concat());
        let (entered, c) = (mounted.path("entered/c"), mounted.path("c"));
        let size = in_background(move || fs::metadata(entered).unwrap().size());
        // The directory's own lookup comes first, and what follows it is lost if it is read just when the worker dies.
        assert!(origin.wait(SOON, |origin| !origin.requests_of("entered/").is_empty()));
        let old = worker(&mounted);
        assert!(fs::read(c).unwrap() == origin.bytes("c", 0, MIB as usize), "{op}");
        await_successor(&mounted, old);
        await_in_flight(&mounted, &["Lookup"]);
        origin.heal().release();
        assert_eq!(size.join().unwrap(), 77, "{op}");
        await_true("the close", || mounted.status()["open_handles"] == 0 && mounted.status()["kernel_waiting"] == 0);
        mounted.finish();
    }
}

/// The kernel walks no path again for these.
#[test]
fn what_is_asked_by_a_descriptor_is_answered_and_not_refused() {
    let origin = Origin::start().unwrap();
    origin.file("a", MIB);
    let mounted = on_an_old_kernel(&origin, &["--failpoint", "handover::die=return(Lseek)"]);
    let (held, old) = (File::open(mounted.path("a")).unwrap(), worker(&mounted));
    assert_eq!(rustix::fs::seek(&held, rustix::fs::SeekFrom::Data(7)), Ok(7));
    await_successor(&mounted, old);
    assert_eq!(rustix::fs::seek(&held, rustix::fs::SeekFrom::Hole(7)), Ok(MIB));
    drop(held);
    mounted.finish();
    let mounted = on_an_old_kernel(&origin, &["--failpoint", "handover::die=return(Statfs)"]);
    let (held, old) = (File::open(mounted.path("a")).unwrap(), worker(&mounted));
    assert_eq!(rustix::fs::fstatvfs(&held).map(|room| (room.f_bfree, room.f_namemax)), Ok((0, 255)));
    await_successor(&mounted, old);
    drop(held);
    mounted.finish();
}

#[test]
fn a_request_that_is_lost_with_its_worker_fails_and_the_mount_is_made_anew() {
    let origin = Origin::start().unwrap();
    origin.file("a", MIB);
    // What is complete when it is opened the kernel reads without asking.
    let more = ["--fetch-mode", "range-lru", "--failpoint", "reply::lost=return(Read)"];
    let mounted = on_an_old_kernel(&origin, &more);
    let first = mounted.now();
    let path = mounted.path("a");
    let stuck = in_background(move || fs::read(path).is_err());
    mounted.await_event(|event| event["ev"] == "exit" && event["op"] == "Read");
    let restart = mounted.fsd(&["restart"]);
    assert_eq!(restart.status.code(), Some(16), "{}", text(&restart.stderr));
    assert!(text(&restart.stderr).contains("1 requests were lost"), "{}", text(&restart.stderr));
    assert!(stuck.join().unwrap(), "an error, not a wait for ever");
    await_true("the new mount", || presence(&mounted).is_some_and(|now| now.mount_run != first.mount_run));
    assert!(fs::read(mounted.path("a")).unwrap() == origin.bytes("a", 0, MIB as usize));
    mounted.signal(Signal::SIGTERM);
    let (status, _) = mounted.gone();
    assert_eq!(status.code(), Some(16), "not every request was answered");
}
