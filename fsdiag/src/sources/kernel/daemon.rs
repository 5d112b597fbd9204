//! Daemon: a process that serves a mount, its threads, and what they have in hand and work on.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    bounded, clients, hands,
    holders::{self, Holder},
    lists::{Listed, Request},
    mountinfo::Mount,
    peek::{Seen, View},
    signature::{self, Wait},
    sockets::{self, Socket},
    task::{self, Task},
};

/// Of a daemon's descendants.
const MOST_GENERATIONS: usize = 16;

/// A process that serves the mount, or could.
#[derive(Clone, Debug)]
pub struct Daemon {
    pub pid: u32,
    pub comm: String,
    pub fds: Vec<u32>,
    pub threads: Vec<Task>,
    pub sockets: Vec<Socket>,
    /// Threads that sleep in file systems, and the mounts that they work on there.
    pub below: Vec<(u32, Mount)>,
    /// Threads that poll descriptors, not the device, and those descriptors.
    pub polls: Vec<(u32, Vec<u32>)>,
    /// Requests may wait in it that no thread has: it has an event loop, or threads of its own making.
    pub parks: bool,
    /// The thread that has a request in hand, by the request's number, where its memory tells.
    pub hands: BTreeMap<u64, u32>,
}

impl Daemon {
    /// Threads that read the device now.
    pub fn idle_readers(&self) -> u32 {
        let idle = self.threads.iter().filter(|t| matches!(t.waits(), Some((Wait::Idle, _)))).count();
        u32::try_from(idle).unwrap_or(u32::MAX)
    }

    /// Whether a thread has something to do right now.
    pub(super) fn runs(&self) -> bool {
        self.threads.iter().any(|t| t.state == Some('R'))
    }

    /// What is wrong with it at first sight, for a line about it.
    pub fn condition(&self) -> &'static str {
        let ended = |t: &Task| t.tid == self.pid && t.state == Some('Z');
        match self.threads.iter().any(ended) {
            true => ", its first thread has ended",
            false if self.is_stopped() => ", stopped",
            false => "",
        }
    }

    /// Whether a person or a debugger has stopped it.
    pub fn is_stopped(&self) -> bool {
        !self.threads.is_empty() && self.threads.iter().all(|t| matches!(t.state, Some('T' | 't')))
    }
}

/// Those that serve or could, and whoever has the device from the first of them only.
pub(super) fn daemons(holders: &[Holder]) -> (Vec<Daemon>, Vec<u32>) {
    let pids: BTreeSet<u32> = holders.iter().map(|h| h.pid).collect();
    let mut out: Vec<Daemon> = pids.into_iter().map(|pid| daemon(pid, holders)).collect();
    // A supervisor, or a child that inherited the descriptor, has no reader and few threads.
    out.sort_by_key(|d| std::cmp::Reverse((d.idle_readers(), d.threads.len())));
    let first = out.first().map(|daemon| daemon.pid);
    let inherits = |d: &Daemon| d.idle_readers() == 0 && first.is_some_and(|first| descends(d.pid, first));
    let (heirs, own) = out.into_iter().partition(inherits);
    (own, heirs.into_iter().map(|heir: Daemon| heir.pid).collect())
}

fn descends(pid: u32, from: u32) -> bool {
    let parents = std::iter::successors(holders::parent(pid), |pid| holders::parent(*pid));
    parents.take(MOST_GENERATIONS).any(|parent| parent == from)
}

fn daemon(pid: u32, holders: &[Holder]) -> Daemon {
    let read = bounded::one(pid, |pid| (task::all(pid), sockets::of(pid), holders::parks(pid)));
    let (threads, sockets, parks) = read.unwrap_or_default();
    let fds = holders.iter().filter(|h| h.pid == pid).map(|h| h.fd).collect();
    Daemon {
        pid,
        comm: holders::comm(pid),
        fds,
        threads,
        sockets,
        below: Vec::new(),
        polls: Vec::new(),
        parks,
        hands: BTreeMap::new(),
    }
}

/// What those of its threads work on that sleep as in the middle of a system call on files do.
pub(super) fn below(daemon: &Daemon, mounts: &[Mount]) -> Vec<(u32, Mount)> {
    let asks = |t: &&Task| t.state == Some('D') || signature::in_fuse(&t.stack);
    let asking: Vec<Task> = daemon.threads.iter().filter(asks).cloned().collect();
    let mounts = mounts.to_vec();
    let found = move |_| asking.iter().filter_map(|t| Some((t.tid, clients::works_on(t, &mounts)?))).collect();
    bounded::one(daemon.pid, found).unwrap_or_default()
}

/// Who polls the device too is idle.
pub(super) fn polls(daemon: &Daemon, mounts: &[Mount]) -> Vec<(u32, Vec<u32>)> {
    let polling = |t: &&Task| matches!(t.waits(), Some((Wait::Polling, _)));
    let polling: Vec<Task> = daemon.threads.iter().filter(polling).cloned().collect();
    let (mounts, device) = (mounts.to_vec(), daemon.fds.clone());
    let all = move |_| polling.iter().map(|t| (t.tid, clients::polled(t, &mounts))).collect::<Vec<_>>();
    let mut found = bounded::one(daemon.pid, all).unwrap_or_default();
    found.retain(|(_, fds)| !fds.iter().any(|fd| device.contains(fd)));
    found
}

/// Whoever reads the device has none, though its memory may still show the last.
pub(super) fn in_hand(daemon: &Daemon, view: &View) -> BTreeMap<u64, u32> {
    let taken = |seen: &&Seen| matches!(seen.request.listed, Listed::Processing | Listed::Copying);
    let taken: Vec<Request> = view.requests.iter().filter(taken).map(|seen| seen.request.clone()).collect();
    let busy = |t: &&Task| t.state != Some('R') && !matches!(t.waits(), Some((Wait::Idle, _)));
    let busy: Vec<Task> = daemon.threads.iter().filter(busy).cloned().collect();
    hands::of(&busy, &taken)
}
