//! Heart: whether the worker lives, seen from outside; one that is silent is dumped and replaced.

use std::time::{Duration, Instant};

use super::{
    Supervisor, drain,
    ending::Outcome,
    policy::{self, Cause, Wishes},
};
use crate::{platform::clock, process::exit::Exit};

/// For a worker that takes over to serve; it waits for nobody.
const START_LIMIT: Duration = Duration::from_secs(15);

/// Of a time longer than this in which nobody looked, nothing is said: whatever held the supervisor up, held the worker.
const BLIND: Duration = Duration::from_secs(2);

/// The newest beat.
#[derive(Clone, Copy)]
pub(super) struct Beat {
    count: u64,
    /// Since when it could have come and did not.
    at: Instant,
    looked: Instant,
}

impl Beat {
    /// Of a worker that starts at `now`.
    pub(super) fn new(now: Instant) -> Self {
        Self { count: 0, at: now, looked: now }
    }

    /// For how long it has been silent at `now`, when `count` is read of it; not while the worker is `held` on purpose.
    /// A table that nobody can read any more says nothing against a worker: somebody may have cleaned up, and the next
    /// one would be no better off.
    fn hear(&mut self, count: Option<u64>, held: bool, now: Instant) -> Duration {
        let blind = now - self.looked > BLIND;
        self.looked = now;
        if held || blind || count != Some(self.count) {
            (self.count, self.at) = (count.unwrap_or(self.count), now);
        }
        now - self.at
    }
}

impl Supervisor {
    /// Looks at a worker that has not ended: silent, or too slow with what it is to do.
    pub(super) fn check_heart(&mut self) -> Option<Outcome> {
        let beat = drain::beat(&self.places, &self.presence.run);
        let late = self.ends_too_slowly();
        let worker = self.worker.as_mut()?;
        if late {
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
        let config = &self.order.config;
        let stuck = config.replace_after.and_then(|_| {
            let loops = if self.flags.debug_fskit_single_thread { 1 } else { config.threads };
            drain::stuck(&self.places, &self.presence.run, loops)
        });
        let wishes = Wishes { keep_stopped: config.keep_stopped, replace_after: config.replace_after };
        let seen = worker.child.seen();
        let silent = worker.beat.hear(beat, seen.is_held(wishes), clock::now());
        let seen = policy::Seen { silent, stuck, ..seen };
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
        self.backoff.lived(self.life(worker.ready, worker.child.born));
        self.end_worker(worker.child);
        self.forget_asks();
        self.begin(cause);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is heard at these seconds, and for how long the heart is silent then.
    fn silences(looks: impl IntoIterator<Item = (u64, Option<u64>, bool)>) -> Vec<u64> {
        let start = clock::now();
        let mut beat = Beat::new(start);
        let silence = |(at, count, held)| beat.hear(count, held, start + Duration::from_secs(at)).as_secs();
        looks.into_iter().map(silence).collect()
    }

    #[test]
    fn a_heart_is_silent_while_the_same_beat_is_read_and_not_where_none_can_be_read() {
        assert_eq!(silences([(1, Some(7), false), (2, Some(7), false), (4, Some(7), false)]), [0, 1, 3]);
        assert_eq!(
            silences([(1, Some(7), false), (2, None, false), (3, None, false), (4, Some(7), false)]),
            [0, 0, 0, 1]
        );
    }

    #[test]
    fn who_was_held_on_purpose_has_its_whole_time_when_it_is_let_go() {
        let held = (1..60).map(|at| (at, Some(7), at < 40));
        assert_eq!(silences(held).into_iter().max(), Some(20));
    }

    /// As when everything is frozen and thawed, and the supervisor is the first to wake.
    #[test]
    fn what_happened_while_nobody_looked_is_held_against_nobody() {
        assert_eq!(
            silences([(1, Some(7), false), (2, Some(7), false), (60, Some(7), false), (61, Some(7), false)]),
            [0, 1, 0, 1]
        );
    }
}
