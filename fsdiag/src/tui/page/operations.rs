//! Open operations: the culprit first, then those that wait, then the merely old.

use super::{Canvas, Cell, Look, Page, table, words};
use crate::tui::{
    picture::{Operation, Rank},
    state::State,
};

const COLUMNS: [&str; 7] = ["", "age", "operation", "id", "thread", "waits for", "path"];

pub fn page(state: &State, canvas: Canvas) -> Page {
    listed(state, canvas, usize::MAX)
}

/// The first `most` open operations.
pub fn listed(state: &State, canvas: Canvas, most: usize) -> Page {
    let rows = state.shown(&state.picture.operations, |o| format!("{} {} {}", o.op, o.id, o.path));
    let rows: Vec<_> = rows.take(most).map(|o| cells(o, state)).collect();
    if rows.is_empty() {
        return Page { rows: vec![super::Row::looking("no operation is open", Look::Good)], ..Page::default() };
    }
    table(&COLUMNS, rows, canvas.width)
}

fn cells(operation: &Operation, state: &State) -> Vec<Cell> {
    let (letter, look) = mark(operation.rank);
    let tree = "  ".repeat(usize::from(operation.depth.min(6)));
    let path_look = if state.matches(&operation.path) { Look::Match } else { Look::Plain };
    vec![
        Cell::new(letter, look),
        Cell::new(words::duration(operation.age_us), look),
        Cell::new(format!("{tree}{}", operation.op), look),
        Cell::from(operation.id.as_str()),
        Cell::new(operation.thread.as_str(), Look::Dim),
        Cell::from(operation.waits.as_str()),
        Cell::new(operation.path.as_str(), path_look),
    ]
}

/// Letter and look of a rank: never the colour alone.
pub fn mark(rank: Rank) -> (&'static str, Look) {
    match rank {
        Rank::Culprit => ("!", Look::Culprit),
        Rank::Victim => ("V", Look::Victim),
        Rank::Orphan => ("O", Look::Slow),
        Rank::Slow => ("~", Look::Slow),
        Rank::Normal => (".", Look::Plain),
    }
}
