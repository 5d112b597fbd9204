//! Clients: tasks that the kernel itself reports as hung in FUSE code (`hung_task`), where nobody has looked at the
//! daemon.
//!
//! Such a report often names a second victim, a writer at a directory's lock, and its owner: where the owner waits for
//! an answer, the kernel's lock is innocent, and the daemon owes the owner that answer.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, HashSet},
};

use fsd_events::op::{Class, Op};

use super::{Case, age_text, has, thread};
use crate::engine::{
    fact::{BlockedTask, InputId, Place},
    plural::{count, verb},
    report::{Cause, Confidence, Culprit, Verdict, Waiter},
};

/// Reports that a verdict cites, at most.
const CITED: usize = 12;

type Reported = (Place, BlockedTask);

/// A task that waits for a daemon's answer, and who waits for it because of a lock.
struct Root<'t> {
    task: &'t Reported,
    behind: Vec<&'t Reported>,
}

impl Case<'_> {
    /// The answer that the most of them wait for, in the end.
    pub(super) fn owed(&self) -> Option<Verdict> {
        let roots = self.roots();
        let (Root { task: (place, task), behind }, others) = roots.split_first()?;
        let op = operation(task);
        let sentence = format!(
            "{} ({}) has waited{} for {}, which a FUSE daemon does not give{}; what the daemon does is not in the data.",
            task.comm,
            task.pid,
            age_text(task.blocked_us),
            op.map_or_else(|| String::from("an answer"), |op| format!("the answer to its {op}")),
            behind_it(behind),
        );
        // As where a request is seen in the daemon's hands: content most likely waits for its origin.
        let content = op.is_some_and(|op| op.class() == Class::Data || op == Op::Readdir);
        let cause = if content { Cause::UpstreamStall } else { Cause::LostReply };
        let waiter = |task: &&Reported| Waiter { thread: thread(&task.1).thread, ..Waiter::default() };
        let verdict = Verdict {
            culprit: Some(named(task)),
            waiters: behind.iter().map(waiter).collect(),
            alternatives: others.iter().map(|other| named(&other.task.1)).collect(),
            ..self.verdict(cause, Confidence::Low, sentence, None)
        };
        let places: Vec<Place> = std::iter::once(*place).chain(behind.iter().map(|task| task.0)).take(CITED).collect();
        let next = "fsdiag mounts shows whose mount it is, fsdiag dump what its daemon does";
        Some(self.citing(verdict, &places, &[next]))
    }

    /// Those that stand in FUSE code at the end of a chain of owners, most waiters first.
    fn roots(&self) -> Vec<Root<'_>> {
        let all = self.state.blocked.iter().filter(|_| self.state.has_only_clients());
        let known: Known<'_> = all.clone().map(|task| ((task.0.input, task.1.pid), task)).collect();
        let mut roots: BTreeMap<(InputId, u32), Root<'_>> = BTreeMap::new();
        for hung in all.filter(|task| self.is_hung(&task.1)) {
            let end = end_of(hung, &known);
            if awaits_an_answer(&end.1) {
                let root = roots.entry((end.0.input, end.1.pid)).or_insert(Root { task: end, behind: Vec::new() });
                root.behind.extend(Some(hung).filter(|hung| hung.1.pid != end.1.pid));
            }
        }
        let mut roots: Vec<Root<'_>> = roots.into_values().collect();
        roots.sort_by_key(|root| Reverse((root.behind.len(), root.task.1.blocked_us)));
        roots
    }

    fn is_hung(&self, task: &BlockedTask) -> bool {
        !task.of_daemon && task.blocked_us.is_some_and(|us| us >= self.stalled_us)
    }
}

/// Tasks by the log that reports them and their number.
type Known<'t> = HashMap<(InputId, u32), &'t Reported>;

/// Where the chain of owners ends, as far as the log reports them.
fn end_of<'t>(task: &'t Reported, known: &Known<'t>) -> &'t Reported {
    let (mut end, mut seen) = (task, HashSet::new());
    while let Some((owner, _)) = end.1.owner.as_ref().filter(|_| seen.insert(end.1.pid)) {
        let Some(next) = known.get(&(task.0.input, *owner)) else { break };
        end = next;
    }
    end
}

/// It stands in FUSE code, and waits for no other task; who reads the device is a daemon.
fn awaits_an_answer(task: &BlockedTask) -> bool {
    let asks = |frame: &str| frame.starts_with("request_wait_answer") || frame.starts_with("fuse_");
    let inside = task.stack.iter().any(|frame| asks(frame));
    inside && task.owner.is_none() && !has(task, "fuse_dev_")
}

fn behind_it(waiters: &[&Reported]) -> String {
    let Some(oldest) = waiters.iter().max_by_key(|task| task.1.blocked_us) else { return String::new() };
    let (comm, pid) = (&oldest.1.comm, oldest.1.pid);
    let n = waiters.len();
    format!(
        ", and {} {} behind it, {comm} ({pid}){}",
        count(n, "task"),
        verb(n, "waits", "wait"),
        age_text(oldest.1.blocked_us)
    )
}

fn named(task: &BlockedTask) -> Culprit {
    Culprit { op: operation(task).map(|op| op.to_string()), ..thread(task) }
}

/// The kernel's functions that send a request, and which: innermost first, as they call each other.
const SENDERS: &[(&str, Op)] = &[
    ("fuse_lookup", Op::Lookup),
    ("fuse_do_getattr", Op::Getattr),
    ("fuse_flush", Op::Flush),
    ("fuse_file_release", Op::Release),
    ("fuse_do_open", Op::Open),
    ("fuse_file_open", Op::Open),
    ("fuse_readdir", Op::Readdir),
    ("fuse_readlink", Op::Readlink),
    ("fuse_read", Op::Read),
    ("fuse_file_read", Op::Read),
    ("fuse_do_read", Op::Read),
    ("fuse_write", Op::Write),
    ("fuse_perform_write", Op::Write),
    ("fuse_statfs", Op::Statfs),
    ("fuse_getxattr", Op::Getxattr),
    ("fuse_fsync", Op::Fsync),
    ("fuse_do_setattr", Op::Setattr),
];

fn operation(task: &BlockedTask) -> Option<Op> {
    task.stack.iter().find_map(|frame| SENDERS.iter().find(|(name, _)| frame.starts_with(name)).map(|row| row.1))
}

#[cfg(test)]
mod tests {
    use crate::engine::{
        fact::{BlockedTask, KernelFact, Place},
        kernel::KernelState,
        report::{Evidence, Verdict},
    };

    /// Of `pid frames owner`, each hung for two minutes.
    fn verdict(tasks: &[(u32, &str, Option<u32>)]) -> Option<Verdict> {
        let mut state = KernelState::default();
        for (pid, frames, owner) in tasks {
            let task = BlockedTask {
                pid: *pid,
                comm: "t".into(),
                blocked_us: Some(120_000_000),
                stack: frames.split(' ').map(Into::into).collect(),
                owner: owner.map(|owner| (owner, "t".into())),
                ..BlockedTask::default()
            };
            state.apply(Place { line: u64::from(*pid), ..Place::default() }, &KernelFact::Blocked(Box::new(task)));
        }
        state.verdicts(10_000_000, &|place| Evidence { line: place.line, ..Evidence::default() }).pop()
    }

    #[test]
    fn who_waits_for_locks_only_is_owed_nothing_by_a_daemon() {
        assert_eq!(verdict(&[(1, "down_write ext4_create", None)]), None);
        assert_eq!(verdict(&[(1, "down_write fuse_create", Some(9))]), None, "the owner was not reported");
        assert_eq!(verdict(&[(1, "down_write fuse_create", Some(2)), (2, "mutex_lock fuse_lookup", Some(1))]), None);
        assert_eq!(verdict(&[(1, "fuse_dev_do_read", None)]), None, "a daemon that waits for requests");
    }

    #[test]
    fn the_one_with_most_behind_it_is_named_first() {
        let answer = "request_wait_answer fuse_lookup";
        let tasks = [(1, answer, None), (2, answer, None), (3, "down_write", Some(2)), (4, "down_write", Some(3))];
        let found = verdict(&tasks).expect("a verdict");
        let threads = |all: &[Option<String>]| all.iter().flatten().cloned().collect::<Vec<_>>().join(", ");
        assert_eq!(threads(&[found.culprit.and_then(|culprit| culprit.thread)]), "thread 2 (t)");
        let waiters: Vec<_> = found.waiters.into_iter().map(|waiter| waiter.thread).collect();
        assert_eq!(threads(&waiters), "thread 3 (t), thread 4 (t)");
        assert_eq!(found.alternatives.len(), 1);
        assert_eq!(found.evidence.iter().map(|cited| cited.line).collect::<Vec<_>>(), [2, 3, 4]);
    }
}
