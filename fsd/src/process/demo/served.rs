//! A served mount: `fsd` as a process of its own in a directory of its own; gone without a trace when dropped.

use std::{
    ffi::OsString,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    time::Duration,
};

use fsd_events::presence::Presence;
use nix::sys::signal::Signal;

use crate::{
    kernel::mount::{self, At},
    platform::clock,
    process::control::client,
};

/// Longest wait for a mount to be ready.
const READY_LIMIT: Duration = Duration::from_secs(30);
/// Between two looks at a process that is to end.
const LOOK: Duration = Duration::from_millis(10);

/// The directories of one mount, on no other's way.
#[derive(Clone, Debug)]
pub struct Home {
    root: PathBuf,
    runtime: PathBuf,
}

/// A running `fsd mount`.
#[derive(Debug)]
pub struct Served {
    child: Child,
    stdout: BufReader<ChildStdout>,
    home: Home,
    /// What it said when it was ready.
    pub greeting: String,
    /// As it was then: a later worker has another process and run.
    pub presence: Presence,
}

/// How a start ended that did not become ready.
#[derive(Debug)]
pub struct Failed {
    pub status: Option<ExitStatus>,
    pub stderr: String,
}

impl Home {
    /// Makes the directories in `root`; the runtime directory in `runtime`, which should be on tmpfs.
    ///
    /// # Errors
    /// When one cannot be made.
    pub fn new(root: &Path, runtime: &Path) -> io::Result<Self> {
        let home = Self { root: root.to_owned(), runtime: runtime.to_owned() };
        for dir in [home.mount_point(), home.state(), home.temp()] {
            std::fs::create_dir_all(dir)?;
        }
        Ok(home)
    }

    pub fn mount_point(&self) -> PathBuf {
        self.root.join("mnt")
    }

    pub fn state(&self) -> PathBuf {
        self.root.join("state")
    }

    pub fn temp(&self) -> PathBuf {
        self.root.join("temp")
    }

    pub fn runtime(&self) -> &Path {
        &self.runtime
    }

    /// `fsd` with nothing of the caller's own configuration, and with the directories of this home.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        let ours = |name: &OsString| name.to_str().is_some_and(|n| n.starts_with("FSD_") || n.starts_with("FSMVP_"));
        std::env::vars_os().map(|(name, _)| name).filter(ours).for_each(|name| {
            command.env_remove(name);
        });
        command
            .env_remove("RUST_LOG")
            .env("HOME", &self.root)
            .env("XDG_CONFIG_HOME", self.root.join("config"))
            .env("XDG_STATE_HOME", self.root.join("none"))
            .env("FSD_RUNTIME_DIR", &self.runtime)
            .env("FSD_STATE_DIR", self.state())
            .env("FSD_TEMP_DIR", self.temp());
        command
    }
}

impl Served {
    /// Starts `program mount ARGS… [SOURCE] MOUNTPOINT` and waits until it is ready. `edit` may change the command,
    /// its environment say.
    ///
    /// # Errors
    /// When it ends before it is ready: with its exit status and what it said.
    pub fn start(
        program: &Path,
        home: &Home,
        source: Option<&str>,
        args: &[&str],
        edit: impl FnOnce(&mut Command),
    ) -> Result<Self, Failed> {
        let stderr = home.root.join("stderr.log");
        let failed = |status, why: &io::Error| Failed { status, stderr: why.to_string() };
        let log = std::fs::File::create(&stderr).map_err(|error| failed(None, &error))?;
        let mut command = home.command(program);
        command.arg("mount").args(args).args(source).arg(home.mount_point());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        edit(&mut command);
        let mut child = command.spawn().map_err(|error| failed(None, &error))?;
        let Some(stdout) = child.stdout.take() else { return Err(failed(None, &io::ErrorKind::BrokenPipe.into())) };
        let mut stdout = BufReader::new(stdout);
        let mut greeting = String::new();
        // The end of the process is the end of the pipe, so this cannot wait for ever; the limit is fsd's own.
        let said = stdout.read_line(&mut greeting);
        let presence = client::running(Some(&home.runtime)).into_iter().find(|found| {
            // With a supervisor the process that serves is not the one that was started.
            found.pid == child.id() || Path::new(&found.mount) == home.mount_point()
        });
        match (said, presence) {
            (Ok(1..), Some(presence)) => {
                let greeting = greeting.trim_end().to_owned();
                Ok(Self { child, stdout, home: home.clone(), greeting, presence })
            }
            _ => {
                let status = wait(&mut child, READY_LIMIT);
                drop(child.kill().and_then(|()| child.wait()));
                Err(Failed { status, stderr: std::fs::read_to_string(&stderr).unwrap_or_default() })
            }
        }
    }

    /// The process that was started: the supervisor, or the only one.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The process that serves now.
    pub fn worker(&self) -> u32 {
        self.now().pid
    }

    /// What it says of itself now.
    pub fn now(&self) -> Presence {
        let all = client::running(Some(&self.home.runtime));
        all.into_iter().find(|found| found.mount == self.presence.mount).unwrap_or_else(|| self.presence.clone())
    }

    pub fn home(&self) -> &Home {
        &self.home
    }

    /// Where files and directories of the mount are.
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.mount_point().join(name)
    }

    /// The event file of the current run.
    pub fn events(&self) -> PathBuf {
        Path::new(&self.presence.state_dir).join(fsd_events::layout::EVENTS_LINK)
    }

    /// Messages of the daemon so far.
    pub fn messages(&self) -> String {
        std::fs::read_to_string(self.home.root.join("stderr.log")).unwrap_or_default()
    }

    /// Sends a signal to the process that was started.
    pub fn signal(&self, signal: Signal) {
        send(self.child.id(), signal);
    }

    /// Kills the supervisor and every worker, so that nobody is left to take the mount over. The janitor lives on.
    pub fn kill(&mut self) {
        let now = self.now();
        let mut all = vec![self.child.id(), now.supervisor, now.pid];
        all.retain(|pid| *pid != 0);
        // Who is stopped starts nobody.
        all.iter().for_each(|pid| send(*pid, Signal::SIGSTOP));
        let children: Vec<u32> = all.iter().flat_map(|pid| children(*pid)).collect();
        all.iter().chain(&children).for_each(|pid| send(*pid, Signal::SIGKILL));
        drop(self.child.wait());
    }

    /// Waits for its end, at most `limit`.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let status = wait(&mut self.child, limit);
        if status.is_some() {
            drop(self.stdout.read_to_end(&mut Vec::new()));
        }
        status
    }

    /// The mount as the kernel has it.
    pub fn at(&self) -> At {
        At {
            dir: PathBuf::from(&self.presence.mount),
            connection: self.presence.connection as u32,
            helper: !nix::unistd::geteuid().is_root(),
        }
    }

    /// Aborts the connection and takes the mount out of the tree: whoever hangs on it gets an error.
    pub fn abort(&self) {
        drop(mount::unmount(&self.at(), Duration::ZERO, &mut |_| true, &mut |_| ()));
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) && !self.at().is_mounted() {
            return;
        }
        self.abort();
        self.kill();
        self.abort();
    }
}

fn send(pid: u32, signal: Signal) {
    // A process that is gone needs no signal.
    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.cast_signed()), signal);
}

/// Workers that `parent` started.
fn children(parent: u32) -> Vec<u32> {
    let read = |pid: u32, what: &str| std::fs::read_to_string(format!("/proc/{pid}/{what}")).unwrap_or_default();
    let is_worker = |pid: u32| read(pid, "cmdline").starts_with("fsd-worker");
    let is_child = |pid: u32| {
        let stat = read(pid, "stat");
        stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)) == Some(&parent.to_string())
    };
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| is_worker(*pid) && is_child(*pid)).collect()
}

/// The status of `child` once it has ended; None: it has not, within `limit`.
pub fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let until = clock::now() + limit;
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        if clock::now() >= until {
            return None;
        }
        std::thread::park_timeout(LOOK);
    }
}
