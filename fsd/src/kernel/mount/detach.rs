//! Detaching: drain first, then abort, then out of the tree; each step checked in mountinfo.

use std::{path::PathBuf, time::Duration};

use crate::platform::{
    clock,
    mounting::{self, How},
};

use super::{At, Holder, control, helper::helper_unmount, holders::holders};

const EVERY: Duration = Duration::from_millis(250);
/// After an abort the holders' next call fails; most of them let go at once.
const AFTER_ABORT: u32 = 4;
/// Between the abort and the end of an unmount, where the machine has time for it.
pub const ABORT_LIMIT: Duration = EVERY.saturating_mul(AFTER_ABORT);

/// Steps of an unmount that a person should hear of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Busy; said once, and again when the holders change.
    Busy(Vec<Holder>),
    /// The connection is being aborted: readers get errors now.
    Aborting,
    /// Taken out of the tree although still in use.
    Detaching,
}

/// How a mount ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmounted {
    /// It was not there any more.
    Gone,
    /// Nobody used it any more.
    Clean,
    /// The connection was aborted first.
    Aborted,
    /// Still in use somewhere, but gone from the tree; the connection is aborted.
    Detached,
}

#[derive(Debug, thiserror::Error)]
pub enum UnmountError {
    #[error("{dir} is still mounted: {why}; run umount -l {dir}")]
    Still { dir: PathBuf, why: String },
}

/// Unmounts: tries every 250 ms until `limit`, then aborts the connection, then detaches; checked in mountinfo.
///
/// `pause` waits for the given time and returns true if it must go at once (a second signal); `report` hears of
/// every step.
///
/// # Errors
/// When the mount is still there after all that.
pub fn unmount(
    at: &At,
    limit: Duration,
    pause: &mut dyn FnMut(Duration) -> bool,
    report: &mut dyn FnMut(Step),
) -> Result<Unmounted, UnmountError> {
    if !at.is_mounted() {
        return Ok(Unmounted::Gone);
    }
    if drained(at, limit, pause, report) {
        return Ok(Unmounted::Clean);
    }
    report(Step::Aborting);
    abort(at);
    for _ in 0..AFTER_ABORT {
        if attempt(at) {
            return Ok(Unmounted::Aborted);
        }
        pause(EVERY);
    }
    report(Step::Detaching);
    let detached = detach(at);
    let there = at.seen().unwrap_or(detached.is_err());
    let why = detached.err().unwrap_or_else(|| "it came back".to_owned());
    if there { Err(UnmountError::Still { dir: at.dir.clone(), why }) } else { Ok(Unmounted::Detached) }
}

fn drained(at: &At, limit: Duration, pause: &mut dyn FnMut(Duration) -> bool, report: &mut dyn FnMut(Step)) -> bool {
    let deadline = clock::now() + limit;
    let mut told: Option<Vec<u32>> = None;
    loop {
        if attempt(at) {
            return true;
        }
        let busy = holders(&at.dir);
        let pids: Vec<u32> = busy.iter().map(|holder| holder.pid).collect();
        if told.as_ref() != Some(&pids) {
            told = Some(pids);
            report(Step::Busy(busy));
        }
        let left = deadline.saturating_duration_since(clock::now());
        if left.is_zero() || pause(left.min(EVERY)) {
            return false;
        }
    }
}

/// One try; true when it is gone.
fn attempt(at: &At) -> bool {
    // The error is "busy", or the mount is gone already: mountinfo tells which, where it can be read.
    let done =
        if at.helper { helper_unmount(&at.dir, false).is_ok() } else { mounting::unmount(&at.dir, How::Plain).is_ok() };
    at.seen().map_or(done, |there| !there)
}

fn abort(at: &At) {
    if control::abort(at).is_err() && !at.helper {
        // Says "busy" and aborts all the same.
        drop(mounting::unmount(&at.dir, How::Force));
    }
}

fn detach(at: &At) -> Result<(), String> {
    if at.helper {
        helper_unmount(&at.dir, true)
    } else {
        mounting::unmount(&at.dir, How::Detach).map_err(|error| error.to_string())
    }
}
