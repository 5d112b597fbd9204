//! Shutdown: drain, unmount, close, stop the observers; each step bounded, the watchdog last but one.

use std::{
    sync::Arc,
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::Duration,
};

use super::Running;
use crate::{
    kernel::mount::{self, Holder, Step, Unmounted},
    observe::{journal, watchdog},
    platform::clock,
    process::{
        config::Config,
        exit::{Exit, Failure},
        orders::Order,
    },
};

/// For the loops to end once the connection is gone.
const SESSION_LIMIT: Duration = Duration::from_secs(5);
/// For tasks of the runtime that do not end by themselves.
const RUNTIME_LIMIT: Duration = Duration::from_secs(2);
/// Beyond the limit of one close: for those that the reaper has.
const REAP_LIMIT: Duration = Duration::from_secs(5);

/// The longest that it takes when nobody waits for open files any more: the sum of the limits of its steps.
pub(in crate::process) fn longest(config: &Config) -> Duration {
    let closes = SESSION_LIMIT + config.close_timeout + REAP_LIMIT + RUNTIME_LIMIT;
    mount::ABORT_LIMIT + closes + watchdog::PATIENCE + 2 * journal::PATIENCE
}

/// Takes the mount down.
///
/// # Errors
/// When it is still mounted in the end.
pub(super) fn run(running: Running, config: &Config, order: Order) -> Result<Exit, Failure> {
    let Running { places, recorder, watchdog, mount: live } = running;
    tracing::info!("{}", words(&order));
    live.fs.drain();
    let limit = if order == Order::Abort { Duration::ZERO } else { config.drain_timeout };
    let at = live.mounted.at().clone();
    let mut pause = pause(&live.orders.1, order == Order::Abort);
    let ended = mount::unmount(&at, limit, &mut pause, &mut say);
    if !live.session.join(SESSION_LIMIT) {
        tracing::warn!("the session's threads did not end: some request is still being served");
    }
    let closed = live.fs.close_all();
    drop(live.mounted);
    let deadline = clock::now() + config.close_timeout + REAP_LIMIT;
    if !live.runtime.block_on(live.closer.drain(deadline)) {
        tracing::warn!("{} of {closed} stores did not close in time", live.closer.closing() + live.closer.reaping());
    }
    live.runtime.shutdown_timeout(RUNTIME_LIMIT);
    drop(live.fs);
    watchdog.stop();
    // A client that is being served may hold the recorder a moment longer; the file is complete either way.
    recorder.flush();
    if let Some(recorder) = Arc::into_inner(recorder) {
        recorder.stop(order.reason());
    }
    drop(places);
    match ended {
        Ok(how) => {
            tracing::info!("{} is unmounted", at.dir.display());
            Ok(exit(how))
        }
        Err(error) => Err(Exit::Mount.because(error.to_string())),
    }
}

fn words(order: &Order) -> String {
    match order {
        Order::Stop { reason } => format!("{reason}: unmounting, waiting for open files; a second one aborts"),
        Order::Ended => "somebody else has ended the mount".to_owned(),
        _ => "aborting the connection and unmounting".to_owned(),
    }
}

/// Waits between two attempts; true: a second order came, so do not wait any longer.
fn pause(orders: &Receiver<Order>, hurry: bool) -> impl FnMut(Duration) -> bool {
    move |wait| match orders.recv_timeout(wait) {
        Ok(Order::Stop { .. } | Order::Abort) => true,
        Ok(Order::Dumped(_) | Order::Report | Order::Ended | Order::Orphaned | Order::Succeed { .. })
        | Err(RecvTimeoutError::Timeout) => hurry,
        Err(RecvTimeoutError::Disconnected) => true,
    }
}

fn say(step: Step) {
    match step {
        Step::Busy(holders) if holders.is_empty() => tracing::warn!("the mount is busy"),
        Step::Busy(holders) => tracing::warn!("the mount is busy: {}", list(&holders)),
        Step::Aborting => tracing::warn!("aborting the connection: requests in flight fail now"),
        Step::Detaching => tracing::warn!("still in use: taking the mount out of the tree"),
    }
}

fn list(holders: &[Holder]) -> String {
    let each = |h: &Holder| format!("{} (pid {}) has {}", h.name, h.pid, h.what);
    holders.iter().map(each).collect::<Vec<_>>().join(", ")
}

fn exit(how: Unmounted) -> Exit {
    match how {
        Unmounted::Gone | Unmounted::Clean => Exit::Done,
        Unmounted::Aborted | Unmounted::Detached => Exit::Aborted,
    }
}
