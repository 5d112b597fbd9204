//! Kept: what the next worker is to know, in private files of the runtime directory, gone with the mount. A checksum
//! comes first: a file that was damaged is not believed.

pub(super) mod listings;
pub(super) mod staged;

use std::{
    fs::{self, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use fsd_events::{ids::RunId, names::hash};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::platform::runtime_dir::{clear_away, open_private};

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct File<T> {
    version: u32,
    mount_run: String,
    items: T,
}

fn form<T: Serialize>(run: RunId, items: &T) -> io::Result<String> {
    Ok(serde_json::to_string(&File { version: VERSION, mount_run: run.to_string(), items })?)
}

fn checked(text: &str) -> String {
    format!("{:016x}\n{text}", hash(u64::from(VERSION), text.as_bytes()))
}

/// Writes `fresh` and puts it in the place of `path`: whoever reads sees the one or the other.
fn replace(path: &Path, fresh: &Path, text: &str) -> io::Result<()> {
    let written = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(fresh);
    let done = written.and_then(|mut file| file.write_all(text.as_bytes())).and_then(|()| put(fresh, path));
    done.inspect_err(|_| drop(fs::remove_file(fresh)))
}

/// Puts `fresh` in the place of whatever is there.
fn put(fresh: &Path, path: &Path) -> io::Result<()> {
    fs::rename(fresh, path).or_else(|_| clear_away(path).and_then(|()| fs::rename(fresh, path)))
}

/// What an earlier worker of the same mount kept; None when there is none or the file is not ours.
fn read<T: DeserializeOwned>(path: &Path, run: RunId) -> Option<T> {
    let mut text = String::new();
    let mut file = open_private(path, OpenOptions::new().read(true)).ok()?;
    file.read_to_string(&mut text).ok()?;
    let (sum, text) = text.split_once('\n')?;
    // In this form, so that another version's text is not even looked at.
    if sum != format!("{:016x}", hash(u64::from(VERSION), text.as_bytes())) {
        return None;
    }
    let file: File<T> = serde_json::from_str(text).ok()?;
    (file.version == VERSION && file.mount_run == run.to_string()).then_some(file.items)
}

/// Removes what workers had half written beside `path` when they were killed: it holds secrets. Nobody may be writing.
pub(crate) fn sweep(path: &Path) {
    let Some((dir, name)) = path.parent().zip(path.file_name()) else { return };
    let half = |of: &Path| of.file_stem() == Some(name) && of.extension().is_some();
    let all = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    all.filter(|of| half(of)).for_each(|of| drop(clear_away(&of)));
}
