//! The judge: whether what the watchdog sees is a stall. Pure; time comes in as a number.

/// What one look found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Look {
    /// Monotonic microseconds.
    pub(super) now_us: u64,
    /// Age of the oldest operation that a client waits for; None when there is none.
    pub(super) oldest_us: Option<u64>,
    /// Operations in flight.
    pub(super) inflight: u64,
    /// Requests that the kernel has not got an answer to; None when unknown.
    pub(super) kernel_waiting: Option<u64>,
    /// Operations entered so far: it rises while the daemon reads requests.
    pub(super) entered: u64,
}

/// What the look means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Quiet,
    /// A stall episode begins.
    Begins,
    /// It goes on, and it is time for another dump.
    DumpAgain {
        repeat: u32,
    },
    GoesOn,
    Ends,
}

/// The first pause between two dumps of an episode; each is twice the one before.
const FIRST_PAUSE_US: u64 = 60_000_000;
const LONGEST_PAUSE_US: u64 = 960_000_000;

/// Keeps the episode.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judge {
    stalled_after_us: u64,
    episode: Option<Episode>,
    /// Since when the kernel holds requests that nobody reads, and how many had been entered then.
    unread: Option<(u64, u64)>,
}

#[derive(Clone, Copy, Debug)]
struct Episode {
    dumps: u32,
    pause_us: u64,
    next_us: u64,
}

impl Judge {
    pub(super) fn new(stalled_after_us: u64) -> Self {
        Self { stalled_after_us, episode: None, unread: None }
    }

    pub(super) fn look(&mut self, look: &Look) -> Verdict {
        let stalled = look.oldest_us.is_some_and(|us| us >= self.stalled_after_us) | self.unread_for_long(look);
        match (&mut self.episode, stalled) {
            (None, false) => Verdict::Quiet,
            (None, true) => {
                let next_us = look.now_us + FIRST_PAUSE_US;
                self.episode = Some(Episode { dumps: 1, pause_us: FIRST_PAUSE_US, next_us });
                Verdict::Begins
            }
            (Some(episode), true) if look.now_us >= episode.next_us => {
                episode.pause_us = (episode.pause_us * 2).min(LONGEST_PAUSE_US);
                episode.next_us = look.now_us + episode.pause_us;
                episode.dumps += 1;
                Verdict::DumpAgain { repeat: episode.dumps - 1 }
            }
            (Some(_), true) => Verdict::GoesOn,
            (Some(_), false) => {
                self.episode = None;
                Verdict::Ends
            }
        }
    }

    /// The kernel holds more requests than are in flight here, and not one has been read for as long as a stall takes.
    fn unread_for_long(&mut self, look: &Look) -> bool {
        if look.kernel_waiting.is_none_or(|waiting| waiting <= look.inflight) {
            self.unread = None;
            return false;
        }
        match self.unread {
            Some((since_us, entered)) if entered == look.entered => {
                look.now_us.saturating_sub(since_us) >= self.stalled_after_us
            }
            _ => {
                self.unread = Some((look.now_us, look.entered));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000;

    fn look(now_s: u64, oldest_s: Option<u64>) -> Look {
        Look { now_us: now_s * S, oldest_us: oldest_s.map(|s| s * S), ..Look::default() }
    }

    #[test]
    fn an_episode_begins_once_and_ends_once() {
        let mut judge = Judge::new(10 * S);
        assert_eq!(judge.look(&look(8, Some(8))), Verdict::Quiet);
        assert_eq!(judge.look(&look(10, Some(10))), Verdict::Begins);
        assert_eq!(judge.look(&look(12, Some(12))), Verdict::GoesOn);
        assert_eq!(judge.look(&look(14, Some(1))), Verdict::Ends);
        assert_eq!(judge.look(&look(16, None)), Verdict::Quiet);
    }

    #[test]
    fn an_episode_that_lasts_is_dumped_again_with_growing_pauses() {
        let mut judge = Judge::new(10 * S);
        let dumps: Vec<u64> = (0..2000)
            .map(|n| n * 2)
            .filter(|s| matches!(judge.look(&look(*s, Some(*s))), Verdict::Begins | Verdict::DumpAgain { .. }))
            .collect();
        assert_eq!(dumps, [10, 70, 190, 430, 910, 1870, 2830, 3790]);
    }

    #[test]
    fn requests_that_nobody_reads_are_a_stall_though_none_is_in_flight() {
        let mut judge = Judge::new(10 * S);
        let unread = |now_s, entered| Look { kernel_waiting: Some(3), entered, ..look(now_s, None) };
        assert_eq!(judge.look(&unread(0, 7)), Verdict::Quiet);
        assert_eq!(judge.look(&unread(8, 8)), Verdict::Quiet, "one was read meanwhile");
        assert_eq!(judge.look(&unread(16, 8)), Verdict::Quiet);
        assert_eq!(judge.look(&unread(18, 8)), Verdict::Begins);
        assert_eq!(judge.look(&unread(20, 9)), Verdict::Ends);
    }

    #[test]
    fn what_is_unknown_is_no_stall() {
        let mut judge = Judge::new(10 * S);
        assert_eq!((0..100).map(|s| judge.look(&look(s, None))).find(|v| *v != Verdict::Quiet), None);
    }
}
