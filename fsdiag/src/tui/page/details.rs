//! What Enter opens: the evidence of the verdict, one row in full, the acts and their questions.

use super::{Cell, Look, Page, Row, stacks, words};
use crate::tui::{
    picture::{Act, Verdict},
    state::{Dialog, Screen, State},
};

/// The list of acts.
pub fn acts(state: &State) -> Page {
    let rows: Vec<_> = state.acts().iter().map(act).collect();
    if rows.is_empty() {
        let why = if state.read_only { "acting is off (--read-only)" } else { "nothing can be done to this source" };
        return Page { rows: vec![Row::looking(why, Look::Dim)], ..Page::default() };
    }
    Page { header: None, rows, selectable: true }
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
pub fn dialog(dialog: &Dialog, state: &State) -> Option<(String, Vec<Row>)> {
    Some(match dialog {
        Dialog::Help { .. } => return None,
        Dialog::Evidence { .. } => ("Evidence".into(), evidence(state.picture.verdict.as_ref()?)),
        Dialog::Row { .. } => (state.screen.title().into(), row(state)),
        Dialog::Search { text } => ("Search".into(), vec![typed(text), hint("Enter finds, Esc leaves")]),
        Dialog::Prompt { act, text } => (act.title.clone(), vec![Row::text(act.prompt.clone()), typed(text)]),
        Dialog::Confirm { act, value } => (act.title.clone(), confirm(act, value)),
        Dialog::Sure { act, text, .. } => (act.title.clone(), sure(text)),
    })
}

fn typed(text: &str) -> Row {
    Row::looking(format!("> {text}_"), Look::Match)
}

fn hint(text: &str) -> Row {
    Row::looking(text, Look::Dim)
}

fn confirm(act: &Act, value: &str) -> Vec<Row> {
    let value = if act.secret { "" } else { value };
    let mut rows: Vec<_> = act.preview.iter().map(|step| Row::text(format!("- {step}"))).collect();
    rows.push(Row::default());
    rows.push(Row::looking(format!("fsdiag {} {value}", act.command.join(" ")), Look::Label));
    rows.push(hint("Enter does it, Esc leaves everything as it is"));
    rows
}

fn sure(text: &str) -> Vec<Row> {
    vec![
        Row::looking("Clients may see errors.", Look::Culprit),
        Row::text(format!("Type `{}` and Enter to do it, Esc to leave.", crate::tui::state::SURE)),
        typed(text),
    ]
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
fn row(state: &State) -> Vec<Row> {
    let (picture, at) = (&state.picture, state.list().selected);
    let lines: Vec<String> = match state.screen {
        Screen::Overview | Screen::Operations => picture.operations.get(at).map_or_else(Vec::new, |o| {
            vec![
                format!("{} id {} open for {}", o.op, o.id, words::duration(o.age_us)),
                format!("path    {}", o.path),
                format!("thread  {}", o.thread),
                format!("waits   {}", o.waits),
                format!("line    {}", o.line),
            ]
        }),
        Screen::Locks => picture.locks.get(at).map_or_else(Vec::new, |l| {
            let head = format!("{} ({}) held by {} for {}", l.name, l.kind, l.holder, words::duration(l.held_us));
            std::iter::once(head).chain(l.waiters.iter().map(|w| format!("  waits: {w}"))).collect()
        }),
        Screen::Stacks => picture.stacks.get(at).map_or_else(Vec::new, |s| {
            let head = format!("{} - {}", s.threads.join(", "), stacks::moved(s.moved).0);
            std::iter::once(head).chain(s.frames.iter().map(|f| format!("  {f}"))).collect()
        }),
        Screen::Events => picture.events.get(at).map_or_else(Vec::new, |e| vec![e.text.clone()]),
        Screen::Latency | Screen::Timeline | Screen::Act => Vec::new(),
    };
    lines.into_iter().map(Row::text).collect()
}
