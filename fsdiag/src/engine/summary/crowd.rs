//! Crowd: notes on what is so many that not each of them is looked at.

use super::note;
use crate::engine::{
    case::Case,
    model::crowd::GivenUp,
    plural::{count, verb},
    report::Note,
};

pub(super) fn notes(case: &Case<'_>) -> impl Iterator<Item = Note> {
    daemons(case).into_iter().chain(threads(case)).chain(unjudged(case)).chain(given_up(case.model.given_up))
}

/// How many share logs: whoever knows the cluster sees whether they were told apart as they should be.
fn daemons(case: &Case<'_>) -> Option<Note> {
    /// Fewer are counted at a glance.
    const MANY: usize = 8;
    let shared: Vec<usize> = (0..case.lives.len()).filter(|life| case.daemon(*life).is_some()).collect();
    let stuck = shared.iter().filter(|life| case.stuck_of(**life).next().is_some()).count();
    let text = || format!("{} are told apart; in {stuck} of them a request is old", count(shared.len(), "daemon"));
    (shared.len() >= MANY).then(|| note("daemons", None, None, text()))
}

/// Whoever reads a name in the report that is missing in it sees why.
fn threads(case: &Case<'_>) -> Option<Note> {
    let joined = case.model.threads;
    let text = || {
        format!(
            "{} that {} where a host's or a process's does {} of a thread, as its requests tell: what it wrote is taken for the daemon's",
            count(joined, "name"),
            verb(joined, "stands", "stand"),
            verb(joined, "is that", "are those"),
        )
    };
    (joined > 0).then(|| note("threads", None, None, text()))
}

fn unjudged(case: &Case<'_>) -> Option<Note> {
    let open = case.unjudged.count();
    let text = || {
        let are = verb(open, "is", "are");
        format!("{} {are} open; only the oldest are judged one by one", count(open, "more request"))
    };
    (open > 0).then(|| note("crowd", None, None, text()))
}

fn given_up(all: GivenUp) -> Option<Note> {
    let GivenUp { daemons, requests } = all;
    let text = || {
        format!(
            "more daemons write into one log than are told apart: whether {} of {} {} ended is not known; read the logs of fewer daemons at once",
            count(requests, "request"),
            count(daemons, "daemon"),
            verb(requests, "has", "have"),
        )
    };
    (requests > 0).then(|| note("cannot_tell", None, None, text()))
}
