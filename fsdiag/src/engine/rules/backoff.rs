//! > Read #12 of b.mxf is alive and sleeps between retries for 40.1 s: attempt 3 of 10.

use std::collections::HashSet;

use fsd_events::event::Phase;

use crate::engine::{
    case::{Case, Who},
    fact::HintKind,
    finding::{self, Finding, Rule, for_time, of_path},
    model::{ops::PhaseAt, session::Hint},
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
        let hinted = unsaid.filter_map(|(party, op)| Some((party, (op, hint(case, op)?))));
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
    let phase = case.ops[op].open.phase.as_deref().filter(backs_off).or_else(|| of_task().filter(backs_off))?;
    let finding = Finding::new(Cause::Backoff, Confidence::Certain, sentence(case, op, party, &phase.detail));
    let mut finding = finding.blames(case, party).evidence(case, [phase.place]).advice(ADVICE);
    finding.covers.extend(case.graph.out(party).map(|e| e.to));
    Some(finding)
}

/// The daemon's log speaks of retries while the operation waits.
fn hint<'c>(case: &'c Case<'_>, op: usize) -> Option<&'c Hint> {
    let at = &case.ops[op];
    let path = at.open.call.path.as_deref();
    case.life_of(op).session.hints.iter().rev().find(|h| {
        let same = h.key == Some(at.open.key())
            || h.path.is_some() && h.path.as_deref() == path
            || h.key.is_none() && h.path.is_none();
        h.kind == HintKind::Retry && h.at.is_some() && h.at >= at.open.at && same
    })
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
