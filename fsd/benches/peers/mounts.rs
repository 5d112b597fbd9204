//! The candidates: how each is mounted, found ready, and taken away again.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::origin::Origin;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Candidate {
    /// No mount at all: the wire itself.
    Curl,
    /// The same into a file on the disk of the temp files.
    CurlFile,
    /// No mount and no wire: a local file, its pages in memory. Read beside a mount, not in a turn of its own.
    Native,
    /// The same on tmpfs.
    Memory,
    FsdTempFile,
    FsdRangeLru,
    Rclone,
    /// rclone with the flags its documentation recommends for streaming.
    RcloneTuned,
    Httpdirfs,
}

impl Candidate {
    const ALL: [Self; 7] = [
        Self::Curl,
        Self::CurlFile,
        Self::FsdTempFile,
        Self::FsdRangeLru,
        Self::Rclone,
        Self::RcloneTuned,
        Self::Httpdirfs,
    ];

    /// Those whose program is installed here.
    pub(crate) fn available() -> Vec<Self> {
        Self::ALL.into_iter().filter(|c| installed(c.program())).collect()
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Curl => "curl -o /dev/null",
            Self::CurlFile => "curl -o file",
            Self::Native => "local file",
            Self::Memory => "file in memory",
            Self::FsdTempFile => "fsd temp-file",
            Self::FsdRangeLru => "fsd range-lru",
            Self::Rclone => "rclone mount",
            Self::RcloneTuned => "rclone mount, tuned",
            Self::Httpdirfs => "httpdirfs --cache",
        }
    }

    fn program(self) -> &'static str {
        match self {
            Self::Curl | Self::CurlFile | Self::Native | Self::Memory => "curl",
            Self::FsdTempFile | Self::FsdRangeLru => env!("CARGO_BIN_EXE_fsd"),
            Self::Rclone | Self::RcloneTuned => "rclone",
            Self::Httpdirfs => "httpdirfs",
        }
    }

    fn command(self, url: &str, at: &Path, scratch: &Path) -> Command {
        let mut command = Command::new(self.program());
        match self {
            Self::Curl | Self::CurlFile | Self::Native | Self::Memory => (),
            Self::FsdTempFile => fsd(&mut command, url, at, scratch, &["--fetch-mode", "temp-file"]),
            Self::FsdRangeLru => fsd(&mut command, url, at, scratch, &["--fetch-mode", "range-lru"]),
            Self::Rclone => rclone(&mut command, url, at, &[]),
            Self::RcloneTuned => rclone(&mut command, url, at, &["--max-read-ahead", "1M", "--buffer-size", "64M"]),
            Self::Httpdirfs => {
                let cache = scratch.join("httpdirfs-cache");
                // It outlives the mount, and a cold stream would be read from it.
                let _ = fs::remove_dir_all(&cache);
                fs::create_dir_all(&cache).unwrap();
                command.args(["-f", "--no-range-check", "--cache", "--cache-location"]).arg(cache).arg(url).arg(at);
            }
        }
        command
    }
}

fn fsd(command: &mut Command, url: &str, at: &Path, scratch: &Path, extra: &[&str]) {
    command.arg("mount").arg(url).arg(at).args(extra);
    // Its own, so that no other fsd of this user is in its way, nor it in theirs.
    command.arg("--runtime-dir").arg(format!("/dev/shm/fsd-bench-{}", std::process::id()));
    command.arg("--temp-dir").arg(scratch.join("temp")).arg("--state-dir").arg(scratch.join("state"));
}

fn rclone(command: &mut Command, url: &str, at: &Path, extra: &[&str]) {
    command
        .args(["mount", "--config", "/dev/null", "--read-only", "--http-url", url])
        .args(extra)
        .arg(":http:")
        .arg(at);
}

/// A mounted candidate; unmounted, by force if need be, when dropped.
pub(crate) struct Mounted {
    child: Child,
    at: PathBuf,
}

impl Mounted {
    pub(crate) fn new(candidate: Candidate, origin: &Origin) -> Self {
        Self::of(candidate, &origin.url(), origin.scratch(), &[])
    }

    /// `source` mounted with further arguments of the candidate's program.
    pub(crate) fn of(candidate: Candidate, source: &str, scratch: &Path, more: &[&str]) -> Self {
        let at = scratch.join("mnt");
        fs::create_dir_all(&at).unwrap();
        fs::create_dir_all(scratch.join("temp")).unwrap();
        let child = candidate
            .command(source, &at, scratch)
            .args(more)
            .stdout(Stdio::null())
            .stderr(fs::File::create(scratch.join("mount.err")).unwrap())
            .spawn()
            .unwrap();
        let mounted = Self { child, at };
        assert!(wait_for(|| is_mounted(&mounted.at)), "{} did not mount", candidate.name());
        mounted
    }

    pub(crate) fn path(&self) -> &Path {
        &self.at
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.at).stderr(Stdio::null()).status();
        if is_mounted(&self.at) {
            let _ = Command::new("umount").arg("-l").arg(&self.at).status();
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(format!("/dev/shm/fsd-bench-{}", std::process::id()));
    }
}

fn is_mounted(at: &Path) -> bool {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    table.lines().any(|line| line.split(' ').nth(4) == at.to_str())
}

fn wait_for(condition: impl Fn() -> bool) -> bool {
    let limit = Instant::now() + Duration::from_secs(20);
    while Instant::now() < limit {
        if condition() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

fn installed(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

pub(crate) fn is_root() -> bool {
    fs::read_to_string("/proc/self/status").unwrap().lines().any(|l| l.starts_with("Uid:\t0\t"))
}
