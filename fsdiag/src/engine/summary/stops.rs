//! Stops: a note on a log that ends as a request begins: a daemon of one thread that hangs writes nothing more, and one
//! that is busy has always something open.

use crate::engine::{
    case::{Case, OpenAt, named, seconds},
    model::ops::Micros,
    plural::{count, verb},
    report::Note,
    threads::Seen,
};

/// What follows a request at once is its details, and lines of others that are about to wait, too.
const AT_ONCE: Micros = 1_000_000;

/// The oldest of the requests that began just before the end of a log, and are open.
pub(super) fn note(case: &Case<'_>) -> Option<Note> {
    // A dump shows what the daemon does, unless it is of the kernel; and fsd has a watchdog.
    let blind = |seen: &Seen<'_>| case.model.dumps[seen.dump].1.is_blind();
    if !case.threads.iter().all(blind) {
        return None;
    }
    let told = |at: &&OpenAt<'_>| {
        let life = &case.lives[at.life];
        let tells = !life.session.is_own() && !life.session.one_sided && !life.dead && life.ended.is_none();
        tells && at.age.is_some_and(|age| age < AT_ONCE)
    };
    let open: Vec<&OpenAt<'_>> = case.ops.iter().filter(told).collect();
    let oldest = open.iter().max_by_key(|at| at.age)?;
    let more = match open.len() - 1 {
        0 => String::new(),
        n => format!(" ({} {} open, too)", count(n, "more"), verb(n, "is", "are")).replace("mores", "more"),
    };
    let text = format!(
        "the log ends {:.1} s after {} began, without its answer{more}: if it was read later than that and the daemon has written nothing since, that is what it hangs in; read it once more, or take a stack dump",
        seconds(oldest.age?),
        named(oldest.open.op(), oldest.open.key()),
    );
    Some(super::note("cannot_tell", None, None, text))
}
