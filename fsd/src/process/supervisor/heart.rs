//! Heart: whether the worker lives, seen from outside; one that is silent is dumped and replaced.

use std::time::{Duration, Instant};

use super::{
    Supervisor, drain,
    ending::{GRACE, Outcome},
    policy::{self, Cause, Wishes},
};
use crate::{platform::clock, process::exit::Exit};

/// For a worker that takes over to serve; it waits for nobody.
const START_LIMIT: Duration = Duration::from_secs(15);

/// The newest beat, and when it came.
#[derive(Clone, Copy)]
pub(super) struct Beat {
    count: u64,
    pub(super) at: Instant,
}

impl Beat {
    /// Of a worker that starts at `now`.
    pub(super) fn new(now: Instant) -> Self {
        Self { count: 0, at: now }
    }

    /// What is read of it at `now`. A table that nobody can read any more says nothing against a worker: somebody may
    /// have cleaned up, and the next one would be no better off.
    fn hear(&mut self, count: Option<u64>, now: Instant) {
        if count != Some(self.count) {
            *self = Self { count: count.unwrap_or(self.count), at: now };
        }
    }
}

impl Supervisor {
    /// Looks at a worker that has not ended: silent, or too slow with what it is to do.
    pub(super) fn check_heart(&mut self) -> Option<Outcome> {
        let beat = drain::beat(&self.places, &self.presence.run);
        let limit = self.order.config.drain_timeout + GRACE;
        let worker = self.worker.as_mut()?;
        if let Some(ending) = &self.ending
            && (clock::now() - ending.since > limit || ending.aborted && clock::now() - ending.since > GRACE)
        {
            worker.child.kill();
            return Some(self.take_down("the worker did not unmount in time"));
        }
        if !worker.ready {
            // A first worker asks an origin, and has limits of its own.
            if worker.after.is_some() && clock::now() - worker.child.born > START_LIMIT {
                worker.said = Some(Exit::Internal.because("it did not serve in time"));
                return self.buried("killed");
            }
            return None;
        }
        worker.beat.hear(beat, clock::now());
        let config = &self.order.config;
        let stuck = config.replace_after.and_then(|_| {
            let loops = if self.flags.debug_fskit_single_thread { 1 } else { config.threads };
            drain::stuck(&self.places, &self.presence.run, loops)
        });
        let seen = policy::Seen { silent: clock::now() - worker.beat.at, stuck, ..worker.child.seen() };
        let wishes = Wishes { keep_stopped: config.keep_stopped, replace_after: config.replace_after };
        policy::judge(seen, wishes).and_then(|cause| self.replace(cause))
    }

    /// Dumps the worker from outside, kills it, and starts the next. Bounded: half a second each.
    pub(super) fn replace(&mut self, cause: Cause) -> Option<Outcome> {
        match self.dump_worker() {
            Ok(file) => tracing::warn!("the stacks of the worker that goes are in {file}"),
            Err(why) => tracing::warn!("no dump of the worker that goes: {why}"),
        }
        let worker = self.worker.take()?;
        tracing::warn!("replacing worker {}: {}", worker.child.pid(), cause.name());
        self.end_worker(worker.child);
        self.forget_asks();
        self.begin(cause);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heart_is_silent_while_the_same_beat_is_read_and_not_where_none_can_be_read() {
        let start = clock::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut beat = Beat { count: 0, at: start };
        let since = |beat: Beat| (beat.at - start).as_secs();
        beat.hear(Some(7), at(1));
        beat.hear(Some(7), at(9));
        assert_eq!((beat.count, since(beat)), (7, 1));
        beat.hear(None, at(10));
        beat.hear(None, at(20));
        assert_eq!((beat.count, since(beat)), (7, 20));
        beat.hear(Some(7), at(25));
        assert_eq!(since(beat), 20);
    }
}
