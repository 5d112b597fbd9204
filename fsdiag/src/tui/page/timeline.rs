//! Lanes per worker over the last seconds; stalls are marked below.

use super::{Canvas, Cell, Look, Page, Row, words};
use crate::tui::{
    picture::{Lane, Picture},
    state::State,
};

/// Seconds that a screen's width shows at the least and at the most.
const SPAN_S: (u64, u64) = (10, 120);

pub fn page(state: &State, canvas: Canvas) -> Page {
    let picture = &state.picture;
    if picture.lanes.is_empty() {
        return Page { rows: vec![Row::looking("no operation was seen yet", Look::Dim)], ..Page::default() };
    }
    let scale = Scale::of(picture, canvas);
    let mut rows: Vec<_> = picture.lanes.iter().map(|lane| draw(lane, &scale, canvas)).collect();
    rows.push(stalls(picture, &scale));
    let header = format!("{:<12}  the last {}", "worker", words::duration(scale.span_us));
    Page { header: Some(Row::looking(header, Look::Label)), rows, selectable: true }
}

struct Scale {
    start_us: u64,
    span_us: u64,
    columns: usize,
}

impl Scale {
    fn of(picture: &Picture, canvas: Canvas) -> Self {
        let now = picture.source.now_us;
        let open = picture.lanes.iter().flat_map(|l| &l.spans).filter(|s| s.end_us.is_none()).map(|s| s.start_us);
        let oldest = now.saturating_sub(open.min().unwrap_or(now));
        let span_us = (oldest * 5 / 4).clamp(SPAN_S.0 * 1_000_000, SPAN_S.1 * 1_000_000);
        Self { start_us: now.saturating_sub(span_us), span_us, columns: canvas.width.saturating_sub(14).max(1) }
    }

    fn column(&self, us: u64) -> usize {
        let offset = us.saturating_sub(self.start_us).min(self.span_us);
        (offset as usize * self.columns / self.span_us.max(1) as usize).min(self.columns - 1)
    }
}

fn draw(lane: &Lane, scale: &Scale, canvas: Canvas) -> Row {
    let mut cells = vec![Cell::from(" "); scale.columns];
    for span in &lane.spans {
        if span.end_us.is_some_and(|end| end < scale.start_us) {
            continue;
        }
        let end = span.end_us.map_or(scale.columns - 1, |end| scale.column(end));
        let look = if span.end_us.is_none() { Look::Victim } else { Look::Plain };
        let from = scale.column(span.start_us);
        for (at, cell) in cells.iter_mut().enumerate().take(end + 1).skip(from) {
            let letter = span.op.chars().nth(at - from).filter(|_| end - from >= span.op.len());
            *cell = Cell::new(letter.unwrap_or(if canvas.ascii { '=' } else { '━' }).to_string(), look);
        }
    }
    Row(std::iter::once(Cell::new(format!("{:<12}  ", words::cut(&lane.worker, 12)), Look::Label))
        .chain(cells)
        .collect())
}

fn stalls(picture: &Picture, scale: &Scale) -> Row {
    let mut marks = vec![' '; scale.columns];
    for (start, end) in &picture.stalls {
        let end = end.map_or(scale.columns - 1, |e| scale.column(e));
        marks.iter_mut().take(end + 1).skip(scale.column(*start)).for_each(|mark| *mark = '!');
    }
    let marks: String = marks.into_iter().collect();
    Row(vec![Cell::new(format!("{:<12}  ", "stalls"), Look::Label), Cell::new(marks, Look::Culprit)])
}
