//! A plain user: the whole way without root, and what is said where something is missing.
//!
//! The user is nobody, in a mount namespace that ends with the test: there `/dev/fuse` is one that everybody may open,
//! or is not there at all. The machine stays as it is.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use super::support::*;

const MIB: u64 = 1 << 20;
const NOBODY: u32 = 65534;

/// What the namespace does to its `/dev/fuse` and its helper.
enum Device {
    Open,
    Missing,
    WithoutHelper,
    /// Its helper never ends.
    StuckHelper,
}

/// A namespace with nobody in it, or root.
struct Plain {
    uid: u32,
    dirs: Dirs,
    holder: Child,
}

/// Makes the namespace; `$1` is a directory of its own, `$2` the program under test.
const SETUP: &str = r#"set -eu
mkdir "$1/box"; mount -t tmpfs -o mode=755 fsd-test "$1/box"; cd "$1/box"
touch fsd; mount --bind "$2" fsd
"#;
const OPEN: &str = "mknod -m 666 fuse c 10 229; mount --bind fuse /dev/fuse\n";
const MISSING: &str = r#"mkdir dev dev/shm; mount --bind /dev/shm dev/shm
for name in null zero urandom; do touch dev/$name; mount --bind /dev/$name dev/$name; done
mount --rbind dev /dev
"#;
const NO_HELPER: &str = r#"for name in fusermount3 fusermount; do
for dir in /usr/bin /bin /usr/local/bin /sbin; do if [ -f $dir/$name ]; then mount --bind /dev/null $dir/$name; fi; done; done
"#;

const STUCK_HELPER: &str = r#"mkdir bin; printf '#!/bin/sh\nexec sleep 600\n' > bin/fusermount3; chmod 755 bin/fusermount3
"#;

impl Plain {
    /// None, with a SKIP line, where this cannot be done.
    fn new(device: &Device) -> Option<Self> {
        Self::with(device, NOBODY)
    }

    /// The same for another user.
    fn with(device: &Device, uid: u32) -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            skip("a namespace with a plain user", "a plain user", "root");
            return None;
        }
        let helper = if matches!(device, Device::StuckHelper) { "sleep" } else { "fusermount3" };
        if ![helper, "unshare", "nsenter", "setpriv"].into_iter().all(have) {
            return None;
        }
        let dirs = Dirs::new();
        for dir in [dirs.root(), dirs.runtime_parent()] {
            own(dir, uid);
        }
        let script = match device {
            Device::Open => [SETUP, OPEN].concat(),
            Device::Missing => [SETUP, MISSING].concat(),
            Device::WithoutHelper => [SETUP, OPEN, NO_HELPER].concat(),
            Device::StuckHelper => [SETUP, OPEN, STUCK_HELPER].concat(),
        };
        let mut unshare = Command::new("unshare");
        unshare.args(["-m", "--propagation", "private", "sh", "-c", &(script + "echo ready; exec cat"), "sh"]);
        unshare.arg(dirs.root()).arg(program()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = unshare.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "the namespace was not made");
        Some(Self { uid, dirs, holder })
    }

    /// `program ARGS…` in the namespace, as that user.
    fn command(&self, uid: u32, program: &Path, args: &[&str]) -> Command {
        let mut command = self.dirs.home().command(Path::new("nsenter"));
        command.args(["-t", &self.holder.id().to_string(), "-m", "--"]);
        if uid != 0 {
            let id = uid.to_string();
            command.args(["setpriv", "--reuid", &id, "--regid", &id, "--clear-groups", "--"]);
        }
        // A helper of the namespace's own is found first.
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}/box/bin:{path}", self.dirs.root().display()));
        command.arg(program).args(args).current_dir("/").stdin(Stdio::null());
        command
    }

    fn fsd(&self, args: &[&str]) -> Output {
        self.command(self.uid, &self.dirs.root().join("box/fsd"), args).output().unwrap()
    }

    /// `fsd ARGS…`, which must succeed; its output.
    fn ok(&self, args: &[&str]) -> String {
        let output = self.fsd(args);
        assert_eq!(output.status.code(), Some(0), "{args:?} {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// A shell command as nobody.
    fn sh(&self, script: &str) -> Output {
        self.command(NOBODY, Path::new("sh"), &["-c", script]).output().unwrap()
    }

    /// The mount point.
    fn dir(&self) -> PathBuf {
        self.dirs.home().mount_point()
    }

    /// Mounts in the background.
    fn mount(&self, source: &str, args: &[&str]) {
        let dir = self.dir().display().to_string();
        self.ok(&[&["mount", "--daemon", source, &dir], args].concat());
    }

    /// Tries to mount, and expects that code and those words.
    fn refused(&self, source: &str, dir: &Path, code: i32, words: &[&str]) {
        let output = self.fsd(&["mount", source, &dir.display().to_string()]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{words:?} are not in {said:?}");
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        self.fsd(&["umount", "--force"]);
        // The namespace, and what is mounted in it, goes with its last process.
        drop(self.holder.stdin.take());
        drop(self.holder.wait());
    }
}

/// Gives `dir` and every directory in it to that user.
fn own(dir: &Path, uid: u32) {
    chown(dir, Some(uid), Some(uid)).unwrap();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            own(&entry.path(), uid);
        }
    }
}

#[test]
fn a_plain_user_mounts_reads_and_unmounts() {
    let Some(plain) = Plain::new(&Device::Open) else { return };
    let origin = Origin::start().unwrap();
    origin.file("a", 3 * MIB).file("d/b", 5);
    plain.mount(&origin.url(""), &[]);
    let (dir, copy) = (plain.dir().display().to_string(), plain.dirs.root().join("copy"));
    let done = plain.sh(&format!("cp {dir}/a {} && ls -l {dir} {dir}/d", copy.display()));
    assert!(done.status.success(), "{}", text(&done.stderr));
    let shown = text(&done.stdout);
    let owned = shown.lines().any(|line| line.starts_with("-r--r--r--") && line.contains(&(3 * MIB).to_string()));
    assert!(owned && shown.contains("nobody"), "{shown}");
    let bytes = fs::read(&copy).unwrap();
    assert!(bytes == origin.bytes("a", 0, 3 * MIB as usize));
    let root = plain.command(0, Path::new("ls"), &[&dir]).output().unwrap();
    assert!(!root.status.success(), "without allow_other not even root comes in");
    assert!(plain.ok(&["status"]).contains(&format!("is mounted at {dir}")));
    let staged = plain.ok(&["stage", &origin.url("d/b"), &dir, "--name", "c"]);
    let path = staged.trim().split_once(' ').unwrap().1;
    assert_eq!(text(&plain.sh(&format!("wc -c < {path}")).stdout).trim(), "5");
    let dump = plain.ok(&["dump"]);
    assert!(fs::metadata(dump.trim()).is_ok_and(|file| file.len() > 0), "{dump}");
    assert!(plain.ok(&["umount"]).contains("is unmounted"));
    assert_eq!(files(plain.dirs.home().runtime()), Vec::<PathBuf>::new());
}

#[test]
fn a_plain_user_under_a_supervisor_keeps_the_mount_when_the_worker_dies() {
    let Some(plain) = Plain::new(&Device::Open) else { return };
    let origin = Origin::start().unwrap();
    origin.file("a", MIB);
    plain.mount(&origin.url(""), &["--supervisor"]);
    let status = || serde_json::from_str::<serde_json::Value>(&plain.ok(&["status", "--json"])).unwrap();
    let old = status()["pid"].as_i64().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(old as i32), nix::sys::signal::Signal::SIGKILL).unwrap();
    let read = plain.sh(&format!("wc -c < {}/a", plain.dir().display()));
    assert_eq!(text(&read.stdout).trim(), MIB.to_string(), "{}", text(&read.stderr));
    assert_ne!(status()["pid"].as_i64(), Some(old));
    assert!(plain.ok(&["umount"]).contains("is unmounted"));
}

#[test]
fn a_plain_user_keeps_the_mount_when_the_supervisor_dies_and_is_left_with_nothing_when_both_do() {
    use nix::sys::signal::Signal;
    let Some(plain) = Plain::new(&Device::Open) else { return };
    let origin = Origin::start().unwrap();
    origin.file("a", MIB);
    plain.mount(&origin.url(""), &[]);
    let presence = || {
        let all = files(plain.dirs.home().runtime());
        let file = all.iter().find(|file| file.ends_with(fsd_events::layout::MOUNT_FILE))?;
        serde_json::from_slice::<fsd_events::presence::Presence>(&fs::read(file).ok()?).ok()
    };
    let send = |pid: u32, signal| nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), signal).unwrap();
    let held = format!("exec 3< {}/a; head -c 1 <&3 >/dev/null; echo open; read go; wc -c <&3", plain.dir().display());
    let mut reader = plain.command(NOBODY, Path::new("sh"), &["-c", &held]);
    let mut reader = reader.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(reader.stdout.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    let before = presence().unwrap();
    send(before.supervisor, Signal::SIGKILL);
    await_true("the next supervisor", || presence().is_some_and(|now| now.supervisor == before.pid));
    drop(reader.stdin.take());
    line.clear();
    said.read_line(&mut line).unwrap();
    assert!(line.trim().parse::<u64>().is_ok_and(|rest| rest > 0 && rest < MIB), "{line}");
    assert!(reader.wait().unwrap().success());
    let now = presence().unwrap();
    for signal in [Signal::SIGSTOP, Signal::SIGKILL] {
        send(now.pid, signal);
        send(now.supervisor, signal);
    }
    let mounted = format!("grep -q ' {} ' /proc/self/mountinfo", plain.dir().display());
    await_true("the unmount", || !plain.sh(&mounted).status.success());
    await_true("the runtime directory's end", || files(plain.dirs.home().runtime()).is_empty());
    assert_eq!(files(&plain.dirs.home().temp()), Vec::<PathBuf>::new());
}

#[test]
fn a_plain_user_learns_who_keeps_the_mount_busy_and_may_force_it() {
    let Some(plain) = Plain::new(&Device::Open) else { return };
    let origin = Origin::start().unwrap();
    origin.file("a", MIB);
    plain.mount(&origin.url(""), &["--drain-timeout", "1s"]);
    let dir = plain.dir().display().to_string();
    let mut holder = plain.command(NOBODY, Path::new("sh"), &["-c", &format!("exec 3<{dir}/a; echo held; exec cat")]);
    let mut holder = holder.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(holder.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "held\n");
    assert!(plain.ok(&["umount"]).contains("is unmounted"), "aborted at the drain limit");
    let log = files(&plain.dirs.home().state()).into_iter().find(|file| file.ends_with("fsd.log")).unwrap();
    let said = fs::read_to_string(log).unwrap();
    assert!(said.contains("the mount is busy: cat (pid ") && said.contains("aborting"), "{said}");
    drop(holder.stdin.take());
    holder.wait().unwrap();
}

#[test]
fn a_plain_user_gets_a_dead_mount_out_of_the_way() {
    let Some(plain) = Plain::new(&Device::Open) else { return };
    let origin = Origin::start().unwrap();
    origin.file("a", MIB);
    plain.mount(&origin.url(""), &["--no-supervisor"]);
    let status: serde_json::Value = serde_json::from_str(&plain.ok(&["status", "--json"])).unwrap();
    let pid = nix::unistd::Pid::from_raw(status["pid"].as_i64().unwrap() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    let look = format!("ls {}", plain.dir().display());
    await_true("the end of the mount", || text(&plain.sh(&look).stderr).contains("not connected"));
    plain.mount(&origin.url(""), &[]);
    assert!(text(&plain.sh(&look).stdout).contains('a'));
    assert!(plain.ok(&["umount"]).contains("is unmounted"));
}

#[test]
fn what_a_plain_user_cannot_mount_is_said_with_what_to_do() {
    let Some(plain) = Plain::new(&Device::Open) else { return };
    let origin = Origin::start().unwrap();
    origin.file("a", 1).file("f", 1).always("f", Fault::status(403)).always("d/", Fault::status(403));
    let (here, root) = (plain.dir(), plain.dirs.root().to_owned());
    let nobodys = |name: &str| {
        let dir = root.join(name);
        fs::create_dir(&dir).unwrap();
        own(&dir, NOBODY);
        dir
    };
    let full = nobodys("full");
    fs::write(full.join("x"), "").unwrap();
    let foreign = root.join("foreign");
    fs::create_dir(&foreign).unwrap();
    let (source, closed) = (origin.url(""), "http://127.0.0.1:1/");
    for (source, dir, code, words) in [
        (&*source, &full, 32, ["not empty", "empty directory"]),
        (&source, &root.join("none"), 32, ["does not exist", "mkdir -p"]),
        (&source, &foreign, 32, ["no write access", "belongs to you"]),
        (&origin.url("missing/"), &here, 66, ["404", "check"]),
        (&origin.url("d/"), &here, 66, ["403", "--header-file"]),
        (&origin.url("f"), &here, 66, ["403", "--header-file"]),
        (closed, &here, 75, ["connect", "try again"]),
    ] {
        plain.refused(source, dir, code, &words);
    }
}

#[test]
fn a_machine_without_the_device_is_told_apart_from_one_without_the_helper() {
    for uid in [NOBODY, 0] {
        let Some(plain) = Plain::with(&Device::Missing, uid) else { return };
        let source = plain.dirs.home().temp().display().to_string();
        plain.refused(&source, &plain.dir(), 32, &["/dev/fuse", "modprobe fuse", "--device /dev/fuse"]);
    }
    let Some(plain) = Plain::new(&Device::WithoutHelper) else { return };
    let source = plain.dirs.home().temp().display().to_string();
    plain.refused(&source, &plain.dir(), 32, &["fusermount3 is missing", "package fuse3"]);
}

#[test]
fn a_helper_that_never_ends_is_not_waited_for() {
    let Some(plain) = Plain::new(&Device::StuckHelper) else { return };
    let source = plain.dirs.home().temp().display().to_string();
    plain.refused(&source, &plain.dir(), 32, &["fusermount3", "did not end within 5 s and was killed"]);
}
