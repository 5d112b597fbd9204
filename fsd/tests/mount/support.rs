//! Support: a mount of a test's own, what it recorded, and programs to use it with.

use std::{
    collections::HashSet,
    ops::Deref,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

pub(crate) use fsd::process::demo::{
    origin::{Checksum, Fault, Origin, checksum},
    served::{Failed, Home, Served},
};
use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

/// Longest wait for anything that should happen soon.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A mount of this test alone. Dropping it takes it down, also when it is stuck.
pub(crate) struct Mounted {
    served: Served,
    dirs: Dirs,
    /// Descriptors when it was ready.
    fds: Vec<String>,
}

/// The directories of a test.
pub(crate) struct Dirs {
    root: TempDir,
    runtime: TempDir,
    home: Home,
}

impl Dirs {
    pub(crate) fn new() -> Self {
        let shm = Path::new("/dev/shm");
        let runtime = if shm.is_dir() { TempDir::new_in(shm) } else { TempDir::new() };
        let (root, runtime) = (TempDir::with_prefix("fsd-test-").unwrap(), runtime.unwrap());
        let home = Home::new(root.path(), &runtime.path().join("run")).unwrap();
        Self { root, runtime, home }
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    /// The directory on tmpfs that holds the runtime directory.
    pub(crate) fn runtime_parent(&self) -> &Path {
        self.runtime.path()
    }

    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    /// `fsd ARGS…` in these directories.
    pub(crate) fn fsd(&self, args: &[&str]) -> Output {
        self.home().command(program()).args(args).stdin(Stdio::null()).output().unwrap()
    }
}

/// The `fsd` under test.
pub(crate) fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_fsd"))
}

/// Mounts `source`; None: only what is staged. Fails the test if it cannot.
pub(crate) fn mount(source: Option<&str>, args: &[&str]) -> Mounted {
    try_mount(Dirs::new(), source, args, |_| ()).unwrap_or_else(|failed| panic!("not mounted: {failed:?}"))
}

/// Mounts in these directories; the error says how it ended.
pub(crate) fn try_mount(
    dirs: Dirs,
    source: Option<&str>,
    args: &[&str],
    edit: impl FnOnce(&mut Command),
) -> Result<Mounted, Failed> {
    let served = Served::start(program(), dirs.home(), source, args, edit)?;
    let fds = fds(served.worker());
    Ok(Mounted { served, dirs, fds })
}

/// A test that fails says what its mount said, and what it did last.
impl Drop for Mounted {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let text = std::fs::read_to_string(self.events()).unwrap_or_default();
            let last: Vec<&str> = text.lines().rev().take(30).collect();
            let last: Vec<&str> = last.into_iter().rev().collect();
            tell(&format!("the mount said:\n{}\nits last records:\n{}", self.messages(), last.join("\n")));
        }
    }
}

impl Deref for Mounted {
    type Target = Served;

    fn deref(&self) -> &Served {
        &self.served
    }
}

impl Mounted {
    /// The root of the mount.
    pub(crate) fn dir(&self) -> PathBuf {
        self.path("")
    }

    /// Where its shared tables and its socket are.
    pub(crate) fn runtime(&self) -> PathBuf {
        Path::new(&self.presence.socket).parent().unwrap().to_owned()
    }

    /// `fsd ARGS…` with this mount's directories.
    pub(crate) fn fsd(&self, args: &[&str]) -> Output {
        self.dirs.fsd(args)
    }

    pub(crate) fn dirs(&self) -> &Dirs {
        &self.dirs
    }

    /// What the mount says of itself.
    pub(crate) fn status(&self) -> Value {
        serde_json::from_slice(&self.fsd(&["status", "--json"]).stdout).unwrap()
    }

    /// Every complete line of the event file so far.
    pub(crate) fn recorded(&self) -> Vec<Value> {
        events(&self.events())
    }

    /// Waits for the first event that `is_it`.
    pub(crate) fn await_event(&self, is_it: impl Fn(&Value) -> bool) -> Value {
        let mut found = None;
        await_true("an event", || {
            found = self.recorded().into_iter().find(|event| is_it(event));
            found.is_some()
        });
        found.unwrap()
    }

    /// Descriptors more than when it was ready.
    pub(crate) fn more_fds(&self) -> usize {
        fds(self.worker()).len().saturating_sub(self.fds.len())
    }

    /// Descriptors that are no sockets and were not there when it was ready.
    pub(crate) fn more_files(&self) -> Vec<String> {
        let mut now = fds(self.worker());
        // Idle connections to the origin may stay for a while.
        now.retain(|link| !link.starts_with("socket:"));
        for link in &self.fds {
            now.iter().position(|now| now == link).map(|at| now.swap_remove(at));
        }
        now
    }

    /// TERM, and a clean end: exit code 0, not mounted, no temp file, no runtime file. Returns the whole record.
    pub(crate) fn finish(self) -> Vec<Value> {
        self.signal(Signal::SIGTERM);
        let (status, record) = self.gone();
        assert_eq!(status.code(), Some(0));
        record
    }

    /// Waits for the end and checks that nothing but the record is left.
    pub(crate) fn gone(mut self) -> (ExitStatus, Vec<Value>) {
        let status = self.served.wait(Duration::from_secs(60)).expect("fsd ends when it is told to");
        assert!(!self.at().is_mounted(), "still mounted");
        assert_eq!(
            files(self.dirs.runtime.path()),
            Vec::<PathBuf>::new(),
            "runtime files are left: {}",
            self.messages()
        );
        assert_eq!(files(&self.home().temp()), Vec::<PathBuf>::new(), "temp files are left");
        let record = self.recorded();
        (status, record)
    }
}

/// Every complete line of an event file.
pub(crate) fn events(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// ENTERs without an EXIT, as `Op #id`.
pub(crate) fn orphans(record: &[Value]) -> Vec<String> {
    let exits = record.iter().filter(|event| event["ev"] == "exit");
    let ended: HashSet<u64> = exits.filter_map(|event| event["id"].as_u64()).collect();
    let enters = record.iter().filter(|event| event["ev"] == "enter");
    let open = enters.filter(|event| event["id"].as_u64().is_none_or(|id| !ended.contains(&id)));
    open.map(|event| format!("{} #{}", event["op"].as_str().unwrap_or("?"), event["id"])).collect()
}

/// How often an event of that kind stands in the record.
pub(crate) fn count(record: &[Value], ev: &str) -> usize {
    record.iter().filter(|event| event["ev"] == ev).count()
}

/// Waits until `ready`, looking often; fails the test after [`SOON`].
pub(crate) fn await_true(what: &str, mut ready: impl FnMut() -> bool) {
    await_none(what, || (!ready()).then_some("it is not yet so"));
}

/// Waits until nothing is `wrong` any more, looking often; fails the test after [`SOON`] with what still was.
pub(crate) fn await_none<T: std::fmt::Display>(what: &str, mut wrong: impl FnMut() -> Option<T>) {
    let until = now() + SOON;
    while let Some(wrong) = wrong() {
        assert!(now() < until, "{what} did not come within {SOON:?}: {wrong}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// Monotonic now.
pub(crate) fn now() -> Instant {
    fsd::platform::clock::now()
}

/// Says that a test cannot run here.
pub(crate) fn skip(feature: &str, found: &str, needs: &str) {
    tell(&format!("SKIP {feature} (found {found}, needs {needs})"));
}

/// Says something that is seen although the test passes.
pub(crate) fn tell(text: &str) {
    use std::io::Write;
    // Not `println`: the harness would hide it.
    drop(writeln!(std::io::stderr(), "{text}"));
}

/// Whether `tool` can be started; says SKIP if not.
pub(crate) fn have(tool: &str) -> bool {
    let found = Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        skip(tool, "nothing", tool);
    }
    found
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What each descriptor of a process leads to.
fn fds(pid: u32) -> Vec<String> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    entries.filter_map(|entry| std::fs::read_link(entry.path()).ok()).map(|link| link.display().to_string()).collect()
}

/// Every file below `dir`.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&entry.path())),
            _ => found.push(entry.path()),
        }
    }
    found
}
