//! The name table: every inode ever handed out, appended to shared memory before the kernel hears of it.
//!
//! Reading takes no lock, because the event writer and every GETATTR read it; appending takes one.

mod index;

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use fsd_events::{
    ids::{Ino, RunId},
    names::{
        self, FORSAKEN, Fourth, Kind, LOOKUPS, NAME_MAX, NAMES_MAGIC, NAMES_VERSION, Name, RECORD_HEAD, ROOT, header,
        record_words,
    },
};

use crate::{
    observe::{journal, locks::Mutex},
    platform::{
        runtime_dir::{clear_away, open_private},
        shared::SharedWords,
    },
};

use super::TREE;
use index::Index;

/// Sizes of a segment that are tried, best first: the runtime directory may be small.
const SEGMENT_BYTES: [usize; 3] = [4 << 20, 256 << 10, 16 << 10];
const SEGMENTS: usize = 4096;
/// More names than this with one number in a row do not happen.
const COLLISIONS: usize = 16;
/// Inode numbers fit an `off_t` and never look like a flag.
const INO_MASK: u64 = (1 << 62) - 1;

pub(super) struct NameTable {
    segments: Box<[OnceLock<SharedWords>]>,
    segment_words: usize,
    index: Index,
    append: Mutex<Append>,
}

struct Append {
    file: Option<File>,
    /// Words in use.
    used: usize,
    entries: u64,
}

/// A record as it lies in the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) parent: Ino,
    pub(super) version: u64,
    pub(super) kind: Kind,
    bytes: [u8; NAME_MAX + 1],
    length: usize,
}

impl Found {
    pub(super) fn name(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or("\u{fffd}")
    }
}

impl NameTable {
    /// Opens the table of this mount, or makes an empty one; in private memory when `path` is None or has no room.
    pub(super) fn open(path: Option<&Path>, run: RunId) -> io::Result<Self> {
        let Some(path) = path else { return Ok(Self::private(run)) };
        if let Some(table) = Self::existing(path, run)? {
            return Ok(table);
        }
        for bytes in SEGMENT_BYTES {
            clear_away(path)?;
            let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
            if let Ok(first) = SharedWords::map(&file, 0, bytes) {
                return Ok(Self::with(first, Some(file), bytes / 8, run));
            }
        }
        journal::invariant("name table in private memory", "the runtime directory has no room");
        Ok(Self::private(run))
    }

    fn private(run: RunId) -> Self {
        Self::with(SharedWords::private(SEGMENT_BYTES[1]), None, SEGMENT_BYTES[1] / 8, run)
    }

    fn with(first: SharedWords, file: Option<File>, segment_words: usize, run: RunId) -> Self {
        let words = first.words();
        words[header::VERSION].store(NAMES_VERSION, Ordering::Relaxed);
        words[header::SIZE].store(segment_words as u64, Ordering::Relaxed);
        words[header::MOUNT_RUN].store(run.0, Ordering::Relaxed);
        words[header::USED].store(header::WORDS as u64, Ordering::Relaxed);
        words[header::MAGIC].store(NAMES_MAGIC, Ordering::Release);
        Self::over(first, segment_words, Append { file, used: header::WORDS, entries: 0 })
    }

    fn over(first: SharedWords, segment_words: usize, append: Append) -> Self {
        let segments: Box<[OnceLock<SharedWords>]> = (0..SEGMENTS).map(|_| OnceLock::new()).collect();
        drop(segments[0].set(first));
        Self { segments, segment_words, index: Index::new(), append: Mutex::new(&TREE, append) }
    }

    /// Takes over what an earlier worker of the same mount wrote; None when there is nothing to take over.
    fn existing(path: &Path, run: RunId) -> io::Result<Option<Self>> {
        // One that is not ours is no more use than none.
        let Ok(file) = open_private(path, OpenOptions::new().read(true).write(true)) else { return Ok(None) };
        let length = usize::try_from(file.metadata()?.len()).unwrap_or(0);
        let [.., least] = SEGMENT_BYTES;
        if length < least {
            return Ok(None);
        }
        // How large its segments are stands in the first of them.
        let size = SharedWords::again(&file, 0, least)?.words()[header::SIZE].load(Ordering::Acquire);
        let fits = |bytes: &usize| size == *bytes as u64 / 8 && length.is_multiple_of(*bytes);
        let Some(bytes) = SEGMENT_BYTES.into_iter().find(fits) else { return Ok(None) };
        let first = SharedWords::again(&file, 0, bytes)?;
        let word = |at: usize| first.words()[at].load(Ordering::Acquire);
        let ours = word(header::MAGIC) == NAMES_MAGIC && word(header::VERSION) == NAMES_VERSION;
        if !ours || word(header::MOUNT_RUN) != run.0 {
            return Ok(None);
        }
        let used = usize::try_from(word(header::USED)).unwrap_or(0).min(length / 8);
        let segments = used.div_ceil(bytes / 8).max(1);
        let rest: io::Result<Vec<_>> =
            (1..segments).map(|n| SharedWords::again(&file, (n * bytes) as u64, bytes)).collect();
        let table = Self::over(first, bytes / 8, Append { file: Some(file), used, entries: 0 });
        for (n, segment) in rest?.into_iter().enumerate() {
            drop(table.segments[n + 1].set(segment));
        }
        table.rebuild(used);
        Ok(Some(table))
    }

    fn rebuild(&self, used: usize) {
        let mut at = header::WORDS;
        let mut entries = 0;
        while at < used {
            let ino = self.word(at).load(Ordering::Relaxed);
            if ino == 0 {
                at = (at / self.segment_words + 1) * self.segment_words;
                continue;
            }
            let end = (at / self.segment_words + 1) * self.segment_words;
            let found = self.found_at(at).filter(|found| at + record_words(found.length) <= end);
            let Some(found) = found else {
                // Damaged: what follows it in this segment cannot be found.
                journal::invariant("damaged names were forgotten", &format!("from word {at} on"));
                at = end;
                continue;
            };
            at += record_words(found.length);
            if is_of(ino, &found) {
                self.index.insert(ino, at - record_words(found.length), entries, self);
                entries += 1;
            } else {
                journal::invariant("a damaged name was forgotten", &format!("inode {ino}"));
            }
        }
        self.append.lock().entries = entries;
    }

    /// The inode of that name and version; a new record is readable by others before this returns.
    /// None when the table is full.
    pub(super) fn intern(&self, parent: Ino, name: &str, version: u64, kind: Kind) -> Option<Ino> {
        let mut ino = seed(parent, name, version);
        loop {
            match self.find(Ino(ino)) {
                Some(found) if found.parent == parent && found.version == version && found.name() == name => {
                    return Some(Ino(ino));
                }
                Some(_) => ino = next(ino),
                None if self.append(Name { ino: Ino(ino), parent, version, settled: 0, kind, name })? => {
                    return Some(Ino(ino));
                }
                None => {}
            }
        }
    }

    /// False when somebody else took the number meanwhile; None when there is no room.
    fn append(&self, name: Name<'_>) -> Option<bool> {
        let length = record_words(name.name.len());
        let mut append = self.append.lock();
        if self.position(name.ino).is_some() {
            return Some(false);
        }
        let mut at = append.used;
        if at / self.segment_words != (at + length - 1) / self.segment_words {
            at = (at / self.segment_words + 1) * self.segment_words;
        }
        self.segment(at / self.segment_words, &append)?;
        for (n, word) in name.encode().enumerate() {
            self.word(at + n).store(word, Ordering::Relaxed);
        }
        let first = self.segments[0].get()?.words();
        first[header::ENTRIES].store(append.entries + 1, Ordering::Relaxed);
        first[header::USED].store((at + length) as u64, Ordering::Release);
        self.index.insert(name.ino.0, at, append.entries, self);
        append.used = at + length;
        append.entries += 1;
        Some(true)
    }

    fn segment(&self, n: usize, append: &Append) -> Option<()> {
        let slot = self.segments.get(n)?;
        if slot.get().is_some() {
            return Some(());
        }
        let bytes = self.segment_words * 8;
        let shared = append.file.as_ref().map(|file| SharedWords::map(file, (n * bytes) as u64, bytes));
        if matches!(shared, Some(Err(_))) {
            journal::invariant("name table in private memory", "the runtime directory is full");
        }
        drop(slot.set(shared.and_then(Result::ok).unwrap_or_else(|| SharedWords::private(bytes))));
        Some(())
    }

    /// The settled version of an inode; 0 for one that has no record.
    pub(super) fn settled(&self, ino: Ino) -> u32 {
        self.position(ino).map_or(0, |at| Fourth::split(self.word(at + 3).load(Ordering::Acquire)).settled)
    }

    /// Settles the version of an inode, unless it is forsaken.
    pub(super) fn settle(&self, ino: Ino, version: u32) {
        let Some(at) = self.position(ino) else { return };
        let change = |word: u64| {
            let open = Fourth::split(word).settled != FORSAKEN;
            open.then_some(word & !u64::from(u32::MAX) | u64::from(version))
        };
        // One that is forsaken stays so.
        let _forsaken = self.word(at + 3).fetch_update(Ordering::AcqRel, Ordering::Acquire, change);
    }

    /// The kernel is about to be told of the inode once more.
    pub(super) fn look_up(&self, ino: Ino) {
        if let Some(at) = self.position(ino) {
            self.word(at + LOOKUPS).fetch_add(1, Ordering::AcqRel);
        }
    }

    /// The kernel forgets so many of these times; true when none is left.
    pub(super) fn forget(&self, ino: Ino, lookups: u64) -> bool {
        let Some(at) = self.position(ino) else { return true };
        let less = |count: u64| Some(count.saturating_sub(lookups));
        let before = self.word(at + LOOKUPS).fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
        before.is_ok_and(|before| before <= lookups)
    }

    fn word(&self, at: usize) -> &AtomicU64 {
        static NOTHING: AtomicU64 = AtomicU64::new(0);
        let segment = self.segments.get(at / self.segment_words).and_then(OnceLock::get);
        segment.and_then(|s| s.words().get(at % self.segment_words)).unwrap_or(&NOTHING)
    }

    fn position(&self, ino: Ino) -> Option<usize> {
        self.index.find(ino.0, |at| self.word(at).load(Ordering::Relaxed))
    }

    /// The record of an inode; the root has none.
    pub(super) fn find(&self, ino: Ino) -> Option<Found> {
        self.found_at(self.position(ino)?)
    }

    fn found_at(&self, at: usize) -> Option<Found> {
        let fourth = Fourth::split(self.word(at + 3).load(Ordering::Relaxed));
        if fourth.name_bytes > NAME_MAX {
            return None;
        }
        let mut bytes = [0; NAME_MAX + 1];
        for (n, part) in bytes.as_chunks_mut::<8>().0.iter_mut().take(fourth.name_bytes.div_ceil(8)).enumerate() {
            *part = self.word(at + RECORD_HEAD + n).load(Ordering::Relaxed).to_le_bytes();
        }
        let parent = Ino(self.word(at + 1).load(Ordering::Relaxed));
        let version = self.word(at + 2).load(Ordering::Relaxed);
        Some(Found { parent, version, kind: fourth.kind, bytes, length: fourth.name_bytes })
    }

    /// Path without a leading slash; empty for the root, None for an unknown inode. Takes no lock.
    pub(super) fn path(&self, ino: Ino) -> Option<String> {
        let mut parts = Vec::new();
        let mut at = ino;
        while at != ROOT {
            let found = self.find(at)?;
            at = found.parent;
            parts.push(found);
            if parts.len() > 1024 {
                return None;
            }
        }
        let names: Vec<&str> = parts.iter().rev().map(Found::name).collect();
        Some(names.join("/"))
    }

    pub(super) fn kind(&self, ino: Ino) -> Option<Kind> {
        if ino == ROOT { Some(Kind::Dir) } else { self.find(ino).map(|found| found.kind) }
    }

    /// Number of records.
    pub(super) fn len(&self) -> u64 {
        self.segments[0].get().map_or(0, |s| s.words()[header::ENTRIES].load(Ordering::Relaxed))
    }

    /// Bytes of memory: shared table and private index.
    #[cfg(test)]
    fn bytes(&self) -> usize {
        self.segments.iter().filter(|s| s.get().is_some()).count() * self.segment_words * 8 + self.index.bytes()
    }
}

fn seed(parent: Ino, name: &str, version: u64) -> u64 {
    clamp(names::hash(parent.0 ^ version.rotate_left(32), name.as_bytes()))
}

/// Whether the number is one that this name may have got: it follows from the name, so that a damaged record is
/// recognised, and its inode is unknown rather than another file's.
fn is_of(ino: u64, found: &Found) -> bool {
    let first = seed(found.parent, found.name(), found.version);
    std::iter::successors(Some(first), |ino| Some(next(*ino))).take(COLLISIONS).any(|candidate| candidate == ino)
}

fn next(ino: u64) -> u64 {
    clamp(names::hash(ino, b"taken"))
}

fn clamp(hash: u64) -> u64 {
    (hash & INO_MASK).max(ROOT.0 + 1)
}

#[cfg(test)]
mod tests {
    use fsd_events::names::Names;

    use super::*;

    const RUN: RunId = RunId(77);

    fn file(table: &NameTable, parent: Ino, name: &str, version: u64) -> Ino {
        table.intern(parent, name, version, Kind::File).unwrap()
    }

    #[test]
    fn an_inode_is_of_one_path_and_one_version() {
        let table = NameTable::open(None, RUN).unwrap();
        let dir = table.intern(ROOT, "films", 0, Kind::Dir).unwrap();
        let old = file(&table, dir, "a.mkv", 1);
        assert_eq!(file(&table, dir, "a.mkv", 1), old);
        assert_ne!(file(&table, dir, "a.mkv", 2), old);
        assert_eq!(table.path(old).as_deref(), Some("films/a.mkv"));
        assert_eq!(table.path(Ino(99)), None);
        assert_eq!((table.kind(dir), table.kind(old)), (Some(Kind::Dir), Some(Kind::File)));
    }

    #[test]
    fn a_taken_number_is_never_given_to_another_name() {
        let table = NameTable::open(None, RUN).unwrap();
        let ino = Ino(seed(ROOT, "wanted", 0));
        table.append(Name { ino, parent: ROOT, version: 0, settled: 0, kind: Kind::File, name: "other" }).unwrap();
        let moved = file(&table, ROOT, "wanted", 0);
        assert_ne!(moved, ino);
        assert_eq!(table.path(moved).as_deref(), Some("wanted"));
        assert_eq!(file(&table, ROOT, "wanted", 0), moved);
    }

    #[test]
    fn a_new_worker_and_fsdiag_find_what_a_dead_one_wrote() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("names");
        let table = NameTable::open(Some(&path), RUN).unwrap();
        let all: Vec<Ino> = (0..5000).map(|n| file(&table, ROOT, &format!("file {n}"), n)).collect();
        let read = Names::read(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!((read.len(), read.damaged, read.mount_run), (5000, 0, RUN));
        assert_eq!(read.path(all[4321]).as_deref(), Some("file 4321"));
        drop(table);
        let again = NameTable::open(Some(&path), RUN).unwrap();
        assert_eq!((again.len(), again.path(all[17])), (5000, Some("file 17".into())));
        assert_eq!(file(&again, ROOT, "file 3", 3), all[3]);
        let other = NameTable::open(Some(&path), RunId(78)).unwrap();
        assert_eq!((other.len(), other.path(all[17])), (0, None), "another mount starts empty");
    }

    #[test]
    fn a_table_of_small_segments_that_became_long_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("names");
        // As it begins where there is little room.
        let [most, small, _] = SEGMENT_BYTES;
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path).unwrap();
        let table = NameTable::with(SharedWords::map(&file, 0, small).unwrap(), Some(file), small / 8, RUN);
        let mut names = 0;
        while std::fs::metadata(&path).unwrap().len() < most as u64 {
            self::file(&table, ROOT, &format!("file {names}"), 0);
            names += 1;
        }
        drop(table);
        assert_eq!(NameTable::open(Some(&path), RUN).unwrap().len(), names);
    }

    #[test]
    fn a_million_names_take_at_most_128_bytes_each() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("names");
        let table = NameTable::open(Some(&path), RUN).unwrap();
        for n in 0..1_000_000_u64 {
            file(&table, Ino(2 + n / 10_000), &format!("some film of the year {n:07}.mkv"), n);
        }
        assert_eq!(table.len(), 1_000_000);
        let each = table.bytes() / 1_000_000;
        println!("{each} bytes a name, {} of them in the file", std::fs::metadata(&path).unwrap().len() / 1_000_000);
        assert!(each <= 128, "{each} bytes a name");
    }

    #[test]
    fn readers_find_every_name_while_others_are_added() {
        let table = NameTable::open(None, RUN).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| (0..20_000).map(|n| file(&table, ROOT, &format!("{n}"), 0)).last());
            scope.spawn(|| {
                for n in (0..20_000).step_by(7) {
                    let ino = file(&table, ROOT, &format!("{n}"), 0);
                    assert_eq!(table.path(ino), Some(format!("{n}")));
                }
            });
        });
        assert_eq!(table.len(), 20_000);
    }

    #[test]
    fn a_damaged_name_is_unknown_and_never_another_s() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("names");
        let table = NameTable::open(Some(&path), RUN).unwrap();
        let inos: Vec<Ino> = ["one", "two", "three"].map(|name| file(&table, ROOT, name, 1)).into();
        drop(table);
        let whole = std::fs::read(&path).unwrap();
        let records = header::WORDS * 8..(header::WORDS + 3 * record_words(5)) * 8;
        for byte in records {
            // Bits of the last word of a head say what kind it is; those change no name.
            let mut bytes = whole.clone();
            bytes[byte] ^= 1;
            std::fs::write(&path, bytes).unwrap();
            let table = NameTable::open(Some(&path), RUN).unwrap();
            for (ino, name) in inos.iter().zip(["one", "two", "three"]) {
                assert!(table.find(*ino).is_none_or(|found| found.name() == name), "byte {byte}");
            }
        }
    }
}
