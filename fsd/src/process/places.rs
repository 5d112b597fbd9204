//! Places: the runtime and state directory of a mount, who owns them, and what dead runs left there.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::{
        fs::{MetadataExt, OpenOptionsExt},
        net::UnixStream,
    },
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use fsd_events::{
    ids::{Ino, RunId},
    layout,
    names::Names,
    presence::{LOCK, Presence},
};

use super::{
    config::Config,
    control::client,
    exit::{Exit, Failure},
};
use crate::{
    data::store::{FetchMode, try_directory},
    names::sweep_staged,
    platform::{
        clock,
        runtime_dir::{clear_away, make_private, open_private},
    },
};

/// `mount.json` before it is whole.
const HALF_ANNOUNCED: &str = "mount.json.new";
/// What stands in the lock of a runtime directory.
const MARK: &[u8] = b"fsd\n";
/// Longest path of a socket: `sun_path` has 108 bytes on Linux, 104 on macOS, with a NUL.
const SOCKET_PATH: usize = 103;
/// For the janitor of a dead mount to write what is left, and go.
const LEAVING_LIMIT: Duration = Duration::from_secs(10);
/// For somebody who drains what we would.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(20);

/// The directories of one mount, ours while this lives; dropping it removes the runtime directory.
#[derive(Debug)]
pub(super) struct Places {
    /// Socket, `mount.json`, names, and a directory a run.
    pub(super) runtime: PathBuf,
    /// Event files, stack dumps, messages.
    pub(super) state: PathBuf,
    /// Whether `runtime` is on tmpfs, so that rings may be mapped there.
    pub(super) shared: bool,
    /// None: lent by the supervisor, which owns them.
    lock: Option<File>,
}

/// An absolute path without touching its last part, which may be a mount that hangs.
pub(super) fn absolute(dir: &Path) -> PathBuf {
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    match (dir.parent().map(Path::canonicalize), dir.file_name()) {
        (Some(Ok(parent)), Some(name)) => parent.join(name),
        _ => dir,
    }
}

/// Where running mounts may be found, best first.
pub(super) fn candidates(wanted: Option<&Path>) -> Vec<PathBuf> {
    let xdg = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    layout::runtime_candidates(wanted, xdg.as_deref(), nix::unistd::geteuid().as_raw())
}

/// A file of that name in the state directory of `mountpoint`, which is made if need be.
///
/// # Errors
/// The directory cannot be made.
pub(super) fn log_file(config: &Config, mountpoint: &Path, name: &str) -> Result<PathBuf, Failure> {
    let state = state_dir(config, mountpoint);
    make_private(&state).map_err(|error| unusable(&state, "--state-dir", &error))?;
    Ok(state.join(name))
}

fn state_dir(config: &Config, mountpoint: &Path) -> PathBuf {
    config.state_dir.join(layout::slug(mountpoint))
}

impl Places {
    /// Takes the directories of `mountpoint`, after cleaning up what dead runs left in them and beside them.
    ///
    /// # Errors
    /// Another fsd serves that mount point, or a directory cannot be made.
    pub(super) fn claim(config: &Config, mountpoint: &Path) -> Result<Self, Failure> {
        let slug = layout::slug(mountpoint);
        let state = state_dir(config, mountpoint);
        make_private(&state).map_err(|error| unusable(&state, "--state-dir", &error))?;
        if config.fetch_mode == FetchMode::TempFile {
            let tried = try_directory(&config.temp_dir);
            tried.map_err(|error| unusable(&config.temp_dir, "--temp-dir", &error))?;
        }
        let (root, shared) = runtime_root(config);
        let runtime = root.join(slug);
        let lock = claim_lock(&runtime).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => {
                let pid = client::read(&runtime).map_or(0, |presence| presence.pid);
                let dir = mountpoint.display();
                Exit::Mount
                    .because(format!("{dir} is already served by fsd {pid}: unmount it first (fsd umount {dir})"))
            }
            _ => unusable(&runtime, "--runtime-dir", &error),
        })?;
        sweep(&root);
        clear(&runtime, &state, DRAIN_LIMIT);
        Ok(Self { runtime, state, shared, lock: Some(lock) })
    }

    /// The directories of a mount whose supervisor has claimed them.
    pub(super) fn lent(runtime: PathBuf, state: PathBuf, shared: bool) -> Self {
        Self { runtime, state, shared, lock: None }
    }

    /// Takes the directories over from a supervisor that died; what is in them is in use.
    ///
    /// # Errors
    /// Somebody else has them.
    pub(super) fn inherit(runtime: PathBuf, state: PathBuf, shared: bool) -> io::Result<Self> {
        let lock = take_lock(&runtime)?;
        Ok(Self { runtime, state, shared, lock: Some(lock) })
    }

    /// Lets the runs that are left be drained with the names of their files, which lie beside them. For a process that
    /// serves nothing itself.
    pub(super) fn name_runs(&self) {
        name_runs(&self.runtime);
    }

    /// Path of the control socket: beside `mount.json`, or, where that is too long for a socket's address, in the
    /// directory above under a short name. `mount.json` says which.
    pub(super) fn socket(&self) -> PathBuf {
        let beside = self.runtime.join(layout::SOCKET);
        if beside.as_os_str().len() <= SOCKET_PATH {
            return beside;
        }
        self.runtime.with_file_name(format!(".{}.sock", std::process::id()))
    }

    /// Makes the mount known to `fsdiag` and to `fsd`'s own commands.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn announce(&self, presence: &Presence) -> io::Result<()> {
        let half = self.runtime.join(HALF_ANNOUNCED);
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&half)?;
        file.write_all(&serde_json::to_vec(presence)?)?;
        let place = self.runtime.join(layout::MOUNT_FILE);
        std::fs::rename(&half, &place).or_else(|_| clear_away(&place).and_then(|()| std::fs::rename(half, place)))
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        if self.lock.is_none() {
            return;
        }
        clear(&self.runtime, &self.state, DRAIN_LIMIT);
        drop(std::fs::remove_file(self.socket()));
        // What could not be drained stays, for the next start.
        drop(std::fs::remove_file(self.runtime.join(LOCK)));
        drop(std::fs::remove_dir(&self.runtime));
    }
}

/// Events drained from now on have their paths from the table in `runtime`.
pub(super) fn name_runs(runtime: &Path) {
    let table = runtime.join(layout::NAMES);
    // Only now and then is there something to be named, and a table may have millions of names.
    let names = LazyLock::new(move || Names::read_from(File::open(table).ok()?).ok());
    crate::observe::journal::set_names(Arc::new(move |ino| names.as_ref()?.path(Ino(ino))));
}

/// The first candidate that is private, ours and on tmpfs; else a place below the state directory.
fn runtime_root(config: &Config) -> (PathBuf, bool) {
    let fit = |dir: &PathBuf| make_private(dir).is_ok() && on_tmpfs(dir);
    match candidates(config.runtime_dir.as_deref()).into_iter().find(fit) {
        Some(root) => {
            if config.runtime_dir.as_ref().is_some_and(|wanted| *wanted != root) {
                tracing::warn!("--runtime-dir is not a private directory on tmpfs: using {}", root.display());
            }
            (root, true)
        }
        // No slug starts with a dot, so this is no mount's directory.
        None => (config.state_dir.join(".run"), false),
    }
}

#[cfg(target_os = "linux")]
fn on_tmpfs(dir: &Path) -> bool {
    nix::sys::statfs::statfs(dir).is_ok_and(|fs| fs.filesystem_type() == nix::sys::statfs::TMPFS_MAGIC)
}

#[cfg(not(target_os = "linux"))]
fn on_tmpfs(_dir: &Path) -> bool {
    false
}

/// The lock of a directory that nobody serves from. Who has it without a socket is about to serve or, like the janitor
/// of a dead mount, about to leave: that is waited for.
fn claim_lock(runtime: &Path) -> io::Result<File> {
    let until = clock::now() + LEAVING_LIMIT;
    let serves = || client::read(runtime).is_some_and(|presence| UnixStream::connect(presence.socket).is_ok());
    loop {
        make_private(runtime)?;
        match take_lock(runtime) {
            Ok(lock) if is_in(runtime, &lock) => return Ok(lock),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && (clock::now() > until || serves()) => {
                return Err(error);
            }
            Err(error) if !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotFound) => {
                return Err(error);
            }
            _ => std::thread::park_timeout(LOOK),
        }
    }
}

/// Whether the one who had the lock before has left it there, or has removed it since we opened it.
fn is_in(runtime: &Path, lock: &File) -> bool {
    let named = std::fs::metadata(runtime.join(LOCK)).map(|meta| (meta.dev(), meta.ino()));
    lock.metadata().is_ok_and(|meta| named.is_ok_and(|named| named == (meta.dev(), meta.ino())))
}

fn take_lock(runtime: &Path) -> io::Result<File> {
    let mut lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(runtime.join(LOCK))?;
    lock.try_lock()?;
    if lock.metadata()?.len() == 0 {
        // Without room for it, `mount.json` tells.
        drop(lock.write_all(MARK));
    }
    Ok(lock)
}

/// Whether fsd made that directory: users may name a runtime directory in which others have theirs.
fn is_of_fsd(dir: &Path) -> bool {
    let mut mark = Vec::new();
    let lock = open_private(&dir.join(LOCK), OpenOptions::new().read(true));
    let marked = lock.and_then(|lock| lock.take(64).read_to_end(&mut mark)).is_ok() && mark == MARK;
    let named = |presence: Presence| dir.ends_with(layout::slug(Path::new(&presence.mount)));
    marked || client::read(dir).is_some_and(named)
}

/// Cleans up after every dead fsd below `root`.
fn sweep(root: &Path) {
    for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
        let dir = entry.path();
        if !is_of_fsd(&dir) {
            continue;
        }
        // A lock that can be taken belongs to nobody who lives.
        let Ok(_lock) = take_lock(&dir) else { continue };
        let state = client::read(&dir).map(|presence| PathBuf::from(presence.state_dir));
        clear(&dir, &state.unwrap_or_default(), Duration::ZERO);
        drop(std::fs::remove_file(dir.join(LOCK)));
        drop(std::fs::remove_dir(&dir));
    }
}

/// Appends what dead runs in `runtime` left unwritten to their event files, then removes everything but the lock. Who
/// drains one of them already, a supervisor killed since may have started it, is waited for until `patience` ends.
fn clear(runtime: &Path, state: &Path, patience: Duration) {
    let (mut undrained, until) = (false, clock::now() + patience);
    for entry in std::fs::read_dir(runtime).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_name().to_str().and_then(RunId::parse).is_none() {
            continue;
        }
        if !state.is_dir() {
            // Somebody has removed the whole record: nobody wants the rest of it.
            drop(std::fs::remove_dir_all(&path));
        } else if let Err(error) = drain_in_turn(&path, state, until) {
            undrained = true;
            tracing::warn!("cannot write what {} still holds: {error}", path.display());
        }
    }
    drop(clear_away(&runtime.join(layout::NOTES)));
    drop(clear_away(&runtime.join(layout::LISTINGS)));
    // Rings name inodes: the names must outlive them.
    // Secrets go in any case.
    drop(clear_away(&runtime.join(layout::STAGED)));
    sweep_staged(&runtime.join(layout::STAGED));
    drop(clear_away(&runtime.join(HALF_ANNOUNCED)));
    if !undrained {
        if let Some(presence) = client::read(runtime) {
            drop(std::fs::remove_file(presence.socket));
        }
        for name in [layout::MOUNT_FILE, layout::SOCKET, layout::NAMES, layout::OPENS] {
            drop(clear_away(&runtime.join(name)));
        }
    }
}

fn drain_in_turn(run: &Path, state: &Path, until: Instant) -> io::Result<()> {
    loop {
        match crate::observe::drain(run, state) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && clock::now() < until => {
                std::thread::park_timeout(LOOK);
            }
            // The other one has finished.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !run.exists() => return Ok(()),
            drained => return drained.map(drop),
        }
    }
}

fn unusable(dir: &Path, flag: &str, error: &io::Error) -> Failure {
    Exit::Usage.because(format!("cannot use {}: {error}; name another with {flag}", dir.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dead_fsd_left_is_removed_and_a_living_one_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let (dead, alive) = (root.path().join("dead"), root.path().join("alive"));
        for dir in [&dead, &alive] {
            std::fs::create_dir(dir).unwrap();
            std::fs::write(dir.join(layout::MOUNT_FILE), "{}").unwrap();
            drop(take_lock(dir).unwrap());
        }
        let announced = root.path().join("mnt%2ffiles");
        std::fs::create_dir(&announced).unwrap();
        let mut file = OpenOptions::new();
        let file = file.write(true).create_new(true).mode(0o600).open(announced.join(layout::MOUNT_FILE));
        file.unwrap().write_all(br#"{"mount":"/mnt/files"}"#).unwrap();
        let lock = take_lock(&alive).unwrap();
        sweep(root.path());
        assert!(!dead.exists() && !announced.exists() && alive.join(layout::MOUNT_FILE).exists());
        drop(lock);
    }

    #[test]
    fn what_others_have_in_the_runtime_directory_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let (other, empty) = (root.path().join("otherapp"), root.path().join("empty"));
        let files = ["names", "lock", "staged", "notes/todo", "0123456789abcdef/data", "mount.json"];
        for file in files {
            let file = other.join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "theirs").unwrap();
        }
        std::fs::create_dir(&empty).unwrap();
        sweep(root.path());
        assert!(files.iter().all(|file| other.join(file).exists()));
        assert_eq!(std::fs::read_dir(empty).unwrap().count(), 0);
    }

    #[test]
    fn who_drains_a_run_already_is_waited_for_and_nothing_is_left() {
        let root = tempfile::tempdir().unwrap();
        let (runtime, state) = (root.path().join("runtime"), root.path().join("state"));
        let run = runtime.join("00000000000000aa");
        std::fs::create_dir_all(&run).unwrap();
        std::fs::create_dir(&state).unwrap();
        std::fs::write(runtime.join(layout::NAMES), "").unwrap();
        let alive = File::create(run.join(layout::ALIVE)).unwrap();
        alive.lock().unwrap();
        let (begun, begins) = std::sync::mpsc::channel();
        let other = std::thread::Builder::new().spawn(move || {
            begins.recv().unwrap();
            std::fs::remove_dir_all(run).unwrap();
            drop(alive);
        });
        begun.send(()).unwrap();
        clear(&runtime, &state, DRAIN_LIMIT);
        other.unwrap().join().unwrap();
        assert_eq!(std::fs::read_dir(&runtime).unwrap().count(), 0);
    }

    #[test]
    fn a_mount_point_is_named_without_being_touched() {
        assert_eq!(absolute(Path::new("/tmp/../tmp/x")), Path::new("/tmp/x").to_owned());
        assert!(absolute(Path::new("here")).is_absolute());
    }
}
