//! Witnesses: who else says that the blamed requests hang (rule R5 and section D of the rules), and which one capture
//! would settle what is still open.

use super::{
    advice,
    case::Case,
    finding::Finding,
    report::{Cause, Confidence},
};

/// A finding with its confidence raised by what else is known, and with the capture that would tell more.
pub(super) fn heard(case: &Case<'_>, mut finding: Finding) -> Finding {
    if !WAITS.contains(&finding.verdict.cause) {
        return finding;
    }
    let said = finding.verdict.confidence;
    let plain = finding.verdict.alternatives.is_empty();
    finding.verdict.confidence = match (said, count(case, &finding)) {
        (Confidence::Low, 1..) => Confidence::Medium,
        // They swear that it hangs, not who is to blame: with other candidates that stays open.
        (Confidence::Medium, 2..) if plain => Confidence::High,
        _ => said,
    };
    if finding.verdict.confidence < Confidence::High {
        settle(case, &mut finding);
    }
    finding
}

/// Causes in which requests wait; the others are no question of waiting.
const WAITS: &[Cause] = &[
    Cause::LockPileup,
    Cause::DeadlockCycle,
    Cause::WorkerStarvation,
    Cause::UpstreamStall,
    Cause::CloseBlocked,
    Cause::LostReply,
];

/// How many independent witnesses there are.
fn count(case: &Case<'_>, finding: &Finding) -> usize {
    let ops: Vec<usize> = finding.covers.iter().filter_map(|party| case.op_of(*party)).collect();
    let blamed = finding.party.and_then(|party| case.op_of(party));
    // A client gave up on it, and the daemon had not answered by then.
    let interrupted = blamed.is_some_and(|op| case.ops[op].open.interrupted);
    let clients: Vec<u32> = case.model.kernel.waiting_clients().collect();
    let blocked = ops.iter().filter_map(|op| case.ops[*op].open.call.pid).any(|pid| pid > 0 && clients.contains(&pid));
    // The kernel waits for at least as many as the log shows open.
    let counted = !ops.is_empty() && case.model.kernel_waiting.is_some_and(|n| n >= case.open_count());
    // Two inputs tell of it, each by itself.
    let seen_twice = blamed.is_some_and(|op| case.ops[op].also.is_some());
    [interrupted, blocked, counted, seen_twice].into_iter().filter(|witness| *witness).count()
}

/// Says what to capture, unless the rule said it.
fn settle(case: &Case<'_>, finding: &mut Finding) {
    if finding.verdict.advice.iter().any(|said| said.contains("dump") || said.contains("fsdiag ")) {
        return;
    }
    let capture = if case.threads.is_empty() { advice::DUMP_NOW } else { advice::SECOND_DUMP };
    finding.verdict.advice.insert(0, capture.to_owned());
}

#[cfg(test)]
mod tests {
    use fsd_events::op::Op;

    use crate::engine::{
        fact::{At, Call, Done, Fact, Key, Place, What},
        model::{Limits, Model},
        report::{Cause, Confidence, Report},
    };

    /// Twenty Reads that end, one that does not, and a minute of other work.
    fn report(interrupted: bool) -> Report {
        let mut model = Model::new(Limits::default());
        let input = model.input("log");
        let mut line = 0;
        let mut say = |ms: u64, what: What| {
            line += 1;
            let at = At { mono_us: Some(ms * 1000), wall_us: None };
            model.apply(&Fact { place: Place { input, line, part: 0 }, at, what });
        };
        let enter = |id: u64, op: Op| What::Enter(Box::new(Call { pid: Some(70), ..Call::new(Key::Num(id), op) }));
        let exit = |id: u64| What::Exit(Done { key: Key::Num(id), op: None, us: None, errno: Some(0), bytes: None });
        for id in 1..=20 {
            say(id * 1000, enter(id, Op::Read));
            say(id * 1000 + 10, exit(id));
        }
        say(21_000, enter(21, Op::Read));
        for id in 22..80 {
            say(id * 1000, enter(id, Op::Getattr));
            say(id * 1000 + 1, exit(id));
        }
        if interrupted {
            say(79_500, What::Interrupt(Key::Num(21)));
        }
        model.report(Default::default())
    }

    #[test]
    fn a_client_that_gave_up_is_a_witness_that_its_request_hangs() {
        let told = |report: &Report| report.verdicts.first().map(|first| (first.cause, first.confidence));
        assert_eq!(told(&report(false)), Some((Cause::UpstreamStall, Confidence::Low)));
        assert_eq!(told(&report(true)), Some((Cause::UpstreamStall, Confidence::Medium)));
    }
}
