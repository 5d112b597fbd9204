//! Daemons: which processes hold the device end of which connection.

use std::{fs, io, os::unix::fs::MetadataExt as _, path::Path};

use super::{bounded, task};

/// A process that has `/dev/fuse` open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub pid: u32,
    pub fd: u32,
    pub comm: String,
    /// None: the kernel is too old to say so in fdinfo, or the descriptor is not mounted, yet or any more.
    pub connection: Option<u64>,
}

/// All that was found, and whether there may be more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    pub holders: Vec<Holder>,
    /// Some processes do not show us their descriptors: that nobody was found means nothing.
    pub blind: bool,
    /// Whose connection is not known has none.
    pub told: bool,
}

/// Every descriptor of `/dev/fuse` in every process we may look at.
pub fn scan() -> Scan {
    let pids = pids();
    // With hidepid even the first process is missing, and a container shows its own processes only.
    let mut blind = !pids.contains(&1) || is_contained();
    let mut holders = Vec::new();
    for found in bounded::each(pids, of_process) {
        match found {
            Some(found) => holders.extend(found),
            None => blind = true,
        }
    }
    // A kernel that says so of one says so of all.
    let told = holders.iter().any(|h: &Holder| h.connection.is_some());
    Scan { holders, blind: blind || !bounded::silent().is_empty(), told }
}

/// Whether the processes that we see are those of a container, under numbers of its own.
pub fn is_contained() -> bool {
    /// The kernel's number for the first namespace of processes (PROC_PID_INIT_INO).
    const FIRST: u64 = 0xEFFF_FFFC;
    fs::metadata("/proc/self/ns/pid").is_ok_and(|meta| meta.ino() != FIRST)
}

/// Numbers of all processes.
pub fn pids() -> Vec<u32> {
    numbers(Path::new("/proc"))
}

/// Names in a directory that are numbers; empty where it cannot be read.
pub fn numbers(dir: &Path) -> Vec<u32> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut all: Vec<u32> = entries.filter_map(|e| e.file_name().to_str()?.parse().ok()).collect();
    all.sort_unstable();
    all
}

/// None: it does not show its descriptors to us.
fn of_process(pid: u32) -> Option<Vec<Holder>> {
    let first = format!("/proc/{pid}");
    if fs::read_dir(format!("{first}/fd")).is_err_and(|e| e.kind() == io::ErrorKind::PermissionDenied) {
        return None;
    }
    let has_any = |dir: &String| !numbers(&Path::new(dir).join("fd")).is_empty();
    // A killed daemon lives on in a thread that cannot end: only that one still shows what is open.
    let living = || task::ids(pid).into_iter().map(|tid| format!("{first}/task/{tid}")).find(has_any);
    let Some(dir) = Some(first.clone()).filter(has_any).or_else(living) else { return Some(Vec::new()) };
    let is_device = |fd: &u32| fs::read_link(format!("{dir}/fd/{fd}")).is_ok_and(|to| to.as_os_str() == "/dev/fuse");
    let holder = |fd| {
        let info = fs::read_to_string(format!("{dir}/fdinfo/{fd}")).unwrap_or_default();
        Holder { pid, fd, comm: comm(pid), connection: field(&info, "fuse_connection").and_then(|v| v.parse().ok()) }
    };
    Some(numbers(&Path::new(&dir).join("fd")).into_iter().filter(is_device).map(holder).collect())
}

/// Whether work may wait in a process that none of its threads has: it has an event loop, or it is written in Go, whose
/// heap has its place.
pub fn parks(pid: u32) -> bool {
    const LOOPS: &[&str] = &["[eventpoll]", "[io_uring]", "[timerfd]", "[eventfd]"];
    let links = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let is_loop = |to: &Path| to.to_str().is_some_and(|to| LOOPS.iter().any(|name| to.ends_with(name)));
    let has_loop = links.filter_map(|link| fs::read_link(link.path()).ok()).any(|to| is_loop(&to));
    has_loop || has_go_heap(&fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default())
}

fn has_go_heap(maps: &str) -> bool {
    maps.lines().any(|line| line.starts_with("c000000000-"))
}

/// Name of a process as the kernel keeps it.
pub fn comm(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim_end().to_owned()
}

/// Parent of a process; None when either is gone.
pub fn parent(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    field(&status, "PPid")?.parse().ok().filter(|parent| *parent != 0)
}

/// User of a process; None when it is gone.
pub fn owner(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    // Real, effective, saved and of the file system.
    field(&status, "Uid")?.split_whitespace().nth(1)?.parse().ok()
}

/// Value of a `name: value` line of fdinfo.
pub fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// Who holds one connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub holders: Vec<Holder>,
    /// These are the holders, and if there are none, nobody holds it. False: candidates by name, or we may not look.
    pub sure: bool,
}

impl Scan {
    /// The processes, each once.
    pub fn pids(&self) -> Vec<u32> {
        let mut pids: Vec<u32> = self.holders.iter().map(|holder| holder.pid).collect();
        pids.dedup();
        pids
    }

    /// The holders of one connection. Where the kernel names no connection, the processes called like the file
    /// system are candidates.
    pub fn of_connection(&self, connection: u64, kind: &str) -> Found {
        let sure: Vec<Holder> = self.holders.iter().filter(|h| h.connection == Some(connection)).cloned().collect();
        if !sure.is_empty() {
            return Found { holders: sure, sure: true };
        }
        if self.told || self.holders.is_empty() {
            return Found { holders: sure, sure: !self.blind };
        }
        let short: String = kind.chars().take(15).collect();
        let named = self.holders.iter().filter(|h| h.comm == short || h.comm.starts_with(&format!("{short}-")));
        let named: Vec<Holder> = named.cloned().collect();
        Found { holders: if named.is_empty() { self.holders.clone() } else { named }, sure: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(pid: u32, comm: &str, connection: Option<u64>) -> Holder {
        Holder { pid, fd: 3, comm: comm.to_owned(), connection }
    }

    #[test]
    fn fdinfo_fields_are_found_by_name() {
        let info = "pos:\t0\nflags:\t02\nmnt_id:\t14\nino:\t8\nfuse_connection:\t39\n";
        assert_eq!(field(info, "fuse_connection"), Some("39"));
        assert_eq!(field(info, "fuse"), None);
    }

    #[test]
    fn a_heap_of_go_is_known_by_its_place() {
        assert!(has_go_heap("00400000-00452000 r-xp 0 fe:01 13 /bin/x\nc000000000-c000400000 rw-p 00000000 00:00 0\n"));
        assert!(!has_go_heap("7fc000000000-7fc000021000 rw-p 00000000 00:00 0\n"));
    }

    fn scan(holders: &[Holder], blind: bool) -> Scan {
        Scan { holders: holders.to_vec(), blind, told: holders.iter().any(|h| h.connection.is_some()) }
    }

    #[test]
    fn an_old_kernel_leaves_candidates_by_name() {
        let all = [holder(1, "rclone", None), holder(2, "sshfs", None)];
        let found = scan(&all, false).of_connection(9, "sshfs");
        assert_eq!((found.holders, found.sure), (vec![all[1].clone()], false));
    }

    #[test]
    fn nobody_is_only_nobody_when_everybody_was_seen() {
        let all = [holder(1, "rclone", Some(8)), holder(2, "sshfs", Some(9))];
        assert_eq!(scan(&all, true).of_connection(9, "x").holders, vec![all[1].clone()]);
        assert_eq!(scan(&all, false).of_connection(10, "rclone"), Found { holders: vec![], sure: true });
        assert!(!scan(&all, true).of_connection(10, "rclone").sure);
        assert!(!scan(&[], true).of_connection(10, "rclone").sure);
    }
}
