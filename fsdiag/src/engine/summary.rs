//! The report of a case: verdicts in order, and everything around them.

mod crowd;
mod restarts;
mod stops;
mod unjudged;

use std::collections::BTreeMap;

use fsd_events::op::Op;

use super::{
    advice,
    case::{Case, Life, OpenAt, named, seconds},
    episode,
    fact::{HintKind, InputId, Place},
    finding::{self, Rule},
    model::{
        Model, Now,
        clock::{COUNTED, Step, Steps},
        ops::OpStats,
        session::{Hint, Session},
        slow::{SLOW_US, Slow},
    },
    plural::{count, verb},
    report::{Loss, Note, OpSummary, Orphan, Report, SCHEMA, Verdict},
    rules::{RULES, lock_pileup, resource_exhausted, wrong_bytes},
    standing, witness,
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
        one_sided: is_one_sided(&case),
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
    let mut merged: BTreeMap<Op, (OpStats, u64)> = BTreeMap::new();
    let told = case.model.lives().flat_map(|session| session.stats.iter().map(move |(op, stats)| (session, op, stats)));
    for (session, op, stats) in told.filter(|(session, op, _)| case.speaks(session, **op)) {
        let (sum, resolution_us) = merged.entry(*op).or_default();
        sum.merge(stats);
        *resolution_us = session.resolution_us().max(*resolution_us);
    }
    merged.iter().map(|(op, (stats, resolution_us))| (op.to_string(), stats.summary(*resolution_us))).collect()
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
    notes.extend(crowd::notes(case));
    for session in case.model.lives() {
        // Where the clock shows whole seconds, a moment may look like one.
        let long = |slow: &&Slow| slow.us >= SLOW_US + session.clock.blur_us();
        for slow in session.slow.told().iter().filter(long).filter(|slow| case.speaks(session, slow.op)) {
            notes.push(took_long(case, slow));
        }
        for step in &session.clock.steps.first {
            notes.push(note("clock", None, None, stepped(step)));
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
            let text = format!(
                "{} of the event file {} missing",
                count(session.sequence.missing(), "record"),
                verb(session.sequence.missing(), "is", "are")
            );
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
    notes.extend(case.lives.iter().flat_map(|life| healed(case, life.session)));
    notes.extend(case.model.copies.iter().map(|(first, (again, times))| same_dump(case, *first, *again, *times)));
    notes.extend(case.earlier_dumps.iter().map(|(earlier, later)| earlier_dump(case, *earlier, *later)));
    notes.extend(case.answered.iter().map(|op| answered(case, op)));
    notes.extend(case.model.turned.iter().map(|(input, left_out)| turned(case, *input, *left_out)));
    notes.extend(restarts::notes(case));
    notes.extend(case.fates.unplaced().map(|end| {
        let text =
            format!("something died ({}): it does not say whether it is a daemon of this log, and which", end.text);
        note("cannot_tell", None, None, text)
    }));
    few_of_a_kind(notes, ("clock", case.model.lives().map(|session| session.clock.steps.more).sum()))
}

/// Its latest line stands first.
fn turned(case: &Case<'_>, input: InputId, left_out: u64) -> Note {
    let name = case.input_name(Place { input, ..Place::default() });
    let mut text = format!("the latest line of {name} stands first: it was read from its end to its begin");
    if left_out > 0 {
        text += &format!(
            ", without the {} that stand last, for which there was no room: what they tell is not known",
            count(left_out, "earliest line")
        );
    }
    note(if left_out > 0 { "loss" } else { "order" }, None, None, text)
}

fn stepped(step: &Step) -> String {
    if !step.silent {
        return format!("the wall clock stepped by {:.1} s; ages are corrected", step.by as f64 / 1e6);
    }
    format!(
        "nothing was written for {:.1} s while requests were open: the machine slept, its clock was set, or all hung; ages count {} s of it",
        seconds(step.by + COUNTED),
        seconds(COUNTED)
    )
}

fn took_long(case: &Case<'_>, slow: &Slow) -> Note {
    let text = format!(
        "{} took {:.1} s and completed ({} line {})",
        named(slow.op, slow.key),
        slow.us as f64 / 1e6,
        case.input_name(slow.place),
        slow.place.line
    );
    note("slow", Some(slow.op), Some(slow.key.to_string()), text)
}

/// The latest of each kind of trouble that is over.
fn healed(case: &Case<'_>, session: &Session) -> Vec<Note> {
    let troubles =
        session.hints.iter().filter(|hint| resource_exhausted::is_told_by(hint) || wrong_bytes::is_told_by(hint));
    let latest: BTreeMap<HintKind, &Hint> = troubles.map(|hint| (hint.kind, hint)).collect();
    let told = latest.into_values().filter(|hint| session.is_over(hint)).map(|hint| {
        let input = case.input_name(hint.place);
        let text = format!("content was served again after this ({input} line {}): {}", hint.place.line, hint.text);
        note("healed", None, None, text)
    });
    told.collect()
}

/// What another dump hides.
fn earlier_dump(case: &Case<'_>, earlier: Place, later: Place) -> Note {
    let [earlier, later] = [earlier, later].map(|at| format!("{} line {}", case.input_name(at), at.line));
    let text = format!(
        "the dump of {earlier} is taken for an earlier one of the process of {later}, because of their threads: of what moved between them nothing is said; if they are of two processes, analyze each by itself"
    );
    note("dumps", None, None, text)
}

/// What would raise a confidence if it were known to be of another moment.
fn same_dump(case: &Case<'_>, first: Place, again: Place, times: u64) -> Note {
    let [first, again] = [first, again].map(|at| format!("{} line {}", case.input_name(at), at.line));
    let told = match times {
        1 => format!("is identical to that of {first} and tells no other time"),
        _ => format!("and {} more are identical to that of {first} and tell no other time", times - 1),
    };
    let text = format!(
        "the dump of {again} {told}: it may be one and the same, so all count as one; dumps that tell their times (fsdiag dump) show whether it lasts"
    );
    note("dumps", None, None, text)
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
    kept.extend(left_out.map(|(kind, n)| note(&kind, None, None, count(n - KEPT, "more note") + " like these")));
    kept
}

/// D6: pairs of lock classes that were taken in both orders.
fn inversions(session: &Session) -> impl Iterator<Item = (&str, &str)> {
    let order = &session.locks.order;
    let both = order.keys().filter(|(a, b)| a < b && order.contains_key(&(b.clone(), a.clone())));
    both.map(|(a, b)| (&**a, &**b))
}

/// Whether requests are open in a log that never tells of answers.
fn is_one_sided(case: &Case<'_>) -> bool {
    let mute = |life: &Life<'_>| life.session.one_sided && !life.session.open.is_empty() && life.ended.is_none();
    case.lives.iter().any(mute)
}

/// What is open without being a verdict.
fn open_notes(case: &Case<'_>) -> Vec<Note> {
    let mut notes: Vec<Note> = unjudged::note(case).into_iter().chain(stops::note(case)).collect();
    let timeless = case.ops.iter().filter(|o| o.age.is_none()).count() as u64 + case.unjudged.timeless;
    if timeless > 0 {
        let text = format!(
            "{} no reply in this log, which has no times: it cannot tell whether {}; a stack dump would",
            count(timeless, "request") + verb(timeless, " has", " have"),
            verb(timeless, "it hangs", "they hang")
        );
        notes.push(note("cannot_tell", None, None, text));
    }
    if is_one_sided(case) {
        let text =
            "the log tells of requests, never of answers: it does not show whether one hangs; a stack dump would";
        notes.push(note("cannot_tell", None, None, text.into()));
    }
    notes.extend(standing::told(case).map(|text| note("cannot_tell", None, None, text)));
    for op in case.stuck().take(20) {
        let shown = match case.ops[op].open.interrupted {
            true => "its client gave up on it, and nothing shows what holds it up",
            false => "nothing shows that it is stuck",
        };
        let text = format!("{} has been open{}; {shown}", case.op_name(op), finding::for_time(case.ops[op].age));
        notes.push(note("open", Some(case.ops[op].open.op()), Some(case.ops[op].open.key().to_string()), text));
    }
    notes
}
