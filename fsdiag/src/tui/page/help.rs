//! The help: the table of keys in force, and what the letters mean.

use super::{Look, Row, words};
use crate::tui::{
    keys::{Action, Footer, KEYS, Keymap},
    state::State,
};

pub fn rows(keys: &Keymap) -> Vec<Row> {
    let mut rows = vec![Row::looking("! culprit   V waits for it   O no answer   ~ slow   . normal", Look::Label)];
    rows.push(Row::default());
    rows.extend(KEYS.iter().map(|row| Row::text(format!("{:<16} {}", keys.keys_of(row), row.help))));
    rows.push(Row::text(format!("{:<16} {}", "1..8", "a screen by its number")));
    rows.push(Row::text(format!(
        "{:<16} {}",
        "mouse", "click a tab, the verdict, a row (again: its details); the wheel"
    )));
    rows
}

/// The keys that matter now, for the last line of the screen: as many as there is room for, the way out first.
pub fn footer(state: &State, keys: &Keymap, width: usize) -> Row {
    let shown = |footer: Footer| match footer {
        Footer::Never => false,
        Footer::Always => true,
        Footer::Screens => !state.choosing(),
        Footer::Replay => state.replaying(),
        Footer::Found => !state.search.is_empty(),
        Footer::Verdict => state.picture.verdict.is_some() && !state.choosing(),
    };
    if let Some(dialog) = &state.dialog {
        let enter = if dialog.types() { "enter done  esc leave" } else { "enter or esc close  up down scroll" };
        return Row::looking(enter, Look::Dim);
    }
    let back = |action: &Action| *action == Action::Back;
    let mut rows: Vec<_> = KEYS.iter().filter(|row| shown(row.footer)).collect();
    rows.sort_by_key(|row| (!back(&row.action), row.footer != Footer::Replay, row.footer == Footer::Screens));
    let mut line = String::new();
    for row in rows {
        let word = format!("{} {}", first(&keys.keys_of(row)), row.short);
        let gap = if line.is_empty() { 0 } else { 2 };
        if words::width(&line) + gap + words::width(&word) <= width {
            line.push_str(&format!("{:gap$}{word}", ""));
        }
    }
    Row::looking(line, Look::Dim)
}

fn first(keys: &str) -> &str {
    keys.split(' ').next().unwrap_or("")
}
