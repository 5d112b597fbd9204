//! Host: who owns the mount that a worker serves: the worker itself, or a supervisor at the other end of a link.

use std::{
    io::{self, Write},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    sync::{
        Arc,
        mpsc::{self, Receiver, Sender},
    },
    thread::{Builder, JoinHandle},
};

use fsd_events::{control::Request, flags::Flag, presence::Presence};

use super::{Identity, Job};
use crate::{
    kernel::mount::{self, At, MountSpec, Mounted},
    process::{
        control::Desk,
        exit::{Exit, Failure},
        link::{self, Down, Link, Takeover, Up},
        orders::Order,
        places::Places,
    },
};

/// What a worker under a supervisor needs to take its place.
pub(in crate::process) struct Legacy<'a> {
    pub(in crate::process) job: link::Job,
    pub(in crate::process) settled: Takeover,
    pub(in crate::process) presence: Presence,
    pub(in crate::process) max_background: u32,
    pub(in crate::process) janitor: Option<BorrowedFd<'a>>,
    /// Somebody asked for a restart; otherwise a supervisor died.
    pub(in crate::process) asked: bool,
}

/// Where the mount comes from.
pub(in crate::process) enum Host {
    /// This process mounts by itself and answers the control socket (`--no-supervisor`).
    Own,
    Supervisor(Box<Upward>),
}

/// The link to the supervisor.
pub(in crate::process) struct Upward {
    link: Link,
    words: Sender<Up>,
    /// Ends when it has written everything and nobody can say more.
    writer: JoinHandle<()>,
    /// As it came.
    job: link::Job,
    /// Held open so that the janitor waits for us too.
    janitor: Option<OwnedFd>,
}

impl Upward {
    /// The link whose `Job` has just been read.
    ///
    /// # Errors
    /// When the writer's thread cannot be started.
    pub(in crate::process) fn new(mut link: Link, job: link::Job) -> io::Result<Self> {
        let (words, queue) = mpsc::channel();
        let socket = link.writer()?;
        let writer = Builder::new().name("fsd-upward".to_owned()).spawn(move || write(socket, &queue))?;
        let janitor = link.take_fd();
        Ok(Self { link, words, writer, job, janitor })
    }

    pub(super) fn takeover(&self) -> Option<&Takeover> {
        self.job.takeover.as_ref()
    }

    /// The last words; returns when they are written, because the process ends then.
    pub(super) fn failed(self, failure: &Failure) {
        self.say(Up::Failed { code: failure.exit.code(), text: failure.text.clone() });
        drop(self.words);
        // A writer that panicked has written nothing more either.
        drop(self.writer.join());
    }

    pub(super) fn say(&self, word: Up) {
        // A supervisor that is gone hears nothing; its end is seen where its words are read.
        drop(self.words.send(word));
    }

    /// Asks for the mount and waits for it.
    fn mounted(&mut self, spec: &MountSpec) -> Result<Mounted, Failure> {
        let lost = || Exit::Internal.because("the supervisor is gone");
        let MountSpec { source, allow_other, writable, .. } = spec.clone();
        self.say(Up::Prepared { source, allow_other, writable });
        match self.link.receive::<Down>() {
            Ok(Some(Down::Mounted { dir, connection, helper })) => {
                let fd = self.link.take_fd().ok_or_else(lost)?;
                Ok(Mounted::adopt(fd, At { dir, connection, helper }))
            }
            _ => Err(lost()),
        }
    }

    /// Serves what the supervisor asks, from a thread of its own, until its end; then says so.
    pub(super) fn listen(self, desk: Arc<dyn Desk>, orders: Sender<Order>) -> Result<Inheritance, Failure> {
        let Self { link, words, writer: _, job, janitor } = self;
        let ear = Ear { link, words };
        let failed = |error: io::Error| Exit::Internal.because(format!("cannot listen to the supervisor: {error}"));
        Builder::new().name("fsd-link".to_owned()).spawn(move || ear.hear(&desk, &orders)).map_err(failed)?;
        Ok(Inheritance { job, janitor })
    }
}

/// Kept for the case that the supervisor dies.
pub(super) struct Inheritance {
    job: link::Job,
    janitor: Option<OwnedFd>,
}

impl Inheritance {
    /// Of a process that does everything by itself.
    pub(super) fn alone(job: &Job, places: &Places, identity: &Identity) -> Self {
        let job = link::Job {
            settings: job.settings.clone(),
            flags: job.config.flags,
            failpoints: Vec::new(),
            mountpoint: job.mountpoint.clone(),
            argv: job.argv.clone(),
            runtime: places.runtime.clone(),
            state: places.state.clone(),
            shared: places.shared,
            mount_run: identity.mount_run.to_string(),
            takeover: None,
        };
        Self { job, janitor: None }
    }

    /// With these flags changed, where a restart is asked for.
    pub(super) fn legacy(
        &self,
        settled: Takeover,
        presence: Presence,
        max_background: u32,
        asked: Option<&[(Flag, bool)]>,
    ) -> Legacy<'_> {
        let janitor = self.janitor.as_ref().map(AsFd::as_fd);
        let changed = asked.unwrap_or_default().iter();
        let flags = changed.fold(self.job.flags, |flags, (flag, value)| flags.with(*flag, *value));
        let job = link::Job { takeover: None, flags, ..self.job.clone() };
        Legacy { job, settled, presence, max_background, janitor, asked: asked.is_some() }
    }
}

/// Hears the supervisor from a thread of its own.
struct Ear {
    link: Link,
    words: Sender<Up>,
}

impl Ear {
    fn hear(mut self, desk: &Arc<dyn Desk>, orders: &Sender<Order>) {
        while let Ok(Some(word)) = self.link.receive::<Down>() {
            let order = match word {
                Down::Ask { n, request } => {
                    self.ask(n, request, desk);
                    continue;
                }
                Down::Stop { abort: true, .. } => Order::Abort,
                Down::Stop { abort: false, reason } => Order::Stop { reason: reason.into() },
                Down::Job(_) | Down::Mounted { .. } => continue,
            };
            drop(orders.send(order));
        }
        drop(orders.send(Order::Orphaned));
    }

    /// Staging may take seconds, and the next request must not wait for it.
    fn ask(&self, n: u64, request: Request, desk: &Arc<dyn Desk>) {
        let (desk, words) = (Arc::clone(desk), self.words.clone());
        let work = move || drop(words.send(Up::Answer { n, answer: desk.answer(request) }));
        if let Err(error) = Builder::new().name("fsd-request".to_owned()).spawn(work) {
            tracing::warn!("a request was not answered: {error}");
        }
    }
}

impl Host {
    /// The mount to serve.
    ///
    /// # Errors
    /// It cannot be made, or the supervisor is gone.
    pub(super) fn obtain(&mut self, spec: &MountSpec) -> Result<Mounted, Failure> {
        match self {
            Self::Own => mount::mount(spec).map_err(|error| Exit::Mount.because(error.to_string())),
            Self::Supervisor(upward) => upward.mounted(spec),
        }
    }

    pub(super) fn takeover(&self) -> Option<&Takeover> {
        match self {
            Self::Own => None,
            Self::Supervisor(upward) => upward.takeover(),
        }
    }
}

fn write(mut socket: UnixStream, queue: &Receiver<Up>) {
    while let Ok(word) = queue.recv() {
        let Ok(mut line) = serde_json::to_vec(&word) else { continue };
        line.push(b'\n');
        if socket.write_all(&line).is_err() {
            return;
        }
    }
}
