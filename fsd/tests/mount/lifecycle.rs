//! Lifecycle: readiness, signals, unmounting, and what a dead fsd leaves to the next one.

use std::{
    fs::File,
    io::Read,
    process::{Command, Stdio},
    time::Duration,
};

use nix::sys::signal::Signal;

use super::{control::read_sum, support::*};

const MIB: u64 = 1 << 20;

/// Ends the daemon of these directories, whatever the test came to.
struct Ended<'a>(&'a Dirs);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.fsd(&["umount", "--force"]);
    }
}

#[test]
fn s90_a_daemon_says_when_it_is_ready_and_leaves_the_terminal() {
    let origin = Origin::start().unwrap();
    origin.file("a", MIB);
    let dirs = Dirs::new();
    let _ended = Ended(&dirs);
    let mut command = dirs.home().command(program());
    command.args(["mount", "--daemon", &origin.url("")]).arg(dirs.home().mount_point());
    // `output` returns when nobody holds the pipes any more: the daemon must have let go of them.
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains(" is mounted at "), "{}", text(&output.stdout));
    let file = dirs.home().mount_point().join("a");
    assert_eq!(read_sum(&file), (MIB, checksum("a", MIB)));
    let umount = dirs.fsd(&["umount"]);
    assert_eq!(umount.status.code(), Some(0), "{}", text(&umount.stderr));
    assert_eq!(files(dirs.home().runtime()), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_recorder_that_is_off_writes_nothing_of_operations_and_still_notices_a_stall() {
    let origin = Origin::start().unwrap();
    origin.file("a", 64 * MIB).always("a", Fault::StallAt(MIB));
    let quick = ["--recorder=off", "--stalled-after=500ms", "--watchdog-interval=100ms", "--read-timeout=20s"];
    let mounted = mount(Some(&origin.url("")), &quick);
    assert_eq!(mounted.status()["recorder"], "off");
    let path = mounted.path("a");
    let reader = std::thread::Builder::new().spawn(move || std::fs::read(path).unwrap().len()).unwrap();
    let stall = mounted.await_event(|event| event["ev"] == "stall");
    assert_eq!(stall["ops"][0]["op"], "Read", "{stall}");
    let dump = mounted.events().with_file_name(stall["stacks"].as_str().unwrap());
    assert!(std::fs::read_to_string(dump).unwrap().contains("Read"), "the dump shows who waits");
    origin.heal().release();
    assert_eq!(reader.join().unwrap(), 64 << 20);
    let record = mounted.finish();
    assert_eq!(record[0]["recorder"], "off");
    for ev in ["enter", "exit", "phase", "wait", "task", "progress"] {
        assert_eq!(count(&record, ev), 0, "{ev}");
    }
    assert_eq!((count(&record, "stall_end"), count(&record, "stop")), (count(&record, "stall"), 1));
}

#[test]
fn a_recorder_in_the_heap_writes_the_same_events_and_leaves_no_ring_to_read() {
    let origin = Origin::start().unwrap();
    origin.file("a", MIB);
    let mounted = mount(Some(&origin.url("")), &["--recorder=heap", "--no-supervisor"]);
    assert_eq!(read_sum(&mounted.path("a")), (MIB, checksum("a", MIB)));
    assert!(!files(mounted.home().runtime()).iter().any(|file| file.ends_with("inflight")));
    let record = mounted.finish();
    assert_eq!(record[0]["recorder"], "heap");
    assert_eq!(orphans(&record), Vec::<String>::new());
    assert!(record.iter().any(|event| event["ev"] == "exit" && event["op"] == "Read"));
}

#[test]
fn a_daemon_that_fails_tells_its_parent() {
    let dirs = Dirs::new();
    let _ended = Ended(&dirs);
    let output =
        dirs.fsd(&["mount", "--daemon", "http://127.0.0.1:1/", &dirs.home().mount_point().display().to_string()]);
    assert_eq!(output.status.code(), Some(75), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("cannot connect"), "{}", text(&output.stderr));
}

#[test]
fn an_open_file_keeps_the_mount_and_a_second_signal_aborts() {
    let origin = Origin::start().unwrap();
    origin.file("a", MIB);
    let mounted = mount(Some(&origin.url("")), &[]);
    let mut open = File::open(mounted.path("a")).unwrap();
    mounted.signal(Signal::SIGTERM);
    await_true("the holder's name", || mounted.messages().contains("busy"));
    let own = format!("pid {}", std::process::id());
    assert!(mounted.messages().contains(&own), "{}", mounted.messages());
    assert!(open.read(&mut [0; 10]).is_ok(), "a draining mount still serves");
    mounted.signal(Signal::SIGINT);
    drop(open);
    let (status, record) = mounted.gone();
    assert!(matches!(status.code(), Some(0 | 16)), "{status}");
    let last = record.last().unwrap();
    assert_eq!((last["ev"].as_str(), last["reason"].as_str()), (Some("stop"), Some("SIGTERM")));
}

/// The worker has its whole time for an abort, however long it has waited for open files before.
#[test]
fn a_second_signal_that_comes_late_ends_the_mount_in_order() {
    let origin = Origin::start().unwrap();
    origin.file("a", 4 * MIB);
    let mounted = mount(Some(&origin.url("")), &["--drain-timeout", "120s", "--close-timeout", "100ms"]);
    let open = File::open(mounted.path("a")).unwrap();
    mounted.await_event(|event| event["ev"] == "progress" && event["state"] == "complete");
    let told = now();
    mounted.signal(Signal::SIGTERM);
    await_true("the holder's name", || mounted.messages().contains("busy"));
    // Longer than the steps behind an abort may take together.
    while told.elapsed() < Duration::from_secs(27) {
        assert_eq!(mounted.status()["worker_alive"], true, "it serves on");
    }
    mounted.signal(Signal::SIGTERM);
    let (status, record) = mounted.gone();
    assert_eq!(status.code(), Some(16));
    assert_eq!(record.last().unwrap()["ev"], "stop");
    drop(open);
}

#[test]
fn a_mount_that_somebody_else_ends_is_over() {
    let mounted = mount(None, &[]);
    let umount = if nix::unistd::geteuid().is_root() { "umount" } else { "fusermount3" };
    let mut command = Command::new(umount);
    if umount == "fusermount3" {
        command.arg("-u");
    }
    assert!(command.arg(mounted.dir()).status().unwrap().success());
    let (status, record) = mounted.gone();
    assert_eq!(status.code(), Some(0));
    assert_eq!(record.last().unwrap()["reason"], "unmounted by somebody else");
}

#[test]
fn an_unmount_right_after_a_hand_over_leaves_nothing() {
    let origin = Origin::start().unwrap();
    origin.file("a", MIB);
    for _ in 0..3 {
        let mounted = mount(Some(&origin.url("")), &["--supervisor"]);
        // Something to drain.
        (0..200).for_each(|n| assert!(!mounted.path(&format!("none-{n}")).exists()));
        let old = mounted.status()["pid"].as_i64().unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(old as i32), Signal::SIGKILL).unwrap();
        await_true("the next worker", || mounted.path("a").exists());
        mounted.finish();
    }
}

#[test]
fn quit_dumps_the_stacks_and_goes_on() {
    let origin = Origin::start().unwrap();
    origin.file("a", MIB);
    let mounted = mount(Some(&origin.url("")), &[]);
    mounted.signal(Signal::SIGQUIT);
    let is_dump = |path: &std::path::PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("stacks-");
    await_true("a stack dump", || files(&mounted.home().state()).iter().any(is_dump));
    await_true("its name", || mounted.messages().contains("stacks are in "));
    let said = mounted.messages();
    let file = said.split("stacks are in ").nth(1).and_then(|rest| rest.lines().next()).unwrap();
    assert!(files(&mounted.home().state()).contains(&file.into()), "{file}");
    assert_eq!(read_sum(&mounted.path("a")).0, MIB);
    mounted.finish();
}

#[test]
fn what_a_killed_fsd_had_not_written_is_written_by_the_next() {
    let origin = Origin::start().unwrap();
    origin.file("a", MIB).always("a", Fault::Silent);
    let dirs = Dirs::new();
    let home = dirs.home();
    let mut served = Served::start(program(), home, Some(&origin.url("")), &[], |_| ()).unwrap();
    let run = served.presence.run.clone();
    let mut reader =
        Command::new("cat").arg(served.path("a")).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // The download starts with the OPEN; the record must have the READ.
    await_true("its read", || text(&dirs.fsd(&["status", "--json"]).stdout).contains("Read"));
    served.kill();
    reader.wait().unwrap();
    let at = served.at();
    await_true("the janitor", || !at.is_mounted());
    let again = try_mount(dirs, Some(&origin.url("")), &[], |_| ()).unwrap_or_else(|failed| panic!("{failed:?}"));
    let file = std::path::Path::new(&again.presence.state_dir).join(format!("events-{run}.jsonl"));
    let record = events(&file);
    assert!(orphans(&record).iter().any(|orphan| orphan.starts_with("Read")), "{:?}", orphans(&record));
    origin.heal().release();
    again.finish();
}

#[test]
fn descriptors_come_back() {
    let origin = Origin::start().unwrap();
    for at in 0..8 {
        origin.file(&format!("f{at}"), MIB);
    }
    let mounted = mount(Some(&origin.url("")), &[]);
    for _ in 0..5 {
        for at in 0..8 {
            assert_eq!(read_sum(&mounted.path(&format!("f{at}"))).0, MIB);
        }
    }
    await_true("the closes", || mounted.status()["stores"] == 0 && mounted.status()["closing"] == 0);
    // Idle connections to the origin may stay open for a while.
    await_true("the descriptors", || mounted.more_fds() <= 8);
    mounted.finish();
}
