//! Threads of the latest dumps: what each does, and what the dump proves, beside the requests of the log.

use fsd_events::op::Op;

use super::{
    fact::{Dump, Key, Place, Thread},
    model::Model,
    stacks::{Conclusion, Stacks, doing::Doing},
};

/// A thread of a dump, understood.
#[derive(Clone, Debug)]
pub struct Seen<'d> {
    pub thread: &'d Thread,
    pub doing: Doing,
    pub op: Option<(Option<Key>, Op)>,
    pub place: Place,
    /// Number of its dump among the latest.
    pub dump: usize,
    /// An earlier dump of the same process showed it in the same functions.
    pub stays: bool,
}

/// The latest dump of each process by each tool.
pub struct Latest<'d> {
    pub threads: Vec<Seen<'d>>,
    /// What each dump proves, with the index of its first thread.
    pub proofs: Vec<(usize, Conclusion)>,
}

impl<'d> Latest<'d> {
    pub fn of(model: &'d Model) -> Self {
        let mut latest = Self { threads: Vec::new(), proofs: Vec::new() };
        let later = |at: usize| {
            let (_, dump, _) = &model.dumps[at];
            model.dumps[at + 1..].iter().any(|(_, d, _)| d.format == dump.format && d.pid == dump.pid)
        };
        for (at, (place, dump, _)) in model.dumps.iter().enumerate() {
            if !later(at) && !model.is_replaced(at) {
                let earlier = |d: &&Dump| d.format == dump.format && d.pid == dump.pid;
                let earlier = model.dumps[..at].iter().map(|(_, d, _)| d).rfind(earlier);
                latest.add(dump, *place, at, earlier);
            }
        }
        latest
    }

    fn add(&mut self, dump: &'d Dump, place: Place, number: usize, earlier: Option<&Dump>) {
        let first = self.threads.len();
        let stacks = Stacks::of(dump);
        if let Some(proof) = stacks.conclude() {
            self.proofs.push((first, proof));
        }
        self.threads.extend(stacks.threads.iter().map(|seen| Seen {
            thread: seen.thread,
            doing: seen.doing,
            op: seen.op.map(|op| (seen.key, op)),
            place: Place { line: if seen.thread.line > 0 { seen.thread.line } else { place.line }, ..place },
            dump: number,
            stays: earlier.is_some_and(|d| d.threads.iter().any(|t| same(t, seen.thread))),
        }));
    }
}

/// The same thread in the same functions, wherever in them.
fn same(a: &Thread, b: &Thread) -> bool {
    let functions = |t: &'_ Thread| t.frames.iter().map(|f| f.function.clone()).collect::<Vec<_>>();
    a.number == b.number && a.label == b.label && !a.frames.is_empty() && functions(a) == functions(b)
}

impl Seen<'_> {
    pub fn label(&self) -> String {
        self.thread.label.to_string()
    }

    /// Whether it writes its log: the innermost frames are a write, under a logger's.
    pub fn logs(&self) -> bool {
        const LOGGERS: &[&str] = &["log", "printf", "print", "vfprintf", "tracing", "fmt"];
        let mut inner = self.thread.frames.iter().take(4);
        let writes = inner.any(|f| {
            &*f.function == "write"
                || f.function.ends_with("_write")
                || f.function.contains("write64")
                || f.function.contains(".Write")
        });
        let logger = |f: &str| LOGGERS.iter().any(|word| f.to_ascii_lowercase().contains(word));
        writes && self.thread.frames.iter().take(12).any(|f| logger(&f.function))
    }

    /// In words, for sentences.
    pub fn activity(&self) -> &'static str {
        match self.doing {
            Doing::Idle => "being idle",
            Doing::Lock => "waiting for another lock",
            Doing::Network => "waiting for the network",
            Doing::Disk => "working on the disk",
            Doing::Sleep => "sleeping",
            Doing::Wait => "waiting for another thread",
            Doing::Notify => "notifying the kernel",
            Doing::Running => "running",
            Doing::Other => "doing something that the dump does not tell",
        }
    }
}
