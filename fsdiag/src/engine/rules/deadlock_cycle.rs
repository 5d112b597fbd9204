//! > Deadlock: Release #40 holds `FS.mu` and waits for `file.mu`; Read #39 holds `file.mu` and waits for `FS.mu`; 3
//! > more operations wait behind them.

use crate::engine::{
    advice,
    case::Case,
    dumped,
    finding::{Finding, Rule, for_time},
    plural::{count, verb},
    report::{Cause, Confidence},
    waits::{Edge, Why},
};

pub struct DeadlockCycle;

impl Rule for DeadlockCycle {
    fn cause(&self) -> Cause {
        Cause::DeadlockCycle
    }

    fn find(&self, case: &Case<'_>) -> Vec<Finding> {
        let cycles = case.graph.cycles();
        let real = cycles.iter().filter(|set| !only_permits(case, set) && lasts(case, set));
        let mut found: Vec<Finding> = real.map(|set| finding(case, set)).collect();
        found.extend(dumped::findings(case, self.cause()));
        found
    }
}

/// Edges inside a set of parties.
pub(super) fn inside<'c>(case: &'c Case<'_>, set: &'c [usize]) -> impl Iterator<Item = &'c Edge> {
    case.graph.edges.iter().filter(|e| set.contains(&e.from) && set.contains(&e.to))
}

pub(super) fn only_permits(case: &Case<'_>, set: &[usize]) -> bool {
    inside(case, set).all(|e| matches!(e.why, Why::Lock { permit: true, .. }))
}

/// Somebody in it is old, or nobody has an age.
pub(super) fn lasts(case: &Case<'_>, set: &[usize]) -> bool {
    let ages: Vec<i64> = set.iter().filter_map(|p| case.age_of(*p)).collect();
    let watched = set.iter().filter_map(|p| case.op_of(*p)).any(|op| case.ops[op].watched);
    watched || ages.is_empty() || ages.iter().any(|age| *age >= case.model.limits.stalled_us)
}

fn finding(case: &Case<'_>, set: &[usize]) -> Finding {
    let mut members = set.to_vec();
    members.sort_by_key(|p| (case.op_of(*p).is_none(), std::cmp::Reverse(case.age_of(*p)), *p));
    let culprit = members[0];
    let mut behind: Vec<usize> = members.iter().flat_map(|p| case.graph.behind(*p)).collect();
    behind.sort_unstable();
    behind.dedup();
    behind.retain(|p| !set.contains(p));
    let parts: Vec<String> = members.iter().take(4).map(|p| part(case, *p, set)).collect();
    let more = match behind.len() {
        0 => String::new(),
        n => format!("; {} {} behind them", count(n, "more operation"), verb(n, "waits", "wait")),
    };
    let what = if set.len() == 1 { "waits for itself" } else { "Deadlock" };
    let sentence = match set.len() {
        1 => format!(
            "{} {what}{}: it {}{more}.",
            case.name_of(culprit),
            for_time(case.age_of(culprit)),
            own_lock(case, culprit)
        ),
        _ => format!("{what}: {}{more}.", parts.join("; ")),
    };
    let wanted = inside(case, set).find(|e| e.from == culprit).and_then(lock_of);
    let places = inside(case, set).map(|e| e.place).collect::<Vec<_>>();
    Finding::new(Cause::DeadlockCycle, Confidence::Certain, sentence)
        .blames(case, culprit)
        .rests_on(case, inside(case, set).map(|e| e.told))
        .lock(wanted.unwrap_or_default())
        .alternatives(case, &members[1..])
        .evidence(case, places)
        .waiters(case, &members[1..])
        .waiters(case, &behind)
        .advice(&[
            "take these locks in one order everywhere, or drop the first before taking the second",
            advice::SINGLE_THREAD,
        ])
        .isolate(&[advice::FLAG_SINGLE])
}

fn part(case: &Case<'_>, party: usize, set: &[usize]) -> String {
    let held = inside(case, set).find(|e| e.to == party).and_then(lock_of).map(|l| format!(" holds `{l}` and"));
    let wants = match inside(case, set).find(|e| e.from == party) {
        Some(edge) => lock_of(edge).map_or_else(|| case.name_of(edge.to), |l| format!("`{l}`")),
        None => String::from("another"),
    };
    format!("{}{} waits for {wants}{}", case.name_of(party), held.unwrap_or_default(), for_time(case.age_of(party)))
}

fn own_lock(case: &Case<'_>, party: usize) -> String {
    let edge = case.graph.out(party).find(|e| e.to == party);
    let lock = edge.and_then(lock_of).unwrap_or("a lock");
    format!("already holds `{lock}`")
}

fn lock_of(edge: &Edge) -> Option<&str> {
    match &edge.why {
        Why::Lock { name, .. } => Some(name),
        Why::Bytes | Why::Join => None,
    }
}
