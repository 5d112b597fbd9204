//! Notes: beside each temp file, which of its bytes are right, so that the next worker goes on where this one stood.
//!
//! A line is appended when bytes have been written, and nobody waits for a disk: what a process wrote outlives it.
//! Every line carries a checksum that begins with the head's: what is damaged, cut, or of another file is not believed,
//! and neither is anything behind it. Bytes that no note names are fetched again.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    ops::Range,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use fsd_events::{ids::RunId, names::hash};
use serde::{Deserialize, Serialize};

use crate::{
    data::origin::Validator,
    platform::runtime_dir::{make_private, open_private},
};

use super::{Content, extents::Extents, temp_file::TempFile};

const VERSION: u32 = 1;
const SUFFIX: &str = "ranges";
/// Longer notes are not read: a note of each 512 KiB of a terabyte is shorter.
const LIMIT: u64 = 128 << 20;

/// Where notes are kept, and for which mount.
#[derive(Clone, Debug)]
pub struct NotesPlace {
    /// Private; made when the first note is.
    pub dir: PathBuf,
    /// Notes of any other are not believed.
    pub mount_run: RunId,
}

/// The note of one temp file, open for more.
#[derive(Debug)]
pub(super) struct Note {
    file: File,
    path: PathBuf,
    seed: u64,
}

/// What a temp file is, and of what.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    version: u32,
    mount_run: String,
    ino: u64,
    size: u64,
    /// Name in the directory of temp files.
    temp: String,
    device: u64,
    node: u64,
    tag: Option<String>,
    modified: Option<String>,
    modified_size: Option<u64>,
}

/// A temp file of an earlier worker with what is known of it.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) ino: u64,
    pub(super) size: u64,
    pub(super) validator: Validator,
    pub(super) ranges: Extents,
    pub(super) temp: TempFile,
}

impl Note {
    pub(super) fn create(
        place: &NotesPlace,
        content: &Content,
        validator: &Validator,
        temp: &TempFile,
    ) -> io::Result<Self> {
        let name = temp.name();
        let meta = temp.file().metadata()?;
        let (tag, modified, modified_size) = match validator.clone() {
            Validator::Strong(tag) => (Some(tag), None, None),
            Validator::Dated { modified, size } => (None, Some(modified), size),
            Validator::None => (None, None, None),
        };
        let head = Head {
            version: VERSION,
            mount_run: place.mount_run.to_string(),
            ino: content.ino,
            size: content.size,
            temp: name.to_owned(),
            device: meta.dev(),
            node: meta.ino(),
            tag,
            modified,
            modified_size,
        };
        make_private(&place.dir)?;
        let path = place.dir.join(name).with_extension(SUFFIX);
        let head = serde_json::to_string(&head)?;
        let seed = hash(u64::from(VERSION), head.as_bytes());
        let mut file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(format!("{seed:016x} {head}\n").as_bytes())?;
        Ok(Self { file, path, seed })
    }

    /// These bytes are in the file now.
    pub(super) fn add(&self, range: &Range<u64>) -> io::Result<()> {
        (&self.file).write_all(line(self.seed, range).as_bytes())
    }

    pub(super) fn remove(&self) {
        // The next mount clears the directory in any case.
        drop(fs::remove_file(&self.path));
    }
}

fn line(seed: u64, range: &Range<u64>) -> String {
    let text = format!("{} {}", range.start, range.end);
    format!("{text} {:016x}\n", hash(seed, text.as_bytes()))
}

/// Takes over every temp file in `temps` that a note vouches for; notes that do not hold are removed, and the sweep
/// finds their files.
pub(super) fn take_over(place: &NotesPlace, temps: &Path) -> Vec<Left> {
    let mut all = Vec::new();
    for entry in fs::read_dir(&place.dir).into_iter().flatten().flatten() {
        let path = entry.path();
        match read(place, &path, temps) {
            Some(left) => all.push(left),
            None => drop(fs::remove_file(path)),
        }
    }
    all
}

fn read(place: &NotesPlace, path: &Path, temps: &Path) -> Option<Left> {
    let mut file = open_private(path, OpenOptions::new().read(true).append(true)).ok()?;
    let mut text = Vec::new();
    Read::by_ref(&mut file).take(LIMIT).read_to_end(&mut text).ok()?;
    let text = String::from_utf8_lossy(&text);
    let (head, lines) = text.split_once('\n')?;
    let (sum, head) = head.split_once(' ')?;
    let seed = hash(u64::from(VERSION), head.as_bytes());
    (sum == format!("{seed:016x}")).then_some(())?;
    let head: Head = serde_json::from_str(head).ok()?;
    (head.version == VERSION && head.mount_run == place.mount_run.to_string()).then_some(())?;
    let note = Note { file, path: path.to_owned(), seed };
    let temp = TempFile::adopt(temps, &head.temp, head.size, (head.device, head.node), note)?;
    let dated = head.modified.map(|modified| Validator::Dated { modified, size: head.modified_size });
    let validator = head.tag.map(Validator::Strong).or(dated).unwrap_or_default();
    Some(Left { ino: head.ino, size: head.size, validator, ranges: ranges(lines, seed, head.size), temp })
}

/// The ranges up to the first line that does not hold.
fn ranges(lines: &str, seed: u64, size: u64) -> Extents {
    let mut all = Extents::default();
    for text in lines.split_inclusive('\n') {
        let mut words = text.split(' ').map(str::parse);
        let (Some(Ok(start)), Some(Ok(end))) = (words.next(), words.next()) else { break };
        let range: Range<u64> = start..end;
        if text != line(seed, &range) || range.end > size {
            break;
        }
        all.insert(range);
    }
    all
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::data::source::Place;

    const SIZE: u64 = 10 << 20;
    const MIB: u64 = 1 << 20;

    struct World {
        dir: tempfile::TempDir,
        place: NotesPlace,
    }

    impl World {
        /// A worker wrote 0..2 and 3..4 MiB, and died.
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let world = Self { place: NotesPlace { dir: dir.path().join("notes"), mount_run: RunId(7) }, dir };
            let content = Content {
                place: Place::Local("/nowhere".into()),
                size: SIZE,
                modified_us: None,
                validator: Validator::None,
                path: "a".into(),
                ino: 9,
                given: false,
            };
            let temp = TempFile::create(world.dir.path(), SIZE).unwrap();
            let tag = Validator::Strong("\"1\"".into());
            let note = Note::create(&world.place, &content, &tag, &temp).unwrap();
            for range in [0..MIB, MIB..2 * MIB, 3 * MIB..4 * MIB] {
                note.add(&range).unwrap();
            }
            temp.abandon();
            world
        }

        fn take(&self) -> Vec<Left> {
            take_over(&self.place, self.dir.path())
        }

        fn note(&self) -> PathBuf {
            fs::read_dir(&self.place.dir).unwrap().next().unwrap().unwrap().path()
        }

        fn temp(&self) -> PathBuf {
            let part = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "part");
            fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().path()).find(part).unwrap()
        }

        /// The ranges that are believed when one byte of the note is another.
        fn with_flipped(&self, at: usize) -> u64 {
            let path = self.note();
            let whole = fs::read(&path).unwrap();
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(&path, bytes).unwrap();
            let found = self.take();
            let bytes = found.first().map_or(0, |left| left.ranges.bytes());
            found.into_iter().for_each(|left| left.temp.abandon());
            fs::write(&path, whole).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            bytes
        }
    }

    #[test]
    fn the_next_worker_has_what_the_last_one_wrote_and_nothing_else() {
        let world = World::new();
        let [left] = world.take().try_into().unwrap();
        assert_eq!((left.ino, left.size, left.ranges.bytes()), (9, SIZE, 3 * MIB));
        assert!(left.ranges.covers(&(0..2 * MIB)) && !left.ranges.covers(&(2 * MIB..2 * MIB + 1)));
        assert_eq!(left.validator, Validator::Strong("\"1\"".into()));
        drop(left);
        assert!(world.take().is_empty(), "note and file go together");
        assert_eq!(fs::read_dir(&world.place.dir).unwrap().count(), 0);
    }

    #[test]
    fn a_flipped_bit_anywhere_costs_bytes_and_never_adds_one() {
        let world = World::new();
        let length = fs::read(world.note()).unwrap().len();
        let believed: Vec<u64> = (0..length).map(|at| world.with_flipped(at)).collect();
        assert!(believed.iter().all(|bytes| [0, MIB, 2 * MIB].contains(bytes)), "{believed:?}");
        assert!(believed.contains(&(2 * MIB)), "what stands before the damage is still good");
    }

    #[test]
    fn a_cut_note_is_good_up_to_the_cut() {
        let world = World::new();
        let path = world.note();
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 3]).unwrap();
        assert_eq!(world.take()[0].ranges.bytes(), 2 * MIB);
    }

    #[test]
    fn what_is_not_ours_is_left_alone() {
        let changes: [fn(&mut World); 6] = [
            |world| world.place.mount_run = RunId(8),
            |world| fs::set_permissions(world.note(), fs::Permissions::from_mode(0o644)).unwrap(),
            |world| fs::set_permissions(world.temp(), fs::Permissions::from_mode(0o666)).unwrap(),
            |world| {
                let (note, elsewhere) = (world.note(), world.dir.path().join("elsewhere"));
                fs::rename(&note, &elsewhere).unwrap();
                symlink(elsewhere, note).unwrap();
            },
            |world| {
                let (temp, elsewhere) = (world.temp(), world.dir.path().join("elsewhere"));
                fs::rename(&temp, &elsewhere).unwrap();
                symlink(elsewhere, temp).unwrap();
            },
            |world| {
                // Another file under the same name.
                let temp = world.temp();
                let other = world.dir.path().join("other");
                fs::write(&other, vec![1; SIZE as usize]).unwrap();
                fs::set_permissions(&other, fs::Permissions::from_mode(0o600)).unwrap();
                fs::rename(other, temp).unwrap();
            },
        ];
        for (n, change) in changes.into_iter().enumerate() {
            let mut world = World::new();
            change(&mut world);
            assert!(world.take().is_empty(), "change {n}");
            assert_eq!(fs::read_dir(&world.place.dir).unwrap().count(), 0, "change {n}");
        }
    }

    #[test]
    fn a_note_of_another_user_is_not_believed() {
        let world = World::new();
        if std::os::unix::fs::chown(world.note(), Some(65534), None).is_ok() {
            assert!(world.take().is_empty());
        }
    }

    #[test]
    fn a_note_of_another_version_is_not_believed() {
        let world = World::new();
        let path = world.note();
        let text = fs::read_to_string(&path).unwrap();
        let (head, _) = text.split_once('\n').unwrap();
        let head = head.split_once(' ').unwrap().1.replace("\"version\":1", "\"version\":2");
        let seed = hash(u64::from(VERSION), head.as_bytes());
        fs::write(&path, format!("{seed:016x} {head}\n{}", line(seed, &(0..MIB)))).unwrap();
        assert!(world.take().is_empty());
    }
}
