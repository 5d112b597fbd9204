//! What is staged, with its secrets.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::Path,
};

use fsd_events::ids::{Ino, RunId};
use serde::{Deserialize, Serialize};

use crate::{
    data::origin::{Resource, Sealed, Validator},
    names::catalog::Item,
    platform::runtime_dir::open_private,
};

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

/// Writes everything anew, so that what was unstaged leaves no secret behind; `number` tells writers apart. Where the
/// disk is full the old list is written over with as many items as fit, the oldest first: what is gone is gone.
///
/// # Errors
/// When not all is written.
pub(in crate::names) fn write(path: &Path, run: RunId, items: &[Item], number: u64) -> io::Result<()> {
    let text = list(run, items)?;
    let written = super::replace(path, &path.with_extension(number.to_string()), &super::checked(&text));
    written.or_else(|why| overwrite(path, run, items, why))
}

/// With room for the letter by which each becomes longer when it is unstaged.
fn list(run: RunId, items: &[Item]) -> io::Result<String> {
    let all: Vec<Kept> = items.iter().map(Kept::of).collect();
    let staged = items.iter().filter(|item| item.staged).count();
    Ok(super::form(run, &all)? + &" ".repeat(staged))
}

fn overwrite(path: &Path, run: RunId, items: &[Item], why: io::Error) -> io::Result<()> {
    let old = match open_private(path, OpenOptions::new().write(true)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && items.is_empty() => return Ok(()),
        Err(_) => return Err(why),
        Ok(old) => old,
    };
    let room = usize::try_from(old.metadata()?.len()).unwrap_or(0);
    let fits = (0..=items.len()).rev().find_map(|count| {
        let text = list(run, &items[..count]).ok()?;
        let spaces = room.checked_sub(super::checked(&text).len())?;
        Some((count, super::checked(&(text + &" ".repeat(spaces)))))
    });
    let Some((count, text)) = fits else {
        // Not even an empty list fits.
        fs::remove_file(path)?;
        return if items.is_empty() { Ok(()) } else { Err(why) };
    };
    // One write: a death cuts it between two pages at most, and then the list is not believed.
    old.write_all_at(text.as_bytes(), 0)?;
    if count == items.len() { Ok(()) } else { Err(why) }
}

/// What an earlier worker of the same mount kept; nothing when there is none or the file is not ours.
pub(in crate::names) fn read(path: &Path, run: RunId) -> Vec<Item> {
    super::sweep(path);
    let kept: Option<Vec<Kept>> = super::read(path, run);
    kept.map_or_else(Vec::new, |all| all.into_iter().filter_map(Kept::item).collect())
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
