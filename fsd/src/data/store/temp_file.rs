//! A temp file: sparse, named by its instance and locked, so that only files of dead instances are swept.

use std::{
    collections::HashSet,
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use crate::platform::runtime_dir::open_private;

use super::notes::Note;

const PREFIX: &str = "fsd-";
const SUFFIX: &str = ".part";

/// Room is asked for in steps of this many bytes.
const STEP: u64 = 64 << 20;

/// The part of the file system that is left to others: one of so many, but never more than [`MOST_SPARE`].
const SPARE: u64 = 20;
const MOST_SPARE: u64 = 1 << 30;

#[derive(Debug)]
pub(super) struct TempFile {
    file: Arc<File>,
    path: PathBuf,
    size: u64,
    removed: AtomicBool,
    /// The step whose room was asked for last.
    step: AtomicU64,
    /// For the next worker.
    note: OnceLock<Note>,
}

impl TempFile {
    /// A sparse file of `size` bytes in `dir`, which exists afterwards.
    pub(super) fn create(dir: &Path, size: u64) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        fs::create_dir_all(dir)?;
        loop {
            let n = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = dir.join(format!("{PREFIX}{}-{n}{SUFFIX}", std::process::id()));
            let opened = private().read(true).write(true).create_new(true).open(&path);
            let file = match opened {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                opened => opened?,
            };
            // A sweeper may have taken it for an orphan between these two calls: then another one is made.
            if file.try_lock().is_ok() && file.metadata()?.nlink() > 0 {
                file.set_len(size)?;
                return Ok(Self::new(file, path, size));
            }
        }
    }

    fn new(file: File, path: PathBuf, size: u64) -> Self {
        let (removed, step) = (AtomicBool::new(false), AtomicU64::new(u64::MAX));
        Self { file: Arc::new(file), path, size, removed, step, note: OnceLock::new() }
    }

    /// The file `name` in `dir` that an earlier worker made, if it still is the one that `note` is about: `node` is
    /// its device and number. Its lock is ours from now on, or that of a backing file which outlives its worker.
    pub(super) fn adopt(dir: &Path, name: &str, size: u64, node: (u64, u64), note: Note) -> Option<Self> {
        is_ours(name).then_some(())?;
        let path = dir.join(name);
        let file = open_private(&path, OpenOptions::new().read(true).write(true)).ok()?;
        let meta = file.metadata().ok()?;
        let same = (meta.dev(), meta.ino()) == node && meta.len() == size && meta.nlink() > 0;
        same.then_some(())?;
        drop(file.try_lock());
        let temp = Self::new(file, path, size);
        drop(temp.note.set(note));
        Some(temp)
    }

    /// Its name in the directory of temp files.
    pub(super) fn name(&self) -> &str {
        self.path.file_name().and_then(std::ffi::OsStr::to_str).unwrap_or_default()
    }

    /// Locks it where nobody has: the lock of a backing file of an earlier worker goes when the kernel closes it.
    /// Its name.
    pub(super) fn lock_again(&self) -> String {
        drop(self.file.try_lock());
        self.name().to_owned()
    }

    /// From now on what is written is noted for the next worker.
    pub(super) fn keep_note(&self, note: Note) {
        // Only the writer gives one, and only once.
        drop(self.note.set(note));
    }

    pub(super) fn note(&self) -> Option<&Note> {
        self.note.get()
    }

    /// Leaves it as a killed process would.
    #[cfg(test)]
    pub(super) fn abandon(self) {
        self.removed.store(true, Ordering::Release);
    }

    pub(super) fn file(&self) -> &Arc<File> {
        &self.file
    }

    pub(super) fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.allocate(at);
        self.file.write_all_at(bytes, at)
    }

    /// Asks for room some way ahead: blocks in long runs are cheap to write, and much cheaper to give back. Where that
    /// cannot be done the write itself will say what is wrong.
    #[cfg(target_os = "linux")]
    fn allocate(&self, at: u64) {
        let step = at / STEP;
        if self.step.swap(step, Ordering::Relaxed) != step {
            let len = STEP.min(self.size.saturating_sub(step * STEP));
            let flags = rustix::fs::FallocateFlags::KEEP_SIZE;
            let _ = rustix::fs::fallocate(&*self.file, flags, step * STEP, len);
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn allocate(&self, _at: u64) {}

    /// Takes its name away; the disk is free when the last descriptor is closed.
    pub(super) fn remove(&self) -> io::Result<()> {
        if self.removed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.note.get().into_iter().for_each(Note::remove);
        fs::remove_file(&self.path)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        drop(self.remove());
    }
}

fn private() -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

/// Bytes that the file system of `dir` can still take, less a reserve.
pub(super) fn free_bytes(dir: &Path) -> io::Result<u64> {
    fs::create_dir_all(dir)?;
    let fs = rustix::fs::statvfs(dir)?;
    let spare = (fs.f_blocks * fs.f_frsize / SPARE).min(MOST_SPARE);
    Ok((fs.f_bavail * fs.f_frsize).saturating_sub(spare))
}

/// Makes a temp file in `dir` and removes it again. A disk that is full now may have room later.
///
/// # Errors
/// Why temp files cannot be made there.
pub fn try_directory(dir: &Path) -> io::Result<()> {
    match TempFile::create(dir, 0) {
        Err(error) if error.kind() != io::ErrorKind::StorageFull => Err(error),
        _ => Ok(()),
    }
}

/// Removes the temp files in `dir` whose instance is gone, but for those `in_use`; returns how many.
pub(super) fn sweep(dir: &Path, in_use: &HashSet<String>) -> usize {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let left = |name: &str| is_ours(name) && !in_use.contains(name);
    entries.flatten().filter(|entry| left(&entry.file_name().to_string_lossy()) && remove_dead(&entry.path())).count()
}

fn is_ours(name: &str) -> bool {
    let middle = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX));
    middle.is_some_and(|middle| middle.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-'))
}

fn remove_dead(path: &Path) -> bool {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or(0);
    let Ok(file) = OpenOptions::new().read(true).custom_flags(flags).open(path) else { return false };
    let regular = file.metadata().is_ok_and(|meta| meta.is_file());
    match file.try_lock() {
        Ok(()) => regular && fs::remove_file(path).is_ok(),
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r39_only_files_of_dead_instances_are_swept() {
        let dir = tempfile::tempdir().unwrap();
        let alive = TempFile::create(dir.path(), 10).unwrap();
        let orphan = dir.path().join("fsd-1-7.part");
        let foreign = dir.path().join("fsd-notes.part");
        fs::write(&orphan, "x").unwrap();
        fs::write(&foreign, "x").unwrap();
        std::os::unix::fs::symlink(&foreign, dir.path().join("fsd-1-8.part")).unwrap();
        assert_eq!(sweep(dir.path(), &HashSet::new()), 1);
        assert!(!orphan.exists() && foreign.exists() && alive.path.exists());
        drop(alive);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
