//! Child: the worker process as the supervisor sees it: started, watched, killed; never waited for without a limit.

use std::{
    fs, io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{net::UnixStream, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::{Child as Process, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

use super::policy::Seen;
use crate::{
    platform::{clock, process::pidfd},
    process::link::Link,
};

/// After a SIGKILL: threads in state D can keep a dead process from being reaped for ever.
const DEATH_LIMIT: Duration = Duration::from_millis(500);

/// A worker.
pub(super) struct Child {
    process: Process,
    ended: OwnedFd,
    /// Since when nothing but threads that the kernel holds back was left of it.
    gone: Option<Instant>,
    pub(super) link: Link,
    pub(super) born: Instant,
}

impl Child {
    /// Starts `program worker` in a process group of its own, so that Ctrl-C in the terminal does not reach it. It is
    /// called a standby until it gets its job.
    /// The link is its stdin; nothing else is inherited but stdout and stderr.
    ///
    /// A bug on purpose that is armed through the environment goes to the first worker only.
    pub(super) fn start(program: &Path, first: bool) -> io::Result<Self> {
        let (here, there) = UnixStream::pair()?;
        let mut command = Command::new(program);
        command.arg0("fsd-standby").arg("worker").stdin(Stdio::from(OwnedFd::from(there))).process_group(0);
        if !first {
            command.env_remove("FAILPOINTS");
        }
        let process = command.spawn()?;
        let ended = pidfd(process.id())?;
        here.set_nonblocking(true)?;
        Ok(Self { process, ended, gone: None, link: Link::new(here), born: clock::now() })
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Readable when the process has ended.
    pub(super) fn ended(&self) -> BorrowedFd<'_> {
        self.ended.as_fd()
    }

    /// How it ended, if it has.
    pub(super) fn outcome(&mut self) -> Option<String> {
        self.process.try_wait().ok().flatten().map(|status| status.to_string())
    }

    /// Whether it is dead but for a thread in state D, which may sit there for ever: its first thread has ended, and
    /// the others, which end with it, have had their time.
    pub(super) fn lingers(&mut self) -> bool {
        let gone = self.status().field("State:").starts_with('Z');
        self.gone = gone.then(|| self.gone.unwrap_or_else(clock::now));
        self.gone.is_some_and(|since| clock::now() - since >= DEATH_LIMIT)
    }

    /// The exit code, if it has ended by itself.
    pub(super) fn code(&mut self) -> Option<i32> {
        self.process.try_wait().ok().flatten().and_then(|status| status.code())
    }

    /// Kills the whole group. False if it is still there after 500 ms: a thread of it sits in state D, and the
    /// next worker must not wait for it.
    pub(super) fn kill(&mut self) -> bool {
        if matches!(self.process.try_wait(), Ok(Some(_))) {
            return true;
        }
        let group = Pid::from_raw(self.process.id().cast_signed());
        // A group that is gone needs no signal.
        let _ = killpg(group, Signal::SIGKILL);
        let mut fds = [PollFd::new(self.ended.as_fd(), PollFlags::POLLIN)];
        let limit = PollTimeout::try_from(DEATH_LIMIT).unwrap_or(PollTimeout::ZERO);
        let dead = poll(&mut fds, limit).is_ok_and(|n| n > 0);
        drop(self.process.try_wait());
        dead
    }

    /// What is left when it has been killed, to be reaped when the kernel lets it go.
    pub(super) fn into_process(self) -> Process {
        self.process
    }

    /// What /proc says of it; `silent` and `stuck` are the caller's to fill in.
    pub(super) fn seen(&self) -> Seen {
        let status = self.status();
        Seen {
            traced: !matches!(status.field("TracerPid:"), "" | "0"),
            stopped: status.field("State:").starts_with('T'),
            frozen: frozen(&self.proc()),
            ..Seen::default()
        }
    }

    fn proc(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}", self.pid()))
    }

    fn status(&self) -> Status {
        Status(fs::read_to_string(self.proc().join("status")).unwrap_or_default())
    }
}

/// The lines of /proc/PID/status.
struct Status(String);

impl Status {
    fn field(&self, name: &str) -> &str {
        self.0.lines().find_map(|line| line.strip_prefix(name)).map(str::trim).unwrap_or_default()
    }
}

/// Whether its cgroup (version 2) is frozen.
fn frozen(proc: &Path) -> bool {
    let groups = fs::read_to_string(proc.join("cgroup")).unwrap_or_default();
    let own = groups.lines().find_map(|line| line.strip_prefix("0::"));
    let events = own.map(|group| PathBuf::from(format!("/sys/fs/cgroup{group}/cgroup.events")));
    let text = events.and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
    text.lines().any(|line| line == "frozen 1")
}
