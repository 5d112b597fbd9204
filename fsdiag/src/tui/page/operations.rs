//! Open operations as a tree: the culprit first, below it those that wait for it, then the merely old.

use super::{Canvas, Cell, Look, Page, nothing, table::table, words};
use crate::tui::{
    picture::{Operation, Rank},
    state::State,
};

/// Below this width the thread is left out, it stands in the details; above the other, nothing is.
const NARROW: usize = 100;

pub fn page(state: &State, canvas: Canvas) -> Page {
    let rows = state.visible();
    if rows.is_empty() {
        return nothing(state, "no operation is open", Look::Good);
    }
    let wide = canvas.width >= NARROW;
    let operations = &state.picture.operations;
    // Of several daemons each row says of which it is.
    let shared = operations.iter().any(|operation| !operation.daemon.is_empty());
    let rows =
        rows.into_iter().filter_map(|at| operations.get(at)).map(|o| cells(o, state, canvas, (wide, shared))).collect();
    let mut names = vec!["", "age", "operation", "id"];
    names.extend(shared.then_some("daemon"));
    names.extend(wide.then_some("thread"));
    names.extend(["waits for", "path"]);
    table(&names, rows, canvas.width)
}

fn cells(operation: &Operation, state: &State, canvas: Canvas, (wide, shared): (bool, bool)) -> Vec<Cell> {
    let (letter, look) = mark(operation.rank);
    let branch = if canvas.ascii { "`-" } else { "└ " };
    let tree = match usize::from(operation.depth) {
        0 => String::new(),
        depth => format!("{}{branch}", "  ".repeat(depth.min(12) - 1)),
    };
    let found = |text: &str, look| Cell::new(text, if state.matches(text) { Look::Match } else { look });
    let mut cells = vec![
        Cell::new(letter, look),
        Cell::new(words::duration(operation.age_us), look),
        Cell::new(format!("{tree}{}", operation.op), look),
        found(&operation.id, Look::Plain),
    ];
    if shared {
        cells.push(found(&operation.daemon, Look::Plain));
    }
    if wide {
        cells.push(found(&operation.thread, Look::Dim));
    }
    cells.push(found(&operation.waits, Look::Plain));
    cells.push(found(&operation.path, Look::Plain));
    cells
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
