//! Where `fsd` keeps what: names of files and directories, so that `fsdiag` finds a running or dead daemon by itself.

use std::path::{Path, PathBuf};

use crate::ids::RunId;

/// In the runtime directory of a mount.
pub const MOUNT_FILE: &str = "mount.json";
pub const SOCKET: &str = "control.sock";
pub const NAMES: &str = "names";
pub const OPENS: &str = "opens";
/// What is staged, with its secrets: for the next worker only.
pub const STAGED: &str = "staged";
/// Directory of the notes on temp files: which of their bytes are right.
pub const NOTES: &str = "notes";
/// Directory of the listings that were shown: for the next worker only.
pub const LISTINGS: &str = "listings";
/// In the directory of a run.
pub const RING_PREFIX: &str = "ring-";
pub const INFLIGHT: &str = "inflight";
pub const LOCKS: &str = "locks";
pub const TASKS: &str = "tasks";
/// Locked by the run's process as long as it lives.
pub const ALIVE: &str = "alive";
/// In the state directory of a mount: a link to the event file of the current run.
pub const EVENTS_LINK: &str = "events.jsonl";
pub const STACKS_PREFIX: &str = "stacks-";

/// Directories that may be the runtime directory, best first. The first that is (or can be made) a private directory
/// of ours on tmpfs is taken; each holds one directory a mount.
pub fn runtime_candidates(wanted: Option<&Path>, xdg_runtime_dir: Option<&Path>, uid: u32) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = wanted.map(Path::to_path_buf).into_iter().collect();
    all.extend(xdg_runtime_dir.filter(|d| d.is_absolute()).map(|d| d.join("fsd")));
    all.push(PathBuf::from("/run/fsd"));
    all.push(PathBuf::from(format!("/dev/shm/fsd-{uid}")));
    all
}

/// Below which the state directories of all mounts lie: `$XDG_STATE_HOME/fsd`, else `~/.local/state/fsd`;
/// None when neither is known.
pub fn state_root(xdg_state_home: Option<&Path>, home: Option<&Path>) -> Option<PathBuf> {
    let xdg = xdg_state_home.filter(|d| d.is_absolute()).map(Path::to_path_buf);
    xdg.or_else(|| home.map(|h| h.join(".local/state"))).map(|d| d.join("fsd"))
}

/// Directory name of a mount: the mount point with everything but letters, digits, `.`, `_` and `-` written as
/// `%` and two hex digits, so that two mount points never share one. A long one ends in a hash instead.
pub fn slug(mount: &Path) -> String {
    let bytes = mount.as_os_str().as_encoded_bytes();
    let trimmed = bytes.strip_prefix(b"/").unwrap_or(bytes);
    let mut out = String::new();
    for byte in trimmed {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' if !(out.is_empty() && *byte == b'.') => {
                out.push(char::from(*byte));
            }
            _ => out.push_str(&format!("%{byte:02x}")),
        }
    }
    match out.len() {
        0 => String::from("%2f"),
        1..=200 => out,
        _ => format!("{}%{:016x}", &out[..150], fnv(bytes)),
    }
}

/// Name of a run's event file.
pub fn events_file(run: RunId) -> String {
    format!("events-{run}.jsonl")
}

/// Name of a run's event file after `n` rotations (the oldest has the lowest number).
pub fn rotated_file(run: RunId, n: u32) -> String {
    format!("events-{run}.{n:06}.jsonl")
}

/// Name of a ring file.
pub fn ring_file(n: usize) -> String {
    format!("{RING_PREFIX}{n:02}")
}

fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_get_directories_of_their_own() {
        assert_eq!(slug(Path::new("/mnt/a b")), "mnt%2fa%20b");
        assert_eq!(slug(Path::new("/")), "%2f");
        assert_eq!(slug(Path::new("/..")), "%2e.");
        assert_ne!(slug(Path::new("/a/b")), slug(Path::new("/a%2fb")));
        let long = "x".repeat(400);
        assert!(slug(Path::new(&long)).len() < 200);
        assert_ne!(slug(Path::new(&long)), slug(Path::new(&format!("{long}y"))));
    }
}
