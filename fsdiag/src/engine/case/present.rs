//! Present: which lives go on, and what time it is for each of them.

use std::collections::HashMap;

use super::{
    Life,
    apart::{self, Log},
};
use crate::engine::{
    model::{Model, Now, deaths::Fates, ops::Micros, session::Session},
    report::Confidence,
};

pub(super) fn lives<'m>(model: &'m Model, now: Now, fates: &Fates<'m>) -> Vec<Life<'m>> {
    let clocks = Clocks::of(model, now);
    let made = model.current().map(|(at, session)| {
        let fate = fates.of(at);
        let ended = fate.map(|fate| fate.ended);
        // Whoever may live is judged as one that does.
        let dead = fate.is_some_and(|fate| fate.ended.crash && fate.sure >= Confidence::High);
        let now = if dead { session.clock.last } else { clocks.now(session) };
        Life { session, now, dead, ended, sure: fate.map(|fate| fate.sure), called: None }
    });
    let mut lives: Vec<Life<'m>> = made.collect();
    apart::name(&mut lives);
    lives
}

/// What time it is, by all that tell it.
struct Clocks {
    now: Now,
    /// By the latest dump, and by whoever wrote last.
    latest: [Option<u64>; 2],
    logs: HashMap<Log, Latest>,
}

/// The latest times in one log that several write.
#[derive(Default)]
struct Latest {
    wall: Option<u64>,
    /// Of those that read one clock without the time of day.
    monotonic: Option<Micros>,
}

impl Clocks {
    fn of(model: &Model, now: Now) -> Self {
        let mut logs: HashMap<Log, Latest> = HashMap::new();
        for (log, session) in model.current().filter_map(|(_, session)| Some((apart::log(session)?, session))) {
            let latest = logs.entry(log).or_default();
            latest.wall = latest.wall.max(session.clock.wall);
            let last = session.clock.last.filter(|_| session.clock.is_monotonic());
            latest.monotonic = latest.monotonic.max(last);
        }
        let dump = model.dumps.iter().filter_map(|dump| dump.2).max();
        let wall = model.current().filter_map(|(_, session)| session.clock.wall).max();
        Self { now, latest: [dump, wall], logs }
    }

    fn now(&self, session: &Session) -> Option<Micros> {
        let log = apart::log(session).and_then(|log| self.logs.get(&log));
        let monotonic = log.and_then(|log| log.monotonic).filter(|_| session.clock.is_monotonic());
        session.clock.last.max(self.wall(session, log)).max(monotonic)
    }

    fn wall(&self, session: &Session, log: Option<&Latest>) -> Option<Micros> {
        const SAME_INCIDENT: u64 = 600_000_000;
        let own = session.clock.wall?;
        let near = |wall: &u64| *wall >= own && *wall - own <= SAME_INCIDENT;
        let told = self.latest.into_iter().flatten().filter(near).chain(log.and_then(|log| log.wall));
        session.clock.at_wall(self.now.wall_us.into_iter().chain(told).max()?)
    }
}
