//! The lines: one function a kind, in the order of the grammar.

use std::borrow::Cow;

use super::cursor::{Cursor, hex};
use crate::{
    event::{LockKind, LockMode, Phase, TaskKind, Text},
    ids::{Fh, Ino, OpId, Unique},
    op::Op,
    stacks::{
        Capture, Cause, Doing, Finding, Frame, Fuse, Header, How, LockBlock, LockHead, LockHold, LockUser, LockWait,
        Module, NoStack, OpLine, OpWait, Place, Reason, Section, StackSource, Symbols, Syscall, TaskBlock, ThreadBlock,
        ThreadHead, VERSION, text::unescape,
    },
};

/// A thread or task block that may end here, or go on with optional lines.
pub(super) const BLOCK_DONE: u8 = 4;

/// Which header lines were read.
#[derive(Default)]
pub(super) struct HeaderOrder(usize);

/// Header lines in their order, and whether each must be there.
const HEADER: &[(&str, bool)] = &[
    ("fsd-stacks ", true),
    ("time: ", true),
    ("daemon: ", true),
    ("pid: ", true),
    ("uptime: ", false),
    ("mount: ", false),
    ("fuse: ", false),
    ("reason: ", true),
    ("capture: ", true),
    ("symbols: ", true),
    ("x-", false),
];

impl HeaderOrder {
    /// All required lines are there.
    pub(super) fn complete(&self) -> bool {
        self.0 >= HEADER.len() - 1
    }

    /// Moves to the line that begins so, unless one that must come before it is missing.
    fn reach(&mut self, line: &str) -> Option<&'static str> {
        let at = HEADER.iter().position(|(key, _)| line.starts_with(key))?;
        let skipped = HEADER.get(self.0..at)?;
        skipped.iter().all(|(_, required)| !required).then_some(())?;
        let last = HEADER.len() - 1;
        self.0 = if at == last { last } else { at + 1 };
        Some(HEADER[at].0)
    }
}

pub(super) fn header<'a>(header: &mut Header<'a>, order: &mut HeaderOrder, line: &'a str) -> Option<()> {
    let key = order.reach(line)?;
    let c = &mut Cursor::new(line);
    c.eat(key)?;
    match key {
        "fsd-stacks " => (c.number::<u32>()? == VERSION).then_some(())?,
        "time: " => header.time_us = c.timestamp()?,
        "daemon: " => daemon(header, c)?,
        "pid: " => header.pid = c.number()?,
        "uptime: " => header.uptime_ms = Some(c.millis()?),
        "mount: " => header.mount = Some(c.quoted()?),
        "fuse: " => header.fuse = Some(fuse(c)?),
        "reason: " => header.reason = reason(c)?,
        "capture: " => header.capture = capture(c)?,
        "symbols: " => header.symbols = Symbols::parse(c.word()?)?,
        _ => {
            let (key, value) = line.strip_prefix("x-")?.split_once(": ")?;
            header.extra.push((Cow::Borrowed(key), unescape(value)?));
            return Some(());
        }
    }
    c.end()
}

fn daemon<'a>(header: &mut Header<'a>, c: &mut Cursor<'a>) -> Option<()> {
    header.program = match c.quoted() {
        Some(program) => program,
        None => Cow::Borrowed(c.word()?),
    };
    for field in [&mut header.version, &mut header.os, &mut header.arch] {
        c.eat(" ")?;
        *field = c.maybe(|c| c.word().map(Cow::Borrowed))?.unwrap_or_default();
    }
    Some(())
}

fn fuse(c: &mut Cursor<'_>) -> Option<Fuse> {
    c.eat("dev=")?;
    let major = c.number()?;
    c.eat(":")?;
    let minor = c.number()?;
    c.eat(" waiting=")?;
    let waiting = c.maybe(Cursor::number)?;
    c.eat(" inflight=")?;
    let inflight = c.number()?;
    c.eat(" workers=")?;
    let workers = c.number()?;
    c.eat(" busy=")?;
    Some(Fuse { major, minor, waiting, inflight, workers, busy: c.number()? })
}

fn reason(c: &mut Cursor<'_>) -> Option<Reason> {
    let cause = Cause::parse(c.word()?)?;
    let oldest_ms = if c.has(" oldest=") { Some(c.millis()?) } else { None };
    let repeat = if c.has(" repeat=") { Some(c.number()?) } else { None };
    Some(Reason { cause, oldest_ms, repeat })
}

fn capture(c: &mut Cursor<'_>) -> Option<Capture> {
    c.eat("how=")?;
    let how = How::parse(c.word()?)?;
    c.eat(" threads=")?;
    let threads = c.number()?;
    c.eat(" answered=")?;
    let answered = c.number()?;
    c.eat(" fallback=")?;
    let fallback = c.number()?;
    c.eat(" took_us=")?;
    Some(Capture { how, threads, answered, fallback, took_us: c.number()? })
}

pub(super) fn module<'a>(c: &mut Cursor<'a>) -> Option<Module<'a>> {
    c.eat("module: ")?;
    let number = c.number()?;
    c.eat(" ")?;
    let start = c.hex16()?;
    c.eat("-")?;
    let end = c.hex16()?;
    c.eat(" base=")?;
    let base = c.hex16()?;
    c.eat(" build-id=")?;
    let build_id = c.maybe(|c| c.word().filter(|id| id.bytes().all(|b| b.is_ascii_hexdigit())))?.unwrap_or_default();
    c.eat(" ")?;
    let path = c.quoted()?;
    c.end()?;
    Some(Module { number, start, end, base, build_id: Cow::Borrowed(build_id), path })
}

pub(super) fn op<'a>(c: &mut Cursor<'a>) -> Option<OpLine<'a>> {
    c.eat("op ")?;
    let id = OpId(c.number()?);
    c.eat(" ")?;
    let op = Op::from_name(c.word()?)?;
    c.eat(" age=")?;
    let age_ms = c.millis()?;
    c.eat(" thread=")?;
    let thread = c.number()?;
    c.eat(" pid=")?;
    let pid = c.number()?;
    c.eat(" unique=")?;
    let unique = Unique(c.number()?);
    c.eat(" ino=")?;
    let ino = Ino(c.number()?);
    c.eat(" fh=")?;
    let fh = c.maybe(Cursor::number)?.map(Fh);
    c.eat(" wait=")?;
    let wait = c.maybe(op_wait)?.unwrap_or_default();
    c.eat(" need=")?;
    let need = c.maybe(range)?;
    c.eat(" phase=")?;
    let phase = c.maybe(|c| Phase::parse(c.word()?))?;
    c.eat(" path=")?;
    let path = c.maybe(Cursor::quoted)?;
    c.end()?;
    Some(OpLine { id, op, age_ms, thread, pid, unique, ino, fh, wait, need, phase, path })
}

fn op_wait(c: &mut Cursor<'_>) -> Option<OpWait> {
    match c.has("L") {
        true => c.number().map(OpWait::Lock),
        false => c.eat("T").and_then(|()| c.number()).map(|id| OpWait::Task(OpId(id))),
    }
}

fn range(c: &mut Cursor<'_>) -> Option<(u64, u64)> {
    let from = c.number()?;
    c.eat("-")?;
    Some((from, c.number()?))
}

/// The lock, and how many holders and waiters follow.
pub(super) fn lock<'a>(c: &mut Cursor<'a>) -> Option<(LockBlock<'a>, u64, u64)> {
    c.eat("lock L")?;
    let number = c.number()?;
    c.eat(" ")?;
    let name = c.quoted()?;
    c.eat(" kind=")?;
    let kind = LockKind::parse(c.word()?)?;
    c.eat(" key=")?;
    let key = key(c)?;
    c.eat(" holders=")?;
    let holders = c.number()?;
    c.eat(" waiters=")?;
    let waiters = c.number()?;
    c.end()?;
    let head = LockHead { number, name, kind, key };
    Some((LockBlock { head, holders: Vec::new(), waiters: Vec::new() }, holders, waiters))
}

fn key(c: &mut Cursor<'_>) -> Option<u64> {
    match c.maybe(Cursor::number)? {
        Some(0) => None,
        key => Some(key.unwrap_or_default()),
    }
}

/// Whether it holds the lock, and who it is.
pub(super) fn lock_user<'a>(c: &mut Cursor<'a>) -> Option<(bool, LockUser<'a>)> {
    let holds = c.has("  holder ");
    if !holds {
        c.eat("  waiter ")?;
    }
    c.eat("op=")?;
    let op = OpId(c.number()?);
    c.eat(" thread=")?;
    let thread = c.maybe(Cursor::number)?;
    c.eat(" mode=")?;
    let mode = LockMode::parse(c.word()?)?;
    c.eat(" for=")?;
    let for_ms = c.millis()?;
    c.eat(" at ")?;
    let at = c.maybe(site)?;
    let unstable = c.has(" unstable");
    c.end()?;
    Some((holds, LockUser { op, thread, mode, for_ms, at, unstable }))
}

fn site<'a>(c: &mut Cursor<'a>) -> Option<(Text<'a>, u32)> {
    let (file, line) = c.token()?.rsplit_once(':')?;
    let mut line = Cursor::new(line);
    let number = line.number()?;
    line.end()?;
    Some((unescape(file).filter(|file| !file.is_empty())?, number))
}

pub(super) fn finding<'a>(c: &mut Cursor<'a>) -> Option<Finding<'a>> {
    let found = match c.word()? {
        "pileup" => pileup(c)?,
        "cycle" => {
            c.eat(" threads=")?;
            let threads = list(c, "")?;
            c.eat(" locks=")?;
            Finding::Cycle { threads: threads.into(), locks: list(c, "L")?.into() }
        }
        "lock-across-io" => {
            c.eat(" lock=L")?;
            let lock = c.number()?;
            c.eat(" thread=")?;
            let thread = c.number()?;
            c.eat(" op=")?;
            let op = OpId(c.number()?);
            c.eat(" syscall=")?;
            let syscall = c.signed()?;
            c.eat(" for=")?;
            Finding::LockAcrossIo { lock, thread, op, syscall, for_ms: c.millis()? }
        }
        "pool-starved" => {
            c.eat(" workers=")?;
            let workers = c.number()?;
            c.eat(" busy=")?;
            let busy = c.number()?;
            c.eat(" kernel_waiting=")?;
            Finding::PoolStarved { workers, busy, kernel_waiting: c.number()? }
        }
        "orphan" => {
            c.eat(" op=")?;
            let op = OpId(c.number()?);
            c.eat(" thread=")?;
            Finding::Orphan { op, thread: c.number()? }
        }
        _ => return None,
    };
    c.end()?;
    Some(found)
}

fn pileup<'a>(c: &mut Cursor<'a>) -> Option<Finding<'a>> {
    c.eat(" lock=L")?;
    let lock = c.number()?;
    c.eat(" waiters=")?;
    let waiters = c.number()?;
    c.eat(" blocked_ops=")?;
    let blocked_ops = c.number()?;
    c.eat(" root_thread=")?;
    let root_thread = c.maybe(Cursor::number)?;
    c.eat(" root_op=")?;
    let root_op = OpId(c.number()?);
    c.eat(" root_doing=")?;
    let root_doing = Doing::parse(c.word()?)?;
    Some(Finding::Pileup { lock, waiters, blocked_ops, root_thread, root_op, root_doing })
}

fn list(c: &mut Cursor<'_>, prefix: &str) -> Option<Vec<u32>> {
    let mut all = Vec::new();
    loop {
        c.eat(prefix)?;
        all.push(c.number()?);
        if !c.has(",") {
            return Some(all);
        }
    }
}

pub(super) fn thread<'a>(c: &mut Cursor<'a>) -> Option<ThreadBlock<'a>> {
    c.eat("thread ")?;
    let tid = c.number()?;
    c.eat(" ")?;
    let comm = c.quoted()?;
    c.eat(" [")?;
    let doing = Doing::parse(c.word()?)?;
    let (mut age_ms, mut op) = (None, None);
    if c.has(", op=") {
        op = Some(OpId(c.number()?));
    } else if c.has(", ") {
        age_ms = Some(c.millis()?);
        op = if c.has(", op=") { Some(OpId(c.number()?)) } else { None };
    }
    c.eat("]:")?;
    c.end()?;
    let head = ThreadHead { tid, comm, doing, age_ms, op, ..ThreadHead::default() };
    Some(ThreadBlock { head, waiting: None, holding: Vec::new(), frames: Vec::new() })
}

/// Place of a line in a thread block, and the step that follows it.
pub(super) fn thread_step(line: &str) -> Option<(u8, u8)> {
    const STEPS: &[(&str, u8, u8)] = &[
        ("  kernel: ", 1, 2),
        ("  kstack: ", 2, 3),
        ("  stack: ", 3, BLOCK_DONE),
        ("  - waiting for ", 4, 5),
        ("  - holds ", 5, 5),
        ("  #", 6, 6),
    ];
    STEPS.iter().find(|(prefix, ..)| line.starts_with(prefix)).map(|(_, at, after)| (*at, *after))
}

pub(super) fn kernel<'a>(head: &mut ThreadHead<'a>, c: &mut Cursor<'a>) -> Option<()> {
    c.eat("  kernel: state=")?;
    let mut state = c.word()?.chars();
    head.state = state.next().filter(|c| c.is_ascii_uppercase() || *c == '?')?;
    state.next().is_none().then_some(())?;
    c.eat(" wchan=")?;
    head.wchan = c.maybe(|c| c.word().map(Cow::Borrowed))?;
    c.eat(" syscall=")?;
    head.syscall = match c.maybe(|c| if c.has("running") { Some(None) } else { c.signed().map(Some) })? {
        None => Syscall::Unknown,
        Some(None) => Syscall::Running,
        Some(Some(number)) => Syscall::Number(number),
    };
    if c.has(" cpu=") {
        head.cpu_ms = Some(c.millis()?);
    }
    c.end()
}

pub(super) fn stack(c: &mut Cursor<'_>) -> Option<StackSource> {
    c.eat("  stack: ")?;
    let source = match c.word()? {
        "signal" => StackSource::Signal,
        "procfs" => StackSource::Procfs,
        "procfs-partial" => StackSource::ProcfsPartial,
        "ptrace" => StackSource::Ptrace,
        "none" => {
            c.eat(" reason=")?;
            StackSource::None(NoStack::parse(c.word()?)?)
        }
        _ => return None,
    };
    c.end()?;
    Some(source)
}

fn mode(c: &mut Cursor<'_>) -> Option<LockMode> {
    c.eat(" (")?;
    let mode = LockMode::parse(c.word()?)?;
    c.eat(") ")?;
    Some(mode)
}

pub(super) fn waiting<'a>(c: &mut Cursor<'a>) -> Option<LockWait<'a>> {
    c.eat("  - waiting for L")?;
    let lock = c.number()?;
    c.eat(" ")?;
    let name = c.quoted()?;
    let mode = mode(c)?;
    c.eat("held by ")?;
    let mut held_by = None;
    if !c.has("nobody") {
        c.eat("op=")?;
        let op = OpId(c.number()?);
        c.eat(" thread=")?;
        held_by = Some((op, c.maybe(Cursor::number)?));
    }
    let mut more = 0;
    if c.has(" and ") {
        more = c.number().filter(|more| *more > 0)?;
        c.eat(" more")?;
    }
    c.end()?;
    Some(LockWait { lock, name, mode, held_by, more })
}

pub(super) fn holding<'a>(c: &mut Cursor<'a>) -> Option<LockHold<'a>> {
    c.eat("  - holds L")?;
    let lock = c.number()?;
    c.eat(" ")?;
    let name = c.quoted()?;
    c.eat(" key=")?;
    let key = key(c)?;
    let mode = mode(c)?;
    c.eat("for ")?;
    let for_ms = c.millis()?;
    c.end()?;
    Some(LockHold { lock, name, key, mode, for_ms })
}

/// A frame, and its number unless it stands for none. Names hold blanks and parentheses: read from both ends.
pub(super) fn frame(line: &str) -> Option<(Option<u64>, Frame<'_>)> {
    let c = &mut Cursor::new(line);
    if c.has("  #- ") {
        let frame = match c.has("elided ") {
            true => Frame::Elided(c.number()?),
            false => c.eat("truncated").map(|()| Frame::Truncated)?,
        };
        c.end()?;
        return Some((None, frame));
    }
    c.eat("  #")?;
    let number = c.number()?;
    c.eat(" ")?;
    let address = match c.has("inline            ") {
        true => None,
        false => {
            c.eat("0x")?;
            Some(c.hex16()?)
        }
    };
    c.eat(" ")?;
    let (function, place) = c.all().strip_suffix(')')?.rsplit_once(" (")?;
    let function = match function {
        "" => return None,
        "??" => None,
        name => Some(unescape(name)?),
    };
    Some((Some(number), Frame::Call { address, function, place: frame_place(place)? }))
}

fn frame_place(text: &str) -> Option<Place<'_>> {
    if text == "??" {
        return Some(Place::Unknown);
    }
    if let Some((module, offset)) = text.strip_prefix("module ").and_then(|t| t.split_once("+0x")) {
        let mut number = Cursor::new(module);
        if let (Some(module), Some(()), Some(offset)) = (number.number(), number.end(), hex(offset)) {
            return Some(Place::Module { module, offset });
        }
    }
    let (file, line) = text.rsplit_once(':')?;
    let mut number = Cursor::new(line);
    let line = number.number()?;
    number.end()?;
    Some(Place::Source { file: unescape(file).filter(|file| !file.is_empty())?, line })
}

pub(super) fn task<'a>(c: &mut Cursor<'a>) -> Option<TaskBlock<'a>> {
    c.eat("task ")?;
    let id = OpId(c.number()?);
    c.eat(" ")?;
    let kind = TaskKind::parse(c.word()?)?;
    c.eat(" [")?;
    let polling = match c.word()? {
        "polling" => true,
        "pending" => false,
        _ => return None,
    };
    c.eat(", ")?;
    let age_ms = c.millis()?;
    let parent = if c.has(", op=") { Some(OpId(c.number()?)) } else { None };
    c.eat("]:")?;
    c.end()?;
    let (polls, last_thread, have, want) = (0, 0, 0, 0);
    Some(TaskBlock {
        id,
        kind,
        polling,
        age_ms,
        parent,
        fh: None,
        polls,
        last_thread,
        phase: None,
        have,
        want,
        path: None,
    })
}

pub(super) fn task_detail<'a>(task: &mut TaskBlock<'a>, c: &mut Cursor<'a>) -> Option<()> {
    c.eat("  polls=")?;
    task.polls = c.number()?;
    c.eat(" last_thread=")?;
    task.last_thread = c.number()?;
    c.eat(" phase=")?;
    task.phase = c.maybe(|c| {
        let phase = Phase::parse(c.word()?)?;
        c.eat(" for=")?;
        Some((phase, c.millis()?))
    })?;
    c.eat(" have=")?;
    task.have = c.number()?;
    c.eat(" want=")?;
    task.want = c.number()?;
    c.eat(" fh=")?;
    task.fh = c.maybe(Cursor::number)?.map(Fh);
    c.eat(" path=")?;
    task.path = c.maybe(Cursor::quoted)?;
    c.end()
}

/// What the last line says.
pub(super) struct End {
    pub(super) counts: [u64; Section::ALL.len()],
    pub(super) lines: u64,
    pub(super) fnv: u64,
}

pub(super) fn end(c: &mut Cursor<'_>) -> Option<End> {
    c.eat("== end ")?;
    let mut counts = [0; Section::ALL.len()];
    for section in Section::ALL {
        c.eat(section.name())?;
        c.eat("=")?;
        counts[*section as usize] = c.number()?;
        c.eat(" ")?;
    }
    c.eat("lines=")?;
    let lines = c.number()?;
    c.eat(" fnv=")?;
    let fnv = c.hex16()?;
    c.eat(" ==")?;
    c.end()?;
    Some(End { counts, lines, fnv })
}
