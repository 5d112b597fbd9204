//! Dumps: the stack files that appear beside an event file, or where the act screen writes them.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::record::Record;
use crate::{sources, tui::keep};

/// As `fsd` names them.
const PREFIX: &str = "stacks-";

/// Size and time of a file; a dump that is still written changes them.
type Version = (u64, Option<SystemTime>);

#[derive(Debug)]
pub(super) struct Dumps {
    /// Where the events are.
    dir: Option<PathBuf>,
    /// What the act screen writes.
    by_hand: PathBuf,
    since: SystemTime,
    /// Seen at the last look, and whether it was read then.
    seen: HashMap<PathBuf, (Version, bool)>,
}

impl Dumps {
    /// Only dumps that are written from now on are taken without having been named.
    pub(super) fn new(events: Option<&Path>) -> Self {
        let real = events.map(|path| path.canonicalize().unwrap_or_else(|_| path.to_owned()));
        let dir = real.and_then(|path| path.parent().map(Path::to_owned));
        let since = UNIX_EPOCH + Duration::from_micros(sources::wall_us());
        Self { dir, by_hand: keep::file(keep::STACKS), since, seen: HashMap::new() }
    }

    /// Reads what events have named; true when there was news. What is not there yet stays named.
    pub(super) fn named(&mut self, record: &mut Record) -> bool {
        let Some(dir) = self.dir.clone() else { return false };
        let mut read = false;
        for name in std::mem::take(&mut record.trace.dumps) {
            let file = dir.join(Path::new(&name).file_name().unwrap_or_default());
            match fs::metadata(&file) {
                Ok(meta) if !self.was_read(&file) => {
                    self.seen.insert(file.clone(), ((meta.len(), meta.modified().ok()), true));
                    read |= record.dump(&file);
                }
                Ok(_) => (),
                // It is named a moment before it is there.
                Err(_) => record.trace.dumps.push(name),
            }
        }
        read
    }

    /// Reads what was written since the start and no longer changes; true when there was news.
    pub(super) fn appeared(&mut self, record: &mut Record) -> bool {
        let mut read = false;
        for (file, version) in self.candidates() {
            let before = self.seen.get(&file).copied();
            match before {
                Some((seen, true)) if seen == version => (),
                Some((seen, false)) if seen == version => {
                    self.seen.insert(file.clone(), (version, true));
                    read |= record.dump(&file);
                }
                _ => drop(self.seen.insert(file, (version, false))),
            }
        }
        read
    }

    fn was_read(&self, file: &Path) -> bool {
        self.seen.get(file).is_some_and(|(_, read)| *read)
    }

    fn candidates(&self) -> Vec<(PathBuf, Version)> {
        let entries = self.dir.iter().filter_map(|dir| fs::read_dir(dir).ok()).flatten().flatten();
        let is_dump = |path: &PathBuf| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(PREFIX));
        let files = entries.map(|entry| entry.path()).filter(is_dump).chain([self.by_hand.clone()]);
        let new = |file: PathBuf| {
            let meta = fs::metadata(&file).ok().filter(fs::Metadata::is_file)?;
            let written = meta.modified().ok();
            written.is_some_and(|at| at >= self.since).then_some((file, (meta.len(), written)))
        };
        files.filter_map(new).collect()
    }
}
