//! > The kernel has 12 requests that the daemon does not read, though nothing is in flight there: no loop is alive.

use crate::engine::{
    case::Case,
    fact::Place,
    finding::{Finding, Rule},
    plural::count,
    report::{Cause, Confidence, Culprit, Evidence},
};

pub struct UnreadQueue;

impl Rule for UnreadQueue {
    fn cause(&self) -> Cause {
        Cause::UnreadQueue
    }

    fn find(&self, case: &Case<'_>) -> Vec<Finding> {
        let mut found: Vec<Finding> = (0..case.lives.len()).filter_map(|life| finding(case, life)).collect();
        found.extend(by_kernel(case, Cause::UnreadQueue));
        found
    }
}

/// The pulse comes every 2 s.
const STALE_US: i64 = 6_000_000;

fn finding(case: &Case<'_>, life: usize) -> Option<Finding> {
    let session = case.lives[life].session;
    let (beat, at, place) = session.last_beat.as_ref()?;
    // A pulse that has stopped says nothing of the present: the whole daemon may be stopped.
    if case.lives[life].now.zip(*at).is_some_and(|(now, at)| now - at > STALE_US) {
        return None;
    }
    let unread = case.unread(life).filter(|n| *n > 0)?;
    let dead_loops = beat.workers > 0 && beat.loops_alive == 0;
    // What was in flight when the kernel's requests were counted is not unread, though it has ended since.
    let none_open = case.ops_beside(life).next().is_none();
    let idle = none_open && session.stall.is_some() && beat.is_empty();
    if !dead_loops && !idle {
        return None;
    }
    let why = match dead_loops {
        true => String::from("no loop is alive"),
        false => format!("{} of {} loops are alive", beat.loops_alive, beat.workers),
    };
    let in_flight = if none_open { ", though nothing is in flight there" } else { "" };
    let sentence =
        format!("The kernel has {} that the daemon does not read{in_flight}: {why}.", count(unread, "request"));
    let confidence = if dead_loops { Confidence::Certain } else { Confidence::High };
    let culprit = Culprit { thread: Some(String::from("FUSE loops")), ..Culprit::default() };
    let finding = Finding::new(Cause::UnreadQueue, confidence, sentence).culprit(culprit).evidence(case, [*place]);
    Some(finding.advice(&[
        "see the daemon's threads: none of them reads the device",
        "hand over to a new worker: fsdiag restart",
    ]))
}

/// What the kernel's own facts prove, for the causes that they know.
pub(super) fn by_kernel(case: &Case<'_>, cause: Cause) -> Option<Finding> {
    if !case.model.kernel_seen {
        return None;
    }
    let limit = u64::try_from(case.model.limits.stalled_us).unwrap_or(0);
    let cite = |place: Place| Evidence { input: case.input_name(place), line: place.line, text: String::new() };
    let verdict = case.model.kernel.verdicts(limit, &cite).into_iter().find(|v| v.cause == cause)?;
    let twin = |culprit: &Culprit| {
        (0..case.ops.len()).find(|op| {
            let call = &case.ops[*op].open.call;
            let unique = call.unique.map(|u| u.to_string()).or_else(|| Some(call.key.to_string()));
            unique == culprit.id && Some(call.op.to_string()) == culprit.op
        })
    };
    let party = verdict.culprit.as_ref().and_then(twin).and_then(|op| case.party_of(op));
    let mut finding = Finding::new(cause, verdict.confidence, String::new());
    finding.verdict = verdict;
    finding.covers.extend(party);
    finding.party = party;
    Some(finding)
}
