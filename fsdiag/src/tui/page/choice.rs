//! The mounts to choose from, the sick ones first.

use super::{Canvas, Cell, Look, Page, Row, table::table, words};
use crate::tui::{picture::Choice, state::State};

pub fn page(state: &State, canvas: Canvas) -> Page {
    let mounts = &state.picture.mounts;
    let rows: Vec<_> = state.visible().into_iter().filter_map(|at| mounts.get(at)).map(cells).collect();
    let notes = state.picture.notes.iter().map(|note| Row::looking(note.clone(), Look::Dim));
    if rows.is_empty() {
        let lines = ["no FUSE mount on this machine, and no record of one that died; looked at again every second", ""];
        let how =
            ["fsd mount SOURCE DIR      mounts something", "fsdiag tui FILE           shows a log or a recording"];
        let rows = lines.into_iter().chain(how).map(Row::text).chain(notes).collect();
        return Page { rows, ..Page::default() };
    }
    table(&["", "mount", "type", "served by", "waiting", "oldest"], rows, canvas.width).with_below(
        notes.collect(),
        canvas,
        4,
    )
}

fn cells(choice: &Choice) -> Vec<Cell> {
    let look = match (choice.sick, choice.unknown) {
        (true, _) => Look::Culprit,
        (_, true) => Look::Slow,
        _ => Look::Good,
    };
    let oldest = choice.oldest_us.map(|us| format!("{} {}", words::duration(us), choice.oldest));
    vec![
        Cell::new(choice.health.as_str(), look),
        Cell::new(choice.mount.as_str(), if choice.sick { Look::Culprit } else { Look::Plain }),
        Cell::new(choice.kind.as_str(), Look::Dim),
        Cell::from(if choice.daemon.is_empty() { "nobody that is seen" } else { choice.daemon.as_str() }),
        Cell::from(choice.waiting.map_or_else(|| "?".to_owned(), |n| n.to_string())),
        Cell::from(oldest.unwrap_or_default()),
    ]
}
