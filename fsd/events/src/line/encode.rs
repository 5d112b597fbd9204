//! Writing: keys in the contract's order, numbers and escapes by hand, because the daemon writes every operation.

use std::borrow::Cow;

use super::stamp;
use crate::{
    event::{
        Beat, Body, Enter, Event, Exit, Handover, LockKind, LockMode, LockStep, Phase, PhaseChange, Progress, Stall,
        StalledLock, Start, TaskEnd, TaskStart, Text, Wait, WaitEnd,
    },
    flags::Flag,
    ids::{OpId, RunId},
    op::Op,
};

/// Appends the event as one line, line feed included.
pub fn encode(event: &Event<'_>, out: &mut Vec<u8>) {
    let head = &event.head;
    out.extend_from_slice(b"{\"run\":\"");
    hex16(head.run, out);
    out.extend_from_slice(b"\",\"mount_run\":\"");
    hex16(head.mount_run, out);
    out.extend_from_slice(b"\",\"seq\":");
    decimal(head.seq, out);
    out.extend_from_slice(b",\"ts\":\"");
    stamp::write(head.ts_us, out);
    out.extend_from_slice(b"\",\"mono_us\":");
    decimal(head.mono_us, out);
    out.extend_from_slice(b",\"ev\":\"");
    out.extend_from_slice(event.body.name().as_bytes());
    out.push(b'"');
    let mut line = Fields { out };
    line.body(&event.body);
    if event.carried {
        line.flag("carried", true);
    }
    if event.late {
        line.flag("late", true);
    }
    out.extend_from_slice(b"}\n");
}

/// Appends `,"key":value` to a line.
struct Fields<'o> {
    out: &'o mut Vec<u8>,
}

impl Fields<'_> {
    fn body(&mut self, body: &Body<'_>) {
        match body {
            Body::Start(start) => self.start(start),
            Body::Enter(enter) => self.enter(enter),
            Body::Exit(exit) => self.exit(exit),
            Body::Phase(phase) => self.phase(phase),
            Body::Lock(step) => self.lock(step),
            Body::Task(task) => self.task(task),
            Body::TaskEnd(end) => self.task_end(end),
            Body::Progress(progress) => self.progress(progress),
            Body::Wait(wait) => self.wait(wait),
            Body::WaitEnd(WaitEnd { id, us }) => self.number("id", id.0).number("us", *us).done(),
            Body::Beat(beat) => self.beat(beat),
            Body::Stall(stall) | Body::StallEnd(stall) => self.stall(stall),
            Body::Handover(handover) => self.handover(handover),
            Body::Interrupt { unique, id } => {
                self.number("unique", unique.0).maybe("id", id.map(|i| i.0)).done();
            }
            Body::FlagChange { flag, value } => self.text("name", flag.name()).flag("value", *value).done(),
            Body::Invariant { what, detail } => self.text("what", what).text("detail", detail).done(),
            Body::Stop { reason } => self.text("reason", reason).done(),
        }
    }

    fn start(&mut self, start: &Start<'_>) {
        self.number("schema", start.schema.into()).number("pid", start.pid.into()).text("version", &start.version);
        self.text("mount", &start.mount).text("source", &start.source).number("workers", start.workers.into());
        self.number("max_background", start.max_background.into()).key("argv");
        self.list(&start.argv, |line, arg| string(arg, line.out));
        self.maybe_text("config", start.config.as_ref());
        for flag in Flag::ALL {
            self.flag(flag.name(), start.flags.get(flag));
        }
        self.text("recorder", &start.recorder);
    }

    fn enter(&mut self, enter: &Enter<'_>) {
        self.number("id", enter.id.0).text("op", enter.op.name()).text("thread", &enter.thread);
        self.number("tid", enter.tid.into()).number("unique", enter.unique.0).flag("resent", enter.resent);
        self.number("pid", enter.pid.into()).number("ino", enter.ino.0).maybe("fh", enter.fh.map(|fh| fh.0));
        self.maybe_text("path", enter.path.as_ref()).maybe("off", enter.off).maybe("len", enter.len);
        self.maybe("count", enter.count);
    }

    fn exit(&mut self, exit: &Exit) {
        self.number("id", exit.id.0).text("op", exit.op.name()).number("us", exit.us);
        self.number("errno", exit.errno.into()).number("bytes", exit.bytes).flag("detached", exit.detached);
    }

    fn phase(&mut self, change: &PhaseChange<'_>) {
        self.number("id", change.id.0).text("phase", change.phase.name()).text("detail", &change.detail);
    }

    fn lock(&mut self, step: &LockStep<'_>) {
        self.number("id", step.id.0).text("lock", &step.lock).text("kind", step.kind.name());
        self.text("mode", step.mode.name()).text("step", step.step.name()).key("holder");
        match step.holder.as_slice() {
            [one] if step.kind != LockKind::Permit && step.mode == LockMode::Write => decimal(one.0, self.out),
            holders => self.ids(holders),
        }
        self.number("us", step.us);
    }

    fn task(&mut self, task: &TaskStart<'_>) {
        self.number("id", task.id.0).text("task", task.task.name()).maybe("parent", task.parent.map(|p| p.0));
        self.maybe("fh", task.fh.map(|fh| fh.0)).maybe_text("path", task.path.as_ref());
    }

    fn task_end(&mut self, end: &TaskEnd<'_>) {
        self.number("id", end.id.0);
        if let Some(task) = end.task {
            self.text("task", task.name());
        }
        self.number("us", end.us).text("outcome", &end.outcome);
    }

    fn progress(&mut self, progress: &Progress<'_>) {
        self.number("id", progress.id.0).number("have", progress.have).number("want", progress.want);
        self.text("state", &progress.state);
    }

    fn wait(&mut self, wait: &Wait) {
        self.number("id", wait.id.0).maybe("on", wait.on.map(|t| t.0)).key("need");
        self.list(&[wait.need.0, wait.need.1], |line, n| decimal(*n, line.out));
    }

    fn beat(&mut self, beat: &Beat) {
        self.inflight(&beat.inflight).number("oldest_us", beat.oldest_us);
        self.number("replies_queued", beat.replies_queued).number("lost", beat.lost);
        self.number("workers", beat.workers.into()).number("workers_busy", beat.workers_busy.into());
        self.number("loops_alive", beat.loops_alive.into()).nullable("kernel_waiting", beat.kernel_waiting);
        self.number("runtime_lag_us", beat.runtime_lag_us).number("writer_lag_us", beat.writer_lag_us);
    }

    fn stall(&mut self, stall: &Stall<'_>) {
        self.key("ops").list(&stall.ops, |line, op| {
            line.object(|line| line.number("id", op.id.0).text("op", op.op.name()).number("us", op.us).done());
        });
        self.inflight(&stall.inflight).nullable("kernel_waiting", stall.kernel_waiting).key("locks");
        self.list(&stall.locks, Self::stalled_lock);
        self.maybe_text("stacks", stall.stacks.as_ref());
    }

    fn stalled_lock(&mut self, lock: &StalledLock<'_>) {
        self.object(|line| {
            line.text("lock", &lock.lock).key("holder").ids(&lock.holder);
            line.number("since_us", lock.since_us).key("waiters").ids(&lock.waiters);
        });
    }

    fn handover(&mut self, handover: &Handover<'_>) {
        self.key("old_run").quoted_run(handover.old_run).key("new_run").quoted_run(handover.new_run);
        self.text("cause", &handover.cause).text("result", &handover.result).number("resent", handover.resent);
    }

    fn inflight(&mut self, counts: &[(Op, u64)]) -> &mut Self {
        self.key("inflight").object(|line| {
            for (op, count) in counts {
                line.number(op.name(), *count);
            }
        });
        self
    }

    fn key(&mut self, key: &str) -> &mut Self {
        if !matches!(self.out.last(), Some(b'{')) {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
        self
    }

    fn number(&mut self, key: &str, value: u64) -> &mut Self {
        self.key(key);
        decimal(value, self.out);
        self
    }

    fn maybe(&mut self, key: &str, value: Option<u64>) -> &mut Self {
        if let Some(value) = value {
            self.number(key, value);
        }
        self
    }

    fn nullable(&mut self, key: &str, value: Option<u64>) -> &mut Self {
        match value {
            Some(value) => self.number(key, value),
            None => {
                self.key(key).out.extend_from_slice(b"null");
                self
            }
        }
    }

    fn flag(&mut self, key: &str, value: bool) -> &mut Self {
        self.key(key).out.extend_from_slice(if value { b"true" } else { b"false" });
        self
    }

    fn text(&mut self, key: &str, value: &str) -> &mut Self {
        self.key(key);
        string(value, self.out);
        self
    }

    fn maybe_text(&mut self, key: &str, value: Option<&Text<'_>>) -> &mut Self {
        if let Some(value) = value {
            self.text(key, value);
        }
        self
    }

    fn quoted_run(&mut self, run: RunId) -> &mut Self {
        self.out.push(b'"');
        hex16(run, self.out);
        self.out.push(b'"');
        self
    }

    fn ids(&mut self, ids: &[OpId]) {
        self.list(ids, |line, id| decimal(id.0, line.out));
    }

    fn object(&mut self, fill: impl FnOnce(&mut Self)) {
        self.out.push(b'{');
        fill(self);
        self.out.push(b'}');
    }

    fn list<T>(&mut self, items: &[T], mut each: impl FnMut(&mut Self, &T)) {
        self.out.push(b'[');
        for (n, item) in items.iter().enumerate() {
            if n > 0 {
                self.out.push(b',');
            }
            each(self, item);
        }
        self.out.push(b']');
    }

    /// Ends a chain of fields.
    fn done(&mut self) {}
}

fn hex16(run: RunId, out: &mut Vec<u8>) {
    for shift in (0..16).rev() {
        out.push(b"0123456789abcdef"[usize::try_from(run.0 >> (4 * shift) & 15).unwrap_or(0)]);
    }
}

fn decimal(mut value: u64, out: &mut Vec<u8>) {
    let mut text = [0_u8; 20];
    let mut at = text.len();
    loop {
        at -= 1;
        text[at] = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&text[at..]);
}

fn string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&text.as_bytes()[plain..at]);
        plain = at + 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
        }
    }
    out.extend_from_slice(&text.as_bytes()[plain..]);
    out.push(b'"');
}

fn own(text: Text<'_>) -> Text<'static> {
    Cow::Owned(text.into_owned())
}

fn own_all(texts: Vec<Text<'_>>) -> Vec<Text<'static>> {
    texts.into_iter().map(own).collect()
}

fn own_start(s: Start<'_>) -> Start<'static> {
    Start {
        version: own(s.version),
        mount: own(s.mount),
        source: own(s.source),
        argv: own_all(s.argv),
        config: s.config.map(own),
        recorder: own(s.recorder),
        ..Start {
            schema: s.schema,
            pid: s.pid,
            workers: s.workers,
            max_background: s.max_background,
            flags: s.flags,
            ..Start::default()
        }
    }
}

fn own_stall(s: Stall<'_>) -> Box<Stall<'static>> {
    let locks = s.locks.into_iter().map(|l| StalledLock {
        lock: own(l.lock),
        holder: l.holder,
        since_us: l.since_us,
        waiters: l.waiters,
    });
    Box::new(Stall {
        ops: s.ops,
        inflight: s.inflight,
        kernel_waiting: s.kernel_waiting,
        locks: locks.collect(),
        stacks: s.stacks.map(own),
    })
}

/// See [`Body::into_owned`].
pub(super) fn owned(body: Body<'_>) -> Body<'static> {
    match body {
        Body::Start(s) => Body::Start(Box::new(own_start(*s))),
        Body::Enter(e) => Body::Enter(Enter { thread: own(e.thread), path: e.path.map(own), ..e }),
        Body::Exit(e) => Body::Exit(e),
        Body::Phase(PhaseChange { id, phase, detail }) => {
            Body::Phase(PhaseChange { id, phase: Phase::clone(&phase), detail: own(detail) })
        }
        Body::Lock(l) => Body::Lock(LockStep { lock: own(l.lock), ..l }),
        Body::Task(t) => Body::Task(TaskStart { path: t.path.map(own), ..t }),
        Body::TaskEnd(t) => Body::TaskEnd(TaskEnd { outcome: own(t.outcome), ..t }),
        Body::Progress(p) => Body::Progress(Progress { state: own(p.state), ..p }),
        Body::Wait(w) => Body::Wait(w),
        Body::WaitEnd(w) => Body::WaitEnd(w),
        Body::Beat(b) => Body::Beat(b),
        Body::Stall(s) => Body::Stall(own_stall(*s)),
        Body::StallEnd(s) => Body::StallEnd(own_stall(*s)),
        Body::Handover(h) => Body::Handover(Box::new(Handover {
            old_run: h.old_run,
            new_run: h.new_run,
            cause: own(h.cause),
            result: own(h.result),
            resent: h.resent,
        })),
        Body::Interrupt { unique, id } => Body::Interrupt { unique, id },
        Body::FlagChange { flag, value } => Body::FlagChange { flag, value },
        Body::Invariant { what, detail } => Body::Invariant { what: own(what), detail: own(detail) },
        Body::Stop { reason } => Body::Stop { reason: own(reason) },
    }
}
