//! Idle: connections whose answer has come whole, kept for the next request.

use std::{
    io,
    time::{Duration, Instant},
};

use tokio::net::TcpStream;

use crate::{
    observe::locks::{Class, Mutex, Rank},
    platform::clock,
};

static IDLE: Class = Class::new("idle_connections", Rank::Usage);

/// Connections that are kept for one host, and how long.
const MOST: usize = 32;
const LONGEST: Duration = Duration::from_secs(60);

/// Name or address, without brackets, and port.
pub(super) type Host = (Box<str>, u16);

struct Kept {
    host: Host,
    socket: TcpStream,
    since: Instant,
}

pub(super) struct Idle {
    kept: Mutex<Vec<Kept>>,
}

impl Default for Idle {
    fn default() -> Self {
        Self { kept: Mutex::new(&IDLE, Vec::new()) }
    }
}

impl Idle {
    /// The connection to `host` that was used last, if it is still open.
    pub(super) fn take(&self, host: &Host) -> Option<TcpStream> {
        loop {
            let (old, found) = {
                let mut kept = self.kept.lock();
                let old = too_old(&mut kept);
                let at = kept.iter().rposition(|one| one.host == *host);
                (old, at.map(|at| kept.remove(at)))
            };
            // Sockets are closed without the lock.
            drop(old);
            let socket = found?.socket;
            if is_silent(&socket) {
                return Some(socket);
            }
        }
    }

    /// Closes the connections to `host`: one of them has fallen silent, and whatever did that did it to all.
    pub(super) fn forget(&self, host: &Host) {
        let gone: Vec<_> = self.kept.lock().extract_if(.., |one| one.host == *host).collect();
        drop(gone);
    }

    pub(super) fn keep(&self, host: Host, socket: TcpStream) {
        let one = Kept { host, socket, since: clock::now() };
        let surplus = {
            let mut kept = self.kept.lock();
            let mut surplus = too_old(&mut kept);
            if kept.iter().filter(|other| other.host == one.host).count() < MOST {
                kept.push(one);
            } else {
                surplus.push(one);
            }
            surplus
        };
        drop(surplus);
    }
}

fn too_old(kept: &mut Vec<Kept>) -> Vec<Kept> {
    let now = clock::now();
    kept.extract_if(.., |one| now.duration_since(one.since) > LONGEST).collect()
}

/// Neither closed by the other end nor with bytes that nobody asked for.
fn is_silent(socket: &TcpStream) -> bool {
    matches!(socket.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}
