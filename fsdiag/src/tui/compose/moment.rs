//! Moment: one life of a daemon at the time of the picture, and what its parties are called.

use std::borrow::Cow;

use crate::engine::{
    fact::Key,
    model::{
        Now,
        ops::{Micros, OpenOp},
        session::Session,
        tasks::Task,
    },
};

pub(super) struct Moment<'a> {
    pub(super) session: &'a Session,
    now: Option<Micros>,
}

impl<'a> Moment<'a> {
    pub(super) fn new(session: &'a Session, now: Now) -> Self {
        let now = now.wall_us.and_then(|wall| session.clock.at_wall(wall)).max(session.clock.last);
        Self { session, now }
    }

    /// Microseconds since then.
    pub(super) fn since(&self, then: Option<Micros>) -> Option<u64> {
        u64::try_from(self.session.age(then, self.now)?).ok()
    }

    pub(super) fn open(&self, id: u64) -> Option<Cow<'a, OpenOp>> {
        self.session.open.get(&Key::Num(id))
    }

    pub(super) fn task(&self, id: u64) -> Option<&'a Task> {
        self.session.tasks.get(&id)
    }

    /// `Release 456`, `download 12`.
    pub(super) fn named(&self, id: u64) -> String {
        let op = self.open(id).map(|op| op.op().name());
        let kind = op.or_else(|| self.task(id).map(|task| task.kind.name()));
        kind.map_or_else(|| id.to_string(), |kind| format!("{kind} {id}"))
    }

    /// Whom it waits for: holders of a lock, or a task that should deliver.
    pub(super) fn waits_for(&self, id: u64) -> Vec<u64> {
        let locks = self.session.locks.wanted_by(id).flat_map(|(_, lock, _)| lock.holders.keys().copied());
        let on = self.session.waits.get(&id).and_then(|waiting| waiting.on);
        locks.chain(on).filter(|other| *other != id).collect()
    }

    /// A lock it wants, a task it waits for, or what it says it is doing.
    pub(super) fn waits(&self, id: u64) -> String {
        if let Some((name, lock, _)) = self.session.locks.wanted_by(id).next() {
            let holders: Vec<String> = lock.holders.keys().map(|holder| self.named(*holder)).collect();
            let by = if holders.is_empty() { String::new() } else { format!(", held by {}", holders.join(", ")) };
            return format!("lock {name}{by}");
        }
        if let Some(waiting) = self.session.waits.get(&id) {
            let (from, to) = waiting.need;
            let bytes = format!("bytes {from}..{to}");
            return waiting.on.map_or(bytes.clone(), |on| format!("{bytes} of {}", self.named(on)));
        }
        let open = self.open(id);
        let phase = match (&open, self.task(id)) {
            (Some(op), _) => op.phase.as_ref(),
            (None, task) => task.and_then(|task| task.phase.as_ref()),
        };
        let doing = phase.map(|phase| format!("{} {}", phase.phase.name(), phase.detail).trim_end().to_owned());
        let progress = self.task(id).and_then(|task| task.progress.as_ref()).map(|at| {
            let quiet = self.since(at.moved).filter(|us| *us >= 1_000_000);
            let quiet = quiet.map_or(String::new(), |us| format!(", nothing for {} s", us / 1_000_000));
            format!("{} of {} bytes{quiet}", at.have, at.want)
        });
        [doing, progress].into_iter().flatten().collect::<Vec<_>>().join("; ")
    }
}
