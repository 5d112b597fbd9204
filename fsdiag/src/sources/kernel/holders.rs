//! Daemons: which processes hold the device end of which connection.

use std::{fs, path::Path};

/// A process that has `/dev/fuse` open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub pid: u32,
    pub fd: u32,
    pub comm: String,
    /// None: the kernel is too old to say so in fdinfo, or the descriptor is not mounted yet.
    pub connection: Option<u64>,
}

/// Every descriptor of `/dev/fuse` in every process we may look at.
pub fn scan() -> Vec<Holder> {
    pids().into_iter().flat_map(of_process).collect()
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

fn of_process(pid: u32) -> Vec<Holder> {
    let fds = numbers(Path::new(&format!("/proc/{pid}/fd")));
    let ours = fds.into_iter().filter(|fd| {
        let link = fs::read_link(format!("/proc/{pid}/fd/{fd}"));
        link.is_ok_and(|to| to.as_os_str() == "/dev/fuse")
    });
    let holder = |fd| {
        let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")).unwrap_or_default();
        Holder { pid, fd, comm: comm(pid), connection: field(&info, "fuse_connection").and_then(|v| v.parse().ok()) }
    };
    ours.map(holder).collect()
}

/// Name of a process as the kernel keeps it.
pub fn comm(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim_end().to_owned()
}

/// Value of a `name: value` line of fdinfo.
pub fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// The holders of one connection. Where the kernel names no connection, the processes called like the file
/// system are candidates, and the second value is false.
pub fn of_connection(all: &[Holder], connection: u64, kind: &str) -> (Vec<Holder>, bool) {
    let sure: Vec<Holder> = all.iter().filter(|h| h.connection == Some(connection)).cloned().collect();
    if !sure.is_empty() || all.iter().any(|h| h.connection.is_some()) {
        return (sure, true);
    }
    let short: String = kind.chars().take(15).collect();
    let named = all.iter().filter(|h| h.comm == short || h.comm.starts_with(&format!("{short}-")));
    let named: Vec<Holder> = named.cloned().collect();
    let guess = if named.is_empty() { all.to_vec() } else { named };
    (guess, all.is_empty())
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
    fn an_old_kernel_leaves_candidates_by_name() {
        let all = [holder(1, "rclone", None), holder(2, "sshfs", None)];
        assert_eq!(of_connection(&all, 9, "sshfs"), (vec![all[1].clone()], false));
        let new = [holder(1, "rclone", Some(8)), holder(2, "sshfs", Some(9))];
        assert_eq!(of_connection(&new, 9, "x"), (vec![new[1].clone()], true));
        assert_eq!(of_connection(&new, 10, "rclone"), (vec![], true), "nobody holds it: a dead mount");
    }
}
