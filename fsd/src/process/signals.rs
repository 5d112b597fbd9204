//! Signals: received by a thread of their own, so that they work when everything else hangs.

use std::{
    io,
    sync::mpsc::Sender,
    thread::{Builder, JoinHandle},
    time::Duration,
};

use nix::sys::{
    signal::{SigSet, Signal},
    signalfd::{SfdFlags, SignalFd},
};

use super::orders::Order;
use crate::{observe::watchdog, platform::clock};

/// How long a dump may take until nobody looks for it any more.
const DUMP_LIMIT: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);

/// What fsd acts on: INT, TERM and HUP end it, QUIT dumps stacks, USR1 logs the status.
const HEARD: [Signal; 5] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGUSR1];

/// Keeps these signals from killing the process. Call before the first thread starts: threads inherit it.
///
/// # Errors
/// Never on a sane system.
pub(super) fn hold() -> io::Result<()> {
    Ok(heard().thread_block()?)
}

/// Starts the thread that turns signals into orders. QUIT asks the watchdog directly: it needs nobody else.
///
/// # Errors
/// When the thread cannot be started.
pub(super) fn listen(orders: Sender<Order>) -> io::Result<JoinHandle<()>> {
    Builder::new().name("fsd-signals".to_owned()).spawn(move || {
        let heard = heard();
        while let Ok(signal) = heard.wait() {
            let order = match signal {
                Signal::SIGQUIT => {
                    dump(&orders);
                    continue;
                }
                Signal::SIGUSR1 => Order::Report,
                other => Order::Stop { reason: other.as_str().into() },
            };
            if orders.send(order).is_err() {
                return;
            }
        }
    })
}

/// A descriptor that tells of these signals, for a loop that waits for other things too.
///
/// # Errors
/// When the system has no room for another descriptor.
pub(super) fn descriptor() -> io::Result<SignalFd> {
    Ok(SignalFd::with_flags(&heard(), SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?)
}

/// As people write it.
pub(super) fn name(number: i32) -> &'static str {
    Signal::try_from(number).map_or("signal", Signal::as_str)
}

/// Starts the thread of a worker under a supervisor: it takes orders from nobody else, but QUIT and USR1 only look.
///
/// # Errors
/// When the thread cannot be started.
pub(super) fn listen_to_looks(orders: Sender<Order>) -> io::Result<JoinHandle<()>> {
    Builder::new().name("fsd-signals".to_owned()).spawn(move || {
        let heard = heard();
        while let Ok(signal) = heard.wait() {
            let order = match signal {
                Signal::SIGQUIT => {
                    dump(&orders);
                    continue;
                }
                Signal::SIGUSR1 => Order::Report,
                _ => continue,
            };
            if orders.send(order).is_err() {
                return;
            }
        }
    })
}

/// Asks the watchdog for a dump. Where it is tells a thread of its own, so that the next signal is heard meanwhile.
fn dump(orders: &Sender<Order>) {
    let (before, _) = watchdog::last_dump();
    let asked = watchdog::request_dump();
    let orders = orders.clone();
    let tell = move || {
        let until = clock::now() + DUMP_LIMIT;
        let mut made = None;
        while asked && made.is_none() && clock::now() < until {
            std::thread::park_timeout(LOOK);
            made = Some(watchdog::last_dump()).filter(|(count, _)| *count > before);
        }
        // Who takes orders may have gone.
        drop(orders.send(Order::Dumped(made.and_then(|(_, file)| file))));
    };
    drop(Builder::new().name("fsd-dumped".to_owned()).spawn(tell));
}

fn heard() -> SigSet {
    HEARD.into_iter().collect()
}
