//! Lanes per worker over the last seconds; stalls are marked below.

use super::{Canvas, Cell, Look, Page, Row, nothing, words};
use crate::tui::{
    picture::{Lane, Picture},
    state::State,
};

/// Seconds that a screen's width shows at the least and at the most.
const SPAN_S: (u64, u64) = (10, 600);
const LABEL: usize = 14;

pub fn page(state: &State, canvas: Canvas) -> Page {
    let (rows, picture) = (state.visible(), &state.picture);
    if rows.is_empty() {
        return nothing(state, "no operation was seen yet", Look::Dim);
    }
    let scale = Scale::of(picture, canvas);
    let rows = rows.iter().filter_map(|at| picture.lanes.get(*at)).map(|lane| draw(lane, &scale, canvas)).collect();
    let header = format!("{:<14}the last {}, newest right", "worker", words::duration(scale.span_us));
    let header = Some(Row::looking(header, Look::Label));
    let page = Page { header, rows, selectable: true, ..Page::default() };
    page.with_below(vec![stalls(picture, &scale), axis(&scale)], canvas, 3)
}

struct Scale {
    start_us: u64,
    span_us: u64,
    columns: usize,
}

impl Scale {
    /// As long as what is open, and a little more.
    fn of(picture: &Picture, canvas: Canvas) -> Self {
        let now = picture.source.now_us;
        let open = picture.lanes.iter().flat_map(|l| &l.spans).filter(|s| s.end_us.is_none()).map(|s| s.start_us);
        let oldest = now.saturating_sub(open.min().unwrap_or(now));
        let span_us = (oldest * 5 / 4).clamp(SPAN_S.0 * 1_000_000, SPAN_S.1 * 1_000_000);
        Self { start_us: now.saturating_sub(span_us), span_us, columns: canvas.width.saturating_sub(LABEL).max(1) }
    }

    fn column(&self, us: u64) -> usize {
        let offset = us.saturating_sub(self.start_us).min(self.span_us);
        (offset as usize * self.columns / self.span_us.max(1) as usize).min(self.columns - 1)
    }
}

fn draw(lane: &Lane, scale: &Scale, canvas: Canvas) -> Row {
    let mut cells = vec![(' ', Look::Plain); scale.columns];
    for span in &lane.spans {
        if span.end_us.is_some_and(|end| end < scale.start_us) {
            continue;
        }
        let end = span.end_us.map_or(scale.columns - 1, |end| scale.column(end));
        let look = if span.end_us.is_none() { Look::Victim } else { Look::Plain };
        let from = scale.column(span.start_us);
        let name = span.op.name();
        for (at, cell) in cells.iter_mut().enumerate().take(end + 1).skip(from) {
            let letter = name.chars().nth(at - from).filter(|_| end - from >= name.len());
            *cell = (letter.unwrap_or(if canvas.ascii { '=' } else { '━' }), look);
        }
    }
    Row(std::iter::once(label(&lane.worker)).chain(runs(&cells)).collect())
}

/// Neighbours of one look as one cell.
fn runs(cells: &[(char, Look)]) -> Vec<Cell> {
    let same = cells.chunk_by(|a, b| a.1 == b.1);
    same.map(|run| Cell::new(run.iter().map(|(c, _)| *c).collect::<String>(), run[0].1)).collect()
}

fn label(text: &str) -> Cell {
    Cell::new(format!("{:<LABEL$}", words::cut(text, LABEL - 2)), Look::Label)
}

fn stalls(picture: &Picture, scale: &Scale) -> Row {
    let mut marks = vec![' '; scale.columns];
    for (start, end) in &picture.stalls {
        if end.is_some_and(|end| end < scale.start_us) {
            continue;
        }
        let end = end.map_or(scale.columns - 1, |e| scale.column(e));
        marks.iter_mut().take(end + 1).skip(scale.column(*start)).for_each(|mark| *mark = '!');
    }
    Row(vec![label("stalls"), Cell::new(marks.into_iter().collect::<String>(), Look::Culprit)])
}

/// How long ago, under the lanes.
fn axis(scale: &Scale) -> Row {
    let mut text = String::new();
    for part in 0..4 {
        let at = scale.columns * part / 4;
        let ago = words::duration(scale.span_us * (4 - part as u64) / 4);
        text.push_str(&format!("{:<1$}", "", at.saturating_sub(text.len())));
        text.push_str(&format!("-{ago}"));
    }
    let gap = scale.columns.saturating_sub(text.len() + 3);
    Row(vec![label(""), Cell::new(format!("{text}{:gap$}now", ""), Look::Dim)])
}
