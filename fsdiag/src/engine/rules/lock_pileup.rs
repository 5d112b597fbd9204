//! > Release #456 has held lock `handles` (write) for 34.2 s while closing a store; 3 operations wait behind it (2
//! > Getattr, 1 Readdir), and 17 requests that the daemon has not read.

use std::collections::{BTreeMap, HashSet};

use fsd_events::{
    event::{LockKind, Phase},
    op::{Class, Op},
};

use crate::engine::{
    advice,
    case::{Case, Who, lasting},
    dumped,
    finding::{Finding, Rule, for_time},
    infer::{Guess, GuessKind, RACES},
    plural::{count, verb},
    report::{Cause, Confidence, Culprit},
    stacks::doing::Doing,
    waits::{Edge, Why},
};

pub struct LockPileup;

impl Rule for LockPileup {
    fn cause(&self) -> Cause {
        Cause::LockPileup
    }

    fn find(&self, case: &Case<'_>) -> Vec<Finding> {
        let mut found: Vec<Finding> = case.graph.lock_roots().iter().filter_map(|root| known(case, *root)).collect();
        let covered = |f: &[Finding], guess: &Guess| {
            let all: HashSet<usize> = f.iter().flat_map(|f| f.covers.iter().copied()).collect();
            let in_one = |op: &usize| case.party_of(*op).is_some_and(|p| all.contains(&p));
            in_one(&guess.culprit) || !guess.victims.is_empty() && guess.victims.iter().all(in_one)
        };
        found.extend(dumped::findings(case, self.cause()).into_iter().map(|f| match f.party {
            Some(party) => advised(case, f, party, Confidence::Medium),
            None => f,
        }));
        for guess in &case.guesses {
            if !covered(&found, guess) && is_lock(case, guess) && !waits_for_others(case, guess.culprit) {
                found.extend(guessed(case, guess));
            }
        }
        if found.is_empty() {
            found.extend(ownerless(case).or_else(|| ownerless_in_dump(case)).or_else(|| by_order(case)));
        }
        found.extend(super::unread_queue::by_kernel(case, self.cause()));
        found
    }
}

/// The data name the holder.
fn known(case: &Case<'_>, root: usize) -> Option<Finding> {
    let locks: Vec<&Edge> =
        case.graph.edges.iter().filter(|e| e.to == root && matches!(e.why, Why::Lock { .. })).collect();
    let first = locks.first()?;
    let behind = case.graph.behind(root);
    let stuck = |p: &usize| case.op_of(*p).is_some_and(|op| case.is_stuck(op));
    if !behind.iter().any(stuck) && !stuck(&root) && !old_hold(case, root, first) {
        return None;
    }
    let Why::Lock { name, permit, shared } = &first.why else { return None };
    let mode = match (permit, shared) {
        (true, _) => " (permit)",
        (false, true) => " (read, with a writer queued behind it)",
        (false, false) => " (write)",
    };
    let sentence = format!(
        "{} has held lock `{name}`{mode}{}{}; {}.",
        case.name_of(root),
        for_time(held_for(case, root, name)),
        activity(case, root),
        behind_it(case, root, &behind),
    );
    let places: Vec<_> = locks.iter().map(|e| e.place).collect();
    let finding = Finding::new(Cause::LockPileup, Confidence::Certain, sentence)
        .blames(case, root)
        .rests_on(case, [locks.iter().filter_map(|e| e.told).max()])
        .lock(name)
        .evidence(case, places)
        .waiters(case, &behind);
    let finding = given_back(case, root, finding);
    let confidence = finding.verdict.confidence;
    Some(advised(case, finding, root, confidence))
}

/// Where records are missing, whoever has ended since has most likely given back what it held, and who has not may have.
fn given_back(case: &Case<'_>, root: usize, mut finding: Finding) -> Finding {
    let said = &mut finding.verdict.confidence;
    // Events have numbers, which tell what is missing; elsewhere the pairs tell that something is.
    let loses = |life: usize| {
        let session = case.lives[life].session;
        !session.is_own() && session.misses_any()
    };
    if case.life_of_party(root).is_some_and(loses) {
        *said = (*said).min(Confidence::High);
    }
    if matches!(case.parties[root].who, Who::Ended { .. }) && *said < Confidence::Certain {
        *said = Confidence::Low;
    }
    finding
}

/// A hold that lasts, as the daemon's own lock events say.
fn old_hold(case: &Case<'_>, root: usize, edge: &Edge) -> bool {
    let Why::Lock { name, .. } = &edge.why else { return false };
    held_for(case, root, name).is_some_and(|us| us >= case.model.limits.stalled_us)
}

fn held_for(case: &Case<'_>, root: usize, lock: &str) -> Option<i64> {
    let (life, id) = match case.parties[root].who {
        Who::Op(op) => match case.ops[op].open.key() {
            crate::engine::fact::Key::Num(id) => (case.ops[op].life, id),
            _ => return case.age_of(root),
        },
        Who::Task { life, id, .. } | Who::Ended { life, id } => (life, id),
        Who::Thread(_) => return case.age_of(root),
    };
    let life = &case.lives[life];
    let held = life.session.locks.get(lock).and_then(|l| l.holders.get(&id)).and_then(|h| h.since);
    held.and_then(|since| Some((life.now? - since).max(0))).or_else(|| case.age_of(root))
}

/// ` while closing a store`: what the holder does, by its own word or by its stack.
pub(super) fn activity(case: &Case<'_>, party: usize) -> String {
    let phase = match case.parties[party].who {
        Who::Op(op) => case.ops[op].open.phase.as_ref(),
        Who::Task { task, .. } => task.phase.as_ref(),
        _ => None,
    };
    if let Some(phase) = phase {
        let detail = if phase.detail.is_empty() { String::new() } else { format!(" ({})", phase.detail) };
        return format!(" while {}{detail}", phase_words(phase.phase));
    }
    let seen = case.parties[party].thread.map(|at| &case.threads[at]);
    seen.filter(|s| s.doing != Doing::Other).map(|s| format!(" while {}", s.activity())).unwrap_or_default()
}

pub(in crate::engine) fn phase_words(phase: Phase) -> &'static str {
    match phase {
        Phase::Upstream => "waiting for the origin",
        Phase::Disk => "working on the disk",
        Phase::Lock => "waiting for another lock",
        Phase::Close => "closing a store",
        Phase::Permit => "waiting for a permit",
        Phase::Reply => "replying",
        Phase::Notify => "notifying the kernel",
        Phase::Backoff => "sleeping between retries",
        Phase::Listing => "listing a directory",
        Phase::Alloc => "allocating",
    }
}

/// `3 operations wait behind it (2 Getattr, 1 Readdir), and 17 requests that the daemon has not read`.
pub(super) fn behind_it(case: &Case<'_>, root: usize, behind: &[usize]) -> String {
    let n = behind.len();
    let counts = if n > 0 { format!(" ({})", case.counts(behind)) } else { String::new() };
    let unread = match case.unread(case.life_of_party(root).unwrap_or(0)) {
        Some(m) if m > 0 => {
            format!(", and {} that the daemon has not read", count(m, "request"))
        }
        _ => String::new(),
    };
    format!("{} {} behind it{counts}{unread}", count(n, "operation"), verb(n, "waits", "wait"))
}

fn is_lock(case: &Case<'_>, guess: &Guess) -> bool {
    let data = |op: &usize| case.ops[*op].open.op().class() == Class::Data;
    // Who says itself that it waits for the origin waits for no lock.
    let upstream = |op: &usize| matches!(case.ops[*op].open.doing(), Some(Phase::Upstream));
    let waits_for_a_lock = |victims: &[usize]| !victims.iter().all(upstream);
    let all = |of_kind: &dyn Fn(&usize) -> bool| of_kind(&guess.culprit) && guess.victims.iter().all(of_kind);
    // An empty list of victims is all upstream, too: nobody waits.
    guess.kind == GuessKind::Lock
        && waits_for_a_lock(&guess.victims)
        && !all(&data)
        && !all(&|op| super::close_blocked::closes(case, *op))
        && !is_denied(case, guess)
}

/// Its daemon's own words are that it waits for a lock: somebody else has that, whoever came first.
fn waits_for_others(case: &Case<'_>, op: usize) -> bool {
    let waits = |party: usize| case.graph.ownerless.values().any(|waiters| waiters.contains(&party));
    case.party_of(op).is_some_and(waits)
}

/// Goroutines say what they wait for: where none of these waits for a lock, there is none.
fn is_denied(case: &Case<'_>, guess: &Guess) -> bool {
    let thread = |op: &usize| case.parties[case.party_of(*op)?].thread.map(|at| &case.threads[at]);
    let told = || guess.victims.iter().filter_map(thread).filter(|seen| seen.thread.is_goroutine());
    told().next().is_some() && told().all(|seen| seen.doing != Doing::Lock)
}

/// The pattern of completions names the holder.
fn guessed(case: &Case<'_>, guess: &Guess) -> Option<Finding> {
    let root = case.party_of(guess.culprit)?;
    let victims: Vec<usize> = guess.victims.iter().filter_map(|op| case.party_of(*op)).collect();
    let alternatives: Vec<usize> = guess.alternatives.iter().filter_map(|op| case.party_of(*op)).collect();
    let kind = case.ops[guess.culprit].open.op();
    let global = same_object(case, guess);
    let unless = if guess.outside { ", unless a thread that serves no request does" } else { "" };
    let sentence = format!(
        "{} entered{} ago and has not ended; {}, {}: it holds a lock that they need ({global}){unless}.",
        case.name_of(root),
        case.ops[guess.culprit].age.map(|us| format!(" {}", lasting(us))).unwrap_or_default(),
        since_then(case, guess),
        behind_it(case, root, &victims),
    );
    let confidence = witnessed(case, root, guess.confidence);
    let mut finding = Finding::new(Cause::LockPileup, confidence, sentence)
        .blames(case, root)
        .waiters(case, &victims)
        .alternatives(case, &alternatives);
    let getattrs = guess.victims.iter().filter(|op| case.ops[**op].open.op() == Op::Getattr).count();
    if kind == Op::Release && getattrs * 2 >= guess.victims.len() {
        finding = finding.advice(&[advice::GETATTR]);
    }
    if confidence < Confidence::High {
        finding = finding.advice(&[advice::DUMP_NOW, advice::LOCK_EVENTS]);
    }
    if guess.lossy {
        finding = finding.advice(&[advice::KERNEL_LOOK]);
    }
    Some(advised(case, finding, root, confidence))
}

/// A log without times whose watchdog calls several requests stalled: nothing that began behind the first has ended.
fn by_order(case: &Case<'_>) -> Option<Finding> {
    const FEWEST: usize = 3;
    let timeless = |op: &usize| case.ops[*op].watched && case.ops[*op].at.is_none();
    let mut stuck: Vec<usize> = (0..case.ops.len()).filter(timeless).collect();
    stuck.sort_by_key(|op| (case.ops[*op].life, case.ops[*op].open.order));
    let (first, victims) = stuck.split_first()?;
    let at = &case.ops[*first];
    let (kind, session) = (|op: &usize| case.ops[*op].open.op(), case.lives[at.life].session);
    let alone = victims.iter().any(|op| case.ops[*op].life != at.life) || victims.len() + 1 < FEWEST;
    let content = stuck.iter().all(|op| kind(op).class() == Class::Data);
    let completed_after: usize = session.stats.values().map(|stats| stats.behind(at.open.order)).sum();
    if alone || content || completed_after > RACES {
        return None;
    }
    let (kind, confidence) = (GuessKind::Lock, Confidence::Low);
    let (culprit, victims, alternatives) = (*first, victims.to_vec(), Vec::new());
    let (lossy, outside) = (false, true);
    guessed(case, &Guess { kind, confidence, culprit, alternatives, victims, completed_after, lossy, outside })
}

/// What the log shows of those that began after it.
fn since_then(case: &Case<'_>, guess: &Guess) -> &'static str {
    match guess.completed_after {
        _ if case.life_of(guess.culprit).session.one_sided => {
            "its log tells of no answers, and it is the first without a sign of one"
        }
        ..=RACES => "nothing that began after it has completed",
        // It shares the lock, or took it late.
        _ => "later ones still ended, and now none does",
    }
}

/// A dump that shows the holder blocked outside locks is a second witness; one in which it waits for a lock itself
/// contradicts.
fn witnessed(case: &Case<'_>, root: usize, confidence: Confidence) -> Confidence {
    let slow = |doing| !matches!(doing, Doing::Idle | Doing::Lock | Doing::Running | Doing::Other);
    let doing = case.parties[root].thread.map(|at| case.threads[at].doing);
    let blocked = doing.is_some_and(slow);
    match confidence {
        _ if doing == Some(Doing::Lock) => Confidence::Low,
        Confidence::Low if blocked => Confidence::Medium,
        Confidence::Medium if blocked => Confidence::High,
        said => said,
    }
}

/// R16: whether the lock is one of the file or of everything.
fn same_object(case: &Case<'_>, guess: &Guess) -> &'static str {
    let ino = |op: &usize| case.ops[*op].open.call.ino;
    match ino(&guess.culprit) {
        Some(own) if guess.victims.iter().all(|v| ino(v) == Some(own)) => "one of this file: all of them name it",
        _ => "a global one: they concern several files",
    }
}

/// Waiters, but the holder is not in the data: never a deadlock.
fn ownerless(case: &Case<'_>) -> Option<Finding> {
    let (name, waiters) = case.graph.ownerless.iter().max_by_key(|(_, w)| w.len())?;
    let stuck = waiters.iter().any(|p| case.op_of(*p).is_some_and(|op| case.is_stuck(op)));
    let ageless = waiters.iter().all(|p| case.age_of(*p).is_none());
    if !(stuck || ageless && waiters.len() >= 2) {
        return None;
    }
    let advice = &[advice::DUMP_NOW, advice::LOCK_EVENTS];
    let mut finding = without_holder(case, name, waiters).advice(advice).isolate(&[advice::FLAG_LOCKS]);
    if stuck && is_whole(case, name, waiters) {
        finding.verdict.confidence = Confidence::Medium;
    }
    Some(finding)
}

/// Whether no record is missing since these began to wait: then none of the log's requests has that lock.
fn is_whole(case: &Case<'_>, name: &str, waiters: &[usize]) -> bool {
    let mut sessions = waiters.iter().filter_map(|party| case.life_of_party(*party)).map(|at| case.lives[at].session);
    sessions.all(|session| {
        let lock = session.locks.get(name).filter(|lock| lock.kind != LockKind::Permit);
        lock.is_some_and(|lock| lock.waiters.values().all(|waiter| session.sequence.is_whole_since(waiter.told)))
    })
}

/// The same by stacks: callbacks that stay in front of one lock, and no thread of the dump that could hold it.
fn ownerless_in_dump(case: &Case<'_>) -> Option<Finding> {
    let mut piles: BTreeMap<(usize, &str), Vec<usize>> = BTreeMap::new();
    for (at, seen) in case.threads.iter().enumerate() {
        let lock = seen.thread.waits_for.as_ref().filter(|_| seen.serves && !seen.moves && case.lasts(at));
        if let Some(lock) = lock {
            piles.entry((seen.dump, &lock.key)).or_default().push(case.seats[at]);
        }
    }
    let ((dump, name), waiters) = piles.into_iter().max_by_key(|(_, waiters)| waiters.len())?;
    let finding = without_holder(case, name, &waiters).advice(&[NO_WAY_OUT]);
    // A mutex of the C library knows its owner, one of Go does not.
    let native = case.model.dumps[dump].1.is_native();
    let finding = if native { finding.advice(&[OWNER]) } else { finding };
    Some(finding.advice(&[advice::LOCK_EVENTS]))
}

const NO_WAY_OUT: &str =
    "no thread of the dump is seen to have that lock: look for a return or a panic that leaves it taken";
const OWNER: &str = "a dump by gdb with `bt full` shows the `__owner` of a mutex: the thread that has it";

fn without_holder(case: &Case<'_>, name: &str, waiters: &[usize]) -> Finding {
    let sentence = format!(
        "{} {} for lock `{name}` ({}); its holder is not in the data.",
        count(waiters.len(), "operation"),
        verb(waiters.len(), "waits", "wait"),
        case.counts(waiters),
    );
    let culprit = Culprit { lock: Some(name.to_owned()), ..Culprit::default() };
    Finding::new(Cause::LockPileup, Confidence::Low, sentence).culprit(culprit).waiters(case, waiters)
}

fn advised(case: &Case<'_>, finding: Finding, root: usize, confidence: Confidence) -> Finding {
    let close = matches!(case.op_kind(root), Some(Op::Release | Op::Flush | Op::Releasedir));
    let finding = if close {
        finding.advice(&[advice::SKIP_EVICTION]).isolate(&[advice::FLAG_SKIP])
    } else {
        finding.advice(&[advice::SINGLE_THREAD]).isolate(&[advice::FLAG_SINGLE])
    };
    match confidence {
        Confidence::Certain | Confidence::High => finding.advice(&[advice::NO_LOCK_ACROSS_IO]),
        _ => finding.isolate(&[advice::FLAG_LOCKS]),
    }
}
