//! Doubt: where the kernel sends nothing again, a request that the dead worker had read and not yet recorded is lost.
//! The new worker answers all that were recorded; then what the kernel counts is compared with what is known.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use fsd_unwind::procfs;

use super::{Handed, Supervisor, drain, ending::Outcome, life::NO_RESEND};
use crate::{
    kernel::{fuse::LOOP_NAMES, mount},
    platform::clock,
};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);
/// Looks in a row that must agree. That nothing is lost is seen sooner: what is on its way only ever adds.
const LOST: u32 = 20;
const NONE_LOST: u32 = 3;

/// After a hand-over, until it is known whether everybody will be answered.
pub(super) struct Doubt {
    handed: Handed,
    looked: Instant,
    lost: u32,
    none: u32,
}

/// What one look saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// More requests than are known, while a loop waits for one: nobody has them.
    Lost(u64),
    None,
    /// Something changed meanwhile, or nobody can count.
    Nothing,
}

impl Doubt {
    pub(super) fn new(handed: Handed) -> Self {
        Self { handed, looked: clock::now(), lost: 0, none: 0 }
    }

    /// Until the next look: those that come right after each other see the same request on its way.
    pub(super) fn rest(&self) -> Duration {
        LOOK.saturating_sub(clock::now() - self.looked)
    }

    fn is_due(&mut self) -> bool {
        let due = self.rest().is_zero();
        if due {
            self.looked = clock::now();
        }
        due
    }

    /// Some once it is settled: how many requests are lost.
    fn settle(&mut self, seen: Seen) -> Option<u64> {
        match seen {
            Seen::Lost(count) => {
                (self.lost, self.none) = (self.lost + 1, 0);
                (self.lost >= LOST).then_some(count)
            }
            Seen::None => {
                (self.lost, self.none) = (0, self.none + 1);
                (self.none >= NONE_LOST).then_some(0)
            }
            Seen::Nothing => None,
        }
    }
}

impl Supervisor {
    /// Looks whether requests were lost in the last hand-over; if so, the mount is made anew.
    pub(super) fn settle_doubt(&mut self) -> Option<Outcome> {
        if !self.doubt.as_mut().is_some_and(Doubt::is_due) {
            return None;
        }
        let seen = self.look_for_lost();
        let lost = self.doubt.as_mut()?.settle(seen)?;
        let doubt = self.doubt.take()?;
        if lost == 0 {
            self.restarted(&doubt.handed);
            return None;
        }
        let cause = doubt.handed.cause.name();
        self.make_anew(&format!("{lost} requests were lost with the worker ({cause}): {NO_RESEND}"))
    }

    fn look_for_lost(&self) -> Seen {
        let known = || drain::open(&self.places, &self.presence.run);
        let (Some(worker), Some(before)) = (&self.worker, known()) else { return Seen::Nothing };
        // Without a count nobody ever knows; who waits for a restart need not wait for that.
        let Some(waiting) = self.waiting() else { return Seen::None };
        let idle = a_loop_is_idle(worker.child.pid());
        // With so many under way the kernel keeps further ones to itself.
        let full = before.len() >= self.max_background as usize;
        if full || known().as_ref() != Some(&before) {
            return Seen::Nothing;
        }
        match waiting.saturating_sub(before.len() as u64) {
            0 => Seen::None,
            more if idle => Seen::Lost(more),
            _ => Seen::Nothing,
        }
    }

    /// Lost requests would never be answered: everything that waits fails now, and the same is mounted again.
    fn make_anew(&mut self, why: &str) -> Option<Outcome> {
        tracing::error!("{why}; they fail, and the mount is made anew");
        if let Some(mut worker) = self.worker.take() {
            worker.child.kill();
        }
        self.forget_asks();
        let mounted = self.mounted.take()?;
        let mut at_once = |_| true;
        if let Err(error) = mount::unmount(mounted.at(), Duration::ZERO, &mut at_once, &mut |_| ()) {
            self.mounted = Some(mounted);
            return Some(Outcome::stuck(&format!("{why}; {error}")));
        }
        drop(mounted);
        self.errands.extend(drain::start_last(&self.program.path(), &self.places, &self.presence.run));
        self.begin_anew(why)
    }
}

/// Whether a thread that reads requests waits for one: then the kernel has none that nobody has read.
fn a_loop_is_idle(pid: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads.map(|thread| thread.path()).any(|thread: PathBuf| {
        let text = |name: &str| fs::read_to_string(thread.join(name)).unwrap_or_default();
        text("comm").starts_with(LOOP_NAMES) && procfs::waits_for_requests(text("wchan").trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::supervisor::policy::Cause;

    fn settled(looks: impl IntoIterator<Item = Seen>) -> Option<u64> {
        let mut doubt = Doubt::new(Handed { run: String::new(), cause: Cause::Death, resent: 0 });
        looks.into_iter().find_map(|seen| doubt.settle(seen))
    }

    #[test]
    fn only_what_many_looks_in_a_row_agree_on_is_lost() {
        assert_eq!(settled([Seen::Lost(2); 19]), None);
        assert_eq!(settled([Seen::Lost(2); 20]), Some(2));
        let busy = [Seen::Lost(1), Seen::None].into_iter().cycle().take(100);
        assert_eq!(settled(busy), None);
        let shy = [Seen::Lost(1), Seen::Nothing].into_iter().cycle().take(40);
        assert_eq!(settled(shy), Some(1));
    }

    #[test]
    fn that_nothing_is_lost_is_soon_known() {
        assert_eq!(settled([Seen::None; 3]), Some(0));
        assert_eq!(settled([Seen::Nothing; 100]), None);
    }
}
