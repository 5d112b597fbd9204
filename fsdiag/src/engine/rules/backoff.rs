//! > Read #12 of b.mxf is alive and sleeps between retries for 40.1 s: attempt 3 of 10.

use std::collections::HashSet;

use fsd_events::event::Phase;

use crate::engine::{
    case::{Case, Who},
    fact::{HintKind, Key},
    finding::{self, Finding, Rule, for_time, of_path},
    model::{
        ops::{OpenOp, PhaseAt},
        session::{Hint, Session},
    },
    report::{Cause, Confidence},
};

pub struct Backoff;

impl Rule for Backoff {
    fn cause(&self) -> Cause {
        Cause::Backoff
    }

    fn find(&self, case: &Case<'_>) -> Vec<Finding> {
        let stuck = || case.stuck().filter_map(|op| Some((case.party_of(op)?, op)));
        let mut found = finding::listed(case, stuck().filter_map(|(party, op)| stated(case, op, party)));
        let said: HashSet<usize> = found.iter().flat_map(|finding| finding.covers.iter().copied()).collect();
        let unsaid = stuck().filter(|(party, _)| !said.contains(party));
        let retries: Vec<Retries<'_>> = case.lives.iter().map(|life| Retries::of(life.session)).collect();
        let told = |op: usize| retries[case.ops[op].life].about(case.ops[op].open);
        let hinted = unsaid.filter_map(|(party, op)| Some((party, (op, told(op)?))));
        found.extend(finding::of_parties(case, hinted, |party, (op, hint)| by_hint(case, op, party, hint)));
        found
    }
}

const ADVICE: &[&str] =
    &["bound the retries by the deadline of the request: the client is told EIO or ETIMEDOUT, not nothing"];

/// The operation, or the task that it waits for, says so.
fn stated(case: &Case<'_>, op: usize, party: usize) -> Option<Finding> {
    let of_task = || {
        case.graph.out(party).find_map(|e| match case.parties[e.to].who {
            Who::Task { task, .. } => task.phase.as_ref(),
            _ => None,
        })
    };
    let backs_off = |p: &&PhaseAt| p.phase == Phase::Backoff;
    let phase = case.ops[op].open.phase.as_ref().filter(backs_off).or_else(|| of_task().filter(backs_off))?;
    let finding = Finding::new(Cause::Backoff, Confidence::Certain, sentence(case, op, party, &phase.detail));
    let finding = finding.blames(case, party).rests_on(case, [phase.since]);
    let mut finding = finding.evidence(case, [phase.place]).advice(ADVICE);
    finding.covers.extend(case.graph.out(party).map(|e| e.to));
    Some(finding)
}

/// What a daemon's log says of retries, the latest first, and of whom: most of a hundred thousand requests are not meant.
#[derive(Default)]
struct Retries<'c> {
    said: Vec<&'c Hint>,
    keys: HashSet<Key>,
    paths: HashSet<&'c str>,
    /// Some tell neither a request nor a path.
    of_any: bool,
}

impl<'c> Retries<'c> {
    fn of(session: &'c Session) -> Self {
        let mut all = Self::default();
        for hint in session.hints.iter().rev().filter(|hint| hint.kind == HintKind::Retry && hint.at.is_some()) {
            all.said.push(hint);
            all.keys.extend(hint.key);
            all.paths.extend(hint.path.as_deref());
            all.of_any |= is_of_any(hint);
        }
        all
    }

    /// The latest that was said while the operation waited.
    fn about(&self, open: &OpenOp) -> Option<&'c Hint> {
        let path = open.call.path.as_deref();
        let meant = |hint: &Hint| {
            let same = hint.key == Some(open.key()) || hint.path.is_some() && hint.path.as_deref() == path;
            same || is_of_any(hint)
        };
        let may_be = self.of_any || self.keys.contains(&open.key()) || path.is_some_and(|p| self.paths.contains(p));
        may_be.then(|| self.said.iter().find(|hint| hint.at >= open.at && meant(hint)).copied())?
    }
}

fn is_of_any(hint: &Hint) -> bool {
    hint.key.is_none() && hint.path.is_none()
}

fn by_hint(case: &Case<'_>, op: usize, party: usize, hint: &Hint) -> Finding {
    let finding = Finding::new(Cause::Backoff, Confidence::Medium, sentence(case, op, party, &hint.text));
    finding.blames(case, party).evidence(case, [hint.place]).advice(ADVICE)
}

fn sentence(case: &Case<'_>, op: usize, party: usize, detail: &str) -> String {
    let detail = detail.trim_end_matches('.');
    let detail = if detail.is_empty() { String::new() } else { format!(": {detail}") };
    format!(
        "{}{} is alive and sleeps between retries{}{detail}.",
        case.op_name(op),
        of_path(case, party),
        for_time(case.ops[op].age)
    )
}
