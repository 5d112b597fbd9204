//! Draws the state; decides nothing. The only place, beside `terminal`, that knows the terminal library.

pub mod theme;

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
    widgets::{Block, Clear, Paragraph, Wrap},
};

use self::theme::Theme;
use super::{
    keys::Keymap,
    page::{self, Canvas, Row, details, help, status},
    state::{Dialog, Screen, State},
};

/// Row of the tabs, for the mouse.
pub const TABS_ROW: u16 = 4;
/// First row of a screen's list, for the mouse.
pub const FIRST_ROW: u16 = 6;

/// One frame.
pub fn draw(state: &State, keys: &Keymap, theme: &Theme, frame: &mut Frame<'_>) {
    let area = frame.area();
    if area.width < status::SMALLEST.0 || area.height < status::SMALLEST.1 {
        let lines: Vec<_> = status::too_small(state).iter().map(|row| line(row, theme)).collect();
        frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }), area);
        return;
    }
    let parts = [
        Constraint::Length(1),
        Constraint::Length(3),
        Constraint::Length(1),
        Constraint::Min(3),
        Constraint::Length(1),
    ];
    let [top, banner, tabs, body, footer] = Layout::vertical(parts).areas(area);
    frame.render_widget(Paragraph::new(line(&status::line(state), theme)), top);
    frame.render_widget(Paragraph::new(line(&status::banner(state), theme)).wrap(Wrap { trim: false }), banner);
    frame.render_widget(Paragraph::new(tab_line(state, theme)), tabs);
    draw_body(state, theme, frame, body);
    frame.render_widget(Paragraph::new(line(&help::footer(keys), theme)), footer);
    if let Some(dialog) = &state.dialog {
        draw_dialog(dialog, state, keys, theme, frame, body);
    }
}

fn draw_body(state: &State, theme: &Theme, frame: &mut Frame<'_>, area: Rect) {
    let canvas = Canvas { width: usize::from(area.width), ascii: theme.ascii };
    let page = page::body(state, canvas);
    let mut lines: Vec<Line<'_>> = page.header.iter().map(|row| line(row, theme)).collect();
    let height = usize::from(area.height).saturating_sub(lines.len());
    let (list, rows) = (state.list(), state.rows());
    let first = if page.selectable { list.window(height) } else { 0 };
    for (at, row) in page.rows.iter().enumerate().skip(first).take(height) {
        let drawn = line(row, theme);
        let selected = page.selectable && at == list.selected && at < rows;
        lines.push(if selected { drawn.style(theme.selected()) } else { drawn });
    }
    frame.render_widget(Paragraph::new(lines), area);
}

fn draw_dialog(dialog: &Dialog, state: &State, keys: &Keymap, theme: &Theme, frame: &mut Frame<'_>, body: Rect) {
    let (title, rows, top) = match dialog {
        Dialog::Help { top } => ("Keys".to_owned(), help::rows(keys), *top),
        Dialog::Evidence { top } | Dialog::Row { top } => {
            let Some((title, rows)) = details::dialog(dialog, state) else { return };
            (title, rows, *top)
        }
        _ => {
            let Some((title, rows)) = details::dialog(dialog, state) else { return };
            (title, rows, 0)
        }
    };
    let area = centred(body, rows.len());
    let top = top.min(rows.len().saturating_sub(1));
    let lines: Vec<_> = rows.iter().skip(top).map(|row| line(row, theme)).collect();
    let block = Block::bordered().border_set(theme.border()).title(title);
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }).block(block), area);
}

/// A box in the middle that holds `rows` lines, with room for wrapped ones.
fn centred(body: Rect, rows: usize) -> Rect {
    let width = body.width.saturating_sub(4);
    let wanted = u16::try_from(rows * 2 + 2).unwrap_or(u16::MAX);
    let height = wanted.clamp(4, body.height);
    Rect { x: body.x + (body.width - width) / 2, y: body.y + (body.height - height) / 2, width, height }
}

fn line<'a>(row: &Row, theme: &Theme) -> Line<'a> {
    let spans: Vec<_> = row.0.iter().map(|cell| Span::styled(cell.text.clone(), theme.style(cell.look))).collect();
    Line::from(spans)
}

fn tab_line<'a>(state: &State, theme: &Theme) -> Line<'a> {
    let tab = |screen: Screen| {
        let style = if screen == state.screen { theme.selected() } else { theme.style(page::Look::Label) };
        [Span::styled(tab_text(screen), style), Span::raw(" ")]
    };
    Line::from(Screen::ALL.into_iter().flat_map(tab).collect::<Vec<_>>())
}

fn tab_text(screen: Screen) -> String {
    format!("{} {}", screen.index() + 1, screen.title())
}

/// The screen whose tab lies at that column.
pub fn tab_at(column: u16) -> Option<Screen> {
    let mut start = 0;
    Screen::ALL.into_iter().find(|screen| {
        let end = start + tab_text(*screen).len() + 1;
        let hit = (start..end).contains(&usize::from(column));
        start = end;
        hit
    })
}

#[cfg(test)]
mod tests;
