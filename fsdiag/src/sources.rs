//! Where observations come from: files that grow, rings in shared memory, sockets, other processes, the kernel.

pub mod blocks;
pub mod control;
mod copies;
pub mod file;
pub mod follow;
mod frames;
pub mod kernel;
pub mod lines;
mod links;
pub mod owned;
pub mod ptrace;
pub mod rings;
mod sealed;
pub mod tables;
mod wide;

/// Waits that long for nothing: the pace of those who look again and again.
pub fn pause(milliseconds: u64) {
    let (_sender, receiver) = std::sync::mpsc::channel::<()>();
    let _ = receiver.recv_timeout(std::time::Duration::from_millis(milliseconds));
}

/// The wall clock, microseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "this is the clock module of fsdiag")]
pub fn wall_us() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX))
}
