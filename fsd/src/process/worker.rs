//! Worker: the composition root. Builds every part of a mount, runs it, and takes it down in order.

mod desk;
mod host;
mod observers;
mod parts;
mod shutdown;
mod source;
mod succession;

pub(super) use host::{Host, Legacy, Upward};
pub(super) use shutdown::longest as longest_end;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        mpsc::{self, Receiver, Sender},
    },
    thread::Builder,
};

use fsd_events::{event::Start, ids::RunId, presence::Presence, ring::tables::InFlight};
use tokio::runtime::Runtime;

use self::{
    desk::WorkerDesk,
    host::Inheritance,
    parts::{first_line, fs_config, loops, origin_config, store_config, unanswered},
    succession::settled,
};
use super::{
    config::Config,
    control,
    daemon::Report,
    exit::{Exit, Failure},
    link::Up,
    orders::{self, Order},
    places::Places,
    signals, terminal,
};
use crate::{
    data::{
        closer::Closer,
        origin::{Origin, Sealed},
        source::Source,
        store::Stores,
    },
    kernel::{
        fs::{Fs, Parts},
        fuse::{self, FuseConfig, Negotiated, Session},
        mount::{self, At, MountSpec, Mounted, Waiting},
    },
    observe::{
        self, Recorder, stacks,
        watchdog::{self, Watchdog},
    },
};

/// Read-ahead of the kernel, KiB; its default of 128 halves the speed of a cold sequential read.
const READ_AHEAD_KIB: u32 = 512;

/// What a mount is to be, and who waits for it.
pub(super) struct Job {
    pub(super) config: Config,
    /// As somebody wrote them, for a supervisor that this process may become.
    pub(super) settings: Vec<(String, String)>,
    pub(super) mountpoint: PathBuf,
    /// Redacted, for people.
    pub(super) argv: Vec<String>,
    /// The waiting parent of a daemon.
    pub(super) report: Option<Report>,
    /// Given by the supervisor; None: claimed here.
    pub(super) places: Option<Places>,
    /// Of the mount, when a supervisor has it.
    pub(super) mount_run: Option<RunId>,
    pub(super) host: Host,
}

/// What every part of one run knows.
struct Identity {
    run: RunId,
    mount_run: RunId,
    started_us: u64,
}

/// Mounts, serves until told to stop, unmounts.
///
/// # Errors
/// Before the mount is ready: why it could not be made. Afterwards: why it could not be taken down.
pub(super) fn run(mut job: Job) -> Result<Exit, Failure> {
    let report = job.report.take();
    match start(&mut job) {
        Ok(running) => running.serve(&job, report),
        Err(failure) => {
            if let Some(report) = report {
                report.failed(&failure);
            }
            if let Host::Supervisor(upward) = std::mem::replace(&mut job.host, Host::Own) {
                upward.failed(&failure);
            }
            Err(failure)
        }
    }
}

/// Everything that lives while the mount does; taken down by `shutdown`.
struct Running {
    places: Places,
    recorder: Arc<Recorder>,
    watchdog: Watchdog,
    mount: Live,
}

/// The mount itself and what serves it.
struct Live {
    runtime: Runtime,
    closer: Closer,
    fs: Fs,
    mounted: Mounted,
    session: Session,
    orders: (Sender<Order>, Receiver<Order>),
    source: String,
    led_to: Option<Sealed>,
    /// What the place of a supervisor would need, where somebody can take it.
    inheritance: Option<(Inheritance, Presence, u32)>,
}

/// The kernel's count of waiting requests, known to the watchdog before there is a connection.
type Pending = Arc<OnceLock<Waiting>>;

fn start(job: &mut Job) -> Result<Running, Failure> {
    let given = job.places.take();
    let places = match given {
        Some(places) => places,
        None => Places::claim(&job.config, &job.mountpoint)?,
    };
    let mount_run = job.mount_run.unwrap_or_else(random);
    let identity = Identity { run: random(), mount_run, started_us: crate::platform::clock::now_mono_us() };
    let first_line = first_line(job);
    let pending = Pending::default();
    let (recorder, watchdog) = observers::start(job, &places, &identity, &first_line, &pending)?;
    let built = build(job, &places, &identity).and_then(|mut live| {
        let ready = finish(job, &places, &identity, &recorder, &mut live, (first_line, &pending));
        ready.map(|()| live)
    });
    match built {
        Ok(mount) => Ok(Running { places, recorder, watchdog, mount }),
        Err(failure) => {
            watchdog.stop();
            if let Some(recorder) = Arc::into_inner(recorder) {
                recorder.stop("not mounted");
            }
            Err(failure)
        }
    }
}

/// Source, stores, file system, mount, session: in the order in which each needs the one before.
fn build(job: &mut Job, places: &Places, identity: &Identity) -> Result<Live, Failure> {
    let Job { config, host, mountpoint, .. } = job;
    let config = &*config;
    let runtime = runtime().map_err(internal)?;
    let handle = runtime.handle().clone();
    watchdog::probe_runtime(&handle);
    let origin = Origin::new(origin_config(config)).map_err(|error| Exit::Internal.because(error.to_string()))?;
    let source = match &config.source {
        Some(text) => Some(source::open(&runtime, text, config, &origin, host.takeover())?),
        None => None,
    };
    let led_to = source.as_ref().and_then(Source::led_to);
    let stores =
        Stores::new(store_config(config, places, identity), origin.clone(), handle.clone()).map_err(internal)?;
    let left = stores.sweep();
    if left > 0 {
        tracing::info!("removed {left} temp files of dead instances");
    }
    let closer = Closer::new(handle.clone(), config.close_timeout);
    let shown = source.as_ref().map_or_else(|| "fsd".to_owned(), Source::redacted);
    let parts = Parts { source, origin, stores, closer: closer.clone(), runtime: handle };
    let fs = Fs::new(fs_config(config, places, identity), parts)
        .map_err(|error| Exit::Internal.because(error.to_string()))?;
    let names = fs.clone();
    observe::journal::set_names(Arc::new(move |ino| names.path_of(ino)));
    let spec = MountSpec {
        dir: mountpoint.clone(),
        source: shown.clone(),
        allow_other: config.allow_other,
        writable: config.flags.debug_all_callbacks,
    };
    let mounted = host.obtain(&spec)?;
    let left = host.takeover().map_or_else(Vec::new, |takeover| unanswered(places, identity, takeover));
    let session = serve(&mounted, &fs, config, host, left).inspect_err(|_| undo(host, mounted.at()))?;
    Ok(Live {
        runtime,
        closer,
        fs,
        mounted,
        session,
        orders: mpsc::channel(),
        source: shown,
        led_to,
        inheritance: None,
    })
}

/// What can be done only with a mount: its numbers, its socket, its announcement.
fn finish(
    job: &mut Job,
    places: &Places,
    identity: &Identity,
    recorder: &Arc<Recorder>,
    live: &mut Live,
    (first_line, pending): (Start<'static>, &Pending),
) -> Result<(), Failure> {
    let at = live.mounted.at().clone();
    let supervised = matches!(job.host, Host::Supervisor(_));
    let ready = || -> Result<(), Failure> {
        live.mounted.ready().map_err(|error| Exit::Mount.because(error.to_string()))?;
        at.read_ahead(READ_AHEAD_KIB);
        // FUSE mounts have devices without a disk: major number 0.
        stacks::serving(0, at.connection, loops(&job.config));
        if let Some(waiting) = Waiting::open(&at) {
            drop(pending.set(waiting));
        }
        let max_background = at.max_background().unwrap_or(u32::from(job.config.max_background));
        live.fs.limit_parked(max_background);
        recorder.restate(Start { max_background, recorder: recorder.kind().into(), ..first_line });
        let presence = presence(live, places, identity);
        let desk = WorkerDesk::new(live, identity, recorder, &presence, (max_background, Waiting::open(&at)));
        // A supervisor follows its worker through shared memory.
        let successor = !supervised && settled(live).resends && recorder.kind() != "heap";
        let desk = desk.with_successor(successor);
        let orders = live.orders.0.clone();
        watch_session(live).map_err(internal)?;
        match std::mem::replace(&mut job.host, Host::Own) {
            Host::Own => {
                if successor {
                    let heir = Inheritance::alone(job, places, identity);
                    live.inheritance = Some((heir, presence.clone(), max_background));
                }
                control::serve(&places.socket(), Arc::new(desk)).map_err(internal)?;
                places.announce(&presence).map_err(internal)?;
                signals::listen(orders).map_err(internal).map(drop)
            }
            Host::Supervisor(upward) => {
                signals::listen_to_looks(orders.clone()).map_err(internal)?;
                if let Some(lost) = upward.takeover().and_then(|takeover| takeover.lost.as_deref()) {
                    observe::journal::invariant("workers died before they served", lost);
                }
                let settled = settled(live);
                upward.say(Up::Ready { settled, presence: Box::new(presence.clone()), max_background });
                let inheritance = upward.listen(Arc::new(desk), orders)?;
                live.inheritance = Some((inheritance, presence, max_background));
                Ok(())
            }
        }
    };
    ready().inspect_err(|_| {
        if !supervised {
            undo(&Host::Own, &at);
        }
    })
}

/// Takes a mount down that never became ready.
fn undo(host: &Host, at: &At) {
    if matches!(host, Host::Supervisor(_)) {
        // It decides whether another worker tries.
        return;
    }
    let mut now = |_| true;
    drop(mount::unmount(at, std::time::Duration::ZERO, &mut now, &mut |_| ()));
}

fn serve(mounted: &Mounted, fs: &Fs, config: &Config, host: &Host, left: Vec<InFlight>) -> Result<Session, Failure> {
    let single_thread = config.flags.debug_fskit_single_thread;
    let fuse = FuseConfig {
        threads: if single_thread { 1 } else { config.threads },
        allow_other: config.allow_other,
        single_thread,
        all_callbacks: config.flags.debug_all_callbacks,
        passthrough: !config.flags.debug_all_callbacks,
        max_background: config.max_background,
        takeover: host.takeover().map(|t| Negotiated {
            minor: t.minor,
            offered: t.offered,
            taken: t.taken,
            passthrough: t.passthrough,
            resends: t.resends,
        }),
        left,
    };
    let fd = mounted.fd().try_clone_to_owned().map_err(internal)?;
    fuse::serve(fd, fs.clone(), &fuse).map_err(|error| Exit::Mount.because(error.to_string()))
}

/// Turns the end of the session (somebody else unmounted or aborted) into an order.
fn watch_session(live: &Live) -> std::io::Result<()> {
    let (mut ended, runtime) = (live.session.ended(), live.runtime.handle().clone());
    let orders = live.orders.0.clone();
    Builder::new().name("fsd-session".to_owned()).spawn(move || {
        let how = runtime.block_on(ended.wait_for(Option::is_some)).ok().and_then(|end| end.clone());
        if let Some(Err(why)) = how {
            tracing::error!("the session broke: {why}");
        }
        // A receiver that is gone has stopped already.
        drop(orders.send(Order::Ended));
    })?;
    Ok(())
}

fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name("fsd-net").enable_all().build()
}

fn presence(live: &Live, places: &Places, identity: &Identity) -> Presence {
    let text = |path: &Path| path.display().to_string();
    Presence {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        mount: text(&live.mounted.at().dir),
        source: live.source.clone(),
        mount_run: identity.mount_run.to_string(),
        run: identity.run.to_string(),
        pid: std::process::id(),
        supervisor: 0,
        connection: u64::from(live.mounted.at().connection),
        socket: text(&places.socket()),
        state_dir: text(&places.state),
    }
}

impl Running {
    /// Says that the mount is ready, then does what is ordered until it is to end.
    fn serve(self, job: &Job, report: Option<Report>) -> Result<Exit, Failure> {
        let text = format!("{} is mounted at {}", self.mount.source, self.mount.mounted.at().dir.display());
        match report {
            Some(report) => report.ready(&text),
            // The supervisor says it.
            None if job.mount_run.is_some() => (),
            None => terminal::announce(text.clone()),
        }
        if !terminal::shows_messages() {
            tracing::info!("{text}");
        }
        observe::journal::populate();
        let last = loop {
            match self.mount.orders.1.recv() {
                Ok(Order::Dumped(file)) => tracing::warn!("{}", orders::dumped(&self.places.state, file)),
                Ok(Order::Succeed { flags }) => {
                    tracing::error!("{}: serving on", self.succeed(Some(&flags)).text);
                }
                Ok(Order::Report) => tracing::info!("{}", desk::summary(&self.mount.fs)),
                Ok(order) => break order,
                // The signal thread holds a sender as long as the process lives.
                Err(mpsc::RecvError) => break Order::Abort,
            }
        };
        if last == Order::Orphaned {
            return Err(self.succeed(None));
        }
        shutdown::run(self, &job.config, last)
    }
}

/// An id that nobody else has: from the kernel's random numbers.
pub(super) fn random() -> RunId {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RunId(RandomState::new().build_hasher().finish())
}

fn internal(error: impl std::fmt::Display) -> Failure {
    Exit::Internal.because(error.to_string())
}
