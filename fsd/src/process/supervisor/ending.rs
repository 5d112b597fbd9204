//! Ending: the mount is taken down, by its worker or from here.

use std::time::{Duration, Instant};

use super::{Supervisor, drain, janitor::Janitor, policy::Cause};
use crate::{
    kernel::mount,
    platform::clock,
    process::{
        exit::{Exit, Failure},
        link::Down,
        worker::longest_end,
    },
};

/// Beyond what a worker's own limits come to: for the machine to be slow.
const GRACE: Duration = Duration::from_secs(5);

/// The mount is being taken down.
pub(super) struct Ending {
    /// When the worker that is to do it was told, or told to abort.
    since: Instant,
    pub(super) aborted: bool,
    pub(super) reason: String,
    /// The worker died meanwhile, and another one goes on.
    pub(super) again: bool,
}

/// How the supervision ends.
pub(super) enum Outcome {
    /// The worker took the mount down, or never had one.
    Worker { code: Option<i32>, said: Option<Failure> },
    /// The mount is taken down from here.
    Ours { exit: Exit, why: String },
}

impl Outcome {
    /// The mount is still there.
    pub(super) fn stuck(why: &str) -> Self {
        Self::Ours { exit: Exit::Mount, why: why.to_owned() }
    }
}

impl Supervisor {
    /// Tells the worker to drain and unmount, or to abort. An abort is not taken back, and has its time from the first.
    pub(super) fn stop(&mut self, abort: bool, reason: &str) {
        let before = self.ending.take();
        let (aborting, again) = before.as_ref().map_or((false, false), |before| (before.aborted, before.again));
        let abort = abort || aborting;
        let since = before.filter(|before| before.aborted == abort).map_or_else(clock::now, |before| before.since);
        self.ending = Some(Ending { since, aborted: abort, reason: reason.to_owned(), again });
        self.respawn = None;
        let told = match &mut self.worker {
            Some(worker) if worker.ready => {
                worker.child.link.send(&Down::Stop { abort, reason: reason.to_owned() }).is_ok()
            }
            // It is told when it serves; whoever cannot wait for that sees it end now.
            Some(worker) => !abort || worker.child.kill(),
            None => false,
        };
        if !told {
            tracing::warn!("no worker to take the mount down");
            if self.worker.is_none() {
                self.begin(Cause::Death);
            }
        }
    }

    /// Tells a worker that has begun to serve, if the mount is being taken down; it has all the time for it again.
    pub(super) fn go_on_ending(&mut self) {
        if let (Some(ending), Some(worker)) = (&mut self.ending, &mut self.worker) {
            ending.since = clock::now();
            let stop = Down::Stop { abort: ending.aborted, reason: ending.reason.clone() };
            // A link that is broken is the end of the worker, which is seen at its pidfd.
            drop(worker.child.link.send(&stop));
        }
    }

    /// Whether the worker has had more time to take the mount down than its own limits give it.
    pub(super) fn ends_too_slowly(&self) -> bool {
        let config = &self.order.config;
        let drain = |ending: &Ending| if ending.aborted { Duration::ZERO } else { config.drain_timeout };
        let limit = |ending: &Ending| drain(ending) + longest_end(config) + GRACE;
        self.ending.as_ref().is_some_and(|ending| clock::now() - ending.since > limit(ending))
    }

    /// Aborts and unmounts from here: there is no worker that could.
    pub(super) fn take_down(&mut self, why: &str) -> Outcome {
        let exit = match &self.mounted {
            None => Exit::Internal,
            Some(mounted) => {
                let mut at_once = |_| true;
                match mount::unmount(mounted.at(), Duration::ZERO, &mut at_once, &mut |_| ()) {
                    Ok(_) => Exit::Aborted,
                    Err(error) => {
                        tracing::error!("{error}");
                        Exit::Mount
                    }
                }
            }
        };
        Outcome::Ours { exit, why: why.to_owned() }
    }

    /// The last act: the janitor goes, and removes the temp files that a worker left which did not end by itself.
    pub(super) fn finish(&mut self, outcome: Outcome) -> Result<Exit, Failure> {
        self.errands.extend(drain::start_last(&self.program.path(), &self.places, &self.presence.run));
        let errands = std::mem::take(&mut self.errands);
        drain::finish(self.writers().chain(errands).collect());
        let in_order = matches!(outcome, Outcome::Worker { code: Some(_), .. });
        let leave = if in_order { Janitor::done } else { Janitor::leave };
        drain::finish(self.janitor.take().and_then(leave).into_iter().collect());
        match outcome {
            Outcome::Worker { said: Some(failure), .. } => Err(failure),
            Outcome::Worker { code, said: None } => match code.and_then(Exit::of) {
                Some(Exit::Done) if self.remade => Ok(Exit::Aborted),
                Some(Exit::Done) => Ok(Exit::Done),
                Some(exit) => Ok(exit),
                None => Err(Exit::Internal.because("the worker died while the mount went down")),
            },
            Outcome::Ours { exit, why } => Err(exit.because(why)),
        }
    }
}
