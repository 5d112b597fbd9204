//! Pid namespaces: the numbers that a daemon in a container knows its clients by, as ours.
//!
//! The kernel notes the sender of a request in the namespace of whoever mounted. The same number is another process
//! here.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use super::{bounded, holders, task};

/// Numbers of threads by the daemon's numbers for them; None: they are the same. Who is not found has no entry.
pub fn ours(daemon: u32, wanted: &BTreeSet<u32>) -> Option<BTreeMap<u32, u32>> {
    if numbers(daemon, daemon).len() < 2 {
        return None;
    }
    let wanted = wanted.clone();
    let space = bounded::one(daemon, space).flatten()?;
    let threads = bounded::each(holders::pids(), move |pid| threads(pid, &space, &wanted));
    Some(threads.into_iter().flatten().collect())
}

/// The wanted threads of a process of that namespace.
fn threads(pid: u32, in_space: &Path, wanted: &BTreeSet<u32>) -> Vec<(u32, u32)> {
    if space(pid).as_deref() != Some(in_space) {
        return Vec::new();
    }
    let pair = |tid: u32| numbers(pid, tid).last().map(|theirs| (*theirs, tid));
    task::ids(pid).into_iter().filter_map(pair).filter(|(theirs, _)| wanted.contains(theirs)).collect()
}

fn space(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/pid")).ok()
}

/// Ours first, that of its own namespace last.
fn numbers(pid: u32, tid: u32) -> Vec<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/task/{tid}/status")).unwrap_or_default();
    let numbers = holders::field(&status, "NSpid").unwrap_or_default();
    numbers.split_whitespace().filter_map(|number| number.parse().ok()).collect()
}
