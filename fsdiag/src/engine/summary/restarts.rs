//! Restarts: notes on runs of a daemon that others followed, and on what was open when they ended.

use std::collections::BTreeSet;

use super::note;
use crate::engine::{
    case::{label, seconds},
    model::{
        Model,
        past::Counted,
        session::{Ended, Session},
    },
    plural::{count, verb},
    report::Note,
};

/// One for each run that another followed, oldest first.
pub(super) fn notes(model: &Model) -> Vec<Note> {
    // A stack dump is no run of its own.
    let current: BTreeSet<usize> = model.current().map(|(at, _)| at).collect();
    let past = (0..model.sessions.len()).filter(|at| !current.contains(at) && !model.sessions[*at].of_dump);
    let past = past.map(|at| (&model.sessions[at], model.ended_of(at), model.follower(at)));
    let before = model.past.latest().map(|session| (session, session.ended.as_ref(), None));
    let told = before.chain(past).map(|(session, ended, follower)| {
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
                ", as ids tell that are given out again; {} ended with it, unless two daemons write this log: then {} may hang, and fsdiag attach tells",
                were_open(open),
                verb(open, "it", "they")
            ),
            (open, None) => {
                let waited = follower.filter(|_| ended.is_none()).and_then(|next| waited(session, next));
                format!("; {} ended with it{}{}", were_open(open), waited.unwrap_or_default(), doubt(session, ended))
            }
        };
        let daemon = session.about.writer.as_deref().map_or_else(|| String::from("the daemon"), |w| label(w, false));
        note("restart", None, None, format!("an earlier run of {daemon} {how}{killed}"))
    });
    model.past.counted().map(earlier).into_iter().chain(told).collect()
}

/// How long the oldest request had waited when the next one began to write: a hang before it, if that is long.
fn waited(session: &Session, next: &Session) -> Option<String> {
    let oldest = session.open.glances().filter_map(|open| open.at).min()?;
    let began = next.clock.first?;
    let by_day = next.clock.wall_of(began).zip(session.clock.wall_of(oldest));
    // Both stand in one log: where it does not tell the day, its own clock will do.
    let us = by_day.map_or(began - oldest, |(began, oldest)| began - oldest);
    (us > 0).then(|| format!(", open for {:.1} s when another one began to write", seconds(us)))
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
