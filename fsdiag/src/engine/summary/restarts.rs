//! Restarts: notes on runs of a daemon that others followed, and on what was open when they ended.

use std::collections::BTreeSet;

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::note;
use crate::engine::{
    case::{Case, seconds},
    model::{
        Model,
        ops::Micros,
        past::Counted,
        session::{Ended, Session},
    },
    plural::{count, verb},
    report::Note,
};

/// One for each run that another followed, oldest first.
pub(super) fn notes(case: &Case<'_>) -> Vec<Note> {
    let model = case.model;
    // A stack dump is no run of its own.
    let current: BTreeSet<usize> = model.current().map(|(at, _)| at).collect();
    let past = (0..model.sessions.len())
        .filter(|at| !current.contains(at) && !model.sessions[*at].of_dump && !model.sessions[*at].vacant);
    let past = past.map(|at| (&model.sessions[at], case.fates.of(at), model.follower(at)));
    let before = model.past.latest().map(|session| (session, model.fate_of_past(session), None));
    let told = before.chain(past).map(|(session, fate, follower)| {
        let ended = fate.map(|fate| fate.ended);
        let open = session.open.len();
        let how = match (&session.handed_over, ended) {
            (Some((_, result)), _) => format!("handed over to a new worker ({result})"),
            (None, Some(end)) if end.crash => format!("died ({})", end.text),
            (None, Some(end)) => format!("ended ({})", end.text),
            (None, None) => String::from("was followed by another without a word"),
        };
        let killed = match (open, &session.handed_over) {
            (0, _) | (_, Some(_)) => String::new(),
            (open, None) if session.by_ids && session.about.pid.is_none() => format!(
                ", as ids tell that are given out again; {} ended with it, unless two daemons write this log: then {} may hang, and fsdiag attach tells{}",
                were_open(open),
                verb(open, "it", "they"),
                waited(model, session, session.followed_at).unwrap_or_default()
            ),
            (open, None) => {
                let began = follower.filter(|_| ended.is_none()).and_then(|next| began(session, next));
                let waited = waited(model, session, began).unwrap_or_default();
                format!("; {} ended with it{}{waited}", were_open(open), doubt(session, ended))
            }
        };
        let daemon = session.about.writer.as_deref().map_or_else(|| String::from("the daemon"), |w| w.label(false));
        note("restart", None, None, format!("an earlier run of {daemon} {how}{killed}"))
    });
    model.past.counted().map(earlier).into_iter().chain(told).collect()
}

/// When the next run began to write, on the clock of the one before.
fn began(session: &Session, next: &Session) -> Option<Micros> {
    let began = next.clock.first?;
    // Both stand in one log: where it does not tell the day, its own clock will do.
    let by_day = next.clock.wall_of(began).and_then(|wall| session.clock.at_wall(u64::try_from(wall).ok()?));
    Some(by_day.unwrap_or(began))
}

/// How long the oldest request had waited when the next run began to write: that one may have been started because of a
/// hang, which the same log shows up to there.
fn waited(model: &Model, session: &Session, began: Option<Micros>) -> Option<String> {
    let oldest = session.open.glances().filter_map(|open| open.at).min()?;
    let us = began? - oldest;
    if us <= 0 {
        return None;
    }
    let mut text = format!("; the oldest had waited {:.1} s when another one began to write", seconds(us));
    let newest = session.open.glances().filter_map(|open| open.at).max();
    if us >= model.limits.stalled_us
        && let Some(until) = newest.and_then(|at| moment(session.clock.wall_of(at)?))
    {
        text += &format!(": if that was a hang, `fsdiag analyze --until {until}` tells why");
    }
    Some(text)
}

/// Just after that wall clock time, as `--until` takes it.
fn moment(wall: Micros) -> Option<String> {
    const MILLI: i128 = 1_000_000;
    let after = (i128::from(wall) * 1000 / MILLI + 1) * MILLI;
    OffsetDateTime::from_unix_timestamp_nanos(after).ok()?.format(&Rfc3339).ok()
}

/// That another process of the name writes now is no proof that the one before is gone.
fn doubt(session: &Session, ended: Option<&Ended>) -> String {
    let silent = session.about.writer.as_ref().and_then(|writer| writer.pid).filter(|_| ended.is_none());
    silent.map_or_else(String::new, |pid| {
        let they = verb(session.open.len(), "it", "they");
        format!(", unless process {pid} still runs: then {they} may hang, and fsdiag attach tells")
    })
}

/// `1 request that was open`.
fn were_open(n: impl TryInto<u64> + Copy) -> String {
    format!("{} that {} open", count(n, "request"), verb(n, "was", "were"))
}

fn earlier(counted: &Counted) -> Note {
    let Counted { lives, killed, .. } = counted;
    let text = format!(
        "{} of the daemon before those {} only counted; {} ended with them",
        count(*lives, "run"),
        verb(*lives, "is", "are"),
        were_open(*killed)
    );
    note("restart", None, None, text)
}
