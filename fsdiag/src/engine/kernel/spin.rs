//! Spin: a thread of the daemon runs all the time while a request is unanswered.

use super::{Case, age_text, culprit, label};
use crate::engine::{
    fact::PendingState,
    report::{Cause, Confidence, Culprit, Verdict},
};

/// Who runs for so long without a pause is not just answering.
const LONG_BURN_US: u64 = 2_000_000;

impl Case<'_> {
    /// None of those that could serve it may wait for somebody else.
    pub(super) fn spins(&self) -> Option<Verdict> {
        let (place, daemon) = self.state.daemon.as_ref()?;
        let burns = daemon.burning.as_ref()?;
        let (first, oldest) = self.oldest()?;
        // Where a running thread was when it was looked at is no wait.
        let waits =
            oldest.server.as_ref().is_some_and(|server| server.thread != burns.thread) || daemon.awaits.is_some();
        if waits || oldest.state == PendingState::Queued && self.idle_readers() {
            return None;
        }
        let sentence = format!(
            "{} is unanswered{}, and {} of {} ran for {} % of the last {:.1} s: it spins, or is busy with that for long.",
            label(oldest),
            age_text(oldest.age_us),
            burns.thread,
            self.daemon(),
            burns.percent,
            burns.over_us as f64 / 1e6,
        );
        // Busy is not stuck: a moment proves little.
        let confidence = if burns.over_us >= LONG_BURN_US { Confidence::Medium } else { Confidence::Low };
        let verdict = self.verdict(Cause::Spin, confidence, sentence, Some(oldest));
        let culprit = Culprit { thread: Some(burns.thread.to_string()), ..culprit(oldest) };
        let verdict = Verdict { culprit: Some(culprit), ..verdict };
        Some(self.citing(
            verdict,
            &[*first, *place],
            &["watch it longer (fsdiag attach --for 10), and take two stack dumps: the same code in both is a loop"],
        ))
    }

    fn idle_readers(&self) -> bool {
        self.state.readers.is_some_and(|(_, idle, _)| idle > 0)
    }
}
