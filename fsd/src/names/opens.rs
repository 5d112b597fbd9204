//! The open set: which (inode, handle) pairs are open, in shared memory, so that a resent OPEN or RELEASE counts once.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io,
    ops::Range,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::atomic::Ordering,
};

use fsd_events::{
    ids::{Fh, Ino, RunId},
    names::{OPENS_MAGIC, OPENS_VERSION, OpenAs, SLOT, hash, header},
};

use crate::{
    observe::journal,
    platform::{
        runtime_dir::{clear_away, open_private},
        shared::SharedWords,
    },
};

/// Sizes that are tried, best first; 32 bytes an open handle.
const BYTES: [usize; 3] = [2 << 20, 256 << 10, 16 << 10];

/// Changed only under the handles' lock.
#[derive(Debug)]
pub(super) struct OpenSet {
    words: SharedWords,
    slots: HashMap<(u64, u64), Option<u32>>,
    /// Used once, and free again.
    free: Vec<u32>,
    /// Never used since this worker began; behind all others.
    fresh: Range<u32>,
}

impl OpenSet {
    /// Takes over what an earlier worker of the same mount left, or starts empty.
    pub(super) fn open(path: Option<&Path>, run: RunId) -> io::Result<Self> {
        let shared = path.map(|path| Self::shared(path, run)).transpose()?.flatten();
        Ok(Self::over(shared.unwrap_or_else(|| SharedWords::private(BYTES[1])), run))
    }

    fn shared(path: &Path, run: RunId) -> io::Result<Option<SharedWords>> {
        if let Ok(file) = open_private(path, OpenOptions::new().read(true).write(true)) {
            let length = usize::try_from(file.metadata()?.len()).unwrap_or(0);
            let known = BYTES.contains(&length).then(|| SharedWords::again(&file, 0, length)).transpose()?;
            if let Some(words) = known.filter(|words| is_of(words, run)) {
                return Ok(Some(words));
            }
        }
        clear_away(path)?;
        let file: File = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        for bytes in BYTES {
            file.set_len(0)?;
            if let Ok(words) = SharedWords::map(&file, 0, bytes) {
                return Ok(Some(words));
            }
        }
        journal::invariant("open set in private memory", "the runtime directory has no room");
        Ok(None)
    }

    fn over(words: SharedWords, run: RunId) -> Self {
        let count = (words.words().len() - header::WORDS) / SLOT;
        if !is_of(&words, run) {
            let head = words.words();
            head[header::VERSION].store(OPENS_VERSION, Ordering::Relaxed);
            head[header::SIZE].store(count as u64, Ordering::Relaxed);
            head[header::MOUNT_RUN].store(run.0, Ordering::Relaxed);
            head[header::MAGIC].store(OPENS_MAGIC, Ordering::Release);
        }
        let end = u32::try_from(count).unwrap_or(u32::MAX);
        let mut set = Self { words, slots: HashMap::new(), free: Vec::new(), fresh: 0..end };
        // Most slots were never used: to write there, or to list them, costs more than the rest of a hand-over.
        for slot in (0..end).filter(|slot| set.words.words()[at(*slot)].load(Ordering::Acquire) != 0) {
            set.free.extend(set.fresh.start..slot);
            set.fresh.start = slot + 1;
            let [fh, ino, how, backing] = [0, 1, 2, 3].map(|n| set.words.words()[at(slot) + n].load(Ordering::Acquire));
            if backing == checked(fh, ino, how, backing as u32) {
                set.slots.insert((ino, fh), Some(slot));
            } else {
                // Damaged: a reference that is lost costs ESTALE, a wrong backing file another file's bytes.
                set.words.words()[at(slot)].store(0, Ordering::Release);
                set.free.push(slot);
            }
        }
        set
    }

    /// True when it was not there before.
    /// `backing`: the kernel's number of the file that it reads by itself, else 0.
    pub(super) fn insert(&mut self, ino: Ino, fh: Fh, how: OpenAs, backing: u32) -> bool {
        if self.slots.contains_key(&(ino.0, fh.0)) {
            return false;
        }
        let slot = self.free.pop().or_else(|| self.fresh.next());
        if let Some(slot) = slot {
            let words = &self.words.words()[at(slot)..at(slot) + SLOT];
            words[1].store(ino.0, Ordering::Relaxed);
            words[2].store(how.word(), Ordering::Relaxed);
            words[3].store(checked(fh.0, ino.0, how.word(), backing), Ordering::Relaxed);
            words[0].store(fh.0, Ordering::Release);
        }
        self.slots.insert((ino.0, fh.0), slot);
        self.count();
        true
    }

    /// True when it was there.
    pub(super) fn remove(&mut self, ino: Ino, fh: Fh) -> bool {
        let Some(slot) = self.slots.remove(&(ino.0, fh.0)) else { return false };
        if let Some(slot) = slot {
            self.words.words()[at(slot)].store(0, Ordering::Release);
            self.free.push(slot);
        }
        self.count();
        true
    }

    /// Everything that an earlier worker left: inode, handle, how it is open and the number of the backing file.
    pub(super) fn left(&self) -> Vec<(u64, u64, OpenAs, u32)> {
        let slots = self.slots.iter().filter_map(|(pair, slot)| slot.map(|slot| (pair, slot)));
        let word = |slot: u32, n: usize| self.words.words()[at(slot) + n].load(Ordering::Acquire);
        slots.map(|((ino, fh), slot)| (*ino, *fh, OpenAs::of(word(slot, 2)), word(slot, 3) as u32)).collect()
    }

    pub(super) fn contains(&self, ino: Ino, fh: Fh) -> bool {
        self.slots.contains_key(&(ino.0, fh.0))
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    fn count(&self) {
        self.words.words()[header::USED].store(self.slots.len() as u64, Ordering::Relaxed);
    }
}

/// The number of the backing file with a checksum of the slot above it.
fn checked(fh: u64, ino: u64, how: u64, backing: u32) -> u64 {
    let words = [fh, ino, how, u64::from(backing)].map(u64::to_le_bytes);
    hash(OPENS_VERSION, words.as_flattened()) << 32 | u64::from(backing)
}

fn at(slot: u32) -> usize {
    header::WORDS + slot as usize * SLOT
}

fn is_of(words: &SharedWords, run: RunId) -> bool {
    let word = |at: usize| words.words()[at].load(Ordering::Acquire);
    word(header::MAGIC) == OPENS_MAGIC && word(header::VERSION) == OPENS_VERSION && word(header::MOUNT_RUN) == run.0
}

#[cfg(test)]
mod tests {
    use fsd_events::names::{Open, read_opens};

    use super::*;

    #[test]
    fn a_reference_counts_once_and_outlives_its_worker() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("opens");
        let mut set = OpenSet::open(Some(&path), RunId(1)).unwrap();
        assert!(set.insert(Ino(5), Fh(8), OpenAs::Cached, 0) && !set.insert(Ino(5), Fh(8), OpenAs::Cached, 0));
        assert!(set.insert(Ino(5), Fh(10), OpenAs::Passthrough, 7));
        assert_eq!(read_opens(&std::fs::read(&path).unwrap()).unwrap().len(), 2);
        drop(set);
        let mut set = OpenSet::open(Some(&path), RunId(1)).unwrap();
        assert!(set.left().contains(&(5, 10, OpenAs::Passthrough, 7)));
        assert!(set.contains(Ino(5), Fh(8)) && !set.insert(Ino(5), Fh(8), OpenAs::Cached, 0));
        assert!(set.remove(Ino(5), Fh(8)) && !set.remove(Ino(5), Fh(8)));
        let left = read_opens(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(left, [Open { fh: Fh(10), ino: Ino(5), how: OpenAs::Passthrough }]);
        assert_eq!(OpenSet::open(Some(&path), RunId(2)).unwrap().len(), 0);
    }

    #[test]
    fn a_damaged_reference_is_forgotten_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("opens");
        let mut set = OpenSet::open(Some(&path), RunId(1)).unwrap();
        assert!(set.insert(Ino(5), Fh(8), OpenAs::Passthrough, 7) && set.insert(Ino(6), Fh(9), OpenAs::Cached, 0));
        drop(set);
        let whole = std::fs::read(&path).unwrap();
        let first = header::WORDS * 8;
        for byte in first..first + SLOT * 8 {
            let mut bytes = whole.clone();
            bytes[byte] ^= 4;
            std::fs::write(&path, bytes).unwrap();
            let left = OpenSet::open(Some(&path), RunId(1)).unwrap().left();
            assert_eq!(left, [(6, 9, OpenAs::Cached, 0)], "byte {byte}");
        }
    }

    #[test]
    fn more_handles_than_slots_are_kept_in_private_memory() {
        let mut set = OpenSet::over(SharedWords::private(4096), RunId(1));
        (1..500).for_each(|n| assert!(set.insert(Ino(1), Fh(n), OpenAs::Cached, 0)));
        assert_eq!(set.len(), 499);
        (1..500).for_each(|n| assert!(set.remove(Ino(1), Fh(n))));
        assert_eq!((set.len(), set.free.len(), set.fresh.len()), (0, (4096 / 8 - header::WORDS) / SLOT, 0));
    }
}
