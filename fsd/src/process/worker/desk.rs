//! Desk of the worker: what each request on the control socket does.

use std::{
    sync::{Arc, Weak, mpsc::Sender},
    time::Duration,
};

use fsd_events::{
    control::{Answer, Code, Request, Status},
    flags::Flag,
    presence::Presence,
};
use tokio::runtime::Handle;

use super::{Identity, Live, source::blame};
use crate::{
    data::origin::Resource,
    kernel::{
        fs::{Fs, StageError},
        mount::Waiting,
    },
    observe::{Recorder, inflight, watchdog},
    platform::clock,
    process::{
        control::{Desk, refuse},
        exit::Exit,
        orders::Order,
    },
};

/// How long a dump may take until its file name is known.
const DUMP_LIMIT: Duration = Duration::from_secs(10);

/// Between two requests for the same dump.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// Answers for the worker that owns the mount.
pub(super) struct WorkerDesk {
    fs: Fs,
    runtime: Handle,
    orders: Sender<Order>,
    /// Not held: whoever stops the recorder must own it alone.
    recorder: Weak<Recorder>,
    waiting: Option<Waiting>,
    state_dir: String,
    started_us: u64,
    /// What never changes while the mount lives.
    still: Status,
    /// This process can become the supervisor of a new worker.
    successor: bool,
}

impl WorkerDesk {
    pub(super) fn new(
        live: &Live,
        identity: &Identity,
        recorder: &Arc<Recorder>,
        presence: &Presence,
        (max_background, waiting): (u32, Option<Waiting>),
    ) -> Self {
        let still = Status {
            version: presence.version.clone(),
            pid: presence.pid,
            run: presence.run.clone(),
            mount_run: presence.mount_run.clone(),
            mount: presence.mount.clone(),
            source: presence.source.clone(),
            worker_alive: true,
            max_background,
            events_file: recorder.file().map_or_else(String::new, |file| file.display().to_string()),
            recorder: recorder.kind().to_owned(),
            ..Status::default()
        };
        Self {
            fs: live.fs.clone(),
            runtime: live.runtime.handle().clone(),
            orders: live.orders.0.clone(),
            recorder: Arc::downgrade(recorder),
            waiting,
            state_dir: presence.state_dir.clone(),
            started_us: identity.started_us,
            still,
            successor: false,
        }
    }

    /// Of a process without a supervisor, on a kernel that sends unanswered requests again.
    pub(super) fn with_successor(self, successor: bool) -> Self {
        Self { successor, ..self }
    }

    fn status(&self) -> Status {
        let fs = self.fs.status();
        Status {
            uptime_s: clock::now_mono_us().saturating_sub(self.started_us) / 1_000_000,
            flags: self.fs.flags(),
            inflight: inflight::counts().into_iter().map(|(op, count)| (op.name().to_owned(), count)).collect(),
            oldest_us: inflight::oldest_us(),
            kernel_waiting: self.waiting.as_ref().and_then(Waiting::read),
            open_handles: fs.open_handles,
            stores: fs.stores,
            kept_stores: fs.kept_stores,
            closing: fs.closing,
            reaping: fs.reaping,
            staged: fs.staged,
            disk_used: fs.disk_used,
            memory_used: fs.memory_used,
            events_lost: self.recorder.upgrade().map_or(0, |recorder| recorder.lost()),
            stalled: watchdog::stalled(),
            ..self.still.clone()
        }
    }

    fn stage(&self, url: &str, name: Option<String>, headers: Vec<(String, String)>) -> Answer {
        let resource = match Resource::parse(url) {
            Ok(resource) => resource.with_headers(headers),
            Err(error) => return refuse(Code::BadRequest, &format!("{error}; {}", blame(&error).1)),
        };
        match self.runtime.block_on(self.fs.stage(resource, name)) {
            Ok(staged) => Answer::Staged { path: format!("Staged/{}/{}", staged.id, staged.name), id: staged.id },
            Err(StageError::Upstream(error)) => {
                let (exit, hint) = blame(&error);
                let code = if exit == Exit::Unreachable { Code::Upstream } else { Code::UpstreamRefused };
                refuse(code, &format!("{error}; {hint}"))
            }
            Err(error) => refuse(code(&error), &error.to_string()),
        }
    }

    fn dump(&self) -> Answer {
        let (before, _) = watchdog::last_dump();
        if !watchdog::request_dump() {
            return refuse(Code::Unsupported, "the watchdog does not run, so nothing can be dumped");
        }
        let until = clock::now() + DUMP_LIMIT;
        let mut asked = clock::now();
        while clock::now() < until {
            if let (count, Some(file)) = watchdog::last_dump()
                && count > before
            {
                return Answer::Dumped { file: format!("{}/{file}", self.state_dir) };
            }
            // One that comes right after another is not made: asked again, it is.
            if clock::now() - asked > ASK_AGAIN {
                asked = clock::now();
                watchdog::request_dump();
            }
            // Dumps are rare and a person waits: looking again costs less than a way to be told.
            std::thread::park_timeout(Duration::from_millis(20));
        }
        refuse(Code::Internal, "no dump was written within 10 s")
    }

    fn set_flag(&self, flag: Flag, value: bool) -> Answer {
        if self.fs.set_flag(flag, value) {
            return Answer::Done;
        }
        let text = format!("{} changes only at start: unmount, and mount with --{0}={value}", flag.name());
        refuse(Code::Unsupported, &text.replace('_', "-"))
    }

    fn order(&self, order: Order) -> Answer {
        match self.orders.send(order) {
            Ok(()) => Answer::Done,
            Err(_) => refuse(Code::Busy, "the mount is going down already"),
        }
    }
}

impl Desk for WorkerDesk {
    fn answer(&self, request: Request) -> Answer {
        match request {
            Request::Stage { url, name, headers } => self.stage(&url, name, headers),
            Request::Unstage { id } => match self.fs.unstage(&id) {
                Ok(()) => Answer::Done,
                Err(error) => refuse(code(&error), &error.to_string()),
            },
            Request::List => Answer::List { staged: self.fs.staged() },
            Request::Status => Answer::Status(Box::new(self.status())),
            Request::Umount { force: false } => self.order(Order::Stop { reason: "umount".into() }),
            Request::Umount { force: true } => self.order(Order::Abort),
            Request::Dump => self.dump(),
            Request::SetFlag { flag, value } => self.set_flag(flag, value),
            Request::Restart { binary: Some(_), .. } => {
                refuse(Code::Unsupported, "this fsd runs without a supervisor: only flags can be changed")
            }
            Request::Restart { flags, binary: None } if self.successor => self.order(Order::Succeed { flags }),
            Request::Restart { .. } => refuse(
                Code::Unsupported,
                "this fsd runs without a supervisor, and its mount cannot be handed over: unmount it and mount again",
            ),
        }
    }
}

fn code(error: &StageError) -> Code {
    match error {
        StageError::Draining => Code::Busy,
        StageError::Upstream(_) => Code::Upstream,
        StageError::NoLength(_) => Code::UpstreamRefused,
        StageError::BadName(_) | StageError::NoName(_) => Code::BadRequest,
        StageError::Store(_) | StageError::Full => Code::NoSpace,
        StageError::NotFound(_) => Code::NotFound,
    }
}

/// One line for the log.
pub(super) fn summary(fs: &Fs) -> String {
    let status = fs.status();
    format!(
        "{} in flight (oldest {:.1} s), {} handles, {} stores, {} closing, {} reaping, {} staged, {} bytes of disk",
        inflight::total(),
        inflight::oldest_us() as f64 / 1e6,
        status.open_handles,
        status.stores,
        status.closing,
        status.reaping,
        status.staged,
        status.disk_used
    )
}
