//! Takeover: a mount that outlives its processes, and nobody who uses it notices.

mod between;
mod clients;
mod downloads;
mod heals;
mod kills;
mod listings;
mod old_kernels;
mod restarts;
mod roles;
mod silent;
mod standby;
mod state;

use std::{path::PathBuf, thread::JoinHandle, time::Duration};

use fsd_events::{layout, presence::Presence};
use nix::{sys::signal::Signal, unistd::Pid};

use super::support::*;

const MIB: u64 = 1 << 20;

/// The longest that a client may wait on a loaded machine with two processors; on an idle one it is far less.
const PATIENCE: Duration = Duration::from_secs(15);

/// What the mount says of itself in `mount.json`, without asking anybody.
fn presence(mounted: &Mounted) -> Option<Presence> {
    serde_json::from_slice(&std::fs::read(mounted.runtime().join(layout::MOUNT_FILE)).ok()?).ok()
}

pub(crate) fn worker(mounted: &Mounted) -> u32 {
    presence(mounted).map_or(0, |presence| presence.pid)
}

/// Waits for another worker than `old`; gives how long that took.
pub(crate) fn await_successor(mounted: &Mounted, old: u32) -> Duration {
    let start = now();
    while matches!(worker(mounted), pid if pid == old || pid == 0) {
        assert!(now() - start < 3 * SOON, "no worker after {old}: {}", mounted.messages());
        std::thread::park_timeout(Duration::from_millis(1));
    }
    now() - start
}

pub(crate) fn send(pid: u32, signal: Signal) {
    nix::sys::signal::kill(Pid::from_raw(pid.cast_signed()), signal).unwrap();
}

fn in_background<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    std::thread::Builder::new().name("client".into()).spawn(work).unwrap()
}

/// How often something is repeated: what the tests take on every change, or as many as the variable says.
fn times(variable: &str, usual: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Waits until `count` hand-overs for that cause are in the record, each at the end of the run that ended so. Their
/// drains sync to a disk that others may keep busy.
fn await_handovers(mounted: &Mounted, cause: &str, count: usize) {
    let until = now() + 3 * SOON;
    let seen = || all_runs(mounted).iter().filter(|e| e["ev"] == "handover" && e["cause"] == cause).count();
    while seen() < count {
        assert!(now() < until, "{} of {count} hand-overs: {}", seen(), mounted.messages());
        std::thread::park_timeout(Duration::from_millis(50));
    }
    assert_eq!(seen(), count);
}

/// Every event of every run of the mount, in order of time.
fn all_runs(mounted: &Mounted) -> Vec<serde_json::Value> {
    let state = mounted.events().parent().map(PathBuf::from).unwrap_or_default();
    let runs = files(&state).into_iter().filter(|file| {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.starts_with("events-") && name.ends_with(".jsonl")
    });
    let mut record: Vec<_> = runs.flat_map(|file| events(&file)).collect();
    record.sort_by_key(|event| event["mono_us"].as_u64());
    record
}
