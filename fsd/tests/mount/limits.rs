//! Limits of the system: no descriptors, no memory, nobody who reads what fsd says.

use std::{
    fs::File,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use fsd::process::demo::origin::first_difference;
use nix::{errno::Errno, fcntl::FcntlArg, sys::signal::Signal};

use super::{health::*, support::*};

const MIB: u64 = 1 << 20;

/// Sets a limit of the running fsd.
fn limit(mounted: &Mounted, what: &str) {
    let pid = mounted.worker().to_string();
    let set = Command::new("prlimit").args(["--pid", &pid, what]).status().unwrap();
    assert!(set.success(), "{what}");
}

#[test]
fn s61_without_descriptors_reads_fail_or_succeed_in_time_and_come_back() {
    const FILES: usize = 24;
    let origin = origin();
    let name = |n: usize| format!("file{n}");
    for n in 0..FILES {
        origin.file(&name(n), 2 * MIB);
    }
    let mounted = mount(Some(&origin.url("")), &["--read-timeout", "3s"]);
    serves(&mounted, &origin);
    let used = std::fs::read_dir(format!("/proc/{}/fd", mounted.worker())).unwrap().count();
    limit(&mounted, &format!("--nofile={}:", used + 4));
    let readers: Vec<_> = (0..FILES).map(|n| reading(mounted.path(&name(n)), 0, 2 * MIB as usize)).collect();
    assert!(in_time("ls", &["-l"], &mounted.dir()));
    assert!(in_time("df", &[], &mounted.dir()));
    for (n, reader) in readers.into_iter().enumerate() {
        let (got, took) = reader.join().unwrap();
        assert!(took < Duration::from_secs(30), "{took:?}");
        match got {
            Ok(bytes) => assert_eq!(first_difference(&name(n), 0, &bytes), None),
            Err(errno) => assert!([Errno::EIO, Errno::ETIMEDOUT].contains(&Errno::from_raw(errno)), "{errno}"),
        }
    }
    limit(&mounted, "--nofile=4096:");
    for n in 0..FILES {
        await_true("right bytes with descriptors", || {
            let got = read_anew(&mounted.path(&name(n)), 0, 2 * MIB as usize);
            got.is_ok_and(|bytes| first_difference(&name(n), 0, &bytes).is_none())
        });
    }
    nothing_is_left(&mounted, &origin);
    finish_clean(mounted);
}

#[test]
fn without_descriptors_a_mount_is_taken_down_and_not_left_behind() {
    let origin = origin();
    let mounted = mount(Some(&origin.url("")), &["--no-supervisor"]);
    serves(&mounted, &origin);
    limit(&mounted, "--nofile=3:");
    mounted.signal(Signal::SIGTERM);
    await_true("the end", || ended(&mounted));
    assert!(!mounted.at().is_mounted(), "{}", mounted.messages());
}

/// It may be dead and not reaped.
fn ended(mounted: &Mounted) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", mounted.pid())).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z'))
}

#[test]
fn a_supervisor_without_descriptors_does_not_take_its_mount_for_gone() {
    let origin = origin();
    let mounted = mount(Some(&origin.url("")), &["--supervisor"]);
    serves(&mounted, &origin);
    let set = |what: &str| {
        let set = Command::new("prlimit").args(["--pid", &mounted.presence.supervisor.to_string(), what]).status();
        assert!(set.unwrap().success(), "{what}");
    };
    let old = mounted.worker();
    set("--nofile=3:");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(old.cast_signed()), Signal::SIGKILL).unwrap();
    await_true("a start that fails", || mounted.messages().contains("cannot start a worker"));
    set("--nofile=4096:");
    await_true("the next worker", || mounted.worker() != old && mounted.status()["worker_alive"] == true);
    serves(&mounted, &origin);
    mounted.finish();
}

#[test]
fn s77_s80_without_memory_nobody_hangs_and_a_dead_mount_is_replaced() {
    without_memory("--no-supervisor");
}

#[test]
fn s80_without_memory_a_supervisor_brings_the_mount_back() {
    without_memory("--supervisor");
}

fn without_memory(supervised: &str) {
    const FILES: usize = 8;
    let origin = origin();
    let name = |n: usize| format!("file{n}");
    for n in 0..FILES {
        origin.file(&name(n), 16 * MIB);
    }
    let mounted = mount(Some(&origin.url("")), &[supervised, "--read-timeout", "3s", "--fetch-mode", "range-lru"]);
    serves(&mounted, &origin);
    let first = mounted.worker();
    let status = std::fs::read_to_string(format!("/proc/{first}/status")).unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
    let kib: u64 = size.trim().trim_end_matches(" kB").parse().unwrap();
    limit(&mounted, &format!("--as={}:", (kib << 10) + 4 * MIB));
    let readers: Vec<_> = (0..FILES).map(|n| reading(mounted.path(&name(n)), 0, 16 * MIB as usize)).collect();
    for (n, reader) in readers.into_iter().enumerate() {
        let (got, took) = reader.join().unwrap();
        assert!(took < Duration::from_secs(60), "{took:?}");
        assert!(got.is_err() || first_difference(&name(n), 0, &got.unwrap()).is_none(), "wrong bytes");
    }
    // Either it lives and serves, or it has died for all to see; a process that is there and silent is the freeze.
    let mut lives = in_time("ls", &["-l"], &mounted.dir());
    if supervised == "--supervisor" {
        await_true("a worker that serves", || in_time("ls", &["-l"], &mounted.dir()));
        lives = true;
    }
    if lives {
        limit(&mounted, "--as=unlimited:");
        serves(&mounted, &origin);
        if mounted.worker() == first {
            nothing_is_left(&mounted, &origin);
        }
        mounted.finish();
        return;
    }
    let entry = std::fs::metadata(mounted.dir()).unwrap_err();
    assert!(matches!(entry.raw_os_error(), Some(n) if n == Errno::ENOTCONN as i32 || n == Errno::ECONNABORTED as i32));
    let again = mounted.fsd(&["mount", "--daemon", &origin.url(""), &mounted.dir().display().to_string()]);
    assert_eq!(again.status.code(), Some(0), "{}", text(&again.stderr));
    serves(&mounted, &origin);
    assert_eq!(mounted.fsd(&["umount"]).status.code(), Some(0));
}

/// A pipe of one page.
fn narrow_pipe() -> (std::io::PipeReader, std::io::PipeWriter) {
    let (reader, writer) = std::io::pipe().unwrap();
    nix::fcntl::fcntl(&writer, FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
    (reader, writer)
}

/// Mounts with a terminal that nobody reads; the other end of it.
fn unread(origin: &Origin, args: &[&str]) -> (Mounted, std::io::PipeReader) {
    let (reader, writer) = narrow_pipe();
    let mut all = vec!["--log-level", "trace", "--log-format", "seed"];
    all.extend(args);
    let mounted = try_mount(Dirs::new(), Some(&origin.url("")), &all, |command| {
        command.stderr(writer);
    });
    (mounted.unwrap_or_else(|failed| panic!("{failed:?}")), reader)
}

#[test]
fn r06_s99_a_terminal_that_nobody_reads_blocks_nothing_and_what_was_dropped_is_said() {
    let origin = origin();
    origin.file("a", 8 * MIB);
    let (mounted, reader) = unread(&origin, &[]);
    for _ in 0..20 {
        let bytes = read_anew(&mounted.path("a"), 0, 8 * MIB as usize).unwrap();
        assert_eq!(first_difference("a", 0, &bytes), None);
        assert!(std::fs::read_dir(mounted.dir()).unwrap().count() > 0);
    }
    operations(&mounted, 2000);
    let said = drain(reader);
    serves(&mounted, &origin);
    nothing_is_left(&mounted, &origin);
    let record = finish_clean(mounted);
    assert_eq!(count(&record, "stall"), 0);
    assert!(said.join().unwrap().contains(" messages dropped"), "the one who reads at last is told");
}

#[test]
fn r28_r48_a_stall_and_the_end_behind_a_full_terminal_are_recorded_and_bounded() {
    let origin = origin();
    origin.file("dead", MIB).always("dead", Fault::Silent);
    let args = ["--watchdog-interval", "100ms", "--stalled-after", "500ms", "--drain-timeout", "1s"];
    let (mounted, reader) = unread(&origin, &args);
    operations(&mounted, 3000);
    let stuck = reading(mounted.path("dead"), 0, 4096);
    let stall = mounted.await_event(|event| event["ev"] == "stall");
    assert!(stall["inflight"].to_string().contains("Read"), "{stall}");
    serves(&mounted, &origin);
    let is_dump = |path: &std::path::PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("stacks-");
    await_true("a stack dump", || files(&mounted.home().state()).iter().any(is_dump));
    mounted.signal(Signal::SIGTERM);
    let (status, record) = mounted.gone();
    assert!(matches!(status.code(), Some(0 | 16)), "{status}");
    assert_eq!(record.last().unwrap()["ev"], "stop");
    assert!(stuck.join().unwrap().0.is_err());
    drop(reader);
}

/// Ends it, whatever the test came to.
struct Raw(Child);

impl Raw {
    fn end(&mut self) -> Option<ExitStatus> {
        fsd::process::demo::served::wait(&mut self.0, Duration::from_secs(30))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        drop(self.0.kill().and_then(|()| self.0.wait()));
    }
}

#[test]
fn s99_a_full_standard_output_neither_holds_the_mount_nor_its_end() {
    use std::io::Write;
    let origin = origin();
    let dirs = Dirs::new();
    let (reader, mut writer) = narrow_pipe();
    writer.write_all(&[b'x'; 4096]).unwrap();
    let mut command = dirs.home().command(program());
    command.args(["mount", &origin.url("")]).arg(dirs.home().mount_point());
    command.stdin(Stdio::null()).stdout(writer).stderr(File::create(dirs.root().join("stderr.log")).unwrap());
    let mut fsd = Raw(command.spawn().unwrap());
    drop(command);
    let well = dirs.home().mount_point().join("well.bin");
    let ready = || dirs.fsd(&["status"]).status.success();
    await_true("the mount", ready);
    assert!(in_time("cat", &[], &well));
    let said = dirs.fsd(&["umount"]);
    assert_eq!(said.status.code(), Some(0), "{}", text(&said.stderr));
    assert_eq!(fsd.end().and_then(|status| status.code()), Some(0));
    assert!(!well.exists());
    drop(reader);
}
