//! When a worker is replaced: pure, so that every case can be tested without a process.

use std::time::Duration;

/// A worker that does not beat for so long is replaced.
pub(super) const BEAT_LIMIT: Duration = Duration::from_secs(10);
/// A worker that lived for less and answered nobody is respawned with a growing pause.
const SHORT_LIFE: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Between the starts of workers that served, in the long run: a start takes about half of it.
const BETWEEN_STARTS: Duration = Duration::from_millis(25);
/// As many starts as fit in here may follow each other without a pause.
const CREDIT: Duration = Duration::from_secs(1);

/// Why a worker is replaced; the words of the `handover` event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    Death,
    MissedBeats,
    Restart,
    Upgrade,
    /// It beats, and serves nobody (`replace_after`).
    ServesNothing,
    SupervisorLost,
}

impl Cause {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Death => "death",
            Self::MissedBeats => "missed_beats",
            Self::Restart => "restart",
            Self::Upgrade => "upgrade",
            Self::ServesNothing => "serves_nothing",
            Self::SupervisorLost => "supervisor_lost",
        }
    }
}

/// What is seen of a worker at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// For how long its heart could have beaten and did not.
    pub(super) silent: Duration,
    /// A debugger holds it.
    pub(super) traced: bool,
    /// Its cgroup is frozen: a person or the system put it to sleep on purpose.
    pub(super) frozen: bool,
    /// SIGSTOP.
    pub(super) stopped: bool,
    /// All loops in one request each, requests waiting in the kernel, for so long.
    pub(super) stuck: Option<Duration>,
}

/// What the user wished for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wishes {
    /// A worker stopped by a person stays.
    pub(super) keep_stopped: bool,
    /// Replace a worker that beats but serves nothing for so long.
    pub(super) replace_after: Option<Duration>,
}

impl Seen {
    /// Somebody holds it on purpose, and it cannot beat.
    pub(super) fn is_held(self, wishes: Wishes) -> bool {
        self.traced || self.frozen || (self.stopped && wishes.keep_stopped)
    }
}

/// Whether a living worker must go, and why.
pub(super) fn judge(seen: Seen, wishes: Wishes) -> Option<Cause> {
    if seen.is_held(wishes) {
        return None;
    }
    if seen.silent >= BEAT_LIMIT {
        return Some(Cause::MissedBeats);
    }
    match (seen.stuck, wishes.replace_after) {
        (Some(stuck), Some(limit)) if stuck >= limit => Some(Cause::ServesNothing),
        _ => None,
    }
}

/// How long to wait before the next worker: hardly, unless workers keep dying before they have served anybody.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    young_deaths: u32,
    /// What the next starts may use up.
    credit: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { young_deaths: 0, credit: CREDIT }
    }
}

/// A worker's life, from its start to its death.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    pub(super) length: Duration,
    /// It answered somebody: whatever killed it, the next one is worth its start.
    pub(super) served: bool,
}

impl Backoff {
    /// The pause before the next worker. One that served is followed at once, but in the long run no two start closer
    /// together than 25 ms: a request that kills whoever reads it must not take a whole processor.
    pub(super) fn after(&mut self, life: Life) -> Duration {
        let credit = (self.credit + life.length).min(CREDIT);
        if self.lived(life) {
            self.credit = credit.saturating_sub(BETWEEN_STARTS);
            return BETWEEN_STARTS.saturating_sub(credit);
        }
        self.credit = credit;
        let pause = FIRST_PAUSE * 2_u32.saturating_pow(self.young_deaths.min(16));
        self.young_deaths += 1;
        pause.min(LONGEST_PAUSE)
    }

    /// One that was of use ends the row of those that were not, however it ends itself. True: it was.
    pub(super) fn lived(&mut self, life: Life) -> bool {
        let of_use = life.served || life.length >= SHORT_LIFE;
        if of_use {
            self.young_deaths = 0;
        }
        of_use
    }

    /// Workers that died before they served, one after another.
    pub(super) fn young_deaths(self) -> u32 {
        self.young_deaths
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn silent(seconds: u64) -> Seen {
        Seen { silent: Duration::from_secs(seconds), ..Seen::default() }
    }

    #[test]
    fn a_silent_worker_is_replaced_unless_somebody_holds_it_on_purpose() {
        let wishes = Wishes::default();
        assert_eq!(judge(silent(9), wishes), None);
        assert_eq!(judge(silent(10), wishes), Some(Cause::MissedBeats));
        assert_eq!(judge(Seen { traced: true, ..silent(60) }, wishes), None);
        assert_eq!(judge(Seen { frozen: true, ..silent(60) }, wishes), None);
        assert_eq!(judge(Seen { stopped: true, ..silent(60) }, wishes), Some(Cause::MissedBeats));
        let keep = Wishes { keep_stopped: true, ..wishes };
        assert_eq!(judge(Seen { stopped: true, ..silent(60) }, keep), None);
    }

    #[test]
    fn a_worker_that_beats_but_serves_nothing_goes_only_on_request() {
        let stuck = Seen { stuck: Some(Duration::from_secs(40)), ..silent(1) };
        assert_eq!(judge(stuck, Wishes::default()), None);
        let wishes = Wishes { replace_after: Some(Duration::from_secs(30)), ..Wishes::default() };
        assert_eq!(judge(stuck, wishes), Some(Cause::ServesNothing));
    }

    #[test]
    fn workers_that_die_young_come_back_ever_more_slowly() {
        let mut backoff = Backoff::default();
        let life = |ms: u64, served: bool| Life { length: Duration::from_millis(ms), served };
        let pauses: Vec<_> = (0..4).map(|_| backoff.after(life(5, false)).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800]);
        assert_eq!(backoff.after(life(60_000, false)), Duration::ZERO);
        assert_eq!(backoff.after(life(0, false)).as_millis(), 100);
        assert!((0..40).all(|_| backoff.after(life(0, false)) <= LONGEST_PAUSE));
    }

    #[test]
    fn a_worker_that_lived_and_was_replaced_ends_the_row_of_young_deaths_too() {
        let mut backoff = Backoff::default();
        let life = |ms: u64| Life { length: Duration::from_millis(ms), served: false };
        assert!((0..7).map(|_| backoff.after(life(0))).count() == 7 && !backoff.lived(life(10)));
        assert_eq!(backoff.young_deaths(), 7);
        assert!(backoff.lived(life(60_000)));
        assert_eq!((backoff.young_deaths(), backoff.after(life(0)).as_millis()), (0, 100));
    }

    #[test]
    fn a_worker_that_served_is_followed_at_once_however_often_that_happens() {
        let mut backoff = Backoff::default();
        let life = |ms: u64| Life { length: Duration::from_millis(ms), served: true };
        assert!((0..100).all(|_| backoff.after(life(50)).is_zero()));
        // Some at once, and from then on forty a second.
        assert!((0..39).all(|_| backoff.after(life(0)).is_zero()));
        assert_eq!(backoff.after(life(10)).as_millis(), 15);
        assert_eq!(backoff.after(life(0)).as_millis(), 25);
        assert_eq!(backoff.young_deaths(), 0);
    }
}
