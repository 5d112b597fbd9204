//! The raw lines, newest last.

use super::{Cell, Look, Page, Row};
use crate::tui::state::State;

pub fn page(state: &State) -> Page {
    let rows: Vec<_> = state
        .shown(&state.picture.events, |e| e.text.clone())
        .map(|event| {
            let look = match (state.matches(&event.text), event.loud) {
                (true, _) => Look::Match,
                (false, true) => Look::Loud,
                (false, false) => Look::Plain,
            };
            Row(vec![Cell::new(format!("{:>8} ", event.line), Look::Dim), Cell::new(event.text.as_str(), look)])
        })
        .collect();
    if rows.is_empty() {
        return Page { rows: vec![Row::looking("no lines", Look::Dim)], ..Page::default() };
    }
    Page { header: None, rows, selectable: true }
}
