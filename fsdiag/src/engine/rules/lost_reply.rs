//! > Getattr #88 has had no answer for 31.0 s, while 214 later ones were answered: its reply was lost.

use fsd_events::{
    event::Phase,
    op::{Class, Op},
};

use crate::engine::{
    advice,
    case::{Case, OpenAt},
    finding::{self, Finding, Rule, for_time, of_path},
    plural::{count, verb},
    report::{Cause, Confidence},
    standing,
};

pub struct LostReply;

impl Rule for LostReply {
    fn cause(&self) -> Cause {
        Cause::LostReply
    }

    fn find(&self, case: &Case<'_>) -> Vec<Finding> {
        let dropped = standing::nobody_serves(case);
        let mut found = finding::listed(case, case.stuck().filter_map(|op| finding(case, op, dropped)));
        found.extend(unknown_to_the_daemon(case));
        found.extend(super::unread_queue::by_kernel(case, Cause::LostReply));
        found
    }
}

/// `dropped`: a dump shows that no thread serves anything.
fn finding(case: &Case<'_>, op: usize, dropped: bool) -> Option<Finding> {
    let at = &case.ops[op];
    let session = case.life_of(op).session;
    let party = case.party_of(op)?;
    let counted = session.stats.iter().filter(|(op, _)| dropped || **op == at.open.op()).map(|row| row.1);
    let later: usize =
        counted.map(|kind| at.open.at.map_or_else(|| kind.behind(at.open.order), |t| kind.later_than(t))).sum();
    let replying = at.open.doing() == Some(Phase::Reply);
    let seats = case.parties[party].thread.is_some() || at.open.phase.is_some() || at.open.doing().is_some();
    let told = is_quick(case, at) && (is_witnessed(case, at) || is_alone(case, op)) || dropped;
    if !replying && (!told || later < 5 || seats) {
        return None;
    }
    let witnessed = is_witnessed(case, at);
    let why = match at.open.op().class() {
        _ if replying => String::from("it is still replying"),
        _ if dropped => {
            format!("while {later} later ones were answered, and no thread of the dump serves it: its reply was lost")
        }
        Class::Metadata | Class::Handle if witnessed => {
            format!("while {later} later ones were answered: its reply was lost")
        }
        _ => format!("while {later} later ones were answered: it alone is stuck, or its reply was lost"),
    };
    let sentence =
        format!("{}{} has had no answer{}, {why}.", case.op_name(op), of_path(case, party), for_time(at.age));
    let confidence = match () {
        () if replying => Confidence::High,
        () if witnessed => Confidence::Medium,
        () => Confidence::Low,
    };
    let finding = Finding::new(Cause::LostReply, confidence, sentence).blames(case, party);
    let finding = finding.rests_on(case, at.open.phase.iter().map(|phase| phase.since));
    Some(finding.advice(&["look for an error path that returns without replying", advice::KERNEL_LOOK]))
}

/// It should not take so long: names are answered from memory, and of what else there is, none of its kind took a
/// twentieth of it.
fn is_quick(case: &Case<'_>, at: &OpenAt<'_>) -> bool {
    let session = case.lives[at.life].session;
    let kind = session.stats.get(&at.open.op());
    let outlasts = || at.age.is_none_or(|age| age > 0 && kind.is_none_or(|kind| kind.are_outlasted_by(age)));
    match at.open.op().class() {
        Class::Metadata | Class::Handle => is_witnessed(case, at) || outlasts(),
        Class::Write => at.open.op() != Op::Setlkw && outlasts(),
        Class::Data | Class::Control => false,
    }
}

/// No line is missing, or somebody besides the log says that it is unanswered.
fn is_witnessed(case: &Case<'_>, at: &OpenAt<'_>) -> bool {
    let kernel = case.model.kernel_waiting.is_some_and(|n| n > 0);
    let session = case.lives[at.life].session;
    let lossless = session.is_own() && session.sequence.missing() == 0;
    lossless || at.watched || at.open.interrupted || kernel
}

/// Of a log of which nothing else is missing it is the only one that is open for long: a log that loses ends loses more.
fn is_alone(case: &Case<'_>, op: usize) -> bool {
    let life = case.ops[op].life;
    let mut others = case.stuck_of(life).filter(|other| *other != op);
    case.lives[life].session.has_all_numbers() && others.next().is_none()
}

/// The kernel waits for more than the daemon has: all its work is done, and nothing is queued.
fn unknown_to_the_daemon(case: &Case<'_>) -> Option<Finding> {
    let life = case.lives.iter().rev().find(|l| l.session.last_beat.is_some())?;
    let (beat, _, place) = life.session.last_beat.as_ref()?;
    let nothing = case.ops.is_empty() && beat.is_empty();
    let idle = nothing && beat.workers_busy == 0 && beat.loops_alive >= beat.workers && beat.replies_queued == 0;
    let waiting = beat.kernel_waiting.filter(|n| *n > 0 && idle && life.session.stall.is_some())?;
    let sentence = format!(
        "The kernel waits for {}, and the daemon has nothing in flight: {} lost.",
        count(waiting, "answer"),
        verb(waiting, "its reply was", "their replies were"),
    );
    Some(
        Finding::new(Cause::LostReply, Confidence::Medium, sentence)
            .evidence(case, [*place])
            .advice(&[advice::KERNEL_LOOK]),
    )
}
