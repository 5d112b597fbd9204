//! The event file: appended, rotated by size, and never in the way of what it describes.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, symlink},
    path::{Path, PathBuf},
    time::SystemTime,
};

use fsd_events::{ids::RunId, layout};

use crate::platform::{clock, runtime_dir::make_private};

/// Default limits, bytes.
const FILE_LIMIT: u64 = 64 << 20;
const TOTAL_LIMIT: u64 = 512 << 20;
/// Between two tries of a write that failed.
const RETRY_US: u64 = 1_000_000;

/// One run's event files in the state directory of its mount.
pub(super) struct EventFile {
    dir: PathBuf,
    run: RunId,
    /// None: not opened yet.
    file: Option<File>,
    size: u64,
    rotations: u32,
    file_limit: u64,
    total_limit: u64,
    /// What a failed write left over, and from where on.
    rest: Vec<u8>,
    done: usize,
    retry_at_us: u64,
    /// The disk took nothing the last time, and that was said.
    refused: bool,
}

impl EventFile {
    /// The file of `run`, to be opened when something is written. A limit of 0 is the default.
    pub(super) fn new(dir: &Path, run: RunId, file_limit: u64, total_limit: u64) -> Self {
        let or = |limit: u64, default: u64| if limit == 0 { default } else { limit };
        Self {
            dir: dir.to_path_buf(),
            run,
            file: None,
            size: 0,
            rotations: 0,
            file_limit: or(file_limit, FILE_LIMIT),
            total_limit: or(total_limit, TOTAL_LIMIT),
            rest: Vec::new(),
            done: 0,
            retry_at_us: 0,
            refused: false,
        }
    }

    /// Opens it, unless it is open, and links `events.jsonl` to it. Takes as long as the disk does.
    pub(super) fn open(&mut self) -> io::Result<()> {
        if self.file.is_some() {
            return Ok(());
        }
        make_private(&self.dir)?;
        let file = append(&self.dir.join(layout::events_file(self.run)))?;
        self.size = file.metadata()?.len();
        link(&self.dir, self.run)?;
        self.rotations = rotations(&self.dir, self.run);
        self.file = Some(file);
        // Runs that end before their file is full count too; what the run before left may still be written to its own.
        self.trim(1);
        Ok(())
    }

    /// Whether everything given to [`EventFile::write`] is in the file.
    pub(super) fn is_clean(&self) -> bool {
        self.done == self.rest.len()
    }

    /// Whether the limit of one file is reached; the last batch may exceed it.
    pub(super) fn is_full(&self) -> bool {
        self.size >= self.file_limit
    }

    /// Writes the lines, behind what the disk did not take before, or keeps them.
    pub(super) fn write(&mut self, lines: &[u8]) {
        if self.is_clean() {
            self.rest.clear();
            self.done = 0;
        }
        self.rest.extend_from_slice(lines);
        self.retry_at_us = 0;
        self.push_on();
    }

    /// Tries to write what is left, at most once a second after a failure.
    pub(super) fn push_on(&mut self) {
        while !self.is_clean() && clock::now_mono_us() >= self.retry_at_us {
            match self.write_on() {
                Ok(n) if n > 0 => {
                    self.done += n;
                    self.size += n as u64;
                    self.refused = false;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => (),
                refused => {
                    self.retry_at_us = clock::now_mono_us() + RETRY_US;
                    self.say(refused.err());
                }
            }
        }
    }

    /// Once, until the disk takes something again.
    fn say(&mut self, why: Option<io::Error>) {
        if !std::mem::replace(&mut self.refused, true) {
            let why = why.unwrap_or_else(|| io::ErrorKind::WriteZero.into());
            let dir = self.dir.display();
            tracing::warn!("no events can be written to {dir} ({why}): they stay in memory as far as there is room");
        }
    }

    fn write_on(&mut self) -> io::Result<usize> {
        self.open()?;
        self.file.as_mut().map_or(Ok(0), |file| file.write(&self.rest[self.done..]))
    }

    /// Tries again at once.
    pub(super) fn hurry(&mut self) {
        self.retry_at_us = 0;
        self.push_on();
    }

    /// Puts the file aside and begins a new one; the oldest files of the mount go when all together take too much.
    /// Without room for a new file the old one is continued: false.
    pub(super) fn rotate(&mut self) -> bool {
        let current = self.dir.join(layout::events_file(self.run));
        let aside = self.dir.join(layout::rotated_file(self.run, self.rotations + 1));
        if fs::rename(&current, &aside).is_err() {
            return false;
        }
        match append(&current) {
            Ok(file) => {
                self.file = Some(file);
                self.size = 0;
                self.rotations += 1;
                self.trim(0);
                true
            }
            Err(_) => {
                // The name goes back to the file that is still written.
                drop(fs::rename(&aside, &current));
                false
            }
        }
    }

    /// Removes the oldest event files until the total keeps its limit; never the current one, nor the `newest` of the
    /// others.
    fn trim(&self, newest: usize) {
        let current = self.dir.join(layout::events_file(self.run));
        let mut files = event_files(&self.dir);
        files.retain(|(_, path, _)| *path != current);
        files.sort();
        let mut total: u64 = files.iter().map(|(_, _, size)| size).sum::<u64>() + self.file_limit;
        files.truncate(files.len().saturating_sub(newest));
        for (_, path, size) in files {
            if total <= self.total_limit {
                break;
            }
            if fs::remove_file(&path).is_ok() {
                total -= size;
            }
        }
    }
}

/// Opens a file to append to, for this user alone.
pub(super) fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// Points `events.jsonl` to the file of `run`, without a moment without a link.
fn link(dir: &Path, run: RunId) -> io::Result<()> {
    let made = dir.join(format!(".events-{run}.link"));
    drop(fs::remove_file(&made));
    symlink(layout::events_file(run), &made)?;
    fs::rename(&made, dir.join(layout::EVENTS_LINK))
}

/// Event files of all runs: when last written, path, size.
fn event_files(dir: &Path) -> Vec<(SystemTime, PathBuf, u64)> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let file = |entry: fs::DirEntry| {
        let name = entry.file_name();
        let ours = name.to_str().is_some_and(|n| n.starts_with("events-") && n.ends_with(".jsonl"));
        let meta = entry.metadata().ok().filter(|m| ours && m.is_file())?;
        Some((meta.modified().ok()?, entry.path(), meta.len()))
    };
    entries.filter_map(file).collect()
}

/// How often the file of this run was rotated before (a worker that re-executed itself).
fn rotations(dir: &Path, run: RunId) -> u32 {
    let mut n = 0;
    while dir.join(layout::rotated_file(run, n + 1)).exists() {
        n += 1;
    }
    n
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotation_keeps_every_byte_until_the_total_is_reached() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("state");
        let mut file = EventFile::new(&dir, RunId(1), 60, 250);
        for n in 0..6 {
            let line = vec![b'0' + n; 60];
            if file.is_full() {
                assert!(file.rotate());
            }
            file.write(&line);
        }
        assert!(file.is_clean());
        let mut names: Vec<_> = event_files(&dir).into_iter().map(|f| f.1).collect();
        names.sort();
        let last = fs::read(dir.join(layout::EVENTS_LINK)).unwrap();
        assert_eq!(last, [b'5'; 60]);
        assert!(!names.contains(&dir.join(layout::rotated_file(RunId(1), 1))), "{names:?}");
        assert!(names.len() >= 4, "{names:?}");
    }

    #[test]
    fn runs_that_end_before_their_file_is_full_keep_the_total_too() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("state");
        for run in 1..=8 {
            let mut file = EventFile::new(&dir, RunId(run), 60, 250);
            file.write(&[b'x'; 50]);
        }
        let left: Vec<_> = (1..=8).filter(|run| dir.join(layout::events_file(RunId(*run))).exists()).collect();
        assert_eq!(left, [5, 6, 7, 8], "the oldest go");
    }

    #[test]
    fn a_full_disk_keeps_the_rest_for_later() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = EventFile::new(dir.path(), RunId(1), 0, 0);
        file.file = Some(OpenOptions::new().write(true).open("/dev/full").unwrap());
        file.write(b"line\n");
        assert!(!file.is_clean() && file.refused);
        file.write(b"another\n");
        file.file = Some(append(&dir.path().join("after")).unwrap());
        file.hurry();
        assert!(file.is_clean() && !file.refused, "the next time is said again");
        assert_eq!(fs::read(dir.path().join("after")).unwrap(), b"line\nanother\n");
    }

    #[test]
    fn a_file_that_cannot_be_made_yet_is_made_when_it_can() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("state");
        fs::write(&dir, "in the way").unwrap();
        let mut file = EventFile::new(&dir, RunId(1), 0, 0);
        assert!(file.open().is_err());
        file.write(b"line\n");
        fs::remove_file(&dir).unwrap();
        file.hurry();
        assert!(file.is_clean());
        assert_eq!(fs::read(dir.join(layout::EVENTS_LINK)).unwrap(), b"line\n");
    }
}
