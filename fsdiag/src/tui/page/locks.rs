//! Locks that matter now: who holds, since when, who waits; and the selected one as a graph.

use super::{Canvas, Cell, Look, Page, Row, nothing, table::table, words};
use crate::tui::{picture::Lock, state::State};

/// Rows of the list that the graph leaves at least.
const LEAST: usize = 3;

pub fn page(state: &State, canvas: Canvas) -> Page {
    let (rows, locks) = (state.visible(), &state.picture.locks);
    if rows.is_empty() {
        return nothing(state, "no lock is contended", Look::Good);
    }
    let cells = rows.iter().filter_map(|at| locks.get(*at)).map(cells).collect();
    let graph = state.selected().and_then(|at| locks.get(at)).map(|lock| graph(lock, canvas)).unwrap_or_default();
    table(&["lock", "kind", "held for", "holder", "waiters"], cells, canvas.width).with_below(graph, canvas, LEAST)
}

fn cells(lock: &Lock) -> Vec<Cell> {
    let names: Vec<&str> = lock.waiters.iter().map(|waiter| waiter.name.as_str()).collect();
    let waiters = match names.len() {
        0 => "none".into(),
        n => format!("{n}: {}", names.join(", ")),
    };
    let look = if names.is_empty() { Look::Plain } else { Look::Victim };
    vec![
        Cell::new(lock.name.as_str(), look),
        Cell::new(lock.kind.as_str(), Look::Dim),
        Cell::from(lock.held_us.map_or_else(|| "?".to_owned(), words::duration)),
        Cell::new(holder(lock), if names.is_empty() { Look::Plain } else { Look::Culprit }),
        Cell::new(waiters, look),
    ]
}

fn holder(lock: &Lock) -> &str {
    if lock.holder.is_empty() { "nobody that is known" } else { &lock.holder }
}

/// Who waits for whom around one lock, the end of the chain on top.
pub fn graph(lock: &Lock, canvas: Canvas) -> Vec<Row> {
    let branch = if canvas.ascii { "`-" } else { "└ " };
    let mut rows = vec![Row::default(), Row::looking(format!("who waits for whom at {}", lock.name), Look::Label)];
    let mut indent = String::new();
    if !lock.then.is_empty() {
        rows.push(Row::looking(words::cut(&lock.then, canvas.width), Look::Culprit));
        indent = branch.to_owned();
    }
    let held = lock.held_us.map_or_else(String::new, |us| format!(" for {}", words::duration(us)));
    rows.push(Row::looking(format!("{indent}{} holds {}{held}", holder(lock), lock.name), Look::Culprit));
    let indent = " ".repeat(words::width(&indent));
    rows.extend(lock.waiters.iter().map(|waiter| {
        let us = waiter.us.map_or_else(String::new, |us| format!(" for {}", words::duration(us)));
        Row::looking(format!("{indent}{branch}{} waits{us}", waiter.name), Look::Victim)
    }));
    rows
}
