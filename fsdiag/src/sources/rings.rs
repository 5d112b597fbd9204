//! A daemon that runs or died, found by its own traces: its mount, its event file, and the records in shared memory
//! that no file has.

use std::{
    collections::BTreeSet,
    env, fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use fsd_events::{
    event::Event,
    ids::{Ino, RunId},
    layout,
    names::Names,
    presence::{LOCK, Presence},
    ring,
};

use super::{
    kernel::{holders, mountinfo},
    owned,
};

/// One mount of fsd.
#[derive(Clone, Debug, Default)]
pub struct Mount {
    /// In the runtime directory.
    pub dir: PathBuf,
    /// Whose runtime directory that is: nobody else can have written there.
    pub owner: u32,
    pub mount: String,
    pub run: RunId,
    pub pid: u32,
    /// Who owns the mount and the socket; 0 where the worker itself does.
    pub supervisor: u32,
    pub connection: u64,
    /// Event file of the current run.
    pub events: PathBuf,
    pub socket: PathBuf,
    pub alive: bool,
}

impl Mount {
    /// Whether that process is of the owner and holds the connection, as far as the kernel says whose it is.
    pub fn is_held_by(&self, pid: u32) -> bool {
        let holds = |h: &holders::Holder| h.pid == pid && h.connection.is_none_or(|c| c == self.connection);
        holders::owner(pid) == Some(self.owner) && holders::scan().holders.iter().any(holds)
    }

    /// Whether the kernel shows a mount of the owner there. Where it shows none at all, what is left of a dead one may
    /// be read.
    fn is_confirmed(&self, table: &[mountinfo::Mount]) -> bool {
        let there = mountinfo::at(table, Path::new(&self.mount)).filter(|mount| mount.is_fuse());
        let by_owner = |mount: &mountinfo::Mount| mount.option("user_id") == Some(&*self.owner.to_string());
        let events = || fs::metadata(&self.events).map_or(true, |meta| meta.is_file() && meta.uid() == self.owner);
        there.map_or(!self.alive, by_owner) && !is_on_fuse(table, &self.events) && events()
    }
}

/// Every mount that left its traces where this user can read them, newest last, and our own after those of others.
///
/// Root finds those of all users too, and believes each user about mounts of that user only.
pub fn mounts() -> Vec<Mount> {
    let uid = owned::uid();
    let table = mountinfo::read().unwrap_or_default();
    let mut mounts: Vec<Mount> = roots(uid, &table).iter().flat_map(|(root, owner)| below(root, *owner)).collect();
    mounts.retain(|m| m.owner == uid || m.is_confirmed(&table));
    let changed = |m: &Mount| fs::symlink_metadata(m.dir.join(layout::MOUNT_FILE)).map_or(0, |meta| meta.mtime());
    mounts.sort_by_key(|m| (m.owner == uid, changed(m)));
    mounts
}

/// The mount with that mount point. It is looked up by name alone, because the path itself may never answer.
pub fn of_mount(path: &Path) -> Option<Mount> {
    let path = mountinfo::lexical(&env::current_dir().unwrap_or_default(), path);
    mounts().into_iter().rev().find(|m| Path::new(&m.mount) == path)
}

/// Runtime directories, each private to its user: ours and, for root, those of others.
fn roots(uid: u32, table: &[mountinfo::Mount]) -> BTreeSet<(PathBuf, u32)> {
    let xdg = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let own = layout::runtime_candidates(None, xdg.as_deref(), uid).into_iter().map(|root| (root, uid));
    // One that root names may be of any user.
    let named = env::var_os("FSD_RUNTIME_DIR").map(PathBuf::from).filter(|root| !is_on_fuse(table, root));
    let named = named.and_then(|root| Some((fs::symlink_metadata(&root).ok()?.uid(), root)));
    let all = own.chain(users()).chain(named.map(|(owner, root)| (root, owner)));
    let ours = all.filter(|(root, owner)| (uid == 0 || *owner == uid) && !is_on_fuse(table, root));
    ours.filter(|(root, owner)| owned::is_private(root, *owner)).collect()
}

/// The usual runtime directories of all users, each with the user that its name tells.
fn users() -> impl Iterator<Item = (PathBuf, u32)> {
    let names = |dir: &str| {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        entries.filter_map(|e| Some((e.path(), e.file_name().into_string().ok()?)))
    };
    let shm = names("/dev/shm").filter_map(|(path, name)| Some((path, name.strip_prefix("fsd-")?.parse().ok()?)));
    names("/run/user").filter_map(|(path, name)| Some((path.join("fsd"), name.parse().ok()?))).chain(shm)
}

/// Judged by the letters alone: who may mount there can make us wait for ever.
fn is_on_fuse(table: &[mountinfo::Mount], path: &Path) -> bool {
    mountinfo::serving(table, path).is_some_and(mountinfo::Mount::is_fuse)
}

fn below(root: &Path, owner: u32) -> Vec<Mount> {
    let dirs = fs::read_dir(root).into_iter().flatten().flatten().map(|e| e.path());
    dirs.filter(|dir| owned::is_dir(dir, owner)).filter_map(|dir| read(&dir, owner)).collect()
}

fn read(dir: &Path, owner: u32) -> Option<Mount> {
    let text = owned::read(&dir.join(layout::MOUNT_FILE), owner).ok()?;
    let presence: Presence = serde_json::from_slice(&text).ok()?;
    Some(Mount {
        alive: is_locked(dir, owner).unwrap_or_else(|| Path::new("/proc").join(presence.pid.to_string()).exists()),
        dir: dir.to_owned(),
        owner,
        run: RunId::parse(&presence.run).unwrap_or_default(),
        pid: presence.pid,
        supervisor: presence.supervisor,
        connection: presence.connection,
        events: Path::new(&presence.state_dir).join(layout::EVENTS_LINK),
        socket: PathBuf::from(presence.socket),
        mount: presence.mount,
    })
}

/// Whether a living process holds the lock; None where it cannot be asked.
fn is_locked(dir: &Path, owner: u32) -> Option<bool> {
    match owned::open(&dir.join(LOCK), owner).ok()?.try_lock() {
        Ok(()) => Some(false),
        Err(fs::TryLockError::WouldBlock) => Some(true),
        Err(fs::TryLockError::Error(_)) => None,
    }
}

/// Records of the current run that its event file does not have, in the order of their numbers.
pub fn undrained(mount: &Mount) -> Vec<Event<'static>> {
    let names = owned::open(&mount.dir.join(layout::NAMES), mount.owner).and_then(Names::read_from).ok();
    let mut path_of = |ino: u64| names.as_ref().and_then(|n| n.path(Ino(ino)));
    let run = mount.dir.join(mount.run.to_string());
    let files = fs::read_dir(&run).into_iter().flatten().flatten().map(|e| e.path());
    let is_ring =
        |p: &PathBuf| p.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(layout::RING_PREFIX.as_bytes()));
    let decoded = files.filter(is_ring).filter_map(|p| ring::decode(&owned::read(&p, mount.owner).ok()?, &mut path_of));
    let mut events: Vec<Event<'static>> =
        decoded.flat_map(|d| d.records).filter(|r| !r.written).map(|r| r.event).collect();
    events.sort_by_key(|event| event.head.seq);
    events.dedup_by_key(|event| event.head.seq);
    events
}
