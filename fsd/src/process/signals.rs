//! Signals: received by a thread of their own, so that they work when everything else hangs.

use std::{
    io,
    sync::mpsc::Sender,
    thread::{Builder, JoinHandle},
};

use nix::sys::signal::{SigSet, Signal};

use super::orders::Order;

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
                    if crate::observe::watchdog::request_dump() {
                        continue;
                    }
                    Order::Dump
                }
                Signal::SIGUSR1 => Order::Report,
                other => Order::Stop { reason: other.as_str() },
            };
            if orders.send(order).is_err() {
                return;
            }
        }
    })
}

fn heard() -> SigSet {
    HEARD.into_iter().collect()
}
