//! Threads grouped by identical stack, with what happened to them between the last two dumps.

use super::{Canvas, Cell, Look, Page, Row, table};
use crate::tui::{
    picture::{Moved, StackGroup},
    state::State,
};

pub fn page(state: &State, canvas: Canvas) -> Page {
    let rows: Vec<_> = state.shown(&state.picture.stacks, |s| s.frames.join(" ")).map(cells).collect();
    if rows.is_empty() {
        let text = "no stack dump yet: dump stacks from the Act screen, or open a stacks-*.log";
        return Page { rows: vec![Row::looking(text, Look::Dim)], ..Page::default() };
    }
    table(&["threads", "state", "between dumps", "waits for", "innermost frames"], rows, canvas.width)
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

pub fn moved(moved: Moved) -> (&'static str, Look) {
    match moved {
        Moved::Unknown => ("one dump", Look::Dim),
        Moved::Same => ("NOT MOVED", Look::Victim),
        Moved::Moved => ("moved", Look::Good),
        Moved::New => ("new", Look::Plain),
        Moved::Gone => ("gone", Look::Dim),
    }
}
