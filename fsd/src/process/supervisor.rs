//! Supervisor: owns the mount, its `/dev/fuse`, the control socket and the terminal's signals; starts workers.
//!
//! One thread, no lock, no request of the mount, never a path below it: nothing that freezes a worker freezes the
//! supervisor. A worker that dies or stops beating is replaced, and the kernel sends its requests again to the next:
//! clients see a pause, no error.

mod answers;
mod child;
mod clients;
mod doubt;
mod drain;
mod ending;
mod estate;
mod heart;
pub(super) mod janitor;
mod leavings;
mod life;
mod policy;
mod program;
mod standby;

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    time::{Duration, Instant},
};

use fsd_events::{flags::DebugFlags, presence::Presence};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signalfd::SignalFd,
};

use self::{
    answers::Asked,
    child::Child,
    clients::{ClientId, Clients},
    doubt::Doubt,
    ending::{Ending, Outcome},
    heart::Beat,
    janitor::Janitor,
    leavings::Left,
    policy::{Backoff, Cause},
    program::Program,
    standby::Standby,
};
pub(super) use estate::{Estate, succeed};

use super::{
    config::{Config, written::Written},
    daemon::Report,
    exit::{Exit, Failure},
    link::Takeover,
    places::Places,
    signals,
};
use crate::{
    kernel::mount::Mounted,
    platform::{clock, process::own_program},
};

/// Between two looks at the worker's heart.
const LOOK: Duration = Duration::from_millis(500);

/// What is to be mounted.
pub(super) struct Order {
    pub(super) config: Config,
    /// The settings as text, for the workers.
    pub(super) settings: Vec<(String, String)>,
    /// Bugs on purpose, for the first worker only: what is injected must not come back after a restart.
    pub(super) failpoints: Vec<String>,
    pub(super) mountpoint: PathBuf,
    /// Redacted, for people.
    pub(super) argv: Vec<String>,
    pub(super) report: Option<Report>,
}

/// The mount and everything that stays when a worker goes.
struct Supervisor {
    order: Order,
    places: Places,
    mount_run: String,
    started: Instant,
    flags: DebugFlags,
    /// What the next worker runs; changed by an upgrade.
    program: Program,
    /// What ran before a restart whose worker does not serve yet, and with which flags.
    fallback: Option<(Program, DebugFlags)>,
    /// Short processes that were started and are not reaped yet.
    errands: Vec<std::process::Child>,
    left: Vec<Left>,
    clients: Clients,
    janitor: Option<Janitor>,
    signals: SignalFd,
    mounted: Option<Mounted>,
    worker: Option<Worker>,
    standby: Standby,
    /// A respawn that waits for its time.
    respawn: Option<(Instant, Cause)>,
    backoff: Backoff,
    /// Workers that died before they served, in words.
    lost: Option<String>,
    settled: Option<Takeover>,
    /// Whether the last hand-over lost requests, where that can be.
    doubt: Option<Doubt>,
    /// The mount was aborted and made anew: not every request had an answer.
    remade: bool,
    /// As the newest worker announced it.
    presence: Presence,
    max_background: u32,
    asked: Vec<Asked>,
    next_ask: u64,
    /// A client that waits for its restart.
    restarting: Option<ClientId>,
    ending: Option<Ending>,
    /// It has ended while a client was served.
    over: Option<Outcome>,
}

/// A worker and how far it is.
struct Worker {
    child: Child,
    ready: bool,
    beat: Beat,
    /// Dumps and drains the one before it, once it serves.
    after: Option<Handed>,
    said: Option<Failure>,
}

/// The worker before, and why it went.
#[derive(Clone)]
struct Handed {
    run: String,
    cause: Cause,
    /// Requests that it had not answered.
    resent: u64,
}

/// Mounts and serves until told to stop.
///
/// # Errors
/// Before the mount is ready: why it could not be made. Afterwards: why it could not be taken down.
pub(super) fn run(order: Order) -> Result<Exit, Failure> {
    let mut order = order;
    let report = order.report.take();
    match Supervisor::new(order) {
        Ok(mut supervisor) => {
            supervisor.order.report = report;
            let result = supervisor.serve();
            let report = supervisor.order.report.take();
            // Whoever hears that it failed may try again at once: nothing of this try is in the way.
            drop(supervisor);
            if let (Some(report), Err(failure)) = (report, &result) {
                report.failed(failure);
            }
            result
        }
        Err(failure) => {
            if let Some(report) = report {
                report.failed(&failure);
            }
            Err(failure)
        }
    }
}

/// Serves on in the place of a supervisor that died.
///
/// # Errors
/// As [`run`].
pub(super) fn inherit(estate: Estate, config: Config) -> Result<Exit, Failure> {
    let mut supervisor = Supervisor::inherit(estate, config)?;
    supervisor.serve()
}

impl Supervisor {
    /// The old worker is this very process, executed anew: its requests wait for the next one.
    fn inherit(estate: Estate, config: Config) -> Result<Self, Failure> {
        let (mounted, janitor) = (estate.mounted(), estate.janitor().map(Janitor::adopt));
        let Estate { job, settled, presence, max_background, asked, .. } = estate;
        let places = Places::inherit(job.runtime, job.state, job.shared).map_err(internal)?;
        let janitor = match janitor {
            Some(janitor) => janitor,
            // It was alone so far.
            None => {
                let mut janitor = Janitor::start(&own_program()).map_err(internal)?;
                janitor.mounted(mounted.at(), &places, &config.temp_dir).map_err(internal)?;
                janitor
            }
        };
        let order = Order {
            config,
            settings: job.settings,
            failpoints: Vec::new(),
            mountpoint: job.mountpoint,
            argv: job.argv,
            report: None,
        };
        let mut new = Self::over(order, places, Some(janitor))?;
        new.flags = job.flags;
        new.mount_run = job.mount_run;
        new.mounted = Some(mounted);
        new.settled = Some(settled);
        new.presence = presence;
        new.max_background = max_background;
        let handed = new.handed(if asked { Cause::Restart } else { Cause::SupervisorLost });
        new.start_worker(Some(handed)).map_err(internal)?;
        Ok(new)
    }

    fn new(order: Order) -> Result<Self, Failure> {
        let places = Places::claim(&order.config, &order.mountpoint)?;
        let janitor = Janitor::start(&own_program()).map_err(internal)?;
        let mut new = Self::over(order, places, Some(janitor))?;
        new.start_worker(None).map_err(internal)?;
        Ok(new)
    }

    /// No worker yet.
    fn over(order: Order, places: Places, janitor: Option<Janitor>) -> Result<Self, Failure> {
        let clients = Clients::open(&places.socket()).map_err(internal)?;
        let signals = signals::descriptor().map_err(internal)?;
        Ok(Self {
            flags: order.config.flags,
            mount_run: super::worker::random().to_string(),
            started: clock::now(),
            program: Program::own(),
            fallback: None,
            errands: Vec::new(),
            left: Vec::new(),
            places,
            clients,
            janitor,
            signals,
            order,
            mounted: None,
            worker: None,
            standby: Standby::default(),
            respawn: None,
            backoff: Backoff::default(),
            lost: None,
            settled: None,
            doubt: None,
            remade: false,
            presence: Presence::default(),
            max_background: 0,
            asked: Vec::new(),
            next_ask: 0,
            restarting: None,
            ending: None,
            over: None,
        })
    }

    /// The loop: waits for a signal, a client, the worker's word or end, or the time of the next look.
    fn serve(&mut self) -> Result<Exit, Failure> {
        loop {
            self.wait();
            self.hear_signals();
            for (client, request) in self.clients.turn() {
                self.request(client, request);
            }
            self.hear_worker();
            let over = self.over.take().or_else(|| self.look_after_worker()).or_else(|| self.settle_doubt());
            if let Some(outcome) = over {
                return self.finish(outcome);
            }
            self.expire_asks();
            self.errands.retain_mut(|errand| matches!(errand.try_wait(), Ok(None)));
            self.write_leavings();
        }
    }

    fn wait(&self) {
        // Poll counts whole milliseconds and leaves out what is over: that part would be spent spinning.
        let until_next = self.until_next() + Duration::from_micros(999);
        let limit = PollTimeout::try_from(until_next).unwrap_or(PollTimeout::ZERO);
        let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        fds.extend(self.clients.interests().into_iter().map(|(fd, interest)| PollFd::new(fd, interest)));
        if let Some(worker) = &self.worker {
            fds.push(PollFd::new(worker.child.ended(), PollFlags::POLLIN));
            let link = &worker.child.link;
            let room = if link.is_full() { PollFlags::POLLOUT } else { PollFlags::empty() };
            fds.push(PollFd::new(link.socket(), PollFlags::POLLIN | room));
        }
        // An interrupted wait is a wait that ended early.
        let _ = poll(&mut fds, limit);
    }

    fn until_next(&self) -> Duration {
        let now = clock::now();
        let respawn = self.respawn.map(|(at, _)| at.saturating_duration_since(now));
        let look = self.doubt.as_ref().map_or(LOOK, Doubt::rest);
        respawn.map_or(look, |wait| wait.min(look))
    }

    fn hear_signals(&mut self) {
        while let Ok(Some(signal)) = self.signals.read_signal() {
            match i32::try_from(signal.ssi_signo) {
                Ok(libc::SIGQUIT) => self.pass_on(libc::SIGQUIT),
                Ok(libc::SIGUSR1) => self.pass_on(libc::SIGUSR1),
                Ok(number) => self.stop(self.ending.is_some(), signals::name(number)),
                Err(_) => (),
            }
        }
    }

    /// A worker's own signal thread acts on these.
    fn pass_on(&self, signal: i32) {
        if let (Some(worker), Ok(signal)) = (&self.worker, nix::sys::signal::Signal::try_from(signal)) {
            let pid = nix::unistd::Pid::from_raw(worker.child.pid().cast_signed());
            let _ = nix::sys::signal::kill(pid, signal);
        }
    }
}

fn internal(error: impl std::fmt::Display) -> Failure {
    Exit::Internal.because(error.to_string())
}

/// Settings as text, for the workers.
pub(super) fn settings(written: &Written) -> Vec<(String, String)> {
    written.said().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A duplicate that a worker may own.
fn duplicate(fd: &impl AsFd) -> io::Result<OwnedFd> {
    fd.as_fd().try_clone_to_owned()
}
