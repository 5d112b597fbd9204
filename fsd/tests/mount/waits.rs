//! Waits: an origin that stalls must hold nobody but those who want its bytes, and those not for ever.

use std::{
    fs::{self, File},
    io::Read,
    os::unix::fs::FileExt,
    path::Path,
    process::{Command, Stdio},
    thread::{self, JoinHandle},
    time::Duration,
};

use serde_json::Value;

use super::support::*;

const MIB: u64 = 1 << 20;
/// Whatever is answered from memory takes less, also on a loaded machine.
const AT_ONCE: Duration = Duration::from_secs(2);

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = now();
    (work(), now().duration_since(start))
}

/// `ls -l` by a process of its own, because it might hang; whether it ended well in time.
fn ls(dir: &Path) -> bool {
    let limit = format!("{}", AT_ONCE.as_secs());
    let mut ls = Command::new("timeout");
    ls.args(["--signal=KILL", &limit, "ls", "-l"]).arg(dir).stdout(Stdio::null()).stderr(Stdio::null());
    ls.status().unwrap().success()
}

/// Reads in the background; gives the error number, or None and how long it took.
fn reader(path: &Path, off: u64) -> JoinHandle<(Option<i32>, Duration)> {
    let path = path.to_owned();
    let read = move || {
        let mut byte = [0; 4096];
        timed(|| {
            let got = File::open(&path).and_then(|file| file.read_at(&mut byte, off));
            got.err().and_then(|error| error.raw_os_error())
        })
    };
    in_background(read)
}

fn in_background<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    thread::Builder::new().name("client".into()).spawn(work).unwrap()
}

fn is(event: &Value, ev: &str, op: &str) -> bool {
    event["ev"] == ev && event["op"] == op
}

fn waiting_reads(mounted: &Mounted) -> usize {
    mounted.recorded().iter().filter(|event| event["ev"] == "wait").count()
}

#[test]
fn r11_readers_of_a_dead_server_end_by_their_deadline_and_ls_always_answers() {
    let origin = Origin::start().unwrap();
    origin.file("dead", 64 * MIB).file("alive", MIB).always("dead", Fault::Silent);
    let mounted = mount(Some(&origin.url("")), &["--read-timeout", "4s"]);
    let path = mounted.path("dead");
    assert!(ls(&mounted.dir()));
    let readers: Vec<_> = (0..64).map(|n| reader(&path, n * MIB)).collect();
    mounted.await_event(|event| event["ev"] == "wait");
    for _ in 0..5 {
        assert!(ls(&mounted.dir()), "ls hangs behind the readers");
    }
    assert!(fs::read(mounted.path("alive")).unwrap() == origin.bytes("alive", 0, MIB as usize));
    for reader in readers {
        let (errno, took) = reader.join().unwrap();
        assert!(errno.is_some(), "no bytes can have come");
        assert!(took < Duration::from_secs(15), "{took:?}");
    }
    origin.heal().release();
    let record = mounted.finish();
    assert_eq!(orphans(&record), Vec::<String>::new());
}

#[test]
fn whoever_waits_for_a_listing_is_answered_while_the_runtime_hangs() {
    let origin = Origin::start().unwrap();
    origin.file("a/f", 1).file("b/f", 1);
    // Both threads of the runtime, but for the look at the root.
    let hang = ["--failpoint", "listing::fetch=1*off->sleep(60000)", "--meta-timeout", "1s"];
    let mounted = mount(Some(&origin.url("")), &hang);
    assert!(ls(&mounted.dir()));
    let looks = ["a/f", "b/f"].map(|path| {
        let path = mounted.path(path);
        in_background(move || fs::metadata(path).map_err(|error| error.raw_os_error()).map(|_| ()))
    });
    for look in looks {
        assert_eq!(look.join().unwrap(), Err(Some(libc::ETIMEDOUT)));
    }
}

#[test]
fn r11_a_read_ahead_that_ran_into_its_deadline_is_not_waited_for_once_more() {
    let origin = Origin::start().unwrap();
    origin.file("dead", 64 * MIB).always("dead", Fault::Silent);
    let mounted = mount(Some(&origin.url("")), &["--read-timeout", "3s"]);
    let (errno, _) = reader(&mounted.path("dead"), 0).join().unwrap();
    assert!(errno.is_some(), "no bytes can have come");
    origin.heal().release();
    let record = mounted.finish();
    let of = |ev| move |event: &&Value| is(event, ev, "Read");
    let first = record.iter().find(of("exit")).unwrap();
    let again: Vec<_> =
        record.iter().filter(of("enter")).filter(|e| e["seq"].as_u64() > first["seq"].as_u64()).collect();
    for enter in &again {
        let exit = record.iter().filter(of("exit")).find(|exit| exit["id"] == enter["id"]).unwrap();
        assert!(exit["us"].as_u64().unwrap() < 2_000_000, "{exit}");
    }
}

#[test]
fn r03_a_trickle_does_not_move_the_deadline() {
    let origin = Origin::start().unwrap();
    origin.file("slow", 8 * MIB).always("slow", Fault::Trickle(Duration::from_millis(100)));
    let mounted = mount(Some(&origin.url("")), &["--read-timeout", "3s"]);
    let (errno, took) = reader(&mounted.path("slow"), 4 * MIB).join().unwrap();
    assert!(errno.is_some() && took > Duration::from_secs(2) && took < Duration::from_secs(15), "{errno:?} {took:?}");
    origin.heal().release();
    mounted.finish();
}

#[test]
fn a_stalled_read_holds_neither_stat_nor_a_second_open_nor_a_close() {
    let origin = Origin::start().unwrap();
    origin.file("a", 64 * MIB).always("a", Fault::StallAt(MIB));
    let mounted = mount(Some(&origin.url("")), &["--read-timeout", "10s"]);
    let path = mounted.path("a");
    let stuck = reader(&path, 40 * MIB);
    mounted.await_event(|event| event["ev"] == "wait");
    let (seen, took) = timed(|| fs::metadata(&path).unwrap().len());
    assert!(seen == 64 * MIB && took < AT_ONCE, "stat took {took:?}");
    let (second, took) = timed(|| File::open(&path).unwrap());
    assert!(took < AT_ONCE, "a second open took {took:?}");
    let mut head = [0; 1000];
    second.read_exact_at(&mut head, 0).unwrap();
    assert!(head[..] == origin.bytes("a", 0, 1000), "what is there is read");
    let ((), took) = timed(|| drop(second));
    assert!(took < AT_ONCE, "close took {took:?}");
    origin.heal().release();
    assert_eq!(stuck.join().unwrap().0, None, "a healed origin serves who waited");
    mounted.finish();
}

#[test]
fn r16_release_answers_while_its_close_task_is_open_and_the_origin_still_stalls() {
    let origin = Origin::start().unwrap();
    origin.file("a", 64 * MIB).always("a", Fault::StallAt(MIB));
    // The close itself is held, so that causes and not times decide.
    let slow_close = |command: &mut Command| {
        command.env("FAILPOINTS", "store::close=return");
    };
    let mounted = try_mount(Dirs::new(), Some(&origin.url("")), &[], slow_close).ok().unwrap();
    let mut file = File::open(mounted.path("a")).unwrap();
    file.read_exact(&mut [0; 1000]).unwrap();
    mounted.await_event(|event| event["ev"] == "progress" && event["have"] == MIB);
    drop(file);
    let exit = mounted.await_event(|event| is(event, "exit", "Release"));
    let close = mounted.await_event(|event| event["ev"] == "task" && event["task"] == "close");
    assert!(origin.stalled() > 0, "the origin still stalls");
    let record = mounted.recorded();
    // It is still open, or this machine was so slow that its deadline has come.
    if let Some(end) = record.iter().find(|event| event["ev"] == "task_end" && event["id"] == close["id"]) {
        assert!(end["mono_us"].as_u64() > exit["mono_us"].as_u64(), "{end} before {exit}");
    }
    assert!(ls(&mounted.dir()));
    origin.heal().release();
    drop(mounted);
}

#[test]
fn r25_with_the_bug_injected_the_release_holds_the_lock_and_the_record_names_it() {
    let origin = Origin::start().unwrap();
    origin.file("a", 64 * MIB).file("b", MIB).fault("a", Fault::StallAt(MIB));
    let bug = |command: &mut Command| {
        command.env("FAILPOINTS", "release::close_under_lock=return");
    };
    let mounted = try_mount(Dirs::new(), Some(&origin.url("")), &[], bug).ok().unwrap();
    let other = File::open(mounted.path("b")).unwrap();
    let mut file = File::open(mounted.path("a")).unwrap();
    file.read_exact(&mut [0; 1000]).unwrap();
    mounted.await_event(|event| event["ev"] == "progress" && event["have"] == MIB);
    drop(file);
    let enter = mounted.await_event(|event| is(event, "enter", "Release"));
    let waiter = in_background(move || other.read_at(&mut [0; 100], 0).is_ok());
    let wait = |event: &Value| event["ev"] == "lock" && event["step"] == "wait" && event["lock"] == "handles";
    let wait = mounted.await_event(wait);
    assert_eq!(wait["holder"].as_array().map(Vec::len), Some(1), "{wait}");
    assert_eq!(wait["holder"][0], enter["id"], "{wait}");
    assert!(!mounted.recorded().iter().any(|event| is(event, "exit", "Release")));
    origin.heal().release();
    assert!(waiter.join().unwrap(), "the freeze ends with the download");
    mounted.await_event(|event| is(event, "exit", "Release"));
    drop(mounted);
}

#[test]
fn r13_a_download_outlives_the_read_and_the_open_that_started_it() {
    let origin = Origin::start().unwrap();
    origin.file("a", 32 * MIB).bandwidth(8 * MIB);
    let mounted = mount(Some(&origin.url("")), &["--read-timeout", "2s"]);
    let mut file = File::open(mounted.path("a")).unwrap();
    file.read_exact(&mut [0; 1000]).unwrap();
    // All of it takes twice the deadline of a single read.
    let mut rest = Vec::new();
    file.read_to_end(&mut rest).unwrap();
    assert!(rest == origin.bytes("a", 1000, 32 * MIB as usize - 1000));
    drop(file);
    mounted.finish();
}

#[test]
fn r33_the_tail_is_read_while_the_head_still_loads() {
    let origin = Origin::start().unwrap();
    origin.file("a", 256 * MIB).always("a", Fault::StallAt(MIB));
    let mounted = mount(Some(&origin.url("")), &[]);
    let path = mounted.path("a");
    // With the last close the head is given up, and the readers may all be quicker than it.
    let held = File::open(&path).unwrap();
    let readers: Vec<_> = (1..17).map(|n| reader(&path, 256 * MIB - n * 5000)).collect();
    for reader in readers {
        assert_eq!(reader.join().unwrap().0, None);
    }
    assert!(ls(&mounted.dir()));
    assert!(origin.wait(SOON, |origin| origin.stalled() > 0), "the head never came");
    drop(held);
    origin.heal().release();
    mounted.finish();
}

#[test]
fn r07_an_origin_that_lists_nothing_holds_a_look_only_so_long_and_other_files_not_at_all() {
    let origin = Origin::start().unwrap();
    origin.file("a", MIB).file("dir/b", MIB);
    let mounted = mount(Some(&origin.url("")), &["--meta-timeout", "2s", "--listing-ttl", "100ms"]);
    let open = File::open(mounted.path("a")).unwrap();
    fs::read_dir(mounted.path("dir")).unwrap().for_each(drop);
    origin.always("dir/", Fault::Silent).always("", Fault::Silent).always("other/", Fault::Silent);
    // A directory that was listed before is shown as it was.
    let (seen, took) = timed(|| fs::read_dir(mounted.path("dir")).unwrap().count());
    assert!(seen == 1 && took < Duration::from_secs(8), "{seen} in {took:?}");
    let (read, took) = timed(|| open.read_at(&mut [0; 1000], 0).unwrap());
    assert!(read == 1000 && took < AT_ONCE, "{took:?}");
    drop(open);
    origin.heal().release();
    mounted.finish();
}

#[test]
fn single_threaded_the_second_read_is_not_entered_before_the_first_has_its_answer() {
    let origin = Origin::start().unwrap();
    origin.file("a", 64 * MIB).file("b", MIB).fault("a", Fault::StallAt(0));
    let mounted = mount(Some(&origin.url("")), &["--debug-fskit-single-thread", "--read-timeout", "20s"]);
    let first = reader(&mounted.path("a"), 0);
    let stuck = mounted.await_event(|event| is(event, "enter", "Read"));
    let second = reader(&mounted.path("b"), 0);
    // One loop: nothing else is entered while the first waits. The kernel has the second by now.
    await_true("the kernel's count", || mounted.status()["kernel_waiting"].as_u64().is_none_or(|n| n > 1));
    let enters = mounted.recorded().into_iter().filter(|event| event["ev"] == "enter");
    assert!(enters.filter(|event| event["mono_us"].as_u64() > stuck["mono_us"].as_u64()).count() == 0);
    origin.heal().release();
    assert_eq!((first.join().unwrap().0, second.join().unwrap().0), (None, None));
    let record = mounted.finish();
    let mut open = 0_i32;
    for event in record.iter().filter(|event| event["op"] != "Init" && event["op"] != "Destroy") {
        open += i32::from(event["ev"] == "enter") - i32::from(event["ev"] == "exit");
        assert!(open <= 1, "two operations at once: {event}");
    }
}

#[test]
fn s62_s63_reads_that_wait_leave_room_for_the_others() {
    let origin = Origin::start().unwrap();
    origin.file("stuck", 512 * MIB).file("alive", MIB).always("stuck", Fault::StallAt(0));
    let mounted = mount(Some(&origin.url("")), &["--max-background", "64", "--read-timeout", "30s"]);
    let path = mounted.path("stuck");
    let readers: Vec<_> = (0..60).map(|n| reader(&path, n * 8 * MIB)).collect();
    mounted.await_event(|event| event["ev"] == "invariant" && event["what"] == "too many parked reads");
    let (alive, took) = timed(|| fs::read(mounted.path("alive")).unwrap());
    assert!(alive == origin.bytes("alive", 0, MIB as usize) && took < Duration::from_secs(10), "{took:?}");
    assert!(waiting_reads(&mounted) > 0 && ls(&mounted.dir()));
    origin.heal().release();
    let failed = readers.into_iter().map(|r| r.join().unwrap().0).filter(Option::is_some).count();
    assert!(failed < 60, "most are served in the end");
    mounted.finish();
}

#[test]
fn a_lost_reply_is_seen_by_the_kernel_alone() {
    let origin = Origin::start().unwrap();
    origin.file("a", MIB);
    let lost = |command: &mut Command| {
        command.env("FAILPOINTS", "reply::lost=1*return(Statfs)");
    };
    let mounted = try_mount(Dirs::new(), Some(&origin.url("")), &[], lost).ok().unwrap();
    let dir = mounted.dir();
    let stuck = in_background(move || rustix::fs::statvfs(&dir).is_err());
    mounted.await_event(|event| is(event, "exit", "Statfs"));
    assert!(ls(&mounted.dir()));
    let status = mounted.status();
    assert!(status["kernel_waiting"].as_u64().is_none_or(|n| n >= 1), "{status}");
    mounted.abort();
    assert!(stuck.join().unwrap(), "the abort ends it");
    drop(mounted);
}
