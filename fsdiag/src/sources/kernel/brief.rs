//! The brief: every FUSE mount in a few words.

use super::{
    clients::{self, Client},
    holders::{Found, Holder, Scan},
    look::Sources,
    mountinfo::Mount,
    peek::{self, Address, Glance, Kernel, Seen, View},
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
    /// Its age; where the lists do not tell it, that of the longest blocked client.
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
    let seen: Vec<_> = halves.into_iter().map(|half| (half.view(), half)).collect();
    // Without lists, or ages in them, the clients tell the age; one scan is enough for all mounts.
    let is_told = |view: &Option<View>| view.as_ref().is_some_and(|v| v.requests.iter().all(|r| r.age_us.is_some()));
    let clients = if seen.iter().all(|(view, _)| is_told(view)) { Vec::new() } else { clients::scan(mounts) };
    seen.into_iter().map(|(view, half)| half.finish(view, sources, &clients)).collect()
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

    fn view(&self) -> Option<View> {
        self.glance.as_ref().and_then(|(kernel, at, glance)| kernel.confirm(*at, glance).ok())
    }

    fn finish(self, view: Option<View>, sources: &Sources, clients: &[Client]) -> Brief {
        let connection = self.mount.connection();
        let counted = sources.fusectl.as_ref().ok().and_then(|f| f.waiting(connection).ok());
        let requests = view.iter().flat_map(|v| v.requests.clone()).map(|seen| aged(seen, clients));
        let oldest = requests.max_by_key(|r| r.age_us);
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

/// A request, as old as the sleep of its client where the kernel keeps no age.
fn aged(seen: Seen, clients: &[Client]) -> Seen {
    let sender = clients.iter().find(|c| c.task.tid == seen.request.pid);
    let age_us = seen.age_us.or_else(|| sender.and_then(|c| c.blocked_us));
    Seen { age_us, ..seen }
}

/// Of several holders the one with most threads: a supervisor has one.
fn serving(holders: &[Holder]) -> Option<Holder> {
    holders.iter().max_by_key(|h| (task::ids(h.pid).len(), std::cmp::Reverse(h.pid))).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::kernel::task::Task;

    #[test]
    fn where_the_kernel_keeps_no_age_the_client_s_sleep_counts() {
        let task = Task { pid: 7, tid: 9, ..Task::default() };
        let clients = [Client { task, op: None, target: None, blocked_us: Some(3_600_000_000) }];
        let age = |pid, age_us| aged(Seen { age_us, ..Seen::without_age(15, pid) }, &clients).age_us;
        assert_eq!(age(9, None), Some(3_600_000_000));
        assert_eq!(age(9, Some(5)), Some(5), "the kernel knows best");
        assert_eq!(age(0, None), None, "nobody waits for it");
    }
}
