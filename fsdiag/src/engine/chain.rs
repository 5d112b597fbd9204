//! Chains: what an operation waits for, what that waits for, and so on, as the tables of one dump state it.

use fsd_events::event::Phase;

use super::{
    fact::Dump,
    tables::{LockParty, Tables},
};

/// Links of the longest chain that is told.
const LONGEST: usize = 16;

/// Somebody in the tables.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Who {
    id: u64,
    thread: Option<u32>,
}

/// `Read 458 waits for download 12, which waits for the origin since 41 s`; None where it waits for nothing known.
pub fn of_op(dump: &Dump, id: u64) -> Option<String> {
    let op = dump.tables.op(id)?;
    let links = links(dump, Who { id, thread: None });
    (!links.is_empty()).then(|| format!("{} {id} {}", op.op, links.join(", which ")))
}

fn links(dump: &Dump, first: Who) -> Vec<String> {
    let mut links: Vec<String> = Vec::new();
    let mut seen = vec![first];
    let mut at = first;
    while links.len() < LONGEST {
        let Some((link, next)) = step(&dump.tables, at) else {
            links.extend(last(dump, at).filter(|_| seen.len() > 1));
            break;
        };
        links.push(link);
        match next {
            None => break,
            Some(next) if seen.iter().any(|who| who.is(next)) => {
                links.push(String::from("waits for it in turn: a deadlock"));
                break;
            }
            Some(next) => at = next,
        }
        seen.push(at);
    }
    links
}

impl Who {
    fn is(self, other: Self) -> bool {
        self.id == other.id && self.id != 0 || self.thread.is_some() && self.thread == other.thread
    }
}

/// One link, and who is next.
fn step(tables: &Tables, at: Who) -> Option<(String, Option<Who>)> {
    if let Some(lock) = tables.wanted_by(at.id, at.thread) {
        let holder = lock.holders.first().copied();
        let held = holder.map_or_else(
            || String::from(", which nobody holds"),
            |holder| format!(", held by {} for {}", name(tables, holder), seconds(holder.for_us)),
        );
        let next = holder.map(|holder| Who { id: holder.id, thread: holder.thread });
        return Some((format!("waits for lock `{}`{held}", lock.key), next));
    }
    if let Some(op) = tables.op(at.id) {
        if let Some(task) = op.task {
            let kind = tables.task(task).map_or("task", |task| task.kind.name());
            return Some((format!("waits for {kind} {task}"), Some(Who { id: task, thread: None })));
        }
        return op.phase.map(|phase| (doing(phase).to_owned(), None));
    }
    let (phase, for_us) = tables.task(at.id)?.phase?;
    Some((format!("{} since {}", doing(phase), seconds(for_us)), None))
}

/// What the thread at the end of the chain does, where the tables say nothing more.
fn last(dump: &Dump, at: Who) -> Option<String> {
    let op = dump.tables.op(at.id).map(|op| op.thread);
    let number = at.thread.or(op)?;
    let thread = dump.threads.iter().find(|thread| thread.number == u64::from(number))?;
    Some(format!("is in `{}` on {}", thread.state.as_deref()?, thread.label))
}

fn name(tables: &Tables, party: LockParty) -> String {
    match (tables.op(party.id), tables.task(party.id), party.thread) {
        (Some(op), ..) => format!("{} {}", op.op, op.id),
        (_, Some(task), _) => format!("{} {}", task.kind.name(), task.id),
        (_, _, Some(thread)) => format!("thread {thread}"),
        _ => format!("task {}", party.id),
    }
}

/// In words that follow `which`.
fn doing(phase: Phase) -> &'static str {
    match phase {
        Phase::Upstream => "waits for the origin",
        Phase::Disk => "works on the disk",
        Phase::Lock => "waits for a lock",
        Phase::Close => "closes a store",
        Phase::Permit => "waits for a permit",
        Phase::Reply => "replies",
        Phase::Notify => "notifies the kernel",
        Phase::Backoff => "sleeps between retries",
        Phase::Listing => "lists a directory",
        Phase::Alloc => "allocates",
    }
}

fn seconds(us: u64) -> String {
    match us {
        0..10_000_000 => format!("{:.1} s", us as f64 / 1e6),
        _ => format!("{} s", us / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use fsd_events::{event::TaskKind, op::Op};

    use super::*;
    use crate::engine::{
        fact::Thread,
        tables::{LockRow, OpRow, TaskRow},
    };

    fn op(id: u64, op: Op, thread: u32, task: Option<u64>) -> OpRow {
        OpRow {
            id,
            op,
            age_us: 41_310_000,
            thread,
            ino: 42,
            fh: None,
            path: None,
            task,
            need: None,
            phase: None,
            line: 1,
        }
    }

    fn download() -> TaskRow {
        TaskRow {
            id: 12,
            kind: TaskKind::Download,
            age_us: 41_512_000,
            parent: Some(455),
            fh: None,
            path: None,
            phase: Some((Phase::Upstream, 41_204_000)),
            have: 1,
            want: 2,
            line: 1,
        }
    }

    fn party(id: u64, thread: u32) -> LockParty {
        LockParty { id, thread: Some(thread), for_us: 12_310_000 }
    }

    fn lock(key: &str, holder: LockParty, waiter: LockParty) -> LockRow {
        LockRow { key: key.into(), holders: vec![holder], waiters: vec![waiter] }
    }

    fn dump(tables: Tables) -> Dump {
        let thread =
            Thread { label: "thread 9".into(), number: 9, state: Some("net tcp_recvmsg".into()), ..Thread::default() };
        Dump { tables, threads: vec![thread], ..Dump::default() }
    }

    #[test]
    fn a_read_is_followed_through_its_download_to_the_origin() {
        let ops = vec![op(458, Op::Read, 0, Some(12))];
        let dump = dump(Tables { ops, tasks: vec![download()], locks: Vec::new() });
        let chain = of_op(&dump, 458).unwrap();
        assert_eq!(chain, "Read 458 waits for download 12, which waits for the origin since 41 s");
    }

    #[test]
    fn a_lock_leads_to_its_holder_and_to_what_that_does() {
        let ops = vec![op(457, Op::Getattr, 8, None), op(456, Op::Release, 9, None)];
        let locks = vec![lock("handles", party(456, 9), party(457, 8))];
        let mut dump = dump(Tables { ops, tasks: vec![download()], locks });
        assert_eq!(
            of_op(&dump, 457).unwrap(),
            "Getattr 457 waits for lock `handles`, held by Release 456 for 12 s, which is in `net tcp_recvmsg` on thread 9"
        );
        dump.tables.ops[1].task = Some(12);
        assert_eq!(
            of_op(&dump, 457).unwrap(),
            "Getattr 457 waits for lock `handles`, held by Release 456 for 12 s, which waits for download 12, which waits \
             for the origin since 41 s"
        );
        assert_eq!(of_op(&dump, 999), None);
    }

    #[test]
    fn a_cycle_ends() {
        let ops = vec![op(1, Op::Release, 8, None), op(2, Op::Read, 9, None)];
        let locks = vec![lock("a", party(1, 8), party(2, 9)), lock("b", party(2, 9), party(1, 8))];
        let chain = of_op(&dump(Tables { ops, tasks: Vec::new(), locks }), 1).unwrap();
        assert_eq!(
            chain,
            "Release 1 waits for lock `b`, held by Read 2 for 12 s, which waits for lock `a`, held by Release 1 for 12 s, \
             which waits for it in turn: a deadlock"
        );
    }
}
