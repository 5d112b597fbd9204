//! The daemon's own waits: it stands in its own mount, in its own cache invalidation, or stopped altogether.

use super::{Case, age_text, has, label, thread};
use crate::engine::{
    fact::{BlockedTask, Place},
    plural::{count, verb},
    report::{Cause, Confidence, Culprit, Verdict},
};

/// A thread of the daemon that waits, where it was seen, and how sure that is a hang.
type OwnWait<'t> = (Place, &'t BlockedTask, Confidence);

impl Case<'_> {
    pub(super) fn reverse_notify(&self) -> Option<Verdict> {
        let found = self.own_wait(|task| has(task, "fuse_reverse_inval"))?;
        let doing = [
            "is stuck in its own cache invalidation",
            "the kernel waits there for a page or directory that an unanswered request of the same mount holds",
        ];
        let advice = "never invalidate from a thread that serves requests, nor under a lock they need";
        Some(self.waits_itself(Cause::ReverseNotify, found, doing, advice))
    }

    pub(super) fn self_access(&self) -> Option<Verdict> {
        let found = self.own_wait(|task| !has(task, "fuse_dev_do"))?;
        let doing = ["uses its own mount and waits there", "the daemon waits for itself"];
        let advice = "keep caches, logs, cores and the working directory of the daemon off its mount";
        Some(self.waits_itself(Cause::SelfAccess, found, doing, advice))
    }

    /// What a thread of the daemon's own does, for how long, and what that means.
    fn waits_itself(&self, cause: Cause, found: OwnWait<'_>, [doing, meaning]: [&str; 2], advice: &str) -> Verdict {
        let (place, task, confidence) = found;
        let (daemon, age) = (self.daemon(), age_text(task.blocked_us));
        let sentence = format!("Thread {} of {daemon} {doing}{age}: {meaning}.", task.pid);
        let verdict = Verdict { culprit: Some(thread(task)), ..self.verdict(cause, confidence, sentence, None) };
        self.citing(verdict, &[place], &[advice])
    }

    pub(super) fn stopped(&self) -> Option<Verdict> {
        let (place, daemon) = self.state.daemon.as_ref().filter(|(_, d)| d.stopped)?;
        let oldest = self.oldest()?;
        let sentence = format!(
            "{} is stopped by a signal or a debugger; {} {}, the oldest {}{}.",
            self.daemon(),
            count(self.state.pending.len(), "request"),
            verb(self.state.pending.len(), "waits", "wait"),
            label(&oldest.1),
            age_text(oldest.1.age_us)
        );
        let verdict = self.verdict(Cause::UnreadQueue, Confidence::Certain, sentence, None);
        let process =
            Culprit { thread: Some(format!("process {} ({})", daemon.pid, daemon.comm)), ..Culprit::default() };
        let verdict = Verdict { culprit: Some(process), ..verdict };
        Some(self.citing(verdict, &[*place, oldest.0], &["let it run again: kill -CONT, or leave the debugger"]))
    }

    /// A wait of the daemon's own: healthy daemons have them for a moment, and without a clock it may be one.
    fn own_wait(&self, is_it: impl Fn(&BlockedTask) -> bool) -> Option<OwnWait<'_>> {
        let own = self.state.blocked.iter().filter(|(_, task)| task.of_daemon && is_it(task));
        let old = own.filter(|(_, task)| task.blocked_us.is_none_or(|us| us >= self.stalled_us));
        let (place, task) = old.max_by_key(|(_, task)| task.blocked_us)?;
        Some((*place, task, if task.blocked_us.is_some() { Confidence::Certain } else { Confidence::Medium }))
    }
}
