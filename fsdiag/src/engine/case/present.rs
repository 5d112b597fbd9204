//! Present: which lives go on, and what time it is for each of them.

use super::{Life, apart};
use crate::engine::{
    model::{Model, Now, ops::Micros, session::Session},
    report::Confidence,
};

pub(super) fn lives(model: &Model, now: Now) -> Vec<Life<'_>> {
    let latest_dump = model.dumps.iter().filter_map(|d| d.2).max();
    let current: Vec<(usize, &Session)> = model.current().collect();
    let walls: Vec<(&Session, u64)> = current.iter().filter_map(|(_, s)| Some((*s, s.clock.wall?))).collect();
    let latest_wall = walls.iter().map(|(_, wall)| *wall).max();
    let life = |(_, session): (usize, &'_ Session)| -> Option<Micros> {
        const SAME_INCIDENT: u64 = 600_000_000;
        let own = session.clock.wall?;
        let near = |wall: &u64| *wall >= own && *wall - own <= SAME_INCIDENT;
        let of_log = walls.iter().filter(|other| apart::share_a_log(session, other.0)).map(|other| other.1);
        let told = [latest_dump, latest_wall].into_iter().flatten().filter(near).chain(of_log);
        let wall = now.wall_us.into_iter().chain(told).max();
        session.clock.at_wall(wall?)
    };
    // Those who write into one log without the time of day read one clock.
    let one_clock = |session: &Session| {
        let others = current.iter().map(|(_, other)| other).filter(|other| apart::share_a_log(session, other));
        let alike = others.filter(|other| other.clock.is_monotonic() && session.clock.is_monotonic());
        alike.filter_map(|other| other.clock.last).max()
    };
    let alive = |(at, session): (usize, &'_ Session)| {
        let now = session.clock.last.max(life((at, session))).max(one_clock(session));
        now.or(session.clock.last)
    };
    let made = current.iter().copied().map(|(at, session)| {
        let fate = model.fate(at);
        let ended = fate.map(|fate| fate.ended);
        // Whoever may live is judged as one that does.
        let dead = fate.is_some_and(|fate| fate.ended.crash && fate.sure >= Confidence::High);
        let now = if dead { session.clock.last } else { alive((at, session)) };
        Life { session, now, dead, ended, sure: fate.map(|fate| fate.sure), called: None }
    });
    let mut lives: Vec<Life<'_>> = made.collect();
    apart::name(&mut lives);
    lives
}
