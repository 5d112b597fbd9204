//! Threads grouped by identical stack, with what happened to them between the last two dumps.

use super::{Canvas, Cell, Look, Page, Row, nothing, table::table, words};
use crate::tui::{
    picture::{Moved, StackGroup},
    state::State,
};

/// Rows of the list that the frames leave at least.
const LEAST: usize = 4;

pub fn page(state: &State, canvas: Canvas) -> Page {
    let (rows, stacks) = (state.visible(), &state.picture.stacks);
    if rows.is_empty() {
        let text = "no stack dump yet: dump stacks from the Act screen, or open a stacks-*.log";
        return nothing(state, text, Look::Dim);
    }
    let cells = rows.iter().filter_map(|at| stacks.get(*at)).map(cells).collect();
    let frames = state.selected().and_then(|at| stacks.get(at)).map(|group| frames(group, canvas));
    let names = ["threads", "state", "between dumps", "waits for", "innermost frames"];
    table(&names, cells, canvas.width).with_below(frames.unwrap_or_default(), canvas, LEAST)
}

fn cells(group: &StackGroup) -> Vec<Cell> {
    let names = match group.threads.as_slice() {
        [one] => one.clone(),
        many => format!("{} x {}", many.len(), many.first().map_or("", String::as_str)),
    };
    let (word, look) = moved(group.moved);
    let frames: Vec<_> = group.frames.iter().take(3).map(String::as_str).collect();
    vec![
        Cell::from(names),
        Cell::new(group.state.as_str(), Look::Dim),
        Cell::new(word, look),
        Cell::from(group.waits.as_str()),
        Cell::from(frames.join(" < ")),
    ]
}

/// The stack of the selected group, as far as there is room.
fn frames(group: &StackGroup, canvas: Canvas) -> Vec<Row> {
    let head = Row::looking(words::cut(&group.threads.join(", "), canvas.width), Look::Label);
    let frames = group.frames.iter().map(|frame| Row::text(words::cut(&format!("  {frame}"), canvas.width)));
    [Row::default(), head].into_iter().chain(frames).collect()
}

pub fn moved(moved: Moved) -> (&'static str, Look) {
    match moved {
        Moved::Unknown => ("one dump", Look::Dim),
        Moved::Same => ("NOT MOVED", Look::Victim),
        Moved::Moved => ("moved", Look::Good),
        Moved::New => ("new", Look::Plain),
        Moved::Gone => ("gone", Look::Dim),
    }
}
