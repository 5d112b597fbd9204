//! What is staged, kept for the next worker: a private file in the runtime directory, gone with the mount.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use fsd_events::ids::{Ino, RunId};
use serde::{Deserialize, Serialize};

use crate::data::origin::{Resource, Sealed, Validator};

use super::catalog::Item;

#[derive(Serialize, Deserialize)]
struct File {
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
    let file = File { mount_run: run.to_string(), items: items.iter().map(Kept::of).collect() };
    let text = serde_json::to_vec(&file)?;
    let fresh = path.with_extension(number.to_string());
    let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh);
    let done = written.and_then(|mut file| file.write_all(&text)).and_then(|()| fs::rename(&fresh, path));
    done.inspect_err(|_| drop(fs::remove_file(&fresh)))
}

/// What an earlier worker of the same mount kept; nothing when there is none or the file is not ours.
pub(super) fn read(path: &Path, run: RunId) -> Vec<Item> {
    let file = fs::read(path).ok().and_then(|bytes| serde_json::from_slice::<File>(&bytes).ok());
    let ours = file.filter(|file| file.mount_run == run.to_string());
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
