//! `fsdiag dump` of real processes: it sees their stacks, and leaves them as they were.

use std::{
    fs,
    os::unix::process::CommandExt,
    process::{Child, Command, Output},
};

use fsd_events::stacks::{self, Cause, Doing, Frame, How, StackSource, Symbols};

/// A process to look at; killed when dropped.
struct Victim(Child);

impl Victim {
    /// Sleeps in a system call before this returns.
    fn asleep() -> Self {
        let victim = Self(Command::new("sleep").arg("1000").spawn().unwrap());
        while !victim.file("wchan").contains("nanosleep") {
            std::thread::yield_now();
        }
        victim
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{name}", self.0.id())).unwrap()
    }

    fn signal(&self, name: &str) {
        let done = Command::new("kill").args(["-s", name, &self.0.id().to_string()]).status().unwrap();
        assert!(done.success());
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn fsdiag() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fsdiag"));
    command.arg("dump");
    command
}

fn complaint(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

#[test]
fn the_stack_of_a_sleeper_is_named_and_the_pause_is_announced() {
    let victim = Victim::asleep();
    let out = fsdiag().arg(victim.0.id().to_string()).output().unwrap();
    let said = complaint(&out);
    assert!(out.status.success(), "{said}");
    let announced = format!("process {} (sleep) has one thread; it pauses", victim.0.id());
    assert!(said.lines().next().unwrap().contains(&announced), "{said}");
    let text = String::from_utf8(out.stdout).unwrap();
    let read = stacks::read(&text);
    assert!(read.is_sound(), "{:?}\n{text}", read.problems);
    let dump = read.dump;
    assert_eq!((&*dump.header.program, dump.header.symbols), ("sleep", Symbols::Full));
    assert_eq!((dump.header.capture.how, dump.header.reason.cause), (How::Ptrace, Cause::Request));
    let thread = &dump.threads[0];
    assert_eq!((thread.head.doing, thread.head.stack), (Doing::Sleep, StackSource::Ptrace));
    assert!(thread.frames.len() > 3 && !thread.frames.contains(&Frame::Truncated), "{thread:#?}");
}

#[test]
fn a_stopped_process_stays_stopped_and_a_running_one_runs_on() {
    let victim = Victim::asleep();
    victim.signal("STOP");
    while !victim.file("status").contains("T (stopped)") {
        std::thread::yield_now();
    }
    let file = tempfile::tempdir().unwrap();
    let file = file.path().join("out.log");
    let out = fsdiag().arg(victim.0.id().to_string()).args(["--yes", "-o"]).arg(&file).output().unwrap();
    assert!(out.status.success(), "{}", complaint(&out));
    let text = fs::read_to_string(&file).unwrap();
    let read = stacks::read(&text);
    assert!(read.is_sound());
    assert_eq!(read.dump.threads[0].head.doing, Doing::Stopped);
    assert!(victim.file("status").contains("T (stopped)"));
    assert!(victim.file("status").contains("TracerPid:\t0"));
    victim.signal("CONT");
    let out = fsdiag().arg(victim.0.id().to_string()).output().unwrap();
    assert!(out.status.success(), "{}", complaint(&out));
    assert!(victim.file("status").contains("S (sleeping)"));
}

#[test]
fn what_may_not_be_traced_is_left_alone_with_a_reason() {
    let out = fsdiag().arg("/proc").output().unwrap();
    assert!(!out.status.success());
    assert!(complaint(&out).contains("neither a process id nor a FUSE mount"), "{}", complaint(&out));
    let out = fsdiag().arg("2").output().unwrap();
    let kernel = fs::read_to_string("/proc/2/comm").is_ok_and(|comm| comm.trim() == "kthreadd");
    assert!(!kernel || complaint(&out).contains("kernel thread"), "{}", complaint(&out));
    if !fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0) {
        println!("SKIP become another user (found a plain user, needs root)");
        return;
    }
    let victim = Victim::asleep();
    let copy = tempfile::Builder::new().permissions(open_for_all()).tempdir().unwrap();
    let binary = copy.path().join("fsdiag");
    fs::copy(env!("CARGO_BIN_EXE_fsdiag"), &binary).unwrap();
    let out = Command::new(binary).arg("dump").arg(victim.0.id().to_string()).uid(65534).gid(65534).output().unwrap();
    assert!(!out.status.success());
    assert!(complaint(&out).contains("no right to trace process"), "{}", complaint(&out));
    assert!(victim.file("status").contains("TracerPid:\t0"));
}

fn open_for_all() -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o755)
}
