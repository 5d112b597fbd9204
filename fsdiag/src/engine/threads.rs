//! Threads of the latest dumps: what each does, and what the dump proves, beside the requests of the log.

use std::collections::BTreeSet;

use fsd_events::op::Op;

use super::{
    fact::{Dump, Key, Place, Thread},
    model::{Model, hash::NumberMap},
    stacks::{self, Conclusion, Stacks, doing::Doing},
};

/// A thread of a dump, understood.
#[derive(Clone, Debug)]
pub struct Seen<'d> {
    pub thread: &'d Thread,
    pub doing: Doing,
    pub op: Option<(Option<Key>, Op)>,
    /// Whether it runs a callback, perhaps of a name that tells no operation.
    pub serves: bool,
    /// Whether it stands in a write of its own log.
    pub logs: bool,
    pub place: Place,
    /// Number of its dump among the latest.
    pub dump: usize,
    /// An earlier dump of the same process showed it in the same functions.
    pub stays: bool,
    /// Another dump, not known to be older, shows it at something else, or not at all.
    pub moves: bool,
}

/// The latest dump of each process by each tool.
pub struct Latest<'d> {
    pub threads: Vec<Seen<'d>>,
    /// What each dump proves, with the index of its first thread.
    pub proofs: Vec<(usize, Conclusion)>,
    /// Dumps that are taken for earlier ones of a process, and the later one: neither says of which process it is.
    pub earlier: Vec<(Place, Place)>,
}

impl<'d> Latest<'d> {
    pub fn of(model: &'d Model) -> Self {
        let mut latest = Self { threads: Vec::new(), proofs: Vec::new(), earlier: Vec::new() };
        let dumps: Vec<(Stacks<'d>, Option<u64>)> =
            model.dumps.iter().map(|(_, dump, wall)| (Stacks::of(dump), *wall)).collect();
        let same = |a: &Dump, b: &Dump| a.format == b.format && same_process(a, b);
        for (at, (place, dump, wall)) in model.dumps.iter().enumerate() {
            if model.is_replaced(at) {
                continue;
            }
            if let Some(later) = (at + 1..dumps.len()).find(|later| same(dumps[*later].0.dump, dump)) {
                let guessed = dump.pid.is_none() || dumps[later].0.dump.pid.is_none();
                latest.earlier.extend(guessed.then_some((*place, model.dumps[later].0)));
                continue;
            }
            let earlier = dumps[..at].iter().map(|(stacks, _)| stacks.dump).rfind(|d| same(d, dump));
            let older = |other: &Option<u64>| matches!((other, wall), (Some(other), Some(wall)) if other < wall);
            let beside = |n: &usize| *n != at && comparable(dumps[*n].0.dump, dump) && !older(&dumps[*n].1);
            let beside: Vec<&Stacks<'d>> = (0..dumps.len()).filter(beside).map(|n| &dumps[n].0).collect();
            latest.add(&dumps[at].0, *place, at, earlier, &beside);
        }
        latest
    }

    fn add(
        &mut self,
        stacks: &Stacks<'d>,
        place: Place,
        number: usize,
        earlier: Option<&Dump>,
        beside: &[&Stacks<'d>],
    ) {
        let first = self.threads.len();
        let earlier = earlier.map(|dump| numbered(dump.threads.iter(), |thread| thread.number));
        let beside: Vec<_> = beside.iter().map(|s| numbered(s.threads.iter(), |other| other.thread.number)).collect();
        self.proofs.extend(stacks.conclusions().into_iter().map(|proof| (first, proof)));
        self.threads.extend(stacks.threads.iter().map(|seen| Seen {
            thread: seen.thread,
            doing: seen.doing,
            op: seen.op.map(|op| (seen.key, op)),
            serves: seen.serves,
            logs: seen.logs,
            place: Place {
                input: seen.thread.input.unwrap_or(place.input),
                line: if seen.thread.line > 0 { seen.thread.line } else { place.line },
                part: 0,
            },
            dump: number,
            stays: earlier.as_ref().is_some_and(|dump| any(dump, seen, |thread| same(thread, seen.thread))),
            moves: !is_counted(seen.thread)
                && beside.iter().any(|dump| !any(dump, seen, |other| at_the_same(other, seen))),
        }));
    }
}

/// Threads by their number: a dump may have tens of thousands.
fn numbered<'t, T>(threads: impl Iterator<Item = &'t T>, number: fn(&T) -> u64) -> NumberMap<u64, Vec<&'t T>> {
    let mut all: NumberMap<u64, Vec<&T>> = NumberMap::default();
    threads.for_each(|thread| all.entry(number(thread)).or_default().push(thread));
    all
}

/// Whether one of those with the same number is the one.
fn any<T>(all: &NumberMap<u64, Vec<&T>>, seen: &stacks::Seen<'_>, is_it: impl Fn(&T) -> bool) -> bool {
    all.get(&seen.thread.number).into_iter().flatten().any(|other| is_it(other))
}

/// Tools name their process, or not; then it is the same one if half of the threads are.
fn same_process(a: &Dump, b: &Dump) -> bool {
    if let (Some(a), Some(b)) = (a.pid, b.pid) {
        return a == b;
    }
    let (a, b) = (identities(a), identities(b));
    // Every Go program has a first goroutine.
    let proves = |(number, origin): &&(u64, &str)| *number != 1 || origin.is_empty();
    2 * a.intersection(&b).count() >= a.len().min(b.len()).max(1) && a.intersection(&b).any(|thread| proves(&thread))
}

fn identities(dump: &Dump) -> BTreeSet<(u64, &str)> {
    dump.threads.iter().filter_map(identity).collect()
}

/// What tells a thread from those of other processes: the system's number, or, where each program counts its own, the
/// number and where it began.
fn identity(thread: &Thread) -> Option<(u64, &str)> {
    match thread.label.strip_prefix("goroutine ") {
        None => Some((thread.number, "")),
        // Those stand in the order of their counts.
        Some(_) if is_counted(thread) => Some((0, origin(thread))),
        // The runtime's own are the same in all programs.
        Some(_) if origin(thread).starts_with("runtime.") => None,
        Some(_) => Some((thread.number, origin(thread))),
    }
}

/// Who made a goroutine, or else the function that it began with.
fn origin(thread: &Thread) -> &str {
    let outermost = || thread.frames.last().map_or("", |frame| &*frame.function);
    thread.created_by.as_deref().unwrap_or_else(outermost)
}

/// Dumps of one process whose threads have the same numbers and functions.
fn comparable(a: &Dump, b: &Dump) -> bool {
    (a.format == b.format || a.is_native() && b.is_native()) && same_process(a, b)
}

/// The same thread, in the same callback, and waiting for a lock or not as it does here.
fn at_the_same(a: &stacks::Seen<'_>, b: &stacks::Seen<'_>) -> bool {
    let lock = |seen: &stacks::Seen<'_>| seen.doing == Doing::Lock;
    // Tools spell names in ways of their own: one may tell the operation, and the other not.
    let op = a.op == b.op || a.op.is_none() || b.op.is_none();
    a.thread.number == b.thread.number && op && lock(a) == lock(b)
}

/// The same thread in the same functions, wherever in them.
fn same(a: &Thread, b: &Thread) -> bool {
    let functions = |t: &'_ Thread| t.frames.iter().map(|f| f.function.clone()).collect::<Vec<_>>();
    let alike = a.number == b.number && a.label == b.label && !is_counted(a);
    alike && !a.frames.is_empty() && functions(a) == functions(b)
}

/// Whether it stands for goroutines that are counted without a name: those of the next dump may be others.
fn is_counted(thread: &Thread) -> bool {
    thread.label.starts_with("goroutine record ")
}

impl Seen<'_> {
    pub fn label(&self) -> String {
        self.thread.label.to_string()
    }

    /// In words, for sentences.
    pub fn activity(&self) -> &'static str {
        match self.doing {
            Doing::Idle => "being idle",
            Doing::Lock => "waiting for another lock",
            Doing::Network => "waiting for the network",
            Doing::Disk => "working on the disk",
            Doing::Sleep => "sleeping",
            Doing::Child => "waiting for a process that it has started",
            Doing::Wait => "waiting for another thread",
            Doing::Notify => "notifying the kernel",
            Doing::Running => "running",
            Doing::Other => "doing something that the dump does not tell",
        }
    }
}
