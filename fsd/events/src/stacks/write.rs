//! The writer: each line goes out at once; nothing is allocated, so that a process without malloc can use it.

use std::fmt::{self, Write};

use super::{
    Finding, Frame, Header, LockBlock, LockHead, LockHold, LockUser, LockWait, Module, NoStack, OpLine, OpWait, Place,
    Reason, StackDump, StackSource, Syscall, TaskBlock, ThreadBlock, ThreadHead, VERSION,
    text::{Bare, Fnv, Maybe, Millis, Quoted, Timestamp},
};
use crate::event::words;

words! {
    /// The parts after the header, in the order of the file.
    Section { Ops = "ops", Locks = "locks", Findings = "findings", Threads = "threads", Tasks = "tasks" }
}

/// Writes a dump line by line; the caller keeps the order of the grammar and says each section's count beforehand.
pub struct Writer<'w> {
    out: Counting<'w>,
    counts: [u64; Section::ALL.len()],
    frame: u64,
}

struct Counting<'w> {
    to: &'w mut dyn fmt::Write,
    hash: Fnv,
    lines: u64,
}

impl fmt::Write for Counting<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.hash.add(text.as_bytes());
        self.lines += text.bytes().filter(|b| *b == b'\n').map(|_| 1).sum::<u64>();
        self.to.write_str(text)
    }
}

/// Writes a whole dump.
///
/// # Errors
/// Whatever `out` returns.
pub fn write(dump: &StackDump<'_>, out: &mut dyn fmt::Write) -> fmt::Result {
    let mut w = Writer::new(out);
    w.header(&dump.header)?;
    dump.modules.iter().try_for_each(|module| w.module(module))?;
    w.section(Section::Ops, dump.ops.len())?;
    dump.ops.iter().try_for_each(|op| w.op(op))?;
    w.section(Section::Locks, dump.locks.len())?;
    dump.locks.iter().try_for_each(|lock| w.lock_block(lock))?;
    w.section(Section::Findings, dump.findings.len())?;
    dump.findings.iter().try_for_each(|finding| w.finding(finding))?;
    w.section(Section::Threads, dump.threads.len())?;
    dump.threads.iter().try_for_each(|thread| w.thread_block(thread))?;
    w.section(Section::Tasks, dump.tasks.len())?;
    dump.tasks.iter().try_for_each(|task| w.task(task))?;
    w.finish()
}

impl fmt::Debug for Writer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("lines", &self.out.lines).field("counts", &self.counts).finish_non_exhaustive()
    }
}

/// A word that needs no quotes.
fn plain(text: &str) -> bool {
    !matches!(text, "" | "-") && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._+-".contains(&b))
}

impl<'w> Writer<'w> {
    pub fn new(out: &'w mut dyn fmt::Write) -> Self {
        Self { out: Counting { to: out, hash: Fnv::new(), lines: 0 }, counts: [0; Section::ALL.len()], frame: 0 }
    }

    pub fn header(&mut self, header: &Header<'_>) -> fmt::Result {
        let out = &mut self.out;
        writeln!(out, "fsd-stacks {VERSION}")?;
        writeln!(out, "time: {}", Timestamp(header.time_us))?;
        out.write_str("daemon: ")?;
        match plain(&header.program) {
            true => out.write_str(&header.program)?,
            false => write!(out, "{}", Quoted(&header.program))?,
        }
        let words = [&header.version, &header.os, &header.arch];
        words.iter().try_for_each(|word| write!(out, " {}", Maybe(Some(word).filter(|w| !w.is_empty()))))?;
        writeln!(out, "\npid: {}", header.pid)?;
        if let Some(uptime) = header.uptime_ms {
            writeln!(out, "uptime: {}", Millis(uptime))?;
        }
        if let Some(mount) = &header.mount {
            writeln!(out, "mount: {}", Quoted(mount))?;
        }
        if let Some(f) = header.fuse {
            write!(out, "fuse: dev={}:{} waiting={} ", f.major, f.minor, Maybe(f.waiting))?;
            writeln!(out, "inflight={} workers={} busy={}", f.inflight, f.workers, f.busy)?;
        }
        reason(out, header.reason)?;
        let c = header.capture;
        write!(out, "capture: how={} threads={} answered={} ", c.how.name(), c.threads, c.answered)?;
        writeln!(out, "fallback={} took_us={}", c.fallback, c.took_us)?;
        writeln!(out, "symbols: {}", header.symbols.name())?;
        header.extra.iter().try_for_each(|(key, value)| self.extra(key, format_args!("{}", Bare(value, ""))))
    }

    /// One more line of the header; `value` has no line break.
    pub fn extra(&mut self, key: &str, value: fmt::Arguments<'_>) -> fmt::Result {
        writeln!(self.out, "x-{key}: {value}")
    }

    pub fn module(&mut self, m: &Module<'_>) -> fmt::Result {
        let id = Maybe(Some(&m.build_id).filter(|id| !id.is_empty()));
        let (start, end, base) = (m.start, m.end, m.base);
        writeln!(
            self.out,
            "module: {} {start:016x}-{end:016x} base={base:016x} build-id={id} {}",
            m.number,
            Quoted(&m.path)
        )
    }

    /// Begins a section of `count` items.
    pub fn section(&mut self, section: Section, count: usize) -> fmt::Result {
        self.counts[section as usize] = count as u64;
        writeln!(self.out, "\n== {} {count} ==", section.name())
    }

    pub fn op(&mut self, op: &OpLine<'_>) -> fmt::Result {
        let out = &mut self.out;
        write!(out, "op {} {} age={} thread={} ", op.id, op.op, Millis(op.age_ms), op.thread)?;
        write!(out, "pid={} unique={} ino={} fh={} wait=", op.pid, op.unique, op.ino, Maybe(op.fh))?;
        match op.wait {
            OpWait::Unknown => out.write_str("-")?,
            OpWait::Lock(number) => write!(out, "L{number}")?,
            OpWait::Task(id) => write!(out, "T{id}")?,
        }
        match op.need {
            Some((from, to)) => write!(out, " need={from}-{to}")?,
            None => out.write_str(" need=-")?,
        }
        let path = op.path.as_deref().map(Quoted);
        writeln!(out, " phase={} path={}", Maybe(op.phase.map(|p| p.name())), Maybe(path))
    }

    fn lock_block(&mut self, lock: &LockBlock<'_>) -> fmt::Result {
        self.lock(&lock.head, lock.holders.len(), lock.waiters.len())?;
        lock.holders.iter().try_for_each(|user| self.holder(user))?;
        lock.waiters.iter().try_for_each(|user| self.waiter(user))
    }

    /// Begins a lock; its holders, then its waiters follow.
    pub fn lock(&mut self, lock: &LockHead<'_>, holders: usize, waiters: usize) -> fmt::Result {
        let key = Maybe(Some(lock.key).filter(|key| *key != 0));
        let (name, kind) = (Quoted(&lock.name), lock.kind.name());
        writeln!(self.out, "lock L{} {name} kind={kind} key={key} holders={holders} waiters={waiters}", lock.number)
    }

    pub fn holder(&mut self, user: &LockUser<'_>) -> fmt::Result {
        self.lock_user("holder", user)
    }

    pub fn waiter(&mut self, user: &LockUser<'_>) -> fmt::Result {
        self.lock_user("waiter", user)
    }

    fn lock_user(&mut self, role: &str, user: &LockUser<'_>) -> fmt::Result {
        let (thread, mode, held) = (Maybe(user.thread), user.mode.name(), Millis(user.for_ms));
        write!(self.out, "  {role} op={} thread={thread} mode={mode} for={held} at ", user.op)?;
        match &user.at {
            Some((file, line)) => write!(self.out, "{}:{line}", Bare(file, " "))?,
            None => self.out.write_str("-")?,
        }
        self.out.write_str(if user.unstable { " unstable\n" } else { "\n" })
    }

    pub fn finding(&mut self, finding: &Finding<'_>) -> fmt::Result {
        let out = &mut self.out;
        match finding {
            Finding::Pileup { lock, waiters, blocked_ops, root_thread, root_op, root_doing } => {
                let (thread, doing) = (Maybe(*root_thread), root_doing.name());
                write!(out, "pileup lock=L{lock} waiters={waiters} blocked_ops={blocked_ops} ")?;
                writeln!(out, "root_thread={thread} root_op={root_op} root_doing={doing}")
            }
            Finding::Cycle { threads, locks } => {
                out.write_str("cycle threads=")?;
                list(out, threads, "")?;
                out.write_str(" locks=")?;
                list(out, locks, "L")?;
                out.write_str("\n")
            }
            Finding::LockAcrossIo { lock, thread, op, syscall, for_ms } => {
                write!(out, "lock-across-io lock=L{lock} thread={thread} op={op} syscall={syscall} ")?;
                writeln!(out, "for={}", Millis(*for_ms))
            }
            Finding::PoolStarved { workers, busy, kernel_waiting } => {
                writeln!(out, "pool-starved workers={workers} busy={busy} kernel_waiting={kernel_waiting}")
            }
            Finding::Orphan { op, thread } => writeln!(out, "orphan op={op} thread={thread}"),
        }
    }

    fn thread_block(&mut self, thread: &ThreadBlock<'_>) -> fmt::Result {
        self.thread(&thread.head)?;
        thread.waiting.iter().try_for_each(|wait| self.waiting(wait))?;
        thread.holding.iter().try_for_each(|hold| self.holding(hold))?;
        thread.frames.iter().try_for_each(|frame| self.frame(frame))
    }

    /// Begins a thread; the lock it waits for, the locks it holds and its frames follow.
    pub fn thread(&mut self, t: &ThreadHead<'_>) -> fmt::Result {
        self.frame = 0;
        let out = &mut self.out;
        write!(out, "\nthread {} {} [{}", t.tid, Quoted(&t.comm), t.doing.name())?;
        t.age_ms.iter().try_for_each(|age| write!(out, ", {}", Millis(*age)))?;
        t.op.iter().try_for_each(|op| write!(out, ", op={op}"))?;
        let state = if t.state.is_ascii_uppercase() { t.state } else { '?' };
        write!(out, "]:\n  kernel: state={state} wchan={} syscall=", Maybe(t.wchan.as_deref()))?;
        match t.syscall {
            Syscall::Number(number) => write!(out, "{number}")?,
            Syscall::Running => out.write_str("running")?,
            Syscall::Unknown => out.write_str("-")?,
        }
        t.cpu_ms.iter().try_for_each(|ms| write!(out, " cpu={}", Millis(*ms)))?;
        t.kstack.iter().try_for_each(|kstack| write!(out, "\n  kstack: {}", Bare(kstack, "")))?;
        out.write_str("\n  stack: ")?;
        match t.stack {
            StackSource::Signal => out.write_str("signal\n"),
            StackSource::Procfs => out.write_str("procfs\n"),
            StackSource::ProcfsPartial => out.write_str("procfs-partial\n"),
            StackSource::Ptrace => out.write_str("ptrace\n"),
            StackSource::None(reason) => writeln!(out, "none reason={}", NoStack::name(reason)),
        }
    }

    pub fn waiting(&mut self, wait: &LockWait<'_>) -> fmt::Result {
        let (name, mode) = (Quoted(&wait.name), wait.mode.name());
        write!(self.out, "  - waiting for L{} {name} ({mode}) held by ", wait.lock)?;
        match wait.held_by {
            None => self.out.write_str("nobody")?,
            Some((op, thread)) => write!(self.out, "op={op} thread={}", Maybe(thread))?,
        }
        match wait.more {
            0 => self.out.write_str("\n"),
            more => writeln!(self.out, " and {more} more"),
        }
    }

    pub fn holding(&mut self, hold: &LockHold<'_>) -> fmt::Result {
        let (name, key, mode) = (Quoted(&hold.name), Maybe(Some(hold.key).filter(|key| *key != 0)), hold.mode.name());
        writeln!(self.out, "  - holds L{} {name} key={key} ({mode}) for {}", hold.lock, Millis(hold.for_ms))
    }

    /// The next frame of the thread, innermost first.
    pub fn frame(&mut self, frame: &Frame<'_>) -> fmt::Result {
        let (address, function, place) = match frame {
            Frame::Elided(count) => return writeln!(self.out, "  #- elided {count}"),
            Frame::Truncated => return self.out.write_str("  #- truncated\n"),
            Frame::Call { address, function, place } => (address, function, place),
        };
        write!(self.out, "  #{} ", self.frame)?;
        self.frame += 1;
        match address {
            Some(address) => write!(self.out, "{address:#018x} ")?,
            None => self.out.write_str("inline             ")?,
        }
        write!(self.out, "{} (", Bare(function.as_deref().unwrap_or("??"), ""))?;
        match place {
            Place::Source { file, line } => writeln!(self.out, "{}:{line})", Bare(file, "("))?,
            Place::Module { module, offset } => writeln!(self.out, "module {module}+{offset:#x})")?,
            Place::Unknown => self.out.write_str("??)\n")?,
        }
        Ok(())
    }

    pub fn task(&mut self, task: &TaskBlock<'_>) -> fmt::Result {
        let out = &mut self.out;
        let state = if task.polling { "polling" } else { "pending" };
        write!(out, "\ntask {} {} [{state}, {}", task.id, task.kind.name(), Millis(task.age_ms))?;
        task.parent.iter().try_for_each(|op| write!(out, ", op={op}"))?;
        write!(out, "]:\n  polls={} last_thread={} phase=", task.polls, task.last_thread)?;
        match task.phase {
            Some((phase, ms)) => write!(out, "{} for={}", phase.name(), Millis(ms))?,
            None => out.write_str("-")?,
        }
        let path = Maybe(task.path.as_deref().map(Quoted));
        writeln!(out, " have={} want={} fh={} path={path}", task.have, task.want, Maybe(task.fh))
    }

    /// Writes the last line: counts and checksum. A file without it is truncated.
    pub fn finish(self) -> fmt::Result {
        let Self { mut out, counts: [ops, locks, findings, threads, tasks], .. } = self;
        out.write_str("\n")?;
        let (lines, fnv) = (out.lines, out.hash.value());
        write!(out, "== end ops={ops} locks={locks} findings={findings} threads={threads} tasks={tasks} ")?;
        writeln!(out, "lines={lines} fnv={fnv:016x} ==")
    }
}

fn reason(out: &mut Counting<'_>, reason: Reason) -> fmt::Result {
    write!(out, "reason: {}", reason.cause.name())?;
    reason.oldest_ms.iter().try_for_each(|ms| write!(out, " oldest={}", Millis(*ms)))?;
    reason.repeat.iter().try_for_each(|repeat| write!(out, " repeat={repeat}"))?;
    out.write_str("\n")
}

fn list(out: &mut Counting<'_>, numbers: &[u32], prefix: &str) -> fmt::Result {
    for (i, number) in numbers.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        write!(out, "{comma}{prefix}{number}")?;
    }
    Ok(())
}
