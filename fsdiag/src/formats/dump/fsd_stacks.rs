//! fsd's own dump, as the watchdog or `fsdiag dump` writes it: its strict reader is in `fsd-events`.

mod tables;

use std::mem;

use fsd_events::{
    event::LockMode,
    ids::OpId,
    op::Op,
    stacks::{self, LockHold, LockUser, LockWait, Place as Source, StackDump, TaskBlock, ThreadBlock},
};

use crate::{
    engine::{
        fact::{At, Dump, Fact, Frame, KernelFact, Key, LockRef, LockUse, Place, Thread, What},
        model::hash::NumberMap,
    },
    formats::{Line, Mark, Parser, Taken, dump::locks, scan},
};

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(FsdStacks::default())
}

#[derive(Default)]
struct FsdStacks {
    file: Option<File>,
    /// What held the dump before holds the next one.
    left: File,
}

/// A dump that is being collected: its checksum is over the whole.
#[derive(Default)]
struct File {
    place: Place,
    text: String,
    /// Where each thread's block begins.
    lines: NumberMap<u64, u64>,
    /// Where each operation and each task stands.
    rows: NumberMap<u64, u64>,
    /// Lines of others in between.
    strangers: u32,
}

const STRANGERS: u32 = 8;

/// The program whose dumps state its locks.
const OWN: &str = "fsd";

/// Largest dump that is read, bytes: 512 threads of 512 frames fit.
const LARGEST: usize = 64 << 20;

impl Parser for FsdStacks {
    fn format(&self) -> &'static str {
        "fsd-stacks"
    }

    fn marks(&self) -> &'static [Mark] {
        &[Mark::Starts("fsd-stacks ")]
    }

    fn is_idle(&self) -> bool {
        self.file.is_none()
    }

    fn line(&mut self, line: &Line<'_>, out: &mut Vec<Fact>) -> Taken {
        let text = line.text;
        if text.strip_prefix("fsd-stacks ").is_some_and(|version| version.parse::<u32>().is_ok()) {
            self.finish(out);
            self.file = Some(File { place: line.place, ..mem::take(&mut self.left) });
        }
        let Some(file) = &mut self.file else { return Taken::No };
        if !is_part(text) {
            // Somebody else wrote in between; or the dump was cut, and what follows is his.
            file.strangers += 1;
            if file.strangers > STRANGERS {
                self.finish(out);
            }
            return Taken::No;
        }
        if file.text.len() + text.len() > LARGEST {
            self.finish(out);
            return Taken::Bad;
        }
        if let Some(tid) = text.strip_prefix("thread ").and_then(|rest| rest.split(' ').next()?.parse().ok()) {
            file.lines.insert(tid, line.place.line);
        }
        let row = text.strip_prefix("op ").or_else(|| text.strip_prefix("task "));
        if let Some(id) = row.and_then(|rest| rest.split(' ').next()?.parse().ok()) {
            file.rows.entry(id).or_insert(line.place.line);
        }
        file.text.push_str(text);
        file.text.push('\n');
        if text.starts_with("== end ") {
            self.finish(out);
        }
        Taken::Yes
    }

    fn finish(&mut self, out: &mut Vec<Fact>) {
        let Some(file) = self.file.take() else { return };
        let read = stacks::read(&file.text);
        let at = At { wall_us: Some(read.dump.header.time_us).filter(|us| *us != 0), mono_us: None };
        let mut fact = |what| out.push(Fact { place: file.place, at, what });
        if !read.dump.ops.is_empty() {
            fact(watch(&read.dump));
        }
        if let Some((connection, waiting)) = read.dump.header.fuse.and_then(|fuse| Some((fuse.minor, fuse.waiting?))) {
            fact(What::Kernel(Box::new(KernelFact::Waiting { connection: connection.into(), waiting })));
        }
        fact(What::Dump(Box::new(dump(&read.dump, !read.complete, &file))));
        self.left = file.emptied();
    }
}

impl File {
    /// Without what it held, and without its memory if that was much.
    fn emptied(mut self) -> Self {
        const MUCH: usize = 1 << 16;
        if self.text.capacity() > MUCH {
            return Self::default();
        }
        self.text.clear();
        self.lines.clear();
        self.rows.clear();
        Self { strangers: 0, ..self }
    }
}

/// Whether a line may stand in a dump at all; the strict reader judges what is collected.
fn is_part(text: &str) -> bool {
    const STARTS: &[&str] = &[
        "  ",
        "op ",
        "lock ",
        "thread ",
        "task ",
        "== ",
        "pileup ",
        "cycle ",
        "lock-across-io ",
        "pool-starved ",
        "orphan ",
        "fsd-stacks ",
    ];
    let header =
        || scan::split(text, ": ").is_some_and(|(key, _)| key.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'));
    text.is_empty() || scan::starts(text, STARTS) || header()
}

fn watch(dump: &StackDump<'_>) -> What {
    let mut inflight: Vec<(Op, u64)> = Vec::new();
    for line in &dump.ops {
        match inflight.iter_mut().find(|(op, _)| *op == line.op) {
            Some((_, count)) => *count += 1,
            None => inflight.push((line.op, 1)),
        }
    }
    // What the watchdog dumped for is stalled; in a dump that somebody asked for, age alone tells.
    let limit = dump.header.reason.oldest_ms.map_or(u64::MAX, |oldest| oldest / 2);
    let stalled = dump.ops.iter().filter(|line| line.age_ms >= limit);
    let stalled = stalled.map(|line| (Key::Num(line.id.0), line.op, line.age_ms.saturating_mul(1000))).collect();
    What::Watch { inflight, stalled }
}

fn dump(read: &StackDump<'_>, truncated: bool, file: &File) -> Dump {
    let threads = read.threads.iter().map(|block| thread(read, block, file));
    let tasks = read.tasks.iter().map(|block| task(read, block, file.place.line));
    Dump {
        format: "fsd-stacks".into(),
        pid: Some(read.header.pid).filter(|pid| *pid != 0),
        process: Some(read.header.program.as_ref()).filter(|name| !name.is_empty()).map(Into::into),
        mount: read.header.mount.as_deref().filter(|_| read.header.fuse.is_some()).map(Into::into),
        threads: threads.chain(tasks).collect(),
        tables: tables::of(read, &tables::Lines { rows: &file.rows, start: file.place.line }),
        stated_cycle: cycle(read),
        counted: "".into(),
        truncated,
        partial: false,
    }
}

fn cycle(read: &StackDump<'_>) -> Vec<Box<str>> {
    let found = read.findings.iter().find_map(|finding| match finding {
        stacks::Finding::Cycle { threads, .. } => Some(threads),
        _ => None,
    });
    found.into_iter().flat_map(|threads| threads.iter()).map(|tid| format!("thread {tid}").into()).collect()
}

fn thread(read: &StackDump<'_>, block: &ThreadBlock<'_>, file: &File) -> Thread {
    let head = &block.head;
    let wchan = head.wchan.as_deref().filter(|wchan| !matches!(*wchan, "0" | ""));
    let state = wchan.map_or_else(|| head.doing.name().into(), |wchan| format!("{} {wchan}", head.doing.name()));
    let frames: Vec<Frame> = block.frames.iter().filter_map(|f| frame(read, f)).collect();
    // Our own locks are stated; of another daemon's the stacks tell, as in any dump.
    let native = || locks::native(&frames).filter(|_| read.header.program != OWN);
    Thread {
        label: format!("thread {}", head.tid).into(),
        number: head.tid.into(),
        name: Some(head.comm.as_ref().into()),
        state: Some(state.into()),
        since_us: head.age_ms.map(|ms| ms * 1000),
        blur_us: 0,
        count: 1,
        waits_for: block.waiting.as_ref().map(|wait| waits(read, wait)).or_else(native),
        frames,
        holds: block.holding.iter().map(holds).collect(),
        input: None,
        line: file.lines.get(&u64::from(head.tid)).copied().unwrap_or(file.place.line),
        op: head.op.and_then(|id| Some((Some(Key::Num(id.0)), op(read, id)?))),
        created_by: None,
    }
}

/// A background task: it may hold locks and wait like a thread.
fn task(read: &StackDump<'_>, block: &TaskBlock<'_>, line: u64) -> Thread {
    let phase = block.phase.map(|(phase, _)| format!(" {}", phase.name())).unwrap_or_default();
    let state = if block.polling { "polling" } else { "pending" };
    let user = |user: &&LockUser<'_>| user.op == block.id && user.thread.is_none();
    let held = read.locks.iter().filter_map(|lock| Some((lock, lock.holders.iter().find(user)?)));
    let waited = read.locks.iter().find_map(|lock| Some((lock, lock.waiters.iter().find(user)?)));
    let named = |(lock, user): (&stacks::LockBlock<'_>, &LockUser<'_>)| LockRef {
        key: key(&lock.head.name, lock.head.key),
        mode: mode(user.mode),
        owner: None,
    };
    Thread {
        label: label(block.id),
        number: block.id.0,
        name: Some(block.kind.name().into()),
        state: Some(format!("{state}{phase}").into()),
        since_us: Some(block.age_ms * 1000),
        count: 1,
        holds: held.map(named).collect(),
        waits_for: waited.map(named),
        created_by: block.parent.map(|parent| format!("op {parent}").into()),
        line,
        ..Thread::default()
    }
}

fn label(task: OpId) -> Box<str> {
    format!("task {task}").into()
}

fn op(read: &StackDump<'_>, id: OpId) -> Option<Op> {
    read.ops.iter().find(|line| line.id == id).map(|line| line.op)
}

fn waits(read: &StackDump<'_>, wait: &LockWait<'_>) -> LockRef {
    let number = read.locks.iter().find(|lock| lock.head.number == wait.lock).map_or(0, |lock| lock.head.key);
    let owner = wait.held_by.map(|(op, thread)| thread.map_or_else(|| label(op), |tid| format!("thread {tid}").into()));
    LockRef { key: key(&wait.name, number), mode: mode(wait.mode), owner }
}

fn holds(hold: &LockHold<'_>) -> LockRef {
    LockRef { key: key(&hold.name, hold.key), mode: mode(hold.mode), owner: None }
}

/// Locks of one name are told apart by their number, as in events: `store#17`.
fn key(name: &str, number: u64) -> Box<str> {
    if number == 0 { name.into() } else { format!("{name}#{number}").into() }
}

fn mode(mode: LockMode) -> LockUse {
    match mode {
        LockMode::Read => LockUse::Read,
        LockMode::Write => LockUse::Write,
    }
}

fn frame(read: &StackDump<'_>, frame: &stacks::Frame<'_>) -> Option<Frame> {
    let stacks::Frame::Call { function, place, .. } = frame else { return None };
    let function = function.as_deref().unwrap_or("??").into();
    Some(match place {
        Source::Source { file, line } => {
            Frame { function, file: Some(file.as_ref().into()), line: Some(*line), ..Frame::default() }
        }
        Source::Module { module, .. } => {
            let path = read.modules.iter().find(|m| m.number == *module).map(|m| m.path.as_ref().into());
            Frame { function, module: path, ..Frame::default() }
        }
        Source::Unknown => Frame { function, ..Frame::default() },
    })
}
