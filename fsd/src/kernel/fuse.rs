//! The FUSE session: requests of the kernel become operations. The only home of `fuser`.

mod adapter;
mod backing;
mod convert;
mod init;
mod lanes;
mod replay;
mod resume;

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError, sync_channel},
    },
    thread,
    time::Duration,
};

use fsd_events::ring::tables::InFlight;
use fuser::SessionACL;
use tokio::sync::watch;

use crate::{
    kernel::fs::Fs,
    observe::locks::{Class, Mutex, Rank},
};

use self::{
    adapter::Adapter,
    init::{Outcome, Wishes},
    lanes::Lanes,
    resume::Handshake,
};

/// Who waits for the end of the session.
static SESSION: Class = Class::new("session", Rank::Session);

/// How the names of the threads begin that read requests.
pub const LOOP_NAMES: &str = "fuser-";

/// How requests are served.
#[derive(Clone, Debug)]
pub struct FuseConfig {
    /// Loops that read requests (`fuser-0`…); one on other systems than Linux and with `single_thread`.
    pub threads: usize,
    /// Other users than the daemon's may come in (`allow_other`, and always when the worker's user is not the
    /// owner of the mount).
    pub allow_other: bool,
    /// `debug_fskit_single_thread`: a callback returns when it has answered.
    pub single_thread: bool,
    /// `debug_all_callbacks`.
    pub all_callbacks: bool,
    /// Hand complete files to the kernel where it can take them.
    pub passthrough: bool,
    /// Background requests that we ask the kernel for.
    pub max_background: u16,
    /// An earlier worker served the connection: this is what it settled with the kernel.
    pub takeover: Option<Negotiated>,
    /// What that worker had not answered, where the kernel does not send it again.
    pub left: Vec<InFlight>,
}

impl Default for FuseConfig {
    fn default() -> Self {
        Self {
            threads: 4,
            allow_other: false,
            single_thread: false,
            all_callbacks: false,
            passthrough: true,
            max_background: u16::MAX,
            takeover: None,
            left: Vec::new(),
        }
    }
}

/// Why the session did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("the kernel's first request (INIT) failed: {0}")]
    Init(io::Error),
    #[error("cannot start the session's threads: {0}")]
    Threads(io::Error),
    #[error("the kernel does not send requests again ({0}), although it did before")]
    Resend(io::Error),
}

/// What INIT settled; a later worker needs it to take the connection over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Negotiated {
    /// Minor version of the kernel's protocol.
    pub minor: u32,
    /// What the kernel offered.
    pub offered: u64,
    /// What we took.
    pub taken: u64,
    pub passthrough: bool,
    /// It sends unanswered requests again when asked to: tried, because versions lie.
    pub resends: bool,
}

/// A session that serves. Dropping it neither unmounts nor stops it.
#[derive(Debug)]
pub struct Session {
    negotiated: Negotiated,
    ended: watch::Receiver<Option<Result<(), String>>>,
    /// Nothing is ever sent: it breaks when the loops have ended.
    over: Mutex<Receiver<()>>,
}

/// Answers INIT on `fd` (an open `/dev/fuse` of a mount) and starts the loops.
///
/// # Errors
/// When the kernel breaks the connection before, or threads cannot be started.
pub fn serve(fd: OwnedFd, fs: Fs, config: &FuseConfig) -> Result<Session, ServeError> {
    fs.limit_parked(u32::from(config.max_background));
    let plain = !config.single_thread && !config.all_callbacks;
    let wishes = Wishes {
        all_callbacks: config.all_callbacks,
        passthrough: config.passthrough && plain,
        max_background: config.max_background,
        outcome: Arc::default(),
    };
    let outcome = Arc::clone(&wishes.outcome);
    let device = Arc::new(fd.try_clone().map_err(ServeError::Init)?);
    if config.takeover.is_some() {
        fs.adopt(|id| backing::adopt(&device, id));
    }
    // These do not wait for each other, whatever the callbacks do.
    let late = Lanes { fs: fs.clone(), single: false };
    let lanes = Lanes { fs, single: config.single_thread };
    let adapter = Adapter { lanes, wishes, passthrough: false };
    let mut options = fuser::Config::default();
    let one = config.single_thread || !cfg!(target_os = "linux");
    options.n_threads = Some(if one { 1 } else { config.threads.max(1) });
    // The kernel itself keeps strangers out without allow_other; fuser would refuse them unrecorded.
    let acl = SessionACL::All;
    let (session, resends) = match &config.takeover {
        None => {
            let session = fuser::Session::from_fd(adapter, fd, acl, options).map_err(ServeError::Init)?;
            // Nothing is unanswered yet, so this does nothing but tell.
            let resends = resume::resend(session.as_fd()).is_ok();
            (session, resends)
        }
        Some(settled) => (take_over(adapter, fd, acl, options, settled)?, settled.resends),
    };
    replay::replay(&device, &late, &config.left);
    let (tell, ended) = watch::channel(None);
    let (keep, over) = sync_channel(0);
    let run = move || {
        let result = session.run().map_err(|error| error.to_string());
        // The receivers may be gone: then nobody wants to know.
        drop(tell.send(Some(result)));
        drop::<std::sync::mpsc::SyncSender<()>>(keep);
    };
    thread::Builder::new().name("fsd-session".to_owned()).spawn(run).map_err(ServeError::Threads)?;
    Ok(Session { negotiated: Negotiated { resends, ..negotiated(&outcome) }, ended, over: Mutex::new(&SESSION, over) })
}

/// Starts a session on a connection that is negotiated already, and has its unanswered requests sent again.
fn take_over(
    adapter: Adapter,
    device: OwnedFd,
    acl: SessionACL,
    options: fuser::Config,
    settled: &Negotiated,
) -> Result<fuser::Session<Adapter>, ServeError> {
    let (handshake, fd) = Handshake::new(settled).map_err(ServeError::Init)?;
    let session = fuser::Session::from_fd(adapter, fd, acl, options).map_err(ServeError::Init)?;
    handshake.swap(session.as_fd(), device).map_err(ServeError::Init)?;
    if settled.resends {
        resume::resend(session.as_fd()).map_err(ServeError::Resend)?;
    }
    Ok(session)
}

fn negotiated(outcome: &Outcome) -> Negotiated {
    Negotiated {
        minor: outcome.minor.load(Ordering::Relaxed),
        offered: outcome.offered.load(Ordering::Relaxed),
        taken: outcome.taken.load(Ordering::Relaxed),
        passthrough: outcome.passthrough.load(Ordering::Relaxed),
        resends: false,
    }
}

impl Session {
    pub fn negotiated(&self) -> Negotiated {
        self.negotiated
    }

    /// `Some` once the loops have ended: unmounted, aborted, or broken.
    pub fn ended(&self) -> watch::Receiver<Option<Result<(), String>>> {
        self.ended.clone()
    }

    /// Waits until the loops have ended, at most `limit`; true if they have.
    pub fn join(&self, limit: Duration) -> bool {
        !matches!(self.over.lock().recv_timeout(limit), Err(RecvTimeoutError::Timeout))
    }
}
