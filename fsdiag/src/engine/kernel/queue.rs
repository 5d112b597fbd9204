//! The queue: requests that the daemon has not read, held back by `max_background` or for want of a reader.

use fsd_events::op::Op;

use super::{
    Case, age_text, has, label,
    taken::{peer, waits_for},
};
use crate::engine::{
    fact::{BlockedTask, PendingState, Place},
    plural::{count, verb},
    report::{Cause, Confidence, Verdict},
};

impl Case<'_> {
    pub(super) fn held_back(&self) -> Option<Verdict> {
        let held = self.old(PendingState::HeldBack);
        let starved = self.blocked_in(|task| !task.of_daemon && has(task, "fuse_get_req"));
        let first = held.first().map(|(place, _)| *place).or(starved.map(|(place, _)| place))?;
        let taken = self.old(PendingState::InDaemon);
        let (place, oldest) = taken.first()?;
        // Before the daemon has said what it can do, the kernel sends nothing else, however many slots are free.
        if held.is_empty() && oldest.op == Op::Init {
            return None;
        }
        let limit = self.state.max_background.map(|n| format!(" of {n}")).unwrap_or_default();
        let sentence = format!(
            "max_background{limit} is used up by requests that {} does not answer, the oldest {}{}; {} more {} held back in the kernel.",
            self.daemon(),
            label(oldest),
            age_text(oldest.age_us),
            held.len().max(1),
            verb(held.len().max(1), "is", "are")
        );
        let verdict = self.verdict(Cause::PermitExhaustion, Confidence::High, sentence, Some(oldest));
        Some(self.citing(
            verdict,
            &[*place, first],
            &["raise max_background, and find out why those requests are not answered"],
        ))
    }

    pub(super) fn unread(&self) -> Option<Verdict> {
        let queued = self.old(PendingState::Queued);
        let (first, unread) = queued.first()?;
        let taken = self.old(PendingState::InDaemon);
        let (idle, threads) = self.state.readers.map_or((None, 0), |(_, idle, threads)| (Some(idle), threads));
        if idle.is_some_and(|idle| idle > 0) {
            let sentence = format!(
                "{}{} is unread although {} has an idle reader: a fault of kernel or daemon.",
                label(unread),
                age_text(unread.age_us),
                self.daemon()
            );
            let verdict = self.verdict(Cause::UnreadQueue, Confidence::Low, sentence, Some(unread));
            return Some(self.citing(verdict, &[*first], &["look again: a reader that just woke looks idle"]));
        }
        let Some((place, oldest)) = taken.first() else {
            let sentence = format!(
                "{} reads no requests: {} {} queued, the oldest {}{}.",
                self.daemon(),
                queued.len(),
                verb(queued.len(), "is", "are"),
                label(unread),
                age_text(unread.age_us)
            );
            let verdict = self.verdict(Cause::UnreadQueue, Confidence::High, sentence, Some(unread));
            return Some(self.citing(verdict, &[*first], &["see the daemon's threads: none of them reads the device"]));
        };
        let server = || peer(oldest).map(|peer| format!("the server {peer}"));
        let whom = waits_for(oldest).or_else(server).map(|whom| format!(", waiting for {whom}")).unwrap_or_default();
        let sentence = format!(
            "{} has no thread left ({threads} in all): it sits in {}{}{whom}, and {} {} queued unread.{}",
            self.daemon(),
            label(oldest),
            age_text(oldest.age_us),
            count(queued.len(), "more request"),
            verb(queued.len(), "is", "are"),
            self.outside(oldest)
        );
        let known = idle.is_some() && unread.age_us.is_some();
        let confidence = if known { Confidence::Certain } else { Confidence::Medium };
        let verdict = self.verdict(Cause::WorkerStarvation, confidence, sentence, Some(oldest));
        // More threads would wait there, too.
        let more = "give the daemon more threads, and every wait in it a deadline";
        let next = self.elsewhere(oldest).unwrap_or(more);
        Some(self.citing(verdict, &[*place, *first], &[next]))
    }

    fn blocked_in(&self, is_it: impl Fn(&BlockedTask) -> bool) -> Option<(Place, &BlockedTask)> {
        self.state.blocked.iter().find(|(_, task)| is_it(task)).map(|(place, task)| (*place, task))
    }
}
