//! Reading any JSON object: slow, complete, and the judge of what the scanner did not dare to decide.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::{Decoded, stamp};
use crate::{
    event::{
        Beat, Body, Enter, Event, Exit, Handover, Head, LockKind, LockMode, LockStep, Phase, PhaseChange, Progress,
        Stall, StalledLock, StalledOp, Start, Step, TaskEnd, TaskKind, TaskStart, Text, Wait, WaitEnd,
    },
    flags::{DebugFlags, Flag},
    ids::{Fh, Ino, OpId, RunId, Unique},
    op::Op,
};

/// Why a line gave no event.
enum Odd {
    /// A word of a later schema.
    Unknown,
    Malformed,
}

type Got<T> = Result<T, Odd>;

pub(super) fn decode(line: &[u8]) -> Decoded<'_> {
    let Ok(Value::Object(map)) = serde_json::from_slice::<Value>(line) else {
        return Decoded::Malformed;
    };
    let fields = Object(&map);
    let (Ok(head), Ok(ev)) = (fields.head(), fields.required_text("ev")) else {
        return Decoded::Malformed;
    };
    let flags = fields.flag("carried").and_then(|carried| Ok((carried, fields.flag("late")?)));
    match (fields.body(ev), flags) {
        (Ok(body), Ok((carried, late))) => Decoded::Event(Event { head, body, carried, late }),
        (Err(Odd::Unknown), _) => Decoded::Unknown { run: head.run, seq: head.seq, ts_us: head.ts_us },
        _ => Decoded::Malformed,
    }
}

/// Typed access to the keys of one object; an absent key and `null` are the same.
struct Object<'m>(&'m Map<String, Value>);

impl<'m> Object<'m> {
    fn get(&self, key: &str) -> Option<&'m Value> {
        self.0.get(key).filter(|v| !v.is_null())
    }

    fn maybe(&self, key: &str) -> Got<Option<u64>> {
        self.get(key).map(|v| v.as_u64().ok_or(Odd::Malformed)).transpose()
    }

    fn number(&self, key: &str) -> Got<u64> {
        Ok(self.maybe(key)?.unwrap_or(0))
    }

    fn small(&self, key: &str) -> Got<u32> {
        u32::try_from(self.number(key)?).map_err(|_| Odd::Malformed)
    }

    fn required(&self, key: &str) -> Got<u64> {
        self.maybe(key)?.ok_or(Odd::Malformed)
    }

    fn id(&self) -> Got<OpId> {
        self.required("id").map(OpId)
    }

    fn flag(&self, key: &str) -> Got<bool> {
        self.get(key).map_or(Ok(false), |v| v.as_bool().ok_or(Odd::Malformed))
    }

    fn str(&self, key: &str) -> Got<Option<&'m str>> {
        self.get(key).map(|v| v.as_str().ok_or(Odd::Malformed)).transpose()
    }

    fn required_text(&self, key: &str) -> Got<&'m str> {
        self.str(key)?.ok_or(Odd::Malformed)
    }

    fn text(&self, key: &str) -> Got<Text<'static>> {
        Ok(Cow::Owned(self.str(key)?.unwrap_or_default().to_owned()))
    }

    fn maybe_text(&self, key: &str) -> Got<Option<Text<'static>>> {
        Ok(self.str(key)?.map(|s| Cow::Owned(s.to_owned())))
    }

    fn word<T>(&self, key: &str, parse: impl Fn(&str) -> Option<T>) -> Got<T> {
        parse(self.required_text(key)?).ok_or(Odd::Unknown)
    }

    fn run(&self, key: &str) -> Got<Option<RunId>> {
        self.str(key)?.map(|s| RunId::parse(s).ok_or(Odd::Malformed)).transpose()
    }

    fn list<T>(&self, key: &str, each: impl Fn(&'m Value) -> Got<T>) -> Got<Vec<T>> {
        match self.get(key) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => items.iter().map(each).collect(),
            Some(_) => Err(Odd::Malformed),
        }
    }

    fn head(&self) -> Got<Head> {
        let ts_us = match self.str("ts")? {
            Some(text) => stamp::read(text.as_bytes()).ok_or(Odd::Malformed)?,
            None => 0,
        };
        Ok(Head {
            run: self.run("run")?.ok_or(Odd::Malformed)?,
            mount_run: self.run("mount_run")?.unwrap_or_default(),
            seq: self.required("seq")?,
            ts_us,
            mono_us: self.required("mono_us")?,
        })
    }

    fn body(&self, ev: &str) -> Got<Body<'static>> {
        Ok(match ev {
            "start" => Body::Start(Box::new(self.start()?)),
            "enter" => Body::Enter(self.enter()?),
            "exit" => Body::Exit(self.exit()?),
            "phase" => Body::Phase(PhaseChange {
                id: self.id()?,
                phase: self.word("phase", Phase::parse)?,
                detail: self.text("detail")?,
            }),
            "lock" => Body::Lock(self.lock()?),
            "task" => Body::Task(self.task()?),
            "task_end" => Body::TaskEnd(TaskEnd {
                id: self.id()?,
                task: self.word("task", TaskKind::parse).ok(),
                us: self.number("us")?,
                outcome: self.text("outcome")?,
            }),
            "progress" => Body::Progress(Progress {
                id: self.id()?,
                have: self.number("have")?,
                want: self.number("want")?,
                state: self.text("state")?,
            }),
            "wait" => Body::Wait(self.wait()?),
            "wait_end" => Body::WaitEnd(WaitEnd { id: self.id()?, us: self.number("us")? }),
            "beat" => Body::Beat(Box::new(self.beat()?)),
            "stall" => Body::Stall(Box::new(self.stall()?)),
            "stall_end" => Body::StallEnd(Box::new(self.stall()?)),
            "handover" => Body::Handover(Box::new(self.handover()?)),
            "interrupt" => {
                Body::Interrupt { unique: Unique(self.required("unique")?), id: self.maybe("id")?.map(OpId) }
            }
            "flag" => Body::FlagChange { flag: self.word("name", Flag::parse)?, value: self.flag("value")? },
            "invariant" => Body::Invariant { what: self.text("what")?, detail: self.text("detail")? },
            "stop" => Body::Stop { reason: self.text("reason")? },
            _ => return Err(Odd::Unknown),
        })
    }

    fn start(&self) -> Got<Start<'static>> {
        let mut flags = DebugFlags::default();
        for flag in Flag::ALL {
            flags = flags.with(flag, self.flag(flag.name())?);
        }
        let argv = self.list("argv", |v| v.as_str().map(|s| Cow::Owned(s.to_owned())).ok_or(Odd::Malformed))?;
        Ok(Start {
            schema: self.small("schema")?,
            pid: self.small("pid")?,
            version: self.text("version")?,
            mount: self.text("mount")?,
            source: self.text("source")?,
            workers: self.small("workers")?,
            max_background: self.small("max_background")?,
            argv,
            config: self.maybe_text("config")?,
            flags,
            recorder: self.text("recorder")?,
        })
    }

    fn enter(&self) -> Got<Enter<'static>> {
        Ok(Enter {
            id: self.id()?,
            op: self.word("op", Op::from_name)?,
            thread: self.text("thread")?,
            tid: self.small("tid")?,
            unique: Unique(self.number("unique")?),
            resent: self.flag("resent")?,
            pid: self.small("pid")?,
            ino: Ino(self.number("ino")?),
            fh: self.maybe("fh")?.map(Fh),
            path: self.maybe_text("path")?,
            off: self.maybe("off")?,
            len: self.maybe("len")?,
            count: self.maybe("count")?,
        })
    }

    fn exit(&self) -> Got<Exit> {
        Ok(Exit {
            id: self.id()?,
            op: self.word("op", Op::from_name)?,
            us: self.number("us")?,
            errno: self.small("errno")?,
            bytes: self.number("bytes")?,
            detached: self.flag("detached")?,
        })
    }

    fn lock(&self) -> Got<LockStep<'static>> {
        let holder = match self.get("holder") {
            Some(Value::Number(_)) => vec![OpId(self.required("holder")?)],
            _ => self.list("holder", op_id)?,
        };
        Ok(LockStep {
            id: self.id()?,
            lock: self.text("lock")?,
            kind: self.word("kind", LockKind::parse)?,
            mode: self.word("mode", LockMode::parse)?,
            step: self.word("step", Step::parse)?,
            holder,
            us: self.number("us")?,
        })
    }

    fn task(&self) -> Got<TaskStart<'static>> {
        Ok(TaskStart {
            id: self.id()?,
            task: self.word("task", TaskKind::parse)?,
            parent: self.maybe("parent")?.map(OpId),
            fh: self.maybe("fh")?.map(Fh),
            path: self.maybe_text("path")?,
        })
    }

    fn wait(&self) -> Got<Wait> {
        let need = self.list("need", |v| v.as_u64().ok_or(Odd::Malformed))?;
        let need = match need.as_slice() {
            [] => (0, 0),
            [from, to] => (*from, *to),
            _ => return Err(Odd::Malformed),
        };
        Ok(Wait { id: self.id()?, on: self.maybe("on")?.map(OpId), need })
    }

    /// Operations of a later schema are left out of a count, not fatal to its event.
    fn inflight(&self) -> Got<Vec<(Op, u64)>> {
        let Some(value) = self.get("inflight") else { return Ok(Vec::new()) };
        let counts = value.as_object().ok_or(Odd::Malformed)?;
        let known = counts.iter().filter_map(|(name, v)| Some((Op::from_name(name)?, v)));
        known.map(|(op, v)| Ok((op, v.as_u64().ok_or(Odd::Malformed)?))).collect()
    }

    fn beat(&self) -> Got<Beat> {
        Ok(Beat {
            inflight: self.inflight()?,
            oldest_us: self.number("oldest_us")?,
            replies_queued: self.number("replies_queued")?,
            lost: self.number("lost")?,
            workers: self.small("workers")?,
            workers_busy: self.small("workers_busy")?,
            loops_alive: self.small("loops_alive")?,
            kernel_waiting: self.maybe("kernel_waiting")?,
            runtime_lag_us: self.number("runtime_lag_us")?,
            writer_lag_us: self.number("writer_lag_us")?,
        })
    }

    fn stall(&self) -> Got<Stall<'static>> {
        let ops = self.list("ops", |v| {
            let op = Object(v.as_object().ok_or(Odd::Malformed)?);
            Ok(StalledOp { id: op.id()?, op: op.word("op", Op::from_name)?, us: op.number("us")? })
        })?;
        let locks = self.list("locks", |v| {
            let lock = Object(v.as_object().ok_or(Odd::Malformed)?);
            Ok(StalledLock {
                lock: lock.text("lock")?,
                holder: lock.list("holder", op_id)?,
                since_us: lock.number("since_us")?,
                waiters: lock.list("waiters", op_id)?,
            })
        })?;
        Ok(Stall {
            ops,
            inflight: self.inflight()?,
            kernel_waiting: self.maybe("kernel_waiting")?,
            locks,
            stacks: self.maybe_text("stacks")?,
        })
    }

    fn handover(&self) -> Got<Handover<'static>> {
        Ok(Handover {
            old_run: self.run("old_run")?.unwrap_or_default(),
            new_run: self.run("new_run")?.unwrap_or_default(),
            cause: self.text("cause")?,
            result: self.text("result")?,
            resent: self.number("resent")?,
        })
    }
}

fn op_id(value: &Value) -> Got<OpId> {
    value.as_u64().map(OpId).ok_or(Odd::Malformed)
}
