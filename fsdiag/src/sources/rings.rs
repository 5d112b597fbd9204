//! A daemon that runs or died, found by its own traces: its mount, its event file, and the records in shared memory
//! that no file has.

use std::{
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

use super::kernel::mountinfo;

/// One mount of fsd.
#[derive(Clone, Debug, Default)]
pub struct Mount {
    /// In the runtime directory.
    pub dir: PathBuf,
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

/// Every mount that left its traces where this user can read them, newest last.
pub fn mounts() -> Vec<Mount> {
    let xdg = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let named = env::var_os("FSD_RUNTIME_DIR").map(PathBuf::from);
    let uid = fs::metadata("/proc/self").map_or(0, |meta| meta.uid());
    let mut roots = layout::runtime_candidates(named.as_deref(), xdg.as_deref(), uid);
    roots.extend(users());
    roots.dedup();
    let mut mounts: Vec<Mount> = roots.iter().flat_map(|root| below(root)).collect();
    mounts.sort_by_key(|m| fs::metadata(m.dir.join(layout::MOUNT_FILE)).map_or(0, |meta| meta.mtime()));
    mounts.dedup_by(|a, b| a.dir == b.dir);
    mounts
}

/// The mount with that mount point. It is looked up by name alone, because the path itself may never answer.
pub fn of_mount(path: &Path) -> Option<Mount> {
    let path = mountinfo::lexical(&env::current_dir().unwrap_or_default(), path);
    mounts().into_iter().rev().find(|m| Path::new(&m.mount) == path)
}

/// Runtime directories of other users, which root can read.
fn users() -> Vec<PathBuf> {
    let entries = |dir: &str| fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()).collect::<Vec<_>>();
    let shm = entries("/dev/shm")
        .into_iter()
        .filter(|p| p.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"fsd-")));
    entries("/run/user").into_iter().map(|p| p.join("fsd")).chain(shm).collect()
}

fn below(root: &Path) -> Vec<Mount> {
    let dirs = fs::read_dir(root).into_iter().flatten().flatten().map(|e| e.path());
    dirs.filter_map(|dir| read(&dir)).collect()
}

fn read(dir: &Path) -> Option<Mount> {
    let text = fs::read(dir.join(layout::MOUNT_FILE)).ok()?;
    let presence: Presence = serde_json::from_slice(&text).ok()?;
    Some(Mount {
        alive: is_locked(&dir.join(LOCK)).unwrap_or_else(|| Path::new("/proc").join(presence.pid.to_string()).exists()),
        dir: dir.to_owned(),
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
fn is_locked(path: &Path) -> Option<bool> {
    let file = fs::File::open(path).ok()?;
    match file.try_lock() {
        Ok(()) => Some(false),
        Err(fs::TryLockError::WouldBlock) => Some(true),
        Err(fs::TryLockError::Error(_)) => None,
    }
}

/// Records of the current run that its event file does not have, in the order of their numbers.
pub fn undrained(mount: &Mount) -> Vec<Event<'static>> {
    let names = fs::File::open(mount.dir.join(layout::NAMES)).and_then(Names::read_from).ok();
    let mut path_of = |ino: u64| names.as_ref().and_then(|n| n.path(Ino(ino)));
    let run = mount.dir.join(mount.run.to_string());
    let files = fs::read_dir(&run).into_iter().flatten().flatten().map(|e| e.path());
    let is_ring =
        |p: &PathBuf| p.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(layout::RING_PREFIX.as_bytes()));
    let decoded = files.filter(is_ring).filter_map(|p| ring::decode(&fs::read(p).ok()?, &mut path_of));
    let mut events: Vec<Event<'static>> =
        decoded.flat_map(|d| d.records).filter(|r| !r.written).map(|r| r.event).collect();
    events.sort_by_key(|event| event.head.seq);
    events.dedup_by_key(|event| event.head.seq);
    events
}
