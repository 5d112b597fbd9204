//! > Read #39 of b.mxf has waited for the origin for 12.4 s: 300000 of 1048576 bytes are here, none came for 12.3 s; 2
//! > more wait for the same.

use std::collections::BTreeSet;

use fsd_events::{
    event::Phase,
    op::{Class, Op},
};

use crate::engine::{
    advice,
    case::{Case, Who, lasting},
    dumped,
    fact::HintKind,
    finding::{self, Finding, Rule, for_time, of_path},
    infer::Guess,
    model::ops::{Micros, PhaseAt},
    plural::{count, verb},
    report::{Cause, Confidence},
    stacks::doing::Doing,
    standing,
    threads::Seen,
    waits::Why,
};

pub struct UpstreamStall;

impl Rule for UpstreamStall {
    fn cause(&self) -> Cause {
        Cause::UpstreamStall
    }

    fn find(&self, case: &Case<'_>) -> Vec<Finding> {
        let mut found = by_task(case);
        let covered: BTreeSet<usize> = found.iter().flat_map(|f| f.covers.iter().copied()).collect();
        let uncovered = |op: usize| case.party_of(op).filter(|party| !covered.contains(party));
        let waiting = (0..case.ops.len()).filter_map(|op| Some((uncovered(op)?, (op, says_upstream(case, op)?))));
        found.extend(finding::of_parties(case, waiting, |party, (op, phase)| by_phase(case, op, party, phase)));
        found.extend(by_stacks(case, &found));
        found.extend(dumped::findings(case, self.cause()));
        if found.is_empty() {
            found.extend(standing::on_network(case).map(|finding| finding.advice(ADVICE)));
        }
        // Of each daemon what tells most.
        let told = Told::of(case, &found);
        found.extend(by_pattern(case).into_iter().filter(|finding| told.is_untold(case, finding.party)));
        let mut told = Told::of(case, &found);
        found.extend(by_hint(case, &mut told));
        found.extend(by_silence(case, told));
        found.extend(super::unread_queue::by_kernel(case, Cause::UpstreamStall));
        found
    }
}

const ADVICE: &[&str] = &[
    "ask the origin the same range by hand (curl -r): if it hangs too, the daemon is innocent",
    "give every body read an inactivity limit and every READ a deadline",
];

/// Readers parked on a download that runs and gets nothing.
fn by_task(case: &Case<'_>) -> Vec<Finding> {
    let mut tasks: Vec<usize> = case.graph.edges.iter().filter(|e| e.why == Why::Bytes).map(|e| e.to).collect();
    tasks.sort_unstable();
    tasks.dedup();
    tasks.into_iter().filter_map(|task| stalled_task(case, task)).collect()
}

fn stalled_task(case: &Case<'_>, party: usize) -> Option<Finding> {
    let Who::Task { life, task, .. } = case.parties[party].who else { return None };
    let now = case.lives[life].now?;
    if task.ended.is_some() || task.phase.as_ref().is_some_and(|p| p.phase == Phase::Backoff) {
        return None;
    }
    let mut readers: Vec<usize> =
        case.graph.edges.iter().filter(|e| e.to == party && e.why == Why::Bytes).map(|e| e.from).collect();
    readers.sort_by_key(|r| std::cmp::Reverse(case.age_of(*r)));
    let first = *readers.first()?;
    let moved = task.progress.as_ref().and_then(|p| p.moved).or(task.since);
    let flat = moved.map(|t| now - t)?;
    let stuck = case.op_of(first).is_some_and(|op| case.is_stuck(op));
    if !stuck || flat < case.model.limits.stalled_us / 2 {
        return None;
    }
    let progress = match &task.progress {
        Some(p) => format!("{} of {} bytes are here, none came for {}", p.have, p.want, lasting(flat)),
        None => format!("nothing came for {}", lasting(flat)),
    };
    let sentence = format!(
        "{}{} has waited for the origin{}: {progress}{}.",
        case.name_of(first),
        of_path(case, first),
        for_time(case.age_of(first)),
        more(readers.len() - 1),
    );
    let told = case.graph.out(first).filter(|e| e.to == party).map(|e| e.told);
    let told = told.chain([task.progress.as_ref().map_or(task.since, |p| p.told)]);
    let places = [Some(task.place), task.progress.as_ref().map(|p| p.place), task.phase.as_ref().map(|p| p.place)];
    let mut finding = Finding::new(Cause::UpstreamStall, Confidence::Certain, sentence)
        .blames(case, first)
        .rests_on(case, told)
        .evidence(case, places.into_iter().flatten())
        .waiters(case, &readers[1..])
        .advice(ADVICE);
    finding.covers.push(party);
    Some(finding)
}

fn more(others: usize) -> String {
    match others {
        0 => String::new(),
        n => format!("; {} {} for the same", count(n, "more"), verb(n, "waits", "wait")).replace("mores", "more"),
    }
}

/// The operation itself says that it waits for the origin.
fn says_upstream<'c>(case: &'c Case<'_>, op: usize) -> Option<&'c PhaseAt> {
    let phase = case.ops[op].open.phase.as_ref()?;
    (case.is_stuck(op) && !is_fed(case, op) && matches!(phase.phase, Phase::Upstream | Phase::Listing)).then_some(phase)
}

/// Whether bytes came of late for the download that it waits for: it is slow.
fn is_fed(case: &Case<'_>, op: usize) -> bool {
    let Some((party, now)) = case.party_of(op).zip(case.life_of(op).now) else { return false };
    let tasks = case.graph.out(party).filter(|e| e.why == Why::Bytes).map(|e| case.parties[e.to].who);
    let moved = tasks.filter_map(|who| match who {
        Who::Task { task, .. } => task.progress.as_ref()?.moved,
        _ => None,
    });
    moved.max().is_some_and(|moved| now - moved < case.model.limits.stalled_us / 2)
}

fn by_phase(case: &Case<'_>, op: usize, party: usize, phase: &PhaseAt) -> Finding {
    let from = if phase.detail.is_empty() { String::new() } else { format!(" ({})", phase.detail) };
    let sentence = format!(
        "{}{} has waited for the origin{}{from}.",
        case.op_name(op),
        of_path(case, party),
        for_time(case.ops[op].age)
    );
    let finding = Finding::new(Cause::UpstreamStall, Confidence::High, sentence).blames(case, party);
    finding.rests_on(case, [phase.since]).evidence(case, [phase.place]).advice(ADVICE)
}

/// Their threads sit in network code: one finding for each path, and for each operation without one.
fn by_stacks(case: &Case<'_>, found: &[Finding]) -> Vec<Finding> {
    let covered: BTreeSet<usize> = found.iter().flat_map(|f| f.covers.iter().copied()).collect();
    let known = |party: usize| covered.contains(&party);
    // Kernel stacks show no callback: theirs may be one that another dump shows.
    let told = |t: &Seen<'_>| !case.model.dumps[t.dump].1.is_blind();
    let background = case.threads.iter().any(|t| t.op.is_none() && t.doing == Doing::Network && told(t));
    let waiting: Vec<usize> = case.stuck().filter(|op| is_fetching(case, *op, background)).collect();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for op in waiting.into_iter().filter(|op| case.party_of(*op).is_some_and(|p| !known(p))) {
        let call = |op: usize| &case.ops[op].open.call;
        let path = call(op).path.as_deref();
        match groups.iter_mut().find(|g| path.is_some() && call(g[0]).path.as_deref() == path) {
            Some(group) => group.push(op),
            None => groups.push(vec![op]),
        }
    }
    groups.iter().filter_map(|ops| by_stack(case, ops)).collect()
}

/// `background`: a thread that serves nobody is in network code, and a reader that waits for another thread waits for it.
fn is_fetching(case: &Case<'_>, op: usize, background: bool) -> bool {
    let thread = case.party_of(op).and_then(|party| case.parties[party].thread);
    let doing = thread.map(|at| case.threads[at].doing);
    doing == Some(Doing::Network)
        || doing == Some(Doing::Wait) && background && case.ops[op].open.op().class() == Class::Data
}

fn by_stack(case: &Case<'_>, ops: &[usize]) -> Option<Finding> {
    let party = case.party_of(ops[0])?;
    let seen = &case.threads[case.parties[party].thread?];
    let others: Vec<usize> = ops[1..].iter().filter_map(|op| case.party_of(*op)).collect();
    let sentence = format!(
        "{}{} has waited for the origin{}: its {} {}{}.",
        case.op_name(ops[0]),
        of_path(case, party),
        for_time(case.ops[ops[0]].age),
        seen.label(),
        if seen.doing == Doing::Network { "is in network code" } else { "waits for one that is in network code" },
        more(others.len()),
    );
    let finding = Finding::new(Cause::UpstreamStall, Confidence::High, sentence).blames(case, party);
    Some(finding.waiters(case, &others).advice(ADVICE))
}

/// The log ends early: one Read is open far longer than any ever took, while later requests have ended.
fn by_silence(case: &Case<'_>, mut told: Told) -> Vec<Finding> {
    let blind = |seen: &Seen<'_>| case.model.dumps[seen.dump].1.is_blind();
    if !case.threads.iter().all(blind) {
        // A dump tells more than silence does, unless it is of the kernel.
        return Vec::new();
    }
    // Where ends are lost silence tells nothing.
    told.lives.extend(case.leaks.iter().map(|op| case.ops[*op].life));
    let silent = |op: &usize| {
        let at = &case.ops[*op];
        let session = case.life_of(*op).session;
        let (Some(age), Some(began)) = (at.age, at.open.at) else { return false };
        // The first of its kind is compared with all others.
        let alike: Vec<_> = match session.stats.get(&at.open.op()) {
            Some(kind) => vec![kind],
            None if is_stored(at.open.op()) => session.stats.values().collect(),
            None => return false,
        };
        let Some(worst) = alike.iter().map(|kind| kind.latency.max()).max() else { return false };
        let count: u64 = alike.iter().map(|kind| kind.count).sum();
        let long = if at.open.op() == Op::Read { SILENT } else { case.model.limits.stalled_us };
        // In a long history long waits are normal, and rates tell more.
        if !is_stored(at.open.op()) && at.open.op() != Op::Read || age < long || alike.len() == 1 && count >= 200 {
            return false;
        }
        let worst = Micros::try_from(worst).unwrap_or(Micros::MAX);
        let loss = session.loss.lone_exits + session.loss.superseded + session.loss.lost_exits + session.loss.lines;
        // What began later is counted last: it costs most, and a hundred thousand requests may be open.
        let later = || session.stats.values().map(|kind| kind.later_than(began)).sum::<usize>();
        age / 2 > worst && loss == 0 && later() >= 3
    };
    let alive = |op: &usize| !case.life_of(*op).dead;
    let mut ops: Vec<usize> =
        (0..case.ops.len()).filter(alive).filter(|op| told.may_tell(case, *op)).filter(silent).collect();
    // Of one age the one that was told last.
    ops.sort_by_key(|op| std::cmp::Reverse((case.ops[*op].age, *op)));
    ops.retain(|op| told.tells(case, *op));
    ops.into_iter().filter_map(|op| is_silent(case, op)).collect()
}

fn is_silent(case: &Case<'_>, op: usize) -> Option<Finding> {
    let party = case.party_of(op)?;
    let sentence = format!(
        "{}{} has not ended{} when the log ends, though no other took half as long: it may wait for {}.",
        case.op_name(op),
        of_path(case, party),
        for_time(case.ops[op].age),
        content(case, op),
    );
    let finding = Finding::new(Cause::UpstreamStall, Confidence::Low, sentence).blames(case, party);
    Some(finding.advice(&[advice::DUMP_NOW]).advice(ADVICE))
}

/// Whether it changes what is stored, perhaps far away. For a lock a client may wait as long as it likes.
fn is_stored(op: Op) -> bool {
    op.class() == Class::Write && op != Op::Setlkw
}

fn content(case: &Case<'_>, op: usize) -> &'static str {
    if is_stored(case.ops[op].open.op()) { "its storage" } else { "its content" }
}

/// Youngest Read that a short log may be suspicious of, microseconds.
const SILENT: Micros = 2_000_000;

/// Only content is stalled: a lock would stop more than that.
fn by_pattern(case: &Case<'_>) -> Vec<Finding> {
    let data = |op: usize| case.ops[op].open.op().class() == Class::Data;
    let alone = |guess: &Guess| guess.victims.is_empty() && is_stored(case.ops[guess.culprit].open.op());
    let of_content = |guess: &&Guess| alone(guess) || data(guess.culprit) && guess.victims.iter().all(|v| data(*v));
    // What a dump shows of the one that is blamed tells more than the pattern does.
    if standing::nobody_serves(case) {
        return Vec::new();
    }
    let alone: BTreeSet<usize> = standing::left_alone(case).into_iter().collect();
    let dumped = |guess: &&Guess| case.party_of(guess.culprit).is_some_and(|party| alone.contains(&party));
    let guesses = case.guesses.iter().filter(of_content).filter(|guess| !dumped(guess));
    guesses.filter_map(|guess| guessed(case, guess)).collect()
}

fn guessed(case: &Case<'_>, guess: &Guess) -> Option<Finding> {
    let party = case.party_of(guess.culprit)?;
    let others: Vec<usize> = guess.victims.iter().filter_map(|op| case.party_of(*op)).collect();
    let sentence = format!(
        "{}{} has not ended{}, while other kinds go on: it probably waits for {}{}.",
        case.op_name(guess.culprit),
        of_path(case, party),
        for_time(case.ops[guess.culprit].age),
        content(case, guess.culprit),
        more(others.len()),
    );
    let confidence = guess.confidence.min(Confidence::Medium);
    let finding = Finding::new(Cause::UpstreamStall, confidence, sentence).blames(case, party).waiters(case, &others);
    Some(finding.advice(&[advice::DUMP_NOW]).advice(ADVICE))
}

/// Somebody says that a READ is stuck (a watchdog, a client that gave up), and nothing says why.
fn by_hint(case: &Case<'_>, told: &mut Told) -> Vec<Finding> {
    let moves = |op: usize| case.ops[op].open.op().class() == Class::Data || is_stored(case.ops[op].open.op());
    let hinted = |op: &usize| {
        let at = &case.ops[*op];
        let spoken = case.life_of(*op).session.hints.iter().any(|h| h.kind == HintKind::Upstream && h.at >= at.open.at);
        moves(*op) && (at.watched || at.open.interrupted || spoken)
    };
    // Others stand behind it, or both behind something else: content would not stop names.
    let names = |op: &usize| case.stuck_of(case.ops[*op].life).any(|other| case.ops[other].watched && !moves(other));
    let ops = case.stuck().filter(hinted).filter(|op| told.tells(case, *op)).filter(|op| !names(op));
    ops.filter_map(|op| hinted_at(case, op)).collect()
}

fn hinted_at(case: &Case<'_>, op: usize) -> Option<Finding> {
    let party = case.party_of(op)?;
    let hint = case
        .life_of(op)
        .session
        .hints
        .iter()
        .rev()
        .find(|h| h.kind == HintKind::Upstream && h.at >= case.ops[op].open.at);
    let confidence = if hint.is_some() { Confidence::Medium } else { Confidence::Low };
    let sentence = format!(
        "{}{} has not ended{}; what it waits for is not in the data, most likely {}.",
        case.op_name(op),
        of_path(case, party),
        for_time(case.ops[op].age),
        content(case, op),
    );
    let finding = Finding::new(Cause::UpstreamStall, confidence, sentence).blames(case, party);
    Some(finding.evidence(case, hint.map(|h| h.place)).advice(&[advice::DUMP_NOW]))
}

/// Of whose daemons something is said.
struct Told {
    lives: BTreeSet<usize>,
    /// A dump does not tell whose it is.
    of_any: bool,
}

impl Told {
    fn of(case: &Case<'_>, found: &[Finding]) -> Self {
        let lives = |finding: &Finding| finding.covers.iter().filter_map(|party| case.life_of_party(*party)).collect();
        let lives: Vec<BTreeSet<usize>> = found.iter().map(lives).collect();
        Self { of_any: lives.iter().any(BTreeSet::is_empty), lives: lives.into_iter().flatten().collect() }
    }

    /// Whether nothing is said of the daemon of that operation, nor of one that may be the same.
    fn may_tell(&self, case: &Case<'_>, op: usize) -> bool {
        let life = case.ops[op].life;
        !self.of_any && !self.lives.contains(&life) && self.lives.iter().all(|told| case.are_apart(life, *told))
    }

    /// The same, and it is said now.
    fn tells(&mut self, case: &Case<'_>, op: usize) -> bool {
        let first = self.may_tell(case, op);
        if first {
            self.lives.insert(case.ops[op].life);
        }
        first
    }

    fn is_untold(&self, case: &Case<'_>, party: Option<usize>) -> bool {
        party.and_then(|party| case.op_of(party)).is_none_or(|op| self.may_tell(case, op))
    }
}
