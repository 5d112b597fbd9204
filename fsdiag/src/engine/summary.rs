//! The report of a case: verdicts in order, and everything around them.

use std::collections::{BTreeMap, BTreeSet};

use fsd_events::op::Op;

use super::{
    advice,
    case::{Case, OpenAt, label, seconds},
    episode,
    finding::{self, Rule},
    model::{
        Model, Now,
        clock::Steps,
        ops::OpStats,
        past::Counted,
        session::{Ended, Session},
        slow::{SLOW_US, Slow},
    },
    report::{Loss, Note, OpSummary, Orphan, Report, SCHEMA, Verdict},
    rules::{RULES, lock_pileup},
    witness,
};

/// See [`Model::report`].
pub(super) fn report_of(model: &Model, now: Now) -> Report {
    let case = Case::new(model, now);
    let mut verdicts = verdicts(&case);
    advice::for_whom_it_is(&mut verdicts, &model.inputs);
    let mut notes = notes(&case);
    if verdicts.is_empty() {
        notes.extend(open_notes(&case));
    }
    Report {
        schema: SCHEMA,
        healthy: verdicts.is_empty(),
        inputs: model.inputs.clone(),
        verdicts,
        notes,
        orphans_left_out: case.open_count().saturating_sub(model.limits.listed as u64),
        orphans: listed(&case).into_iter().map(|op| orphan(&case, op)).collect(),
        inflight: inflight(&case),
        kernel_waiting: case.kernel_waiting(),
        ops: summaries(&case),
        episodes: episode::all(model),
        loss: loss(&case),
    }
}

fn verdicts(case: &Case<'_>) -> Vec<Verdict> {
    let heard =
        |(at, rule): (usize, &&dyn Rule)| rule.find(case).into_iter().map(move |f| (at, witness::heard(case, f)));
    let found = RULES.iter().enumerate().flat_map(heard);
    let mut verdicts = finding::in_order(found.collect());
    if case.model.kernel_waiting == Some(0)
        && verdicts.iter().all(|v| v.confidence < super::report::Confidence::Certain)
    {
        // The kernel waits for nothing: what looks open in the log are lost lines.
        verdicts.clear();
    }
    verdicts
}

/// The operations that the report names: all, or the oldest.
fn listed(case: &Case<'_>) -> Vec<usize> {
    let mut ops: Vec<usize> = (0..case.ops.len()).collect();
    if ops.len() > case.model.limits.listed {
        ops.sort_by_key(|op| std::cmp::Reverse((case.ops[*op].watched, case.ops[*op].age)));
        ops.truncate(case.model.limits.listed);
        ops.sort_unstable();
    }
    ops
}

fn orphan(case: &Case<'_>, op: usize) -> Orphan {
    let at = &case.ops[op];
    Orphan {
        op: at.open.op().to_string(),
        id: at.open.key().to_string(),
        age_s: at.age.map(seconds),
        path: at.open.call.path.as_deref().map(str::to_owned),
        input: case.input_name(at.open.place),
        line: at.open.place.line,
        daemon: case.daemon(at.life).map(str::to_owned),
    }
}

fn inflight(case: &Case<'_>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for op in &case.ops {
        *counts.entry(op.open.op().to_string()).or_default() += 1;
    }
    for (op, count) in &case.unjudged.kinds {
        *counts.entry(op.to_string()).or_default() += count;
    }
    counts
}

fn summaries(case: &Case<'_>) -> BTreeMap<String, OpSummary> {
    let mut merged: BTreeMap<Op, OpStats> = BTreeMap::new();
    let told = case.model.lives().flat_map(|session| session.stats.iter().map(move |(op, stats)| (session, op, stats)));
    for (_, op, stats) in told.filter(|(session, op, _)| case.speaks(session, **op)) {
        merged.entry(*op).or_default().merge(stats);
    }
    merged.iter().map(|(op, stats)| (op.to_string(), summary(stats))).collect()
}

fn summary(stats: &OpStats) -> OpSummary {
    let at = |q: f64| stats.latency.value_at_quantile(q).min(stats.latency.max());
    OpSummary {
        count: stats.count,
        errors: stats.errors,
        p50_us: at(0.5),
        p90_us: at(0.9),
        p99_us: at(0.99),
        max_us: stats.latency.max(),
    }
}

fn loss(case: &Case<'_>) -> Loss {
    let model = case.model;
    let sum = |each: fn(&Session) -> u64| model.lives().map(each).sum();
    Loss {
        bad_lines: model.inputs.iter().map(|i| i.bad_lines).sum(),
        seq_gaps: sum(|s| s.sequence.missing()),
        lone_exits: sum(|s| s.loss.lone_exits),
        superseded: sum(|s| s.loss.superseded + s.loss.lost_exits) + (case.answered.len() + case.leaks.len()) as u64,
    }
}

fn note(kind: &str, op: Option<Op>, id: Option<String>, text: String) -> Note {
    Note { kind: kind.to_owned(), op: op.map(|o| o.to_string()), id, text }
}

fn notes(case: &Case<'_>) -> Vec<Note> {
    let mut notes = Vec::new();
    if case.unjudged.count() > 0 {
        let text = format!("{} more requests are open; only the oldest are judged one by one", case.unjudged.count());
        notes.push(note("crowd", None, None, text));
    }
    for session in case.model.lives() {
        // Where the clock shows whole seconds, a moment may look like one.
        let long = |slow: &&Slow| slow.us >= SLOW_US + session.clock.blur_us();
        for slow in session.slow.told().iter().filter(long).filter(|slow| case.speaks(session, slow.op)) {
            let text = format!("one {} took {:.1} s and completed", slow.op, slow.us as f64 / 1e6);
            notes.push(note("slow", Some(slow.op), Some(slow.key.to_string()), text));
        }
        for step in &session.clock.steps.first {
            let text = format!("the wall clock stepped by {:.1} s; ages are corrected", step.by as f64 / 1e6);
            notes.push(note("clock", None, None, text));
        }
        for (what, detail, _) in &session.invariants {
            notes.push(note("invariant", None, None, format!("{what}: {detail}")));
        }
        for (first, second) in inversions(session) {
            let text = format!("`{first}` and `{second}` were taken in both orders: a deadlock in waiting");
            notes.push(note("latent", None, None, text));
        }
        for ((class, phase), place) in &session.locks.across {
            let doing = lock_pileup::phase_words(*phase);
            let text = format!(
                "`{class}` was held while {doing} ({} line {}): {}",
                case.input_name(*place),
                place.line,
                advice::NO_LOCK_ACROSS_IO
            );
            notes.push(note("latent", None, None, text));
        }
        if session.sequence.missing() > 0 {
            let text = format!("{} records of the event file are missing", session.sequence.missing());
            notes.push(note("loss", None, None, text));
        }
    }
    if !case.leaks.is_empty() {
        let text = format!(
            "{} requests of several kinds, all over the log, have no end though many of their kinds ended behind them: their ends are lost, it seems",
            case.leaks.len()
        );
        notes.push(note("loss", None, None, text));
    }
    notes.extend(case.answered.iter().map(|op| answered(case, op)));
    notes.extend(restarts(case.model));
    notes.extend(case.model.unplaced_ends().map(|end| {
        let text =
            format!("something died ({}): it does not say whether it is a daemon of this log, and which", end.text);
        note("cannot_tell", None, None, text)
    }));
    few_of_a_kind(notes, ("clock", case.model.lives().map(|session| session.clock.steps.more).sum()))
}

/// What the log alone would call open.
fn answered(case: &Case<'_>, op: &OpenAt<'_>) -> Note {
    let (kind, key) = (op.open.op(), op.open.key());
    let text = format!(
        "{kind} {key} has no end in its log ({} line {}), but the kernel's trace shows its answer: the log lost it, or the handler goes on behind it",
        case.input_name(op.open.place),
        op.open.place.line
    );
    note("answered", Some(kind), Some(key.to_string()), text)
}

/// A clock that goes wild makes a note for each step: the first tell what is the matter.
///
/// `unsaid`: of that kind there were so many more, beyond the first ones.
fn few_of_a_kind(notes: Vec<Note>, unsaid: (&str, u64)) -> Vec<Note> {
    const KEPT: u64 = Steps::KEPT as u64;
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let mut kept = Vec::new();
    for note in notes {
        let count = counts.entry(note.kind.clone()).or_default();
        *count += 1;
        if *count <= KEPT {
            kept.push(note);
        }
    }
    counts.entry(unsaid.0.to_owned()).and_modify(|count| *count += unsaid.1);
    let left_out = counts.into_iter().filter(|(_, n)| *n > KEPT);
    kept.extend(left_out.map(|(kind, n)| note(&kind, None, None, format!("{} more notes like these", n - KEPT))));
    kept
}

/// D6: pairs of lock classes that were taken in both orders.
fn inversions(session: &Session) -> impl Iterator<Item = (&str, &str)> {
    let order = &session.locks.order;
    let both = order.keys().filter(|(a, b)| a < b && order.contains_key(&(b.clone(), a.clone())));
    both.map(|(a, b)| (&**a, &**b))
}

fn restarts(model: &Model) -> Vec<Note> {
    // A stack dump is no run of its own.
    let current: BTreeSet<usize> = model.current().map(|(at, _)| at).collect();
    let past = (0..model.sessions.len()).filter(|at| !current.contains(at) && !model.sessions[*at].of_dump);
    let past = past.map(|at| (&model.sessions[at], model.ended_of(at)));
    let told = model.past.latest().map(|session| (session, session.ended.as_ref())).chain(past).map(|(session, ended)| {
        let open = session.open.len();
        let how = match (&session.handed_over, ended) {
            (Some((_, result)), _) => format!("handed over to a new worker ({result})"),
            (None, Some(end)) if end.crash => format!("died ({})", end.text),
            (None, Some(end)) => format!("ended ({})", end.text),
            (None, None) => String::from("was followed by another without a word"),
        };
        let killed = match (open, &session.handed_over) {
            (0, _) | (_, Some(_)) => String::new(),
            (open, None) if session.by_ids && session.about.pid.is_none() => format!(
                ", as ids tell that are given out again; {open} requests that were open ended with it, unless two daemons write this log: then they may hang, and fsdiag attach tells"
            ),
            (open, None) => format!("; {open} requests that were open ended with it{}", doubt(session, ended)),
        };
        let daemon = session.about.writer.as_deref().map_or_else(|| String::from("the daemon"), |w| label(w, false));
        note("restart", None, None, format!("an earlier run of {daemon} {how}{killed}"))
    });
    model.past.counted().map(earlier).into_iter().chain(told).collect()
}

/// That another process of the name writes now is no proof that the one before is gone.
fn doubt(session: &Session, ended: Option<&Ended>) -> String {
    let silent = session.about.writer.as_ref().and_then(|writer| writer.pid).filter(|_| ended.is_none());
    silent.map_or_else(String::new, |pid| {
        format!(", unless process {pid} still runs: then they may hang, and fsdiag attach tells")
    })
}

fn earlier(counted: &Counted) -> Note {
    let Counted { lives, killed, .. } = counted;
    let text = format!(
        "{lives} runs of the daemon before those are only counted; {killed} requests that were open ended with them"
    );
    note("restart", None, None, text)
}

/// What is open without being a verdict.
fn open_notes(case: &Case<'_>) -> Vec<Note> {
    let mut notes: Vec<Note> = Vec::new();
    let timeless = case.ops.iter().filter(|o| o.age.is_none()).count() as u64 + case.unjudged.timeless;
    if timeless > 0 {
        let text = format!(
            "{timeless} requests have no reply in this log, which has no times: it cannot tell whether they hang; a stack dump would"
        );
        notes.push(note("cannot_tell", None, None, text));
    }
    for op in case.stuck().take(20) {
        let text = format!(
            "{} has been open for {:.1} s; nothing shows that it is stuck",
            case.op_name(op),
            case.ops[op].age.map_or(0.0, seconds)
        );
        notes.push(note("open", Some(case.ops[op].open.op()), Some(case.ops[op].open.key().to_string()), text));
    }
    notes
}
