//! The shared tables of a mount: names (inode to path) and open references, as a dead or hung daemon leaves them.
//!
//! Both are rows of 64-bit little-endian words. A writer publishes a name by raising [`header::USED`] after the
//! record is written, and a reference by storing its handle last; so a reader never sees half of either.

use std::{
    collections::HashMap,
    io::{self, Read},
};

use crate::ids::{Fh, Ino, RunId};

/// First word of the name table.
pub const NAMES_MAGIC: u64 = u64::from_le_bytes(*b"FSDNAMES");
/// First word of the open set.
pub const OPENS_MAGIC: u64 = u64::from_le_bytes(*b"FSDOPENS");
/// Layout of the name table.
pub const NAMES_VERSION: u64 = 2;
/// Layout of the open set.
pub const OPENS_VERSION: u64 = 1;
/// Inode of the mount's root; it has no record.
pub const ROOT: Ino = Ino(1);

/// Words at the start of either file.
pub mod header {
    pub const MAGIC: usize = 0;
    pub const VERSION: usize = 1;
    /// Names: words of one segment; a record never crosses into the next. Opens: number of slots.
    pub const SIZE: usize = 2;
    /// Names: words in use, this header included. Opens: slots in use, a hint.
    pub const USED: usize = 3;
    /// Names: number of records.
    pub const ENTRIES: usize = 4;
    pub const MOUNT_RUN: usize = 5;
    /// Length of the header.
    pub const WORDS: usize = 8;
}

/// Words of a record before the name.
pub const RECORD_HEAD: usize = 5;
/// Of these the one that counts how often the kernel was told of the inode and has not forgotten it; the only one that
/// changes beside the settled version, and like that in no check sum.
pub const LOOKUPS: usize = 4;
/// Words of a slot in the open set: handle, inode, how it is open, the kernel's number of its backing file.
pub const SLOT: usize = 4;
/// In the place of a settled version: the inode is dead, its name has another.
pub const FORSAKEN: u32 = u32::MAX;
/// Longest name, bytes.
pub const NAME_MAX: usize = 255;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Dir,
    File,
}

/// One record of the name table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name<'a> {
    pub ino: Ino,
    pub parent: Ino,
    /// Tells versions of one path apart; 0 for directories.
    pub version: u64,
    /// A number for the version that the first answer named, where `version` leaves that open; 0: nobody knows yet,
    /// [`FORSAKEN`]: the content is another by now.
    pub settled: u32,
    pub kind: Kind,
    /// Not empty, at most [`NAME_MAX`] bytes.
    pub name: &'a str,
}

/// Length of the record of a name with so many bytes, in words.
pub const fn record_words(name_bytes: usize) -> usize {
    RECORD_HEAD + name_bytes.div_ceil(8)
}

impl Name<'_> {
    /// The words of this record, in order.
    pub fn encode(&self) -> impl Iterator<Item = u64> + '_ {
        let head = [self.ino.0, self.parent.0, self.version, self.fourth(), 0];
        head.into_iter().chain(self.name.as_bytes().chunks(8).map(|part| {
            let mut bytes = [0_u8; 8];
            bytes[..part.len()].copy_from_slice(part);
            u64::from_le_bytes(bytes)
        }))
    }

    /// Settled version, length of the name, kind and check sum; the first changes while the record stands, so the sum
    /// leaves it out.
    fn fourth(&self) -> u64 {
        let kind = u64::from(self.kind == Kind::File);
        let length = self.name.len() as u64 & 0xff;
        u64::from(self.settled) | length << 32 | kind << 40 | u64::from(self.check()) << 48
    }

    fn check(&self) -> u16 {
        let seed = self.ino.0 ^ self.parent.0.rotate_left(21) ^ self.version.rotate_left(42);
        let sum = hash(seed, self.name.as_bytes());
        (sum ^ sum >> 16 ^ sum >> 32 ^ sum >> 48) as u16
    }
}

/// The fourth word of a record taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fourth {
    pub settled: u32,
    pub name_bytes: usize,
    pub kind: Kind,
    check: u16,
}

impl Fourth {
    pub fn split(word: u64) -> Self {
        let kind = if word >> 40 & 1 == 1 { Kind::File } else { Kind::Dir };
        Self { settled: word as u32, name_bytes: (word >> 32 & 0xff) as usize, kind, check: (word >> 48) as u16 }
    }

    /// Whether `name` is the name that this word was written for.
    pub fn fits(&self, name: &Name<'_>) -> bool {
        name.name.len() == self.name_bytes && name.check() == self.check
    }
}

/// The 64-bit hash behind inode numbers: stable for ever, because it is written to files.
pub fn hash(seed: u64, bytes: &[u8]) -> u64 {
    let start = mix(seed ^ 0x9e37_79b9_7f4a_7c15);
    let sum = bytes.chunks(8).fold(start, |sum, part| {
        let mut word = [0_u8; 8];
        word[..part.len()].copy_from_slice(part);
        mix(sum ^ u64::from_le_bytes(word)).wrapping_add(part.len() as u64)
    });
    mix(sum)
}

fn mix(word: u64) -> u64 {
    let word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

/// A name table, read from a copy of its file.
#[derive(Clone, Debug, Default)]
pub struct Names {
    pub mount_run: RunId,
    entries: HashMap<u64, (u64, Kind, String)>,
    /// Records that could not be read.
    pub damaged: u64,
}

/// Why a file is not a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    TooShort,
    /// Another file, or never finished.
    Magic,
    /// Written by another version.
    Version(u64),
}

fn words(bytes: &[u8]) -> Vec<u64> {
    bytes.as_chunks::<8>().0.iter().map(|chunk| u64::from_le_bytes(*chunk)).collect()
}

fn check_header(words: &[u64], magic: u64, version: u64) -> Result<(), Unreadable> {
    match words.get(..header::WORDS) {
        None => Err(Unreadable::TooShort),
        Some(head) if head[header::MAGIC] != magic => Err(Unreadable::Magic),
        Some(head) if head[header::VERSION] != version => Err(Unreadable::Version(head[header::VERSION])),
        Some(_) => Ok(()),
    }
}

impl Names {
    /// Reads as much of the file as is in use: the rest is room for more, and as large.
    ///
    /// # Errors
    /// When the file cannot be read, or is no name table of this version.
    pub fn read_from(mut file: impl Read) -> io::Result<Self> {
        let mut bytes = vec![0; header::WORDS * 8];
        file.read_exact(&mut bytes)?;
        let used = words(&bytes)[header::USED].saturating_mul(8);
        file.take(used.saturating_sub(bytes.len() as u64)).read_to_end(&mut bytes)?;
        Self::read(&bytes).map_err(|why| io::Error::new(io::ErrorKind::InvalidData, format!("no name table: {why:?}")))
    }

    /// Reads a copy of the file; what is damaged is counted and skipped.
    ///
    /// # Errors
    /// When it is no name table of this version.
    pub fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        let words = words(bytes);
        check_header(&words, NAMES_MAGIC, NAMES_VERSION)?;
        let mut all = Self { mount_run: RunId(words[header::MOUNT_RUN]), ..Self::default() };
        let segment = usize::try_from(words[header::SIZE]).unwrap_or(0);
        let used = usize::try_from(words[header::USED]).unwrap_or(0).min(words.len());
        let mut at = header::WORDS;
        while at < used {
            match all.take(&words[at..used]) {
                Some(taken) => at += taken,
                None if segment == 0 => break,
                None => at = (at / segment + 1) * segment,
            }
        }
        Ok(all)
    }

    /// Reads one record; None at the end of a segment or where the record is damaged beyond its length.
    fn take(&mut self, words: &[u64]) -> Option<usize> {
        let head = words.get(..RECORD_HEAD).filter(|head| head[0] != 0)?;
        let fourth = Fourth::split(head[3]);
        let length = record_words(fourth.name_bytes);
        let tail = words.get(RECORD_HEAD..length)?;
        let bytes: Vec<u8> = tail.iter().flat_map(|word| word.to_le_bytes()).take(fourth.name_bytes).collect();
        let text = String::from_utf8_lossy(&bytes);
        let Fourth { settled, kind, .. } = fourth;
        let record = Name { ino: Ino(head[0]), parent: Ino(head[1]), version: head[2], settled, kind, name: &text };
        if fourth.fits(&record) {
            self.entries.insert(head[0], (head[1], kind, text.into_owned()));
        } else {
            self.damaged += 1;
        }
        Some(length)
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Path as the mount shows it, without a leading slash; empty for the root, None for an unknown inode.
    pub fn path(&self, ino: Ino) -> Option<String> {
        let mut parts = Vec::new();
        let mut at = ino.0;
        while at != ROOT.0 {
            let (parent, _, name) = self.entries.get(&at)?;
            parts.push(name.as_str());
            at = *parent;
            if parts.len() > 4096 {
                return None;
            }
        }
        parts.reverse();
        Some(parts.join("/"))
    }

    pub fn kind(&self, ino: Ino) -> Option<Kind> {
        if ino == ROOT { Some(Kind::Dir) } else { self.entries.get(&ino.0).map(|entry| entry.1) }
    }
}

/// How a reference is open; the third word of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenAs {
    Cached,
    /// The kernel reads the backing file by itself.
    Passthrough,
}

impl OpenAs {
    pub fn word(self) -> u64 {
        u64::from(self == Self::Passthrough)
    }

    pub fn of(word: u64) -> Self {
        if word & 1 == 1 { Self::Passthrough } else { Self::Cached }
    }
}

/// One open reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open {
    pub fh: Fh,
    pub ino: Ino,
    pub how: OpenAs,
}

/// Reads a copy of the open set.
///
/// # Errors
/// When it is no open set of this version.
pub fn read_opens(bytes: &[u8]) -> Result<Vec<Open>, Unreadable> {
    let words = words(bytes);
    check_header(&words, OPENS_MAGIC, OPENS_VERSION)?;
    let (slots, _) = words[header::WORDS..].as_chunks::<SLOT>();
    let used = slots.iter().filter(|slot| slot[0] != 0);
    Ok(used.map(|slot| Open { fh: Fh(slot[0]), ino: Ino(slot[1]), how: OpenAs::of(slot[2]) }).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(names: &[Name<'_>], segment: usize) -> Vec<u8> {
        let mut words = vec![NAMES_MAGIC, NAMES_VERSION, segment as u64, 0, names.len() as u64, 5, 0, 0];
        for name in names {
            let length = record_words(name.name.len());
            if words.len() / segment != (words.len() + length - 1) / segment {
                words.resize((words.len() / segment + 1) * segment, 0);
            }
            words.extend(name.encode());
        }
        words[header::USED] = words.len() as u64;
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    fn name(ino: u64, parent: u64, name: &str) -> Name<'_> {
        Name { ino: Ino(ino), parent: Ino(parent), version: 9, settled: 0, kind: Kind::File, name }
    }

    #[test]
    fn paths_are_found_across_segments() {
        let long = "n".repeat(NAME_MAX);
        let bytes = file(&[name(10, 1, "films"), name(11, 10, "a b.mkv"), name(12, 10, &long)], 40);
        // Room for more lies behind what is in use.
        let names = Names::read_from([bytes, vec![0; 4096]].concat().as_slice()).unwrap();
        assert_eq!((names.len(), names.damaged, names.mount_run), (3, 0, RunId(5)));
        assert_eq!(names.path(Ino(11)).as_deref(), Some("films/a b.mkv"));
        assert_eq!(names.path(Ino(12)), Some(format!("films/{long}")));
        assert_eq!(names.path(ROOT).as_deref(), Some(""));
        assert_eq!(names.path(Ino(77)), None);
        assert_eq!(names.kind(Ino(11)), Some(Kind::File));
    }

    #[test]
    fn a_damaged_record_is_counted_and_the_others_are_read() {
        let mut bytes = file(&[name(10, 1, "one"), name(11, 1, "two")], 4096);
        bytes[(header::WORDS + RECORD_HEAD) * 8] ^= 1;
        let names = Names::read(&bytes).unwrap();
        assert_eq!((names.damaged, names.path(Ino(10)), names.path(Ino(11))), (1, None, Some("two".into())));
    }

    #[test]
    fn other_files_are_refused() {
        assert_eq!(Names::read(b"short").unwrap_err(), Unreadable::TooShort);
        assert_eq!(Names::read(&[0; 64]).unwrap_err(), Unreadable::Magic);
        assert_eq!(read_opens(&[0; 64]).unwrap_err(), Unreadable::Magic);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic_or_run_for_ever(mut bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            for (at, word) in [NAMES_MAGIC, NAMES_VERSION, 16, 1 << 40].iter().enumerate() {
                if let Some(slot) = bytes.get_mut(at * 8..at * 8 + 8) {
                    slot.copy_from_slice(&word.to_le_bytes());
                }
            }
            if let Ok(names) = Names::read(&bytes) {
                let _ = names.path(Ino(3));
            }
        }

        #[test]
        fn names_of_any_length_come_back(text in "[a-zé/]{1,80}", ino in 2..u64::MAX) {
            let bytes = file(&[name(ino, 1, &text)], 4096);
            prop_assert_eq!(Names::read(&bytes).unwrap().path(Ino(ino)), Some(text));
        }
    }
}
