//! Disks that are full, too small, or hang: whoever does not need them notices nothing, and all comes back.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use fsd::process::demo::origin::first_difference;
use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::{
    health::*,
    support::*,
    takeover::{await_successor, send, worker},
};

const MIB: u64 = 1 << 20;

/// A file system of a test's own, gone when dropped.
struct Disk {
    dir: TempDir,
    /// Has an image that can be frozen.
    image: Option<PathBuf>,
}

impl Disk {
    /// A small tmpfs; None, with a SKIP line, without the right to mount.
    fn small(bytes: u64) -> Option<Self> {
        let dir = TempDir::with_prefix("fsd-disk-").unwrap();
        let disk = Self { dir, image: None };
        let mounted = run("mount", &["-t", "tmpfs", "-o", &format!("size={bytes},mode=700"), "tmpfs"], &disk.at());
        if !mounted {
            skip("a disk of its own", "no right to mount", "root");
        }
        mounted.then_some(disk)
    }

    /// An ext4 in a file, which can be made to hang.
    fn freezable(mib: u64) -> Option<Self> {
        let dir = TempDir::with_prefix("fsd-disk-").unwrap();
        let image = dir.path().with_extension("image");
        File::create(&image).unwrap().set_len(mib * MIB).unwrap();
        let disk = Self { dir, image: Some(image.clone()) };
        let made = run("mkfs.ext4", &["-q"], &image);
        let mounted = made && run("mount", &["-o", "loop", &image.display().to_string()], &disk.at());
        if !mounted {
            skip("a disk that hangs", "no loop device", "root and mkfs.ext4");
        }
        mounted.then_some(disk)
    }

    /// A small tmpfs over a directory; both go together.
    fn over(dir: &Path, bytes: u64) -> Option<Over> {
        let mounted = run("mount", &["-t", "tmpfs", "-o", &format!("size={bytes},mode=700"), "tmpfs"], dir);
        if !mounted {
            skip("a disk of its own", "no right to mount", "root");
        }
        mounted.then(|| Over(dir.to_owned()))
    }

    fn at(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    fn arg(&self) -> String {
        self.dir.path().display().to_string()
    }

    /// Whoever writes, creates or unlinks hangs from now on; whoever reads does not.
    fn freeze(&self) {
        assert!(run("fsfreeze", &["-f"], &self.at()));
    }

    fn thaw(&self) {
        assert!(run("fsfreeze", &["-u"], &self.at()));
    }

    /// Files of `fsd` on it.
    fn parts(&self) -> usize {
        files(&self.at()).iter().filter(|path| path.extension().is_some_and(|end| end == "part")).count()
    }
}

/// A file system over a directory, gone when dropped.
struct Over(PathBuf);

impl Drop for Over {
    fn drop(&mut self) {
        run("umount", &["-l"], &self.0);
        drop(fs::remove_dir(&self.0));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Some(image) = &self.image {
            run("fsfreeze", &["-u"], &self.at());
            drop(fs::remove_file(image));
        }
        run("umount", &["-l"], &self.at());
    }
}

fn run(program: &str, args: &[&str], at: &Path) -> bool {
    let mut command = Command::new(program);
    command.args(args).arg(at).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[test]
fn r15_r40_s02_s14_a_temp_disk_that_hangs_holds_only_whom_it_must_and_gives_all_back() {
    let Some(disk) = Disk::freezable(96) else { return };
    let origin = origin();
    origin.file("old", 12 * MIB).file("new", 48 * MIB).file("small", 1000);
    let args =
        ["--temp-dir", &disk.arg(), "--cache-size", "16MiB", "--read-timeout", "15s", "--close-timeout", "500ms"];
    let mounted = mount(Some(&origin.url("")), &args);
    let old = File::open(mounted.path("old")).unwrap();
    let doomed = File::open(mounted.path("well.bin")).unwrap();
    await_true("the files on the disk", || {
        disk.parts() == 2 && mounted.recorded().iter().filter(|event| event["state"] == "complete").count() >= 2
    });
    disk.freeze();
    // Its unlink hangs, and so does whatever the new file writes.
    drop(doomed);
    let start = now();
    let new = File::open(mounted.path("new")).unwrap();
    assert!(start.elapsed() < AT_ONCE, "OPEN waits for the disk: {:?}", start.elapsed());
    let mut bytes = [0; 4096];
    new.read_exact_at(&mut bytes, 0).unwrap();
    assert!(bytes[..] == origin.bytes("new", 0, 4096), "what has come is answered from memory");
    assert!(in_time("cat", &[], &mounted.path("small")));
    assert!(in_time("ls", &["-l"], &mounted.dir()));
    let mut at = 0;
    while at < 12 * MIB {
        rustix::fs::fadvise(&old, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        old.read_exact_at(&mut bytes, at).unwrap();
        assert!(bytes[..] == origin.bytes("old", at, 4096), "what is on the disk is read from it");
        at += MIB;
    }
    // More than memory takes: it is read without the disk.
    let (got, took) = reading(mounted.path("new"), 0, 48 * MIB as usize).join().unwrap();
    assert_eq!(first_difference("new", 0, &got.unwrap()), None, "after {took:?}");
    drop((old, new));
    await_true("closes that are left to the reaper", || mounted.status()["reaping"].as_u64() > Some(0));
    assert!(in_time("ls", &["-l"], &mounted.dir()));
    disk.thaw();
    nothing_is_left(&mounted, &origin);
    await_true("the temp files", || disk.parts() == 0);
    finish_clean(mounted);
}

#[test]
fn s02_readers_of_a_disk_that_answers_no_read_end_by_their_deadline() {
    let origin = origin();
    origin.file("f", 4 * MIB);
    // For some seconds: each of the four threads that wait for it looks fifty times a second.
    let args = ["--failpoint", "store::disk_hangs=1500*return(f)", "--read-timeout", "2s"];
    let mounted = mount(Some(&origin.url("")), &args);
    // Open from before it was complete, so that the daemon reads and not the kernel by itself.
    let held = File::open(mounted.path("f")).unwrap();
    await_true("all of it on the disk", || mounted.recorded().iter().any(|event| event["state"] == "complete"));
    let readers: Vec<_> = (0..16).map(|n| reading(mounted.path("f"), n * (128 << 10), 4096)).collect();
    serves(&mounted, &origin);
    for reader in readers {
        let (got, took) = reader.join().unwrap();
        assert_eq!(got.err(), Some(libc::ETIMEDOUT), "after {took:?}");
        assert!(took < Duration::from_secs(20), "{took:?}");
    }
    drop(held);
    nothing_is_left(&mounted, &origin);
    finish_clean(mounted);
}

#[test]
fn law_05_a_local_disk_that_does_not_answer_holds_the_reads_and_not_the_open() {
    let origin = origin();
    origin.file("f", MIB);
    // The disk is another mount, which stands still.
    let lower = mount(Some(&origin.url("")), &["--no-supervisor"]);
    let upper = mount(Some(&lower.dir().display().to_string()), &["--read-timeout", "2s"]);
    assert!(in_time("ls", &["-l"], &upper.dir()));
    let signal = |signal| nix::sys::signal::kill(nix::unistd::Pid::from_raw(lower.pid() as i32), signal).unwrap();
    signal(Signal::SIGSTOP);
    let opened = in_time("head", &["-c", "0"], &upper.path("f"));
    let (got, took) = reading(upper.path("f"), 0, 4096).join().unwrap();
    let listed = in_time("ls", &["-l"], &upper.dir());
    signal(Signal::SIGCONT);
    assert!(opened, "the OPEN hangs with the disk");
    assert_eq!(got.err(), Some(libc::ETIMEDOUT), "after {took:?}");
    assert!(listed, "ls hangs with the disk");
    assert!(fs::read(upper.path("f")).unwrap() == origin.bytes("f", 0, MIB as usize));
    finish_clean(upper);
    finish_clean(lower);
}

#[test]
fn a_temp_disk_that_is_full_fails_no_read() {
    let Some(disk) = Disk::small(8 * MIB) else { return };
    let origin = origin();
    origin.file("large", 64 * MIB).file("fills", 7 * MIB);
    let args = ["--temp-dir", &disk.arg(), "--cache-size", "2MiB", "--read-timeout", "5s"];
    let mounted = mount(Some(&origin.url("")), &args);
    // One that does not fit at all; then one that would fit if nobody else wrote.
    for (at, len) in [(60 * MIB, 4096), (0, 32 * MIB as usize)] {
        let bytes = read_anew(&mounted.path("large"), at, len).unwrap();
        assert_eq!((bytes.len(), first_difference("large", at, &bytes)), (len, None));
    }
    assert!(mounted.messages().contains("read through memory"), "{}", mounted.messages());
    origin.bandwidth(4 * MIB);
    let filling = reading(mounted.path("fills"), 0, 7 * MIB as usize);
    await_true("its temp file", || disk.parts() > 0);
    drop(fs::write(disk.at().join("other"), vec![1; 8 << 20]));
    let (got, took) = filling.join().unwrap();
    assert_eq!(first_difference("fills", 0, &got.unwrap()), None, "after {took:?}");
    origin.bandwidth(0);
    fs::remove_file(disk.at().join("other")).unwrap();
    let bytes = read_anew(&mounted.path("fills"), 0, 7 * MIB as usize).unwrap();
    assert_eq!(first_difference("fills", 0, &bytes), None, "with room it is read");
    nothing_is_left(&mounted, &origin);
    await_true("the temp files", || disk.parts() == 0);
    finish_clean(mounted);
}

#[test]
fn r22_a_disk_that_others_have_filled_to_four_fifths_still_takes_what_fits() {
    let Some(disk) = Disk::small(64 * MIB) else { return };
    fs::write(disk.at().join("other"), vec![1; 51 << 20]).unwrap();
    let origin = origin();
    origin.file("a", 6 * MIB);
    let args = ["--temp-dir", &disk.arg(), "--disk-limit", "8MiB", "--cache-size", "1MiB"];
    let mounted = mount(Some(&origin.url("")), &args);
    let bytes = read_anew(&mounted.path("a"), 0, 6 * MIB as usize).unwrap();
    assert_eq!(first_difference("a", 0, &bytes), None);
    assert!(disk.at().join("other").exists());
    nothing_is_left(&mounted, &origin);
    finish_clean(mounted);
}

#[test]
fn r36_an_open_file_is_never_evicted_for_a_newcomer_which_is_read_through_memory() {
    let origin = origin();
    origin.file("a", 6 * MIB).file("b", 6 * MIB).file("c", 6 * MIB);
    let mounted = mount(None, &["--disk-limit", "10MiB", "--listing-ttl", "100ms"]);
    let stage = |name: &str| {
        let said = mounted.fsd(&["stage", &origin.url(name)]);
        assert_eq!(said.status.code(), Some(0), "{}", text(&said.stderr));
        let (id, path) = text(&said.stdout).trim_end().split_once(' ').map(|(a, b)| (a.to_owned(), b.into())).unwrap();
        (id, PathBuf::clone(&path))
    };
    let ((first, a), (_, b)) = (stage("a"), stage("b"));
    let open = File::open(&a).unwrap();
    mounted.await_event(|event| event["ev"] == "progress" && event["state"] == "complete");
    let disk = || mounted.status()["disk_used"].as_u64().unwrap();
    let read_b = || assert_eq!(first_difference("b", 0, &read_anew(&b, 0, 6 * MIB as usize).unwrap()), None);
    read_b();
    // Not even when it is staged no longer.
    assert!(mounted.fsd(&["unstage", &first]).status.success());
    read_b();
    let mut bytes = vec![0; 6 * MIB as usize];
    rustix::fs::fadvise(&open, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    open.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!((first_difference("a", 0, &bytes), disk()), (None, 6 * MIB));
    drop(open);
    await_true("room", || disk() == 0);
    let (_, c) = stage("c");
    let next = File::open(&c).unwrap();
    assert_eq!(disk(), 6 * MIB, "with room the next one goes to the disk");
    read_b();
    drop(next);
    finish_clean(mounted);
}

#[test]
fn what_is_unstaged_while_the_runtime_directory_is_full_stays_unstaged() {
    let dirs = Dirs::new();
    let parent = dirs.runtime_parent().to_owned();
    let Some(_disk) = Disk::over(&parent, 64 * MIB) else { return };
    let origin = origin();
    origin.file("a", MIB).file("b", MIB).file("c", MIB);
    let mounted = try_mount(dirs, None, &["--supervisor"], |_| ()).unwrap();
    let stage = |name: &str| {
        let said = text(&mounted.fsd(&["stage", &format!("{}?token=CANARY-{name}", origin.url(name))]).stdout);
        said.split_once(' ').unwrap().0.to_owned()
    };
    let (a, b) = (stage("a"), stage("b"));
    let filler = parent.join("filler");
    assert!(fs::write(&filler, vec![1; 64 << 20]).is_err(), "full");
    // There is no room for it to outlive its worker.
    stage("c");
    assert!(mounted.fsd(&["unstage", &a]).status.success());
    let kept = fs::read_to_string(mounted.runtime().join("staged")).unwrap();
    assert!(!kept.contains("CANARY-a") && kept.contains("CANARY-b"), "{kept}");
    fs::remove_file(filler).unwrap();
    let old = worker(&mounted);
    send(old, Signal::SIGKILL);
    await_successor(&mounted, old);
    let list = text(&mounted.fsd(&["list"]).stdout);
    assert!(!list.contains(&a) && list.contains(&b), "{list}");
    mounted.finish();
}

#[test]
fn in_a_small_runtime_directory_a_silent_worker_is_replaced_and_in_a_tiny_one_it_is_said_that_none_is() {
    for (kib, recorder) in [(400, "shared"), (120, "heap")] {
        let dirs = Dirs::new();
        let parent = dirs.runtime_parent().to_owned();
        let Some(_disk) = Disk::over(&parent, kib << 10) else { return };
        let origin = origin();
        let mounted = try_mount(dirs, Some(&origin.url("")), &["--supervisor"], |_| ()).unwrap();
        assert_eq!(mounted.status()["recorder"], recorder);
        assert_eq!(mounted.messages().contains("--runtime-dir"), recorder == "heap", "{}", mounted.messages());
        let old = worker(&mounted);
        send(old, if recorder == "shared" { Signal::SIGSTOP } else { Signal::SIGKILL });
        await_successor(&mounted, old);
        serves(&mounted, &origin);
        assert!(!mounted.messages().contains("cannot drain"), "{}", mounted.messages());
        mounted.finish();
    }
}

#[test]
fn s101_a_full_log_disk_blocks_nothing_and_the_loss_is_counted() {
    let Some(disk) = Disk::small(32 * MIB) else { return };
    let origin = origin();
    let mounted = mount(Some(&origin.url("")), &["--state-dir", &disk.arg(), "--watchdog-interval", "200ms"]);
    drop(fs::write(disk.at().join("filler"), vec![1; 32 << 20]));
    await_true("a loss", || {
        operations(&mounted, 2000);
        mounted.status()["events_lost"].as_u64() > Some(0)
    });
    serves(&mounted, &origin);
    // A dump has no room either: it is refused or written, and nobody hangs.
    let start = now();
    mounted.fsd(&["dump"]);
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    fs::remove_file(disk.at().join("filler")).unwrap();
    let lost = mounted.status()["events_lost"].as_u64().unwrap();
    await_true("a line about it", || {
        operations(&mounted, 10);
        let beats = mounted.recorded();
        beats.iter().any(|event| event["ev"] == "beat" && event["lost"].as_u64() >= Some(lost))
    });
    nothing_is_left(&mounted, &origin);
    mounted.finish();
}

#[test]
fn s96_a_log_disk_that_hangs_blocks_no_operation_and_no_dump_keeps_a_client() {
    let Some(disk) = Disk::freezable(16) else { return };
    let origin = origin();
    origin.file("dead", MIB).always("dead", Fault::Silent);
    let args = ["--state-dir", &disk.arg(), "--watchdog-interval", "100ms", "--stalled-after", "300ms"];
    let mounted = mount(Some(&origin.url("")), &args);
    disk.freeze();
    let stuck = reading(mounted.path("dead"), 0, 4096);
    assert!(origin.wait(SOON, |origin| origin.stalled() > 0));
    await_true("a watchdog that would dump", || {
        operations(&mounted, 500);
        mounted.status()["stalled"] == true
    });
    serves(&mounted, &origin);
    operations(&mounted, 5000);
    disk.thaw();
    mounted.await_event(|event| event["ev"] == "stall");
    origin.heal().release();
    assert!(stuck.join().unwrap().0.is_ok());
    nothing_is_left(&mounted, &origin);
    mounted.finish();
}

#[test]
fn s96_a_log_disk_that_hangs_for_long_costs_nobody_the_mount_and_no_worker_its_successor() {
    let Some(disk) = Disk::freezable(16) else { return };
    let origin = origin();
    origin.file("dead", MIB).always("dead", Fault::Silent);
    let args = ["--state-dir", &disk.arg(), "--watchdog-interval", "100ms", "--stalled-after", "300ms"];
    let mounted = mount(Some(&origin.url("")), &args);
    let old = worker(&mounted);
    disk.freeze();
    let stuck = reading(mounted.path("dead"), 0, 4096);
    await_true("a watchdog that would dump", || mounted.status()["stalled"] == true);
    // Longer than a worker may be silent.
    let start = now();
    while start.elapsed() < Duration::from_secs(13) {
        serves(&mounted, &origin);
        operations(&mounted, 500);
    }
    assert_eq!(worker(&mounted), old, "{}", mounted.messages());
    // It cannot be reaped: the threads that write hang with the disk.
    send(old, Signal::SIGKILL);
    let took = await_successor(&mounted, old);
    assert!(took < Duration::from_secs(10), "{took:?} {}", mounted.messages());
    serves(&mounted, &origin);
    let restart = mounted.fsd(&["restart"]);
    assert!(restart.status.success(), "{} {}", text(&restart.stderr), mounted.messages());
    serves(&mounted, &origin);
    disk.thaw();
    origin.heal().release();
    assert!(stuck.join().unwrap().0.is_ok());
    mounted.finish();
}
