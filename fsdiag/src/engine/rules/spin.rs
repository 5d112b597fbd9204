//! > Read #12 runs without progress for 20.3 s: its thread was in the same code in both dumps.

use crate::engine::{
    case::Case,
    fact::Thread,
    finding::{Finding, Rule, for_time},
    report::{Cause, Confidence},
    stacks::doing::Doing,
};

pub struct Spin;

impl Rule for Spin {
    fn cause(&self) -> Cause {
        Cause::Spin
    }

    fn find(&self, case: &Case<'_>) -> Vec<Finding> {
        case.stuck().filter_map(|op| finding(case, op)).collect()
    }
}

fn finding(case: &Case<'_>, op: usize) -> Option<Finding> {
    let party = case.party_of(op)?;
    let seen = &case.threads[case.parties[party].thread?];
    if seen.doing != Doing::Running {
        return None;
    }
    let again = case.model.dumps.iter().rev().skip(1).any(|(_, d, _)| d.threads.iter().any(|t| same(t, seen.thread)));
    let how = if again { ": its thread was in the same code in both dumps" } else { "" };
    let sentence = format!("{} runs without progress{}{how}.", case.op_name(op), for_time(case.ops[op].age));
    let confidence = if again { Confidence::High } else { Confidence::Medium };
    let finding = Finding::new(Cause::Spin, confidence, sentence).blames(case, party);
    Some(finding.advice(&["a second dump and the thread's CPU time show whether it is the same loop"]))
}

/// The same thread in the same functions, wherever in them.
fn same(a: &Thread, b: &Thread) -> bool {
    let outer = |t: &Thread| t.frames.iter().rev().take(6).map(|f| f.function.clone()).collect::<Vec<_>>();
    a.number == b.number && outer(a) == outer(b)
}
