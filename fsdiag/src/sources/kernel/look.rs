//! A look: everything that is known of one mount at one moment, each source for itself.

use std::{
    collections::BTreeSet,
    fs::{self, File},
};

use super::{
    bounded,
    burn::{Burning, Meter},
    clients::{self, Client},
    daemon::{self, Daemon},
    fusectl::Fusectl,
    holders::{self, Found, Holder, Scan},
    mountinfo::Mount,
    peek::{self, Address, Kernel, PeekError, View},
    pidns, sys, task,
};

/// What looks at mounts: each source is there, or says why not.
#[derive(Debug)]
pub struct Sources {
    pub fusectl: Result<Fusectl, String>,
    pub kernel: Result<Kernel, String>,
}

/// A source that can be left out, to see what the others still tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The kernel's request lists (BPF and BTF).
    Peek,
    /// The fusectl file system.
    Fusectl,
    /// The trace events of requests.
    Trace,
    /// Blocked threads in `/proc`.
    Clients,
}

impl Source {
    /// Every source with the word for it on the command line.
    pub const ALL: &[(&str, Self)] =
        &[("peek", Self::Peek), ("fusectl", Self::Fusectl), ("trace", Self::Trace), ("clients", Self::Clients)];
}

impl Sources {
    /// Opens what this kernel and this user allow, except what is left out.
    pub fn open(mounts: &[Mount], without: &[Source]) -> Self {
        let left_out = |source| without.contains(&source);
        let fusectl = || Fusectl::open(mounts).map_err(|e| format!("fusectl: {e}"));
        let kernel = || Kernel::open().map_err(|e| format!("request lists: {e}"));
        Self {
            fusectl: if left_out(Source::Fusectl) { Err(String::from("fusectl: left out")) } else { fusectl() },
            kernel: if left_out(Source::Peek) { Err(String::from("request lists: left out")) } else { kernel() },
        }
    }

    /// What is not there, and why.
    pub fn missing(&self) -> Vec<String> {
        [self.fusectl.as_ref().err(), self.kernel.as_ref().err()].into_iter().flatten().cloned().collect()
    }

    /// Every holder of the device, with its connection wherever anything tells that.
    pub fn holders(&self) -> Scan {
        let mut scan = holders::scan();
        if let Ok(kernel) = &self.kernel {
            kernel.tell(&mut scan);
            kernel.forget_unmounted(&mut scan, |connection| self.door(connection));
        }
        scan
    }

    /// Fusectl's file of a mounted connection, which leads to it in kernel memory.
    fn door(&self, connection: u64) -> Option<File> {
        self.fusectl.as_ref().ok().and_then(|f| f.door(connection).ok())
    }

    /// Where a connection lies in kernel memory.
    ///
    /// # Errors
    /// Says why it was not found.
    pub fn address(&self, connection: u64, holders: &[Holder]) -> Result<Address, String> {
        let kernel = self.kernel.as_ref().map_err(Clone::clone)?;
        kernel.find(connection, self.door(connection).as_ref(), holders).map_err(|e| format!("request lists: {e}"))
    }

    /// The kernel's lists of a connection.
    ///
    /// # Errors
    /// Says why they cannot be read.
    pub fn view(&self, connection: u64, holders: &[Holder]) -> Result<View, String> {
        let kernel = self.kernel.as_ref().map_err(Clone::clone)?;
        let text = |e: PeekError| format!("request lists: {e}");
        kernel.look(self.address(connection, holders)?).map_err(text)
    }
}

/// One mount at one moment.
#[derive(Clone, Debug)]
pub struct Look {
    pub mount: Mount,
    /// A process that sees it, where we do not.
    pub seen_by: Option<u32>,
    /// Who holds the device, the one that serves first.
    pub daemons: Vec<Daemon>,
    /// Processes that the first has forked: they hold the device by inheritance and read nothing from it.
    pub heirs: Vec<u32>,
    /// False: the kernel does not say who holds which connection, these are candidates.
    pub daemons_sure: bool,
    pub waiting: Option<u64>,
    pub view: Option<View>,
    /// Whether an unread request is queued, and whether the connection was aborted.
    pub ready: Option<sys::Ready>,
    /// Blocked threads on this mount; None: not looked for.
    pub clients: Option<Vec<Client>>,
    /// When they were looked at, by the scheduler's clock.
    pub clock_ms: Option<f64>,
    /// The same clock when the lists were read.
    pub listed_ms: Option<f64>,
    /// The thread of the daemon that runs all the time, where one does while requests wait.
    pub burning: Option<Burning>,
    pub missing: Vec<String>,
}

impl Look {
    /// The process that serves.
    pub fn daemon(&self) -> Option<&Daemon> {
        self.daemons.first()
    }

    /// Nobody holds the device: every access fails at once. A connection that still stands, or that anybody waits
    /// for, has a holder somewhere, seen or not.
    pub fn is_dead(&self) -> bool {
        let stands = self.connected() == Some(true) || self.waiting.is_some_and(|n| n > 0);
        self.daemons.is_empty() && self.daemons_sure && !stands
    }

    /// Whether that process is known to serve the mount.
    pub fn is_of_daemon(&self, pid: u32) -> bool {
        self.daemons_sure && self.daemons.iter().any(|d| d.pid == pid)
    }

    /// The connection was aborted: nothing will ever be answered.
    pub fn is_aborted(&self) -> bool {
        self.connected() == Some(false) || self.ready.is_some_and(|r| r.error)
    }

    /// Nothing was found that could tell whether requests wait.
    pub fn is_blind(&self) -> bool {
        self.waiting.is_none()
            && self.daemons.is_empty()
            && !self.is_dead()
            && self.clients.iter().flatten().count() == 0
    }

    fn connected(&self) -> Option<bool> {
        self.view.as_ref().and_then(|v| v.facts.connected)
    }
}

/// Begins to measure what the threads of the daemon run.
pub fn meter(mount: &Mount, sources: &Sources) -> Option<Meter> {
    let Found { holders, sure } = sources.holders().of_connection(mount.connection(), mount.kind());
    daemon::daemons(&holders).0.first().filter(|_| sure).map(|daemon| Meter::start(daemon.pid))
}

/// Takes a look; about a tenth of a second where the request lists can be read, and three where a thread of the daemon
/// runs while requests wait.
pub fn take(mount: &Mount, mounts: &[Mount], sources: &Sources, without: &[Source]) -> Look {
    let Found { holders, sure: daemons_sure } = sources.holders().of_connection(mount.connection(), mount.kind());
    let mut missing = sources.missing();
    let view = sources.view(mount.connection(), &holders);
    let view = view
        .map_err(|why| {
            if !missing.contains(&why) {
                missing.push(why)
            }
        })
        .ok();
    let view = view.map(|view| match holders.first().filter(|_| daemons_sure) {
        Some(daemon) => with_our_numbers(view, daemon.pid),
        None => view,
    });
    let listed_ms = task::clock_ms();
    if view.is_none() {
        peek::pause();
    }
    let waiting = sources.fusectl.as_ref().ok().and_then(|f| f.waiting(mount.connection()).ok());
    let waiting = view.as_ref().and_then(|v| v.facts.waiting).or(waiting);
    let (mut daemons, heirs) = daemon::daemons(&holders);
    if waiting != Some(0) {
        for daemon in &mut daemons {
            (daemon.below, daemon.polls) = (daemon::below(daemon, mounts), daemon::polls(daemon, mounts));
        }
    }
    if let (Some(daemon), Some(view)) = (daemons.first_mut().filter(|_| daemons_sure), &view) {
        daemon.hands = daemon::in_hand(daemon, view);
    }
    if daemons.is_empty() && !daemons_sure {
        missing.push(String::from(
            "the daemon: processes of other users, or outside of this container, do not show their descriptors",
        ));
    }
    let ready = match daemons.first() {
        Some(d) if daemons_sure => ready(d, &mut missing),
        _ => None,
    };
    let busy = daemons.first().filter(|daemon| daemons_sure && waiting != Some(0) && daemon.runs());
    let meter = busy.map(|daemon| Meter::start(daemon.pid));
    let clients = (!without.contains(&Source::Clients)).then(|| clients(mount, mounts, view.as_ref()));
    // `comm` is one of the few files that answer always.
    let stuck = bounded::silent().into_iter().map(|pid| (pid, holders::comm(pid)));
    missing.extend(stuck.filter(|(_, comm)| !comm.is_empty()).map(|(pid, comm)| {
        format!("process {pid} ({comm}): /proc does not answer, it waits in an exec or exit, maybe for a hung mount")
    }));
    if !sys::is_root() {
        missing.push(String::from("kernel stacks and other users' threads: not root"));
    }
    let clock_ms = task::clock_ms();
    let burning = meter.and_then(|meter| meter.stop());
    let mount = mount.clone();
    Look {
        mount,
        seen_by: None,
        daemons,
        heirs,
        daemons_sure,
        waiting,
        view,
        ready,
        clients,
        clock_ms,
        listed_ms,
        burning,
        missing,
    }
}

/// A client that has no number here has none at all: better no name than that of another.
fn with_our_numbers(mut view: View, daemon: u32) -> View {
    let senders: BTreeSet<u32> = view.requests.iter().map(|seen| seen.request.pid).collect();
    if let Some(ours) = pidns::ours(daemon, &senders) {
        view.requests.iter_mut().for_each(|seen| seen.request.pid = ours.get(&seen.request.pid).copied().unwrap_or(0));
    }
    view
}

fn ready(daemon: &Daemon, missing: &mut Vec<String>) -> Option<sys::Ready> {
    let fd = *daemon.fds.first()?;
    let got = sys::poll_foreign(daemon.pid, fd);
    got.map_err(|e| missing.push(format!("whether a request is unread: {e}"))).ok()
}

/// Blocked threads of this mount: those whose system call names it, and the senders of its requests.
fn clients(mount: &Mount, mounts: &[Mount], view: Option<&View>) -> Vec<Client> {
    let senders: BTreeSet<u32> =
        view.into_iter().flat_map(|v| &v.requests).map(|r| r.request.pid).filter(|p| *p != 0).collect();
    let ours = |c: &Client| {
        let named = c.target.as_ref().map(|t| t.connection == mount.connection());
        named.unwrap_or_else(|| senders.contains(&c.task.tid))
    };
    let mut found: Vec<Client> = clients::scan(mounts).into_iter().filter(ours).collect();
    let known: BTreeSet<u32> = found.iter().map(|c| c.task.tid).collect();
    let other = senders.difference(&known).filter_map(|tid| clients::read(process_of(*tid)?, *tid, mounts));
    found.extend(other.filter(ours).collect::<Vec<_>>());
    found
}

/// The process a thread belongs to; None when it is gone.
pub fn process_of(tid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    holders::field(&status, "Tgid")?.parse().ok()
}
