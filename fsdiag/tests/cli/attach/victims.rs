//! Victims: real FUSE file systems on a server that does not answer, and clients that get stuck in them.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use fsdiag::sources::kernel::mountinfo::{self, Mount};
use serde_json::Value;
use tempfile::TempDir;

use super::servers;

/// Longest wait for anything that should happen soon.
const SOON: Duration = Duration::from_secs(20);

/// A daemon that mounts by itself for the user in its second word, and answers INIT.
const MOUNTS: &str = r#"
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
def mounted():
    fuse = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={fuse},rootmode=40000,user_id={sys.argv[2]},group_id=0"
    if libc.mount(b"scripted", sys.argv[1].encode(), b"fuse", 0, options.encode()):
        sys.exit(os.strerror(ctypes.get_errno()))
    unique = struct.unpack_from("<IIQ", os.read(fuse, 1 << 20))[2]
    init = struct.pack("<IIIIHHIIHHI28x", 7, 31, 4096, 0, 12, 9, 4096, 1, 0, 0, 0)
    os.write(fuse, struct.pack("<IiQ", 16 + len(init), 0, unique) + init)
    return fuse
fuse = mounted()
"#;

/// What such a daemon does that runs for ever upon the first request.
const SPINS: &str = "os.read(fuse, 1 << 20)\nwhile True:\n    pass\n";

/// What such a daemon does that mounts until its mount has the number of one that is gone; whose daemon, its child, is
/// not. It is called `follower` then.
const FOLLOWS: &str = r#"
def number():
    lines = [line.split() for line in open("/proc/self/mountinfo")]
    return [line[2] for line in lines if line[4] == sys.argv[1]]
while True:
    former = number()
    child = os.fork()
    if child == 0:
        libc.prctl(1, 9)
        libc.pause()
    libc.umount2(sys.argv[1].encode(), 2)
    os.close(fuse)
    fuse = mounted()
    if number() == former:
        break
    os.kill(child, 9)
    os.waitpid(child, 0)
libc.prctl(15, b"follower")
while True:
    os.read(fuse, 1 << 20)
"#;

/// The words that run such a daemon on `mount`, for root.
pub(super) fn spinning_on(mount: &str) -> [String; 5] {
    ["python3", "-c", &format!("{MOUNTS}{SPINS}"), mount, "0"].map(str::to_owned)
}

/// A mounted file system with its daemon and clients. Dropping it frees everybody, also when it is stuck.
pub(super) struct Victim {
    _dir: TempDir,
    pub(super) mount: PathBuf,
    pub(super) daemon: Child,
    /// The kernel's file that ends its connection, where fusectl is mounted.
    abort: PathBuf,
    clients: Vec<Child>,
    /// What the readers read from before they begin.
    gate: Option<fs::File>,
}

impl Victim {
    /// Starts a daemon in the foreground; None, with a SKIP line, where the program or FUSE is missing.
    pub(super) fn start(program: &str, args: impl FnOnce(&str) -> Vec<String>) -> Option<Self> {
        let dir = TempDir::with_prefix("fsdiag-attach-").unwrap();
        let mount = dir.path().join("m");
        fs::create_dir(&mount).unwrap();
        let mut command = Command::new(program);
        command.args(args(mount.to_str().unwrap())).env("HOME", dir.path()).env("XDG_CACHE_HOME", dir.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let daemon = match command.spawn() {
            Ok(daemon) if Path::new("/dev/fuse").exists() => daemon,
            Ok(mut daemon) => {
                let _ = (daemon.kill(), daemon.wait());
                skip(program, "no /dev/fuse", "FUSE");
                return None;
            }
            Err(error) => {
                skip(program, &error.to_string(), program);
                return None;
            }
        };
        let mut victim = Self { _dir: dir, mount, daemon, abort: PathBuf::new(), clients: Vec::new(), gate: None };
        eventually("the mount", || is_mounted(&victim.mount));
        victim.abort = abort_of(connection(&victim.mount));
        Some(victim)
    }

    pub(super) fn rclone() -> Option<Self> {
        let url = format!(":http,url='http://127.0.0.1:{}/':", servers::http());
        let more = ["--attr-timeout", "0s", "--dir-cache-time", "10m", "--read-only"].map(str::to_owned);
        let args = |mount: &str| [vec![String::from("mount"), url, mount.to_owned()], more.to_vec()].concat();
        Self::start("rclone", args)
    }

    pub(super) fn httpdirfs(more: &[&str]) -> Option<Self> {
        let url = format!("http://127.0.0.1:{}/", servers::http());
        let more: Vec<String> = more.iter().map(|a| (*a).to_owned()).collect();
        Self::start("httpdirfs", |mount| [vec![String::from("-f")], more, vec![url, mount.to_owned()]].concat())
    }

    pub(super) fn sshfs(options: &str) -> Option<Self> {
        let options = format!("directport={},{options}", servers::sftp());
        let args = |mount: &str| ["-f", "-o", &options, "127.0.0.1:/", mount].map(str::to_owned).to_vec();
        Self::start("sshfs", args)
    }

    /// A daemon that answers INIT, and runs for ever upon the first request.
    pub(super) fn spinning() -> Option<Self> {
        Self::scripted(SPINS, 0)
    }

    /// A daemon that answers nothing, and one of whose threads asks for a name in its own mount.
    pub(super) fn touching_itself() -> Option<Self> {
        let touches = "import threading\nthreading.Thread(target=lambda: os.stat(sys.argv[1] + '/x')).start()\n";
        Self::scripted(&format!("{touches}while True:\n    os.read(fuse, 1 << 20)\n"), 0)
    }

    /// A daemon that answers nothing, and that other whose mount is gone and had the same number.
    pub(super) fn following() -> Option<(Self, u32)> {
        let mut victim = Self::scripted(FOLLOWS, 0)?;
        let of = victim.daemon.id();
        let read = |file: &str| fs::read_to_string(format!("/proc/{of}/{file}")).unwrap();
        eventually("the same number", || read("comm") == "follower\n");
        victim.abort = abort_of(connection(&victim.mount));
        let former = read(&format!("task/{of}/children")).trim().parse().unwrap();
        Some((victim, former))
    }

    /// A daemon that answers nothing, whose mount belongs to that user.
    pub(super) fn of_user(uid: u32) -> Option<Self> {
        Self::scripted("while True:\n    os.read(fuse, 1 << 20)\n", uid)
    }

    /// A daemon that answers nothing, and has an event loop, in which a request may wait for its turn.
    pub(super) fn with_a_loop() -> Option<Self> {
        Self::scripted("import select\nevents = select.epoll()\nwhile True:\n    os.read(fuse, 1 << 20)\n", 0)
    }

    /// A daemon that has forked, and answers nothing.
    pub(super) fn with_a_fork() -> Option<Self> {
        Self::scripted(
            "if os.fork() == 0:\n    libc.prctl(1, 9)\n    libc.pause()\nwhile True:\n    os.read(fuse, 1 << 20)\n",
            0,
        )
    }

    /// A daemon that mounts by itself, answers INIT, and then does what the script says.
    fn scripted(then: &str, uid: u32) -> Option<Self> {
        if !is_root() {
            skip("mount(2)", "a plain user", "root");
            return None;
        }
        let script = format!("{MOUNTS}{then}");
        Self::start("python3", |mount| ["-c", &script, mount, &uid.to_string()].map(str::to_owned).to_vec())
    }

    /// Whether another mount has its connection's number by now.
    fn is_followed(&self) -> bool {
        let has_it = |other: &Mount| abort_of(other.connection()) == self.abort && other.point != self.mount;
        mountinfo::read().unwrap_or_default().iter().any(|other| other.is_fuse() && has_it(other))
    }

    pub(super) fn file(&self) -> PathBuf {
        self.mount.join(servers::FILE)
    }

    /// Starts a client that will hang; killed when the victim is dropped.
    pub(super) fn client(&mut self, program: &str, args: &[&str]) -> u32 {
        let child = Command::new(program).args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let pid = child.id();
        self.clients.push(child);
        pid
    }

    /// A client that waits for exactly one READ.
    pub(super) fn one_read(&mut self) -> u32 {
        let input = format!("if={}", self.file().display());
        self.client("dd", &[&input, "of=/dev/null", "bs=4096", "count=1", "iflag=direct"])
    }

    /// Clients that read far apart in the file. All have it open before the first reads: an open waits for pages
    /// that an unanswered READ has locked.
    pub(super) fn many_reads(&mut self, count: u32) {
        let go = self.mount.with_file_name("go");
        assert!(Command::new("mkfifo").arg(&go).status().unwrap().success());
        let file = self.file();
        let (fifo, name) = (go.display(), file.display());
        // Nothing is forked between open and read: a child that ends would close the file, and send a FLUSH.
        let read =
            |n: u32| format!("exec 3<{name}; read go <{fifo}; exec dd bs=4k skip={} count=1 of=/dev/null <&3", n << 10);
        let readers: Vec<u32> = (0..count).map(|n| self.client("sh", &["-c", &read(n)])).collect();
        let open = |pid: &u32| fs::read_link(format!("/proc/{pid}/fd/3")).is_ok_and(|to| to == file);
        eventually("readers", || readers.iter().all(open));
        let mut go = fs::OpenOptions::new().write(true).open(go).unwrap();
        go.write_all(&vec![b'\n'; count as usize]).unwrap();
        self.gate = Some(go);
    }

    /// Ends that process when the victim is dropped.
    pub(super) fn adopt(&mut self, child: Child) {
        self.clients.push(child);
    }

    pub(super) fn kill_client(&mut self, pid: u32) {
        let client = self.clients.iter_mut().find(|c| c.id() == pid).unwrap();
        client.kill().unwrap();
    }

    /// Waits until some thread of that process sleeps in that function of the kernel.
    pub(super) fn await_wait(&self, pid: u32, function: &str) {
        let there = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("wchan")).is_ok_and(|w| w == function);
        eventually(function, || fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten().any(there));
    }

    pub(super) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.daemon.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// `fsdiag attach` with everything counting as stalled, and its exit code.
    pub(super) fn attach(&self, more: &[&str]) -> (Value, Option<i32>) {
        let mount = self.mount.to_str().unwrap();
        let out = fsdiag(&[&["attach", mount, "--format", "json", "--stalled-after", "0"], more].concat());
        let parsed = serde_json::from_slice(&out.stdout);
        let report = parsed.unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&out.stderr)));
        (report, out.status.code())
    }

    /// Attaches until the report is as wanted; the last report when it never is.
    pub(super) fn attach_until(&self, more: &[&str], wanted: impl Fn(&Value) -> bool) -> Value {
        let start = now();
        loop {
            let (report, _) = self.attach(more);
            if wanted(&report) || start.elapsed() > SOON {
                return report;
            }
        }
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let umount = |how: &str| {
            let mut umount = Command::new("umount");
            let _ = umount.arg(how).arg(&self.mount).stdout(Stdio::null()).stderr(Stdio::null()).status();
        };
        // The last holder of the device aborts the connection, which frees every client; a thread of the daemon that
        // waits for its own mount holds it, and is freed by force, also when the mount is gone.
        let _ = self.daemon.kill();
        if !self.is_followed() {
            let _ = fs::write(&self.abort, "1");
        }
        umount("-f");
        let _ = self.daemon.wait();
        umount("-l");
        for client in &mut self.clients {
            let _ = (client.kill(), client.wait());
        }
    }
}

pub(super) fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Says that a test cannot be run here.
#[expect(clippy::print_stdout, reason = "the list of skips is read from the test's output")]
pub(super) fn skip(feature: &str, found: &str, needs: &str) {
    println!("SKIP {feature} (found {found}, needs {needs})");
}

/// Runs the program under test.
pub(super) fn fsdiag(args: &[&str]) -> Output {
    Command::new(program()).args(args).stdin(Stdio::null()).output().unwrap()
}

pub(super) fn program() -> &'static str {
    env!("CARGO_BIN_EXE_fsdiag")
}

pub(super) fn is_mounted(mount: &Path) -> bool {
    mountinfo::at(&mountinfo::read().unwrap(), mount).is_some()
}

fn abort_of(connection: u64) -> PathBuf {
    format!("/sys/fs/fuse/connections/{connection}/abort").into()
}

fn connection(mount: &Path) -> u64 {
    mountinfo::at(&mountinfo::read().unwrap(), mount).map_or(0, Mount::connection)
}

/// Waits for what another process does; fails the test when it does not come.
pub(super) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = now();
    while !is_so() {
        assert!(start.elapsed() < SOON, "waited in vain for {what}");
        pause();
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's own deadline")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "between two looks at what another process does")]
fn pause() {
    thread::sleep(Duration::from_millis(20));
}
