//! Table: cells in columns that line up, whatever the width.

use super::{Cell, Look, Page, Row, words};

/// Narrowest that a column is made to save room.
const LEAST: usize = 4;

/// Lays cells out: each column as wide as its widest cell; where they do not fit, the widest give way; the last takes
/// the rest of the line.
pub fn table(names: &[&str], rows: Vec<Vec<Cell>>, width: usize) -> Page {
    let header: Vec<Cell> = names.iter().map(|n| Cell::new(*n, Look::Label)).collect();
    let widths = widths(&header, &rows, width);
    Page {
        header: Some(aligned(header, &widths)),
        rows: rows.into_iter().map(|row| aligned(row, &widths)).collect(),
        selectable: true,
        ..Page::default()
    }
}

fn widths(header: &[Cell], rows: &[Vec<Cell>], width: usize) -> Vec<usize> {
    let columns = header.len();
    let widest = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).chain(header.get(column));
        cells.map(|c| words::width(&c.text)).max().unwrap_or(0).min(width)
    };
    let mut widths: Vec<usize> = (0..columns).map(widest).collect();
    let gaps = 2 * columns.saturating_sub(1);
    let mut spare = (widths.iter().sum::<usize>() + gaps).saturating_sub(width);
    while spare > 0 {
        let Some(most) = widths.iter_mut().max().filter(|most| **most > LEAST) else { break };
        *most -= 1;
        spare -= 1;
    }
    let used: usize = widths[..columns.saturating_sub(1)].iter().map(|w| w + 2).sum();
    if let Some(last) = widths.last_mut() {
        *last = width.saturating_sub(used).max(LEAST);
    }
    widths
}

fn aligned(cells: Vec<Cell>, widths: &[usize]) -> Row {
    let last = widths.len().saturating_sub(1);
    let pad = |(at, cell): (usize, Cell)| {
        let width = widths.get(at).copied().unwrap_or(0);
        let text = words::cut(&cell.text, width);
        let gap = if at == last { 0 } else { width + 2 - words::width(&text) };
        Cell { text: format!("{text}{}", " ".repeat(gap)), look: cell.look }
    };
    Row(cells.into_iter().enumerate().map(pad).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(rows: Vec<Vec<Cell>>, width: usize) -> Vec<String> {
        let page = table(&["id", "path"], rows, width);
        page.header.iter().chain(&page.rows).map(Row::plain).collect()
    }

    #[test]
    fn columns_line_up_and_nothing_is_wider_than_the_screen() {
        let rows = vec![vec!["a".into(), "long path that is cut somewhere".into()], vec!["bbbb".into(), "x".into()]];
        assert_eq!(lines(rows, 20), ["id    path", "a     long path tha~", "bbbb  x"]);
    }

    #[test]
    fn wide_characters_take_two_columns() {
        let rows = vec![vec!["映画".into(), "x".into()], vec!["a".into(), "y".into()]];
        assert_eq!(lines(rows, 20), ["id    path", "映画  x", "a     y"]);
    }
}
