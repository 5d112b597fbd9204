//! What is staged, kept for the next worker: a private file in the runtime directory, gone with the mount. A checksum
//! comes first: a file that was damaged is not believed, rather than a URL that is not the staged one.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use fsd_events::{
    ids::{Ino, RunId},
    names::hash,
};
use serde::{Deserialize, Serialize};

use crate::{
    data::origin::{Resource, Sealed, Validator},
    platform::runtime_dir::{clear_away, open_private},
};

use super::catalog::Item;

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    mount_run: String,
    items: Vec<Kept>,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    id: String,
    name: String,
    size: u64,
    ino: u64,
    staged: bool,
    modified_us: Option<u64>,
    tag: Option<String>,
    modified: Option<String>,
    resource: Sealed,
}

/// Writes everything anew, so that what was unstaged leaves no secret behind; `number` tells writers apart.
///
/// # Errors
/// When the directory has no room.
pub(super) fn write(path: &Path, run: RunId, items: &[Item], number: u64) -> io::Result<()> {
    let file = File { version: VERSION, mount_run: run.to_string(), items: items.iter().map(Kept::of).collect() };
    let text = serde_json::to_string(&file)?;
    let text = format!("{:016x}\n{text}", hash(u64::from(VERSION), text.as_bytes()));
    let fresh = path.with_extension(number.to_string());
    let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh);
    let done = written.and_then(|mut file| file.write_all(text.as_bytes())).and_then(|()| put(&fresh, path));
    done.inspect_err(|_| drop(fs::remove_file(&fresh)))
}

/// Removes what workers had half written beside `path` when they were killed: it holds secrets. Nobody may be writing.
pub(crate) fn sweep(path: &Path) {
    let Some((dir, name)) = path.parent().zip(path.file_name()) else { return };
    let half = |of: &Path| of.file_stem() == Some(name) && of.extension().is_some();
    let all = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    all.filter(|of| half(of)).for_each(|of| drop(clear_away(&of)));
}

/// Puts `fresh` in the place of whatever is there.
fn put(fresh: &Path, path: &Path) -> io::Result<()> {
    fs::rename(fresh, path).or_else(|_| clear_away(path).and_then(|()| fs::rename(fresh, path)))
}

/// What an earlier worker of the same mount kept; nothing when there is none or the file is not ours.
pub(super) fn read(path: &Path, run: RunId) -> Vec<Item> {
    sweep(path);
    let mut text = String::new();
    let file = open_private(path, OpenOptions::new().read(true));
    let read = file.and_then(|mut file| file.read_to_string(&mut text));
    let whole = read.ok().and_then(|_| text.split_once('\n')).filter(|(sum, text)| {
        // In this form, so that another version's text is not even looked at.
        *sum == format!("{:016x}", hash(u64::from(VERSION), text.as_bytes()))
    });
    let file = whole.and_then(|(_, text)| serde_json::from_str::<File>(text).ok());
    let ours = file.filter(|file| file.version == VERSION && file.mount_run == run.to_string());
    ours.map_or_else(Vec::new, |file| file.items.into_iter().filter_map(Kept::item).collect())
}

impl Kept {
    fn of(item: &Item) -> Self {
        let (tag, modified) = match &item.validator {
            Validator::Strong(tag) => (Some(tag.clone()), None),
            Validator::Dated { modified, .. } => (None, Some(modified.clone())),
            Validator::None => (None, None),
        };
        let Item { id, name, size, ino, staged, modified_us, resource, .. } = item.clone();
        Self { id, name, size, ino: ino.0, staged, modified_us, tag, modified, resource: resource.seal() }
    }

    fn item(self) -> Option<Item> {
        let Self { id, name, size, ino, staged, modified_us, tag, modified, resource } = self;
        let dated = modified.map(|modified| Validator::Dated { modified, size: Some(size) });
        let validator = tag.map(Validator::Strong).or(dated).unwrap_or_default();
        let resource = Resource::unseal(resource).ok()?;
        Some(Item { id, name, size, ino: Ino(ino), staged, modified_us, validator, resource, dir: Ino(0) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_or_foreign_file_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("staged");
        let item = Item {
            id: "1".into(),
            name: "a".into(),
            size: 9,
            ino: Ino(5),
            staged: true,
            modified_us: None,
            validator: Validator::Strong("\"1\"".into()),
            resource: Resource::parse("http://host/a?token=1").unwrap(),
            dir: Ino(0),
        };
        write(&path, RunId(1), &[item], 1).unwrap();
        assert_eq!(read(&path, RunId(1)).len(), 1);
        assert!(read(&path, RunId(2)).is_empty());
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(&path, bytes).unwrap();
            assert!(read(&path, RunId(1)).is_empty(), "byte {at}");
            fs::write(&path, &whole[..at]).unwrap();
            assert!(read(&path, RunId(1)).is_empty(), "cut at {at}");
        }
        fs::write(&path, &whole).unwrap();
        assert_eq!(read(&path, RunId(1)).len(), 1);
        let elsewhere = dir.path().join("elsewhere");
        fs::rename(&path, &elsewhere).unwrap();
        std::os::unix::fs::symlink(elsewhere, &path).unwrap();
        assert!(read(&path, RunId(1)).is_empty());
    }
}
