//! A screen as lines of text with a meaning: what `view` draws on the terminal and `--plain` prints.

pub mod details;
pub mod events;
pub mod help;
pub mod latency;
pub mod locks;
pub mod operations;
pub mod overview;
pub mod stacks;
pub mod status;
pub mod timeline;
pub mod words;

use super::state::{Screen, State};

/// What a piece of text means; the theme gives it a colour, the text itself a letter or glyph.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Look {
    #[default]
    Plain,
    /// Column names, labels.
    Label,
    Culprit,
    Victim,
    Slow,
    Good,
    Dim,
    Loud,
    /// What the search found.
    Match,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    pub text: String,
    pub look: Look,
}

impl Cell {
    pub fn new(text: impl Into<String>, look: Look) -> Self {
        Self { text: text.into(), look }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::new(text, Look::Plain)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::new(text, Look::Plain)
    }
}

/// One line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row(pub Vec<Cell>);

impl Row {
    pub fn text(text: impl Into<String>) -> Self {
        Self(vec![Cell::from(text.into())])
    }

    pub fn looking(text: impl Into<String>, look: Look) -> Self {
        Self(vec![Cell::new(text, look)])
    }

    /// The whole line without meaning.
    pub fn plain(&self) -> String {
        let text: String = self.0.iter().map(|c| c.text.as_str()).collect();
        text.trim_end().to_owned()
    }
}

/// A screen's body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Stays on top while the rows scroll.
    pub header: Option<Row>,
    pub rows: Vec<Row>,
    /// Whether a row can be selected.
    pub selectable: bool,
}

/// How wide, and with which characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Canvas {
    pub width: usize,
    /// No character outside ASCII.
    pub ascii: bool,
}

/// The body of the current screen.
pub fn body(state: &State, canvas: Canvas) -> Page {
    if let Some(page) = status::instead(state) {
        return page;
    }
    match state.screen {
        Screen::Overview => overview::page(state, canvas),
        Screen::Operations => operations::page(state, canvas),
        Screen::Locks => locks::page(state, canvas),
        Screen::Stacks => stacks::page(state, canvas),
        Screen::Latency => latency::page(state, canvas),
        Screen::Timeline => timeline::page(state, canvas),
        Screen::Events => events::page(state),
        Screen::Act => details::acts(state),
    }
}

/// Lays cells out in columns: each as wide as its widest cell, the last takes the rest of the line.
pub fn table(names: &[&str], rows: Vec<Vec<Cell>>, width: usize) -> Page {
    let header: Vec<Cell> = names.iter().map(|n| Cell::new(*n, Look::Label)).collect();
    let widths = widths(&header, &rows, width);
    Page {
        header: Some(aligned(header, &widths)),
        rows: rows.into_iter().map(|row| aligned(row, &widths)).collect(),
        selectable: true,
    }
}

fn widths(header: &[Cell], rows: &[Vec<Cell>], width: usize) -> Vec<usize> {
    let columns = header.len();
    let widest = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).chain(header.get(column));
        cells.map(|c| c.text.chars().count()).max().unwrap_or(0)
    };
    let limit = (width / columns.max(1) * 2).max(8);
    let mut widths: Vec<_> = (0..columns).map(|c| widest(c).min(limit)).collect();
    let used: usize = widths[..columns.saturating_sub(1)].iter().map(|w| w + 2).sum();
    if let Some(last) = widths.last_mut() {
        *last = width.saturating_sub(used).max(4);
    }
    widths
}

fn aligned(cells: Vec<Cell>, widths: &[usize]) -> Row {
    let last = widths.len().saturating_sub(1);
    let pad = |(at, cell): (usize, Cell)| {
        let width = widths.get(at).copied().unwrap_or(0);
        let text = words::cut(&cell.text, width);
        let gap = if at == last { 0 } else { width + 2 };
        Cell { text: format!("{text:<gap$}"), look: cell.look }
    };
    Row(cells.into_iter().enumerate().map(pad).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_nothing_is_wider_than_the_screen() {
        let rows = vec![vec!["a".into(), "long path that is cut somewhere".into()], vec!["bbbb".into(), "x".into()]];
        let page = table(&["id", "path"], rows, 20);
        let lines: Vec<_> = page.header.iter().chain(&page.rows).map(Row::plain).collect();
        assert_eq!(lines, ["id    path", "a     long path tha~", "bbbb  x"]);
    }
}
