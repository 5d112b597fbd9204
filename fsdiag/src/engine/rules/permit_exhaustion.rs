//! > All permits of `fetch` are held by operations that wait for more of them: Read #7 and 3 more wait for each other.

use super::deadlock_cycle::{inside, lasts, only_permits};
use crate::engine::{
    case::Case,
    fact::HintKind,
    finding::{Finding, Rule, for_time},
    plural::count,
    report::{Cause, Confidence},
    standing,
    waits::Why,
};

pub struct PermitExhaustion;

impl Rule for PermitExhaustion {
    fn cause(&self) -> Cause {
        Cause::PermitExhaustion
    }

    fn find(&self, case: &Case<'_>) -> Vec<Finding> {
        let cycles = case.graph.cycles();
        let cycles = cycles.iter().filter(|set| only_permits(case, set) && lasts(case, set));
        let mut found: Vec<Finding> = cycles.map(|set| finding(case, set)).collect();
        if found.is_empty() {
            found.extend(hinted(case));
        }
        found.extend(super::unread_queue::by_kernel(case, Cause::PermitExhaustion));
        found.extend(standing::finding(case).filter(|found| found.verdict.cause == Cause::PermitExhaustion));
        found
    }
}

fn finding(case: &Case<'_>, set: &[usize]) -> Finding {
    let mut members = set.to_vec();
    members.sort_by_key(|p| (std::cmp::Reverse(case.age_of(*p)), *p));
    let name = inside(case, set).find_map(|e| match &e.why {
        Why::Lock { name, .. } => Some(name.to_string()),
        _ => None,
    });
    let name = name.unwrap_or_default();
    let sentence = format!(
        "All permits of `{name}` are held by those who wait for more of them: {}{} and {} wait for each other.",
        case.name_of(members[0]),
        for_time(case.age_of(members[0])),
        count(members.len() - 1, "other"),
    );
    let places: Vec<_> = inside(case, set).map(|e| e.place).collect();
    Finding::new(Cause::PermitExhaustion, Confidence::Certain, sentence)
        .blames(case, members[0])
        .rests_on(case, inside(case, set).map(|e| e.told))
        .lock(&name)
        .evidence(case, places)
        .waiters(case, &members[1..])
        .advice(&["take all permits of one piece of work at once, or none; work in flight must never wait for more"])
}

/// The daemon's own log says that it ran out of permits or buffers.
fn hinted(case: &Case<'_>) -> Option<Finding> {
    let op = case.stuck().next()?;
    let life = case.life_of(op);
    let hint = life.session.hints.iter().rev().find(|h| h.kind == HintKind::Permit)?;
    let sentence = format!(
        "{} waits{}, and the daemon says that a pool is used up: {}.",
        case.op_name(op),
        for_time(case.ops[op].age),
        hint.text.trim_end_matches('.'),
    );
    let finding = Finding::new(Cause::PermitExhaustion, Confidence::Low, sentence).evidence(case, [hint.place]);
    Some(finding.blames(case, case.party_of(op)?))
}
