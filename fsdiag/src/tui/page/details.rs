//! What Enter opens: the evidence of the verdict, one row in full, the acts and their questions.

use super::{Canvas, Cell, Look, Page, Row, locks, stacks, words};
use crate::tui::{
    picture::{Act, Latency, Verdict},
    state::{Dialog, Screen, State},
};

/// The list of acts.
pub fn acts(state: &State) -> Page {
    let rows: Vec<_> = state.visible().into_iter().filter_map(|at| state.acts().get(at)).map(act).collect();
    if rows.is_empty() {
        let why = if state.read_only { "acting is off (--read-only)" } else { "nothing can be done to this source" };
        return Page { rows: vec![Row::looking(why, Look::Dim)], ..Page::default() };
    }
    Page { rows, selectable: true, ..Page::default() }
}

fn act(act: &Act) -> Row {
    let look = if act.hurts { Look::Victim } else { Look::Plain };
    Row(vec![
        Cell::new(if act.hurts { "! " } else { "  " }, look),
        Cell::new(format!("{:<44}", act.title), look),
        Cell::new(format!("fsdiag {}", act.command.join(" ")), Look::Dim),
    ])
}

/// Title and text of a dialog; None for those that the frame itself shows.
pub fn dialog(dialog: &Dialog, state: &State, ascii: bool) -> Option<(String, Vec<Row>)> {
    Some(match dialog {
        Dialog::Help { .. } => return None,
        Dialog::Evidence { .. } => ("Evidence".into(), all_evidence(state)?),
        Dialog::Row { .. } => (state.screen.title().into(), row(state, ascii)),
        Dialog::Search { text } => ("Search".into(), vec![typed(text), hint("Enter finds, Esc leaves")]),
        Dialog::Prompt { act, text } => (act.title.clone(), vec![Row::text(act.prompt.clone()), typed(text)]),
        Dialog::Confirm { act, value, shown } => (act.title.clone(), confirm(act, value, shown)),
        Dialog::Sure { act, text, .. } => (act.title.clone(), sure(text)),
        Dialog::Running { title, lines, ok, .. } => (title.clone(), running(lines, *ok)),
    })
}

fn typed(text: &str) -> Row {
    Row::looking(format!("> {text}_"), Look::Match)
}

fn hint(text: &str) -> Row {
    Row::looking(text, Look::Dim)
}

fn confirm(act: &Act, value: &str, shown: &[String]) -> Vec<Row> {
    let value = if act.secret { "" } else { value };
    let mut rows: Vec<_> = act.preview.iter().map(|step| Row::text(format!("- {step}"))).collect();
    rows.push(Row::default());
    rows.extend(
        shown
            .iter()
            .map(|line| Row::looking(line.clone(), if line.starts_with('!') { Look::Culprit } else { Look::Plain })),
    );
    rows.push(Row::looking(format!("fsdiag {} {value}", act.command.join(" ")).trim_end(), Look::Label));
    rows.push(hint(match shown {
        [] => "... asking the command what it would do",
        _ => "Enter does it, Esc leaves everything as it is",
    }));
    rows
}

fn sure(text: &str) -> Vec<Row> {
    vec![
        Row::looking("Clients may see errors.", Look::Culprit),
        Row::text(format!("Type `{}` and Enter to do it, Esc to leave.", crate::tui::state::SURE)),
        typed(text),
    ]
}

/// An act while it runs, and how it ended.
fn running(lines: &[String], ok: Option<bool>) -> Vec<Row> {
    let mut rows: Vec<_> = lines.iter().map(|line| Row::text(line.clone())).collect();
    rows.push(match ok {
        None => Row::looking("... running; Esc closes this window, not the act", Look::Slow),
        Some(true) => Row::looking("done", Look::Good),
        Some(false) => Row::looking("! it did not go well", Look::Loud),
    });
    rows
}

/// The verdict, what else could be said, and what is worth knowing beside.
fn all_evidence(state: &State) -> Option<Vec<Row>> {
    let mut rows = evidence(state.picture.verdict.as_ref()?);
    for other in &state.picture.others {
        rows.push(Row::default());
        rows.push(Row::looking(format!("also: {} ({})", other.cause, other.confidence), Look::Label));
        rows.extend(evidence(other).into_iter().filter(|row| *row != Row::default()));
    }
    if !state.picture.notes.is_empty() {
        rows.push(Row::default());
        rows.push(Row::looking("notes", Look::Label));
        rows.extend(state.picture.notes.iter().map(|note| Row::text(format!("- {note}"))));
    }
    Some(rows)
}

/// The verdict with everything it rests on.
pub fn evidence(verdict: &Verdict) -> Vec<Row> {
    let mut rows = vec![
        Row::looking(verdict.sentence.clone(), Look::Culprit),
        Row::text(format!("cause {}  confidence {}  culprit {}", verdict.cause, verdict.confidence, verdict.culprit)),
        Row::default(),
    ];
    rows.extend(verdict.evidence.iter().map(|line| Row::text(format!("- {line}"))));
    if !verdict.advice.is_empty() {
        rows.push(Row::default());
        rows.push(Row::looking("what next", Look::Label));
        rows.extend(verdict.advice.iter().map(|line| Row::text(format!("- {line}"))));
    }
    rows
}

/// The selected row in full.
fn row(state: &State, ascii: bool) -> Vec<Row> {
    let picture = &state.picture;
    let Some(at) = state.selected() else { return Vec::new() };
    let lines: Vec<String> = match state.screen {
        Screen::Overview | Screen::Operations => picture.operations.get(at).map_or_else(Vec::new, |o| {
            let line = |name: &str, text: &str| (!text.is_empty()).then(|| format!("{name:<8}{text}"));
            let head = format!("{} {}, open for {}", o.op, o.id, words::duration(o.age_us));
            let rest = [
                ("daemon", &o.daemon),
                ("path", &o.path),
                ("thread", &o.thread),
                ("waits", &o.waits),
                ("record", &o.place),
            ];
            std::iter::once(head).chain(rest.into_iter().filter_map(|(name, text)| line(name, text))).collect()
        }),
        Screen::Locks => {
            let canvas = Canvas { width: 200, height: 200, ascii };
            return picture.locks.get(at).map_or_else(Vec::new, |lock| locks::graph(lock, canvas));
        }
        Screen::Stacks => picture.stacks.get(at).map_or_else(Vec::new, |s| {
            let head = format!("{} - {}", s.threads.join(", "), stacks::moved(s.moved).0);
            std::iter::once(head).chain(s.frames.iter().map(|f| format!("  {f}"))).collect()
        }),
        Screen::Latency => picture.latency.get(at).map_or_else(Vec::new, histogram),
        Screen::Timeline => picture.lanes.get(at).map_or_else(Vec::new, |lane| {
            let spans = lane.spans.iter().rev().take(100).map(|span| {
                let ago = words::duration(picture.source.now_us.saturating_sub(span.start_us));
                match span.end_us {
                    None => format!("  {} began {ago} ago and runs", span.op),
                    Some(end) => {
                        let took = words::duration(end.saturating_sub(span.start_us));
                        format!("  {} began {ago} ago and took {took}", span.op)
                    }
                }
            });
            std::iter::once(lane.worker.clone()).chain(spans).collect()
        }),
        Screen::Events => picture.events.get(at).map_or_else(Vec::new, |e| vec![e.text.clone()]),
        Screen::Act => Vec::new(),
    };
    lines.into_iter().map(Row::text).collect()
}

/// Completions by how long they took, a line for each power of two that has some.
fn histogram(latency: &Latency) -> Vec<String> {
    let most = latency.buckets.iter().copied().max().unwrap_or(0).max(1);
    let head = format!("{}: {} completed, {} with an error", latency.op, latency.summary.count, latency.summary.errors);
    let rows = latency.buckets.iter().enumerate().filter(|(_, count)| **count > 0).map(|(power, count)| {
        let bar = "#".repeat(usize::try_from((count * 30).div_ceil(most)).unwrap_or(0));
        format!("  from {:>8}  {:>10}  {bar}", words::duration(1 << power), words::count(*count))
    });
    std::iter::once(head).chain(rows).collect()
}
