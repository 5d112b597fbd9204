//! The brief: every FUSE mount in a few words.

use super::{
    clients::{self, Client},
    holders::{Found, Holder, Scan},
    look::Sources,
    mountinfo::Mount,
    peek::{self, Address, Glance, Kernel, Seen},
    task,
};

/// A mount in a few words.
#[derive(Clone, Debug)]
pub struct Brief {
    pub mount: Mount,
    /// The one that serves, if anybody.
    pub holder: Option<Holder>,
    /// False: we cannot see who holds which connection.
    pub sure: bool,
    pub waiting: Option<u64>,
    pub connected: Option<bool>,
    /// The oldest unanswered request, where the kernel's lists can be read.
    pub oldest: Option<Seen>,
    /// Its age; without the lists that of the longest blocked client.
    pub oldest_us: Option<u64>,
}

/// All FUSE mounts at once; a tenth of a second, however many there are.
pub fn all(mounts: &[Mount], sources: &Sources) -> Vec<Brief> {
    let scan = sources.holders();
    let fuse = mounts.iter().filter(|m| m.is_fuse());
    let halves: Vec<Half<'_>> = fuse.map(|mount| Half::new(mount, &scan, sources)).collect();
    if halves.iter().any(|half| half.glance.is_some()) {
        peek::pause();
    }
    // Without the lists the clients tell the age; one scan is enough for all mounts.
    let blind = halves.iter().any(|half| half.glance.is_none());
    let clients = if blind { clients::scan(mounts) } else { Vec::new() };
    halves.into_iter().map(|half| half.finish(sources, &clients)).collect()
}

/// A mount between the two glances at its lists.
struct Half<'a> {
    mount: &'a Mount,
    found: Found,
    glance: Option<(&'a Kernel, Address, Glance)>,
}

impl<'a> Half<'a> {
    fn new(mount: &'a Mount, scan: &Scan, sources: &'a Sources) -> Self {
        let found = scan.of_connection(mount.connection(), mount.kind());
        let address = sources.address(mount.connection(), &found.holders).ok();
        let kernel = sources.kernel.as_ref().ok().zip(address);
        let glance = kernel.and_then(|(kernel, at)| Some((kernel, at, kernel.glance(at).ok()?)));
        Self { mount, found, glance }
    }

    fn finish(self, sources: &Sources, clients: &[Client]) -> Brief {
        let connection = self.mount.connection();
        let view = self.glance.and_then(|(kernel, at, glance)| kernel.confirm(at, &glance).ok());
        let counted = sources.fusectl.as_ref().ok().and_then(|f| f.waiting(connection).ok());
        let oldest = view.as_ref().and_then(|v| v.requests.iter().max_by_key(|r| r.age_us)).cloned();
        let ours = clients.iter().filter(|c| c.target.as_ref().is_some_and(|t| t.connection == connection));
        let blocked_us = ours.filter_map(|c| c.blocked_us).max();
        Brief {
            mount: self.mount.clone(),
            holder: serving(&self.found.holders),
            sure: self.found.sure,
            waiting: view.as_ref().and_then(|v| v.facts.waiting).or(counted),
            connected: view.as_ref().and_then(|v| v.facts.connected),
            oldest_us: oldest.as_ref().and_then(|o| o.age_us).or(blocked_us),
            oldest,
        }
    }
}

/// Of several holders the one with most threads: a supervisor has one.
fn serving(holders: &[Holder]) -> Option<Holder> {
    holders.iter().max_by_key(|h| (task::ids(h.pid).len(), std::cmp::Reverse(h.pid))).cloned()
}
