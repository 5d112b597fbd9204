//! Locks that matter now: who holds, since when, who waits.

use super::{Canvas, Cell, Look, Page, Row, table, words};
use crate::tui::{picture::Lock, state::State};

pub fn page(state: &State, canvas: Canvas) -> Page {
    let rows: Vec<_> = state.shown(&state.picture.locks, |l| format!("{} {}", l.name, l.holder)).map(cells).collect();
    if rows.is_empty() {
        return Page { rows: vec![Row::looking("no lock is contended", Look::Good)], ..Page::default() };
    }
    table(&["lock", "kind", "held for", "holder", "waiters"], rows, canvas.width)
}

fn cells(lock: &Lock) -> Vec<Cell> {
    let waiters = match lock.waiters.len() {
        0 => "none".into(),
        n => format!("{n}: {}", lock.waiters.join(", ")),
    };
    let look = if lock.waiters.is_empty() { Look::Plain } else { Look::Victim };
    vec![
        Cell::new(lock.name.as_str(), look),
        Cell::new(lock.kind.as_str(), Look::Dim),
        Cell::from(words::duration(lock.held_us)),
        Cell::new(lock.holder.as_str(), if lock.waiters.is_empty() { Look::Plain } else { Look::Culprit }),
        Cell::new(waiters, look),
    ]
}
