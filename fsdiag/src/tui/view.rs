//! Draws the state; decides nothing. The only place, beside `terminal`, that knows the terminal library.

pub mod frame;
pub mod theme;

use ratatui::{
    layout::Rect,
    text::{Line, Span},
    widgets::{Block, Clear, Paragraph, Wrap},
};

use self::{frame::Frame, theme::Theme};
use super::{
    keys::Keymap,
    page::{self, Canvas, Page, Row, details, help, status},
    state::{Dialog, Screen, State},
};

/// One frame.
pub fn draw(state: &State, keys: &Keymap, theme: &Theme, canvas: &mut ratatui::Frame<'_>) {
    let area = canvas.area();
    if area.width < status::SMALLEST.0 || area.height < status::SMALLEST.1 {
        let lines: Vec<_> = status::too_small(state).iter().map(|row| line(row, theme)).collect();
        canvas.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }), area);
        return;
    }
    let frame = Frame::of(state);
    let width = usize::from(area.width);
    // A terminal that has just shrunk may be smaller than what the state knows.
    let strip = |y, height| Rect { y: area.y + y, height, ..area }.intersection(area);
    let banner: Vec<_> = status::banner(state, width).iter().map(|row| line(row, theme)).collect();
    canvas.render_widget(Paragraph::new(line(&status::line(state, width), theme)), strip(0, 1));
    canvas.render_widget(Paragraph::new(banner), strip(1, frame.banner));
    canvas.render_widget(Paragraph::new(tab_line(state, theme)), strip(frame.tabs, 1));
    let body = strip(frame.body.0, frame.body.1);
    draw_body(state, theme, canvas, body);
    let footer = line(&help::footer(state, keys, width), theme);
    canvas.render_widget(Paragraph::new(footer), strip(area.height - 1, 1));
    if let Some(dialog) = &state.dialog {
        draw_dialog(dialog, state, keys, theme, canvas, body);
    }
}

/// The body's page and the first of its rows that is drawn.
fn window(state: &State, canvas: Canvas) -> (Page, usize) {
    let page = page::body(state, canvas);
    let rows = canvas.height.saturating_sub(usize::from(page.header.is_some()) + page.below.len());
    let first = if page.selectable { state.list().window(rows).max(page.skipped) } else { 0 };
    (page, first)
}

/// Line of the terminal and number of the first row of the list that is drawn, for the mouse.
pub fn first_row(state: &State, frame: Frame) -> (u16, usize) {
    let canvas = Canvas { width: usize::from(state.width), height: usize::from(frame.body.1), ascii: true };
    let (page, first) = window(state, canvas);
    (frame.body.0 + u16::from(page.header.is_some()), first)
}

fn draw_body(state: &State, theme: &Theme, canvas: &mut ratatui::Frame<'_>, area: Rect) {
    let size = Canvas { width: usize::from(area.width), height: usize::from(area.height), ascii: theme.ascii };
    let (page, first) = window(state, size);
    let mut lines: Vec<Line<'_>> = page.header.iter().map(|row| line(&row.cut(size.width), theme)).collect();
    let room = size.height.saturating_sub(lines.len() + page.below.len());
    let rows = page.rows.iter().skip(first - page.skipped.min(first)).take(room);
    for (at, row) in rows.enumerate() {
        let drawn = line(&row.cut(size.width), theme);
        let selected = page.selectable && at + first == state.list().selected;
        lines.push(if selected { drawn.style(theme.selected()) } else { drawn });
    }
    let below: Vec<_> = page.below.iter().map(|row| line(&row.cut(size.width), theme)).collect();
    let top = area.height.saturating_sub(u16::try_from(below.len()).unwrap_or(area.height));
    // Right below the rows where they leave room, so that what belongs together stands together.
    let top = top.min(u16::try_from(lines.len() + 1).unwrap_or(top));
    canvas.render_widget(Paragraph::new(lines), area);
    let rest = Rect { y: area.y + top, height: area.height - top, ..area };
    canvas.render_widget(Paragraph::new(below), rest);
}

fn draw_dialog(
    dialog: &Dialog,
    state: &State,
    keys: &Keymap,
    theme: &Theme,
    canvas: &mut ratatui::Frame<'_>,
    body: Rect,
) {
    let inner = usize::from(body.width.saturating_sub(6));
    let (title, rows, top) = match dialog {
        Dialog::Help { top } => ("Keys".to_owned(), help::rows(keys), *top),
        _ => {
            let Some((title, rows)) = details::dialog(dialog, state, theme.ascii) else { return };
            (title, rows, dialog.top())
        }
    };
    let rows: Vec<Row> = rows.iter().flat_map(|row| row.wrapped(inner)).collect();
    let area = centred(body, rows.len());
    let shown = usize::from(area.height.saturating_sub(2));
    let last = rows.len().saturating_sub(shown);
    // What runs is read from its end.
    let top = if matches!(dialog, Dialog::Running { .. }) { last } else { top.min(last) };
    let lines: Vec<_> = rows.iter().skip(top).map(|row| line(row, theme)).collect();
    let more = if last > 0 { format!(" {}-{} of {} ", top + 1, top + shown, rows.len()) } else { String::new() };
    let title = format!(" {title} ");
    let block =
        Block::bordered().border_set(theme.border()).title(title).title_bottom(Line::from(more).right_aligned());
    canvas.render_widget(Clear, area);
    canvas.render_widget(Paragraph::new(lines).block(block.padding(ratatui::widgets::Padding::horizontal(1))), area);
}

/// A box in the middle that holds `rows` lines.
fn centred(body: Rect, rows: usize) -> Rect {
    let width = body.width.saturating_sub(2);
    let wanted = u16::try_from(rows + 2).unwrap_or(u16::MAX);
    let height = wanted.clamp(4.min(body.height), body.height);
    Rect { x: body.x + (body.width - width) / 2, y: body.y + (body.height - height) / 2, width, height }
}

fn line<'a>(row: &Row, theme: &Theme) -> Line<'a> {
    let spans: Vec<_> = row.0.iter().map(|cell| Span::styled(cell.text.clone(), theme.style(cell.look))).collect();
    Line::from(spans)
}

fn tab_line<'a>(state: &State, theme: &Theme) -> Line<'a> {
    if state.choosing() {
        return Line::from(Span::styled("Choose what to look at", theme.style(page::Look::Label)));
    }
    let tab = |screen: Screen| {
        let style = if screen == state.screen { theme.selected() } else { theme.style(page::Look::Label) };
        [Span::styled(frame::tab_text(screen, state.width), style), Span::raw(" ")]
    };
    Line::from(Screen::ALL.into_iter().flat_map(tab).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests;
