//! What the kernel's facts alone prove: which request holds up a mount, and on whose side.
//!
//! The kernel knows what is unanswered and whether the daemon has read it; it does not know what the daemon does
//! inside. So these verdicts name the request and the side, and claim an inner cause only with a witness for it.

mod clients;
pub mod inside;
mod own;
mod queue;
mod spin;
mod taken;

use std::cmp::Reverse;

use super::{
    fact::{Awaited, BlockedTask, DaemonProcess, KernelFact, Pending, PendingState, Place, Serving},
    plural::{count, verb},
    report::{Cause, Confidence, Culprit, Evidence, Note, Verdict, Waiter},
};

/// Kernel facts of one mount at one moment.
#[derive(Clone, Debug, Default)]
pub struct KernelState {
    waiting: Option<u64>,
    pending: Vec<(Place, Pending)>,
    blocked: Vec<(Place, BlockedTask)>,
    dead: Option<(Place, bool)>,
    readers: Option<(Place, u32, u32)>,
    daemon: Option<(Place, DaemonProcess)>,
    max_background: Option<u64>,
    /// The kernel's own lists of requests were read.
    has_lists: bool,
}

impl KernelState {
    /// Takes one fact.
    pub fn apply(&mut self, place: Place, fact: &KernelFact) {
        match fact {
            KernelFact::Waiting { waiting, .. } => self.waiting = Some(*waiting),
            KernelFact::Pending(pending) => self.pending.push((place, (**pending).clone())),
            KernelFact::Blocked(task) => self.blocked(place, task),
            KernelFact::Dead { aborted, .. } => self.dead = Some((place, *aborted)),
            KernelFact::Readers { idle, threads } => self.readers = Some((place, *idle, *threads)),
            KernelFact::Daemon(process) => self.daemon = Some((place, (**process).clone())),
            KernelFact::Connection { max_background, .. } => {
                (self.max_background, self.has_lists) = (*max_background, true);
            }
        }
    }

    /// A task that is seen again is one task: a file of such looks has no end.
    fn blocked(&mut self, place: Place, task: &BlockedTask) {
        const KEPT: usize = 1 << 12;
        let same = |(at, known): &(Place, BlockedTask)| known.pid == task.pid && at.input == place.input;
        match self.blocked.iter().position(|known| task.pid != 0 && same(known)) {
            Some(known) => self.blocked[known] = (place, task.clone()),
            None if self.blocked.len() < KEPT => self.blocked.push((place, task.clone())),
            None => {}
        }
    }

    /// Verdicts on requests that are older than `stalled_us`, best first; places are left for the caller to name.
    pub fn verdicts(&self, stalled_us: u64, cite: &dyn Fn(Place) -> Evidence) -> Vec<Verdict> {
        let case = Case { state: self, stalled_us, cite };
        if let Some((place, aborted)) = self.dead {
            return vec![case.dead(place, aborted)];
        }
        let rules = [
            Case::reverse_notify,
            Case::self_access,
            Case::stopped,
            Case::held_back,
            Case::spins,
            Case::unread,
            Case::forgotten,
            Case::in_daemon,
            Case::owed,
        ];
        rules.iter().find_map(|rule| rule(&case)).into_iter().collect()
    }

    /// Processes that the kernel shows waiting for an answer of a FUSE daemon.
    pub fn waiting_clients(&self) -> impl Iterator<Item = u32> {
        let waits = |task: &&(Place, BlockedTask)| !task.1.of_daemon && has(&task.1, "request_wait_answer");
        let pending = self.pending.iter().filter_map(|(_, p)| p.client_pid);
        self.blocked.iter().filter(waits).map(|(_, task)| task.pid).chain(pending)
    }

    /// Clients, and nothing of their daemon.
    pub fn has_only_clients(&self) -> bool {
        self.daemon.is_none() && self.pending.is_empty() && !self.blocked.is_empty()
    }

    /// What is worth knowing and no verdict.
    pub fn notes(&self, stalled_us: u64) -> Vec<Note> {
        let gone = self.pending.iter().filter(|(_, p)| p.client_pid.is_some() && p.client.is_none());
        let gone = gone.map(|(_, p)| note("client_gone", p, format!("the client of {} is gone", label(p))));
        let young = self.pending.iter().filter(|(_, p)| !self.is_old(p, stalled_us));
        let since = |p: &Pending| p.age_us.map_or(", for how long nothing tells".into(), |us| age_text(Some(us)));
        let young = young.map(|(_, p)| note("open", p, format!("{} is unanswered{}", label(p), since(p))));
        gone.chain(young).chain(self.unseen()).collect()
    }

    /// Requests that the kernel counts, where its lists do not tell which.
    fn unseen(&self) -> Option<Note> {
        let unseen = self.waiting?.saturating_sub(self.pending.len() as u64);
        let text = format!(
            "{} {} for an answer, which and for how long nothing tells",
            count(unseen, "request"),
            verb(unseen, "waits", "wait")
        );
        let note = Note { kind: String::from("open"), op: None, id: None, text };
        (unseen > 0 && !self.has_lists).then_some(note)
    }

    /// A request without a clock counts as old beside one that is: alone it may be as young as any.
    fn is_old(&self, pending: &Pending, stalled_us: u64) -> bool {
        let old = |age_us: u64| age_us >= stalled_us;
        pending.age_us.map_or_else(|| self.pending.iter().any(|(_, p)| p.age_us.is_some_and(old)), old)
    }
}

fn note(kind: &str, pending: &Pending, text: String) -> Note {
    Note { kind: kind.to_owned(), op: Some(pending.op.to_string()), id: id(pending), text }
}

fn id(pending: &Pending) -> Option<String> {
    (pending.unique != 0).then(|| pending.unique.to_string())
}

fn label(pending: &Pending) -> String {
    let number = id(pending).map(|n| format!(" #{n}")).unwrap_or_default();
    let path = pending.path.as_deref().or(pending.name.as_deref());
    let path = path.map(|p| format!(" of {p}")).unwrap_or_default();
    let client = match (&pending.client, pending.client_pid) {
        (Some(comm), Some(pid)) => format!(" by {comm} ({pid})"),
        _ => String::new(),
    };
    format!("{}{number}{path}{client}", pending.op)
}

fn age_text(age_us: Option<u64>) -> String {
    age_us.map(|us| format!(" for {:.1} s", us as f64 / 1e6)).unwrap_or_default()
}

fn culprit(pending: &Pending) -> Culprit {
    Culprit {
        op: Some(pending.op.to_string()),
        id: id(pending),
        thread: pending.server.as_ref().map(|server| server.thread.to_string()),
        path: pending.path.as_deref().map(str::to_owned),
        lock: None,
        age_s: pending.age_us.map(|us| us as f64 / 1e6),
        daemon: None,
    }
}

/// The facts with what is needed to speak about them.
struct Case<'a> {
    state: &'a KernelState,
    stalled_us: u64,
    cite: &'a dyn Fn(Place) -> Evidence,
}

impl Case<'_> {
    fn old(&self, state: PendingState) -> Vec<&(Place, Pending)> {
        let mut old: Vec<_> = self.all_old().filter(|(_, p)| p.state == state).collect();
        old.sort_by_key(|(_, p)| (Reverse(p.age_us), p.unique));
        old
    }

    fn all_old(&self) -> impl Iterator<Item = &(Place, Pending)> {
        self.state.pending.iter().filter(|(_, p)| self.state.is_old(p, self.stalled_us))
    }

    fn daemon(&self) -> String {
        let daemon = self.state.daemon.as_ref();
        daemon.map_or_else(|| String::from("the daemon"), |(_, d)| format!("{} ({})", d.comm, d.pid))
    }

    fn verdict(&self, cause: Cause, confidence: Confidence, sentence: String, of: Option<&Pending>) -> Verdict {
        let same = |p: &Pending| of.is_some_and(|c| std::ptr::eq(c, p));
        let waiters = self.state.pending.iter().filter(|(_, p)| !same(p));
        let waiters =
            waiters.map(|(_, p)| Waiter { op: Some(p.op.to_string()), id: id(p), thread: None, daemon: None });
        // Clients that have sent nothing: they wait for somebody else's request.
        let sent = |task: &BlockedTask| self.state.pending.iter().any(|(_, p)| p.client_pid == Some(task.pid));
        let silent = self.state.blocked.iter().filter(|(_, task)| !task.of_daemon && !sent(task));
        let name = |task: &BlockedTask| Some(format!("thread {} ({})", task.pid, task.comm));
        let silent = silent.map(|(_, task)| Waiter { thread: name(task), ..Waiter::default() });
        Verdict {
            cause,
            confidence,
            sentence,
            culprit: of.map(culprit),
            alternatives: Vec::new(),
            waiters: waiters.chain(silent).collect(),
            waiters_left_out: 0,
            evidence: Vec::new(),
            advice: Vec::new(),
            isolate: Vec::new(),
        }
    }

    fn citing(&self, verdict: Verdict, places: &[Place], advice: &[&str]) -> Verdict {
        let evidence = places.iter().map(|place| (self.cite)(*place)).collect();
        Verdict { evidence, advice: advice.iter().map(|a| (*a).to_owned()).collect(), ..verdict }
    }

    fn dead(&self, place: Place, aborted: bool) -> Verdict {
        let sentence = match aborted {
            true => "The connection was aborted: no request will ever be answered.",
            false => "No process holds the device of this mount: its daemon is gone, every access fails with ENOTCONN.",
        };
        let verdict = self.verdict(Cause::DaemonGone, Confidence::Certain, sentence.to_owned(), None);
        self.citing(verdict, &[place], &["unmount with fusermount3 -u (root: umount -l), then mount again"])
    }

    /// Of the old ones, those first that the daemon has; of those that came with the oldest, the one whose thread
    /// waits for somebody outside: the others may wait for its locks.
    fn oldest(&self) -> Option<&(Place, Pending)> {
        let rank = |p: &Pending| (p.state == PendingState::InDaemon, p.age_us, Reverse(p.unique));
        let oldest = self.all_old().max_by_key(|(_, p)| rank(p))?;
        let beside = |p: &Pending| p.state == oldest.1.state && p.age_us.zip(oldest.1.age_us).is_some_and(together);
        let outside =
            |p: &Pending| p.server.as_ref().is_some_and(|server| server.awaits.is_some() || on_socket(server));
        let inner = oldest.1.server.as_ref().is_some_and(at_a_lock) && !outside(&oldest.1);
        let outer = self.all_old().filter(|(_, p)| inner && beside(p) && outside(p)).max_by_key(|(_, p)| rank(p));
        outer.or(Some(oldest))
    }
}

/// Requests that came at about the same time.
fn together((one, other): (u64, u64)) -> bool {
    one.abs_diff(other) < 1_000_000
}

fn has(task: &BlockedTask, prefix: &str) -> bool {
    task.stack.iter().any(|frame| frame.starts_with(prefix))
}

/// Whether its system call is on a connection of the daemon's.
fn on_socket(server: &Serving) -> bool {
    server.waits.contains("(tcp ")
}

/// Whether it waits for somebody who is no part of the daemon.
fn is_outside(server: &Serving) -> bool {
    server.awaits.as_ref().is_some_and(|awaits| awaits.whom != Awaited::FileLock) || on_socket(server)
}

/// Whether it may wait for another thread of the daemon.
fn at_a_lock(server: &Serving) -> bool {
    server.waits.starts_with("futex") || server.waits.starts_with("locks_")
}

fn thread(task: &BlockedTask) -> Culprit {
    let age_s = task.blocked_us.map(|us| us as f64 / 1e6);
    Culprit { thread: Some(format!("thread {} ({})", task.pid, task.comm)), age_s, ..Culprit::default() }
}

#[cfg(test)]
#[path = "kernel_tests.rs"]
mod tests;
