//! Whom: whom the threads of a daemon wait for outside of it, and whether any of them works at all.

use super::{
    daemon::Daemon,
    look::Look,
    mountinfo::Mount,
    rows::Row,
    signature::{self, Wait},
    task::Task,
};
use crate::engine::{
    fact::{Awaited, Awaits, PendingState, Serving},
    kernel::inside,
};

/// Who sleeps for less may just be busy with files.
const MOMENT_US: u64 = 500_000;
/// How long a request may be under way to the thread that takes it.
const SLACK_US: u64 = 200_000;

/// How exact the kernel's age of a request is, with room.
const TICKS_MS: f64 = 50.0;

/// The thread behind a request, and whom it waits for.
pub(super) fn serving(row: &Row, look: &Look) -> Option<Serving> {
    let (server, daemon) = row.server.as_ref().zip(look.daemon())?;
    let task = daemon.threads.iter().find(|task| task.tid == server.tid)?;
    let awaits = awaits(task, daemon, look, row.age_us);
    Some(Serving { thread: name(task), waits: server.waits.as_str().into(), sure: server.sure, awaits })
}

/// Whom a thread of a daemon waits for outside of it; `since_us` is how long ago the request was sent that it may serve.
fn awaits(task: &Task, daemon: &Daemon, look: &Look, since_us: Option<u64>) -> Option<Awaits> {
    let below = daemon.below.iter().find(|(tid, _)| *tid == task.tid).map(|(_, mount)| mount);
    let slept = task.idle_us(look.clock_ms);
    let of_fuse = below.map_or_else(|| asks_fuse(task), Mount::is_fuse);
    // Without the list of clients it could be this mount.
    let on_this = || look.clients.as_ref().is_none_or(|all| all.iter().any(|c| c.task.tid == task.tid));
    // A child that was waited for before is none of the request's.
    let late = || slept.zip(since_us).is_none_or(|(slept, since)| slept <= since.saturating_add(SLACK_US));
    let whom = match inside::awaited(&task.where_text()) {
        _ if slept.is_some_and(|us| us < MOMENT_US) => None,
        _ if of_fuse => Some(Awaited::Mount).filter(|_| !on_this()),
        Some(Awaited::Child) if !late() => None,
        Some(inside) => Some(inside),
        // Each file system waits in functions of its own.
        None if task.state == Some('D') && below.is_some() => Some(Awaited::Storage),
        None => Some(Awaited::Process).filter(|_| task.hears()),
    }?;
    let point = below.map(|mount| mount.point.display().to_string().into());
    Some(Awaits { thread: name(task), whom, below: point })
}

/// Of the threads that have no request in hand, the one that waits for somebody outside.
pub(super) fn anybody_awaits(daemon: &Daemon, look: &Look, rows: &[Row]) -> Option<Awaits> {
    let oldest_us = taken(rows).filter_map(|row| row.age_us).max();
    let serves = |task: &Task| rows.iter().any(|row| row.server.as_ref().is_some_and(|s| s.tid == task.tid));
    let free = daemon.threads.iter().filter(|task| !serves(task));
    let all: Vec<Awaits> = free.filter_map(|task| awaits(task, daemon, look, oldest_us)).collect();
    // To hear what a process says is also how a thread of a daemon that has nothing to do waits.
    let first = all.iter().position(|awaits| awaits.whom != Awaited::Process).unwrap_or(0);
    all.into_iter().nth(first)
}

/// Whether nobody works in those that hold the device, and nothing outside could wake one of their threads.
pub(super) fn at_rest(look: &Look, rows: &[Row]) -> bool {
    let oldest_us = taken(rows).map(|row| row.age_us).max().flatten();
    let Some((listed_ms, oldest_us)) = look.listed_ms.zip(oldest_us) else { return false };
    let sent_ms = listed_ms - oldest_us as f64 / 1e3 - TICKS_MS;
    let at_lock = |task: &Task| task.where_text().starts_with("futex");
    let reads = |task: &Task| matches!(task.waits(), Some((Wait::Idle, _)));
    let rests = |task: &Task| reads(task) || at_lock(task) && task.ran_ms.is_some_and(|ran| ran < sent_ms);
    let threads = || look.daemons.iter().flat_map(|daemon| &daemon.threads);
    let alone = look.heirs.is_empty() && !look.daemons.iter().any(|d| d.parks || !d.sockets.is_empty());
    alone && threads().any(reads) && threads().all(rests)
}

fn taken(rows: &[Row]) -> impl Iterator<Item = &Row> {
    rows.iter().filter(|row| row.state == PendingState::InDaemon)
}

fn name(task: &Task) -> Box<str> {
    format!("thread {} ({})", task.tid, task.comm).into()
}

/// Whether it waits for an answer of a FUSE mount, as far as the code tells that it stands in.
fn asks_fuse(task: &Task) -> bool {
    let of_fuse = [Wait::Reply, Wait::Page, Wait::LockedPage, Wait::Directory, Wait::Background];
    signature::in_fuse(&task.stack) && task.waits().is_some_and(|(wait, _)| of_fuse.contains(&wait))
}
