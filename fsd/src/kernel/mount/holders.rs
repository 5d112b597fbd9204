//! Holders: the processes that keep a mount busy, found in /proc alone.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::mountinfo;
use crate::platform::clock;

/// A process that keeps the mount busy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub pid: u32,
    pub name: String,
    /// What it holds: an open file, its working directory, a mapping.
    pub what: String,
}

/// Longest search: a machine may have a million descriptors, and an unmount waits for this.
const LIMIT: Duration = Duration::from_millis(500);

/// Processes that have something open on the mount at `dir`, those that are found in half a second. Links are read as
/// text, never followed.
pub fn holders(dir: &Path) -> Vec<Holder> {
    let mount = mountinfo::top(dir);
    let mount = mount.map(|line| (line.id, format!("{:02x}:{:02x}", line.major, line.minor)));
    let place = Place { dir, mount, until: clock::now() + LIMIT };
    processes().into_iter().filter_map(|pid| place.held_by(pid)).collect()
}

pub(super) fn processes() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

struct Place<'a> {
    dir: &'a Path,
    /// Number of the mount, and its device as `maps` writes it.
    mount: Option<(u64, String)>,
    until: Instant,
}

impl Place<'_> {
    fn in_time(&self) -> bool {
        clock::now() < self.until
    }

    fn held_by(&self, pid: u32) -> Option<Holder> {
        self.in_time().then_some(())?;
        let proc = PathBuf::from(format!("/proc/{pid}"));
        let what = self.link(&proc.join("cwd"), "working directory").or_else(|| self.link(&proc.join("root"), "root"));
        let what = what.or_else(|| self.open_file(&proc)).or_else(|| self.mapping(&proc))?;
        let name = fs::read_to_string(proc.join("comm")).unwrap_or_default().trim().to_owned();
        Some(Holder { pid, name, what })
    }

    fn link(&self, link: &Path, what: &str) -> Option<String> {
        let to = fs::read_link(link).ok()?;
        to.starts_with(self.dir).then(|| format!("{what} {}", to.display()))
    }

    fn open_file(&self, proc: &Path) -> Option<String> {
        let (id, _) = self.mount.as_ref()?;
        let entries = fs::read_dir(proc.join("fdinfo")).ok()?.flatten();
        entries.take_while(|_| self.in_time()).find_map(|entry| {
            let info = fs::read_to_string(entry.path()).ok()?;
            let mount = info.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim();
            (mount.parse() == Ok(*id)).then(|| {
                let to = fs::read_link(proc.join("fd").join(entry.file_name())).unwrap_or_default();
                format!("open file {}", to.display())
            })
        })
    }

    fn mapping(&self, proc: &Path) -> Option<String> {
        let (_, device) = self.mount.as_ref()?;
        let maps = fs::read_to_string(proc.join("maps")).ok()?;
        let line = maps.lines().find(|line| line.split_whitespace().nth(3) == Some(device))?;
        let path = line.find('/').map_or("", |at| &line[at..]);
        Some(format!("mapped file {path}"))
    }
}

/// Processes that hold the device of a connection open, other than this one; None when this kernel does not tell.
pub(super) fn servers(connection: u32) -> Option<Vec<u32>> {
    let mut told = false;
    let mut found = Vec::new();
    for pid in processes() {
        let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fdinfo")) else { continue };
        for entry in entries.flatten() {
            let info = fs::read_to_string(entry.path()).unwrap_or_default();
            let number = info.lines().find_map(|line| line.strip_prefix("fuse_connection:"));
            told |= number.is_some();
            if number.and_then(|number| number.trim().parse().ok()) == Some(connection) {
                found.push(pid);
                break;
            }
        }
    }
    told.then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_working_directory_is_found() {
        let here = std::env::current_dir().unwrap();
        let found = holders(&here);
        let own = found.iter().find(|holder| holder.pid == std::process::id()).unwrap();
        assert!(own.what.starts_with("working directory /"), "{own:?}");
    }
}
