//! The help: the table of keys in force, and what the letters mean.

use super::{Look, Row};
use crate::tui::keys::{KEYS, Keymap};

pub fn rows(keys: &Keymap) -> Vec<Row> {
    let mut rows: Vec<_> =
        KEYS.iter().map(|row| Row::text(format!("{:<16} {}", keys.keys_of(row), row.help))).collect();
    rows.push(Row::text(format!("{:<16} {}", "1..8", "a screen by its number")));
    rows.push(Row::default());
    rows.push(Row::looking("! culprit   V waits for it   O no answer   ~ slow   . normal", Look::Label));
    rows
}

/// The keys that matter most, for the last line of the screen.
pub fn footer(keys: &Keymap) -> Row {
    let shown = KEYS.iter().filter(|row| row.footer);
    let words: Vec<_> = shown.map(|row| format!("{} {}", first(&keys.keys_of(row)), row.name)).collect();
    Row::looking(words.join("  "), Look::Dim)
}

fn first(keys: &str) -> &str {
    keys.split(' ').next().unwrap_or("")
}
