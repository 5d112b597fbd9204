//! Latency per operation: percentiles, histogram by powers of two, and the slowest of each second as a heat map.

use super::{Canvas, Cell, Look, Page, Row, table, words};
use crate::tui::{picture::Latency, state::State};

pub fn page(state: &State, canvas: Canvas) -> Page {
    let latency = &state.picture.latency;
    if latency.is_empty() {
        return Page { rows: vec![Row::looking("no operation has completed yet", Look::Dim)], ..Page::default() };
    }
    let names = ["operation", "count", "errors", "p50", "p90", "p99", "max", "1us .. 16s"];
    let mut page = table(&names, latency.iter().map(|l| cells(l, canvas.ascii)).collect(), canvas.width);
    page.rows.push(Row::default());
    page.rows.push(Row::looking("slowest in each second, newest right", Look::Label));
    page.rows.extend(latency.iter().map(|l| heat(l, canvas)));
    page
}

fn cells(latency: &Latency, ascii: bool) -> Vec<Cell> {
    let errors = if latency.errors > 0 { Look::Slow } else { Look::Dim };
    vec![
        Cell::from(latency.op.as_str()),
        Cell::from(words::count(latency.count)),
        Cell::new(words::count(latency.errors), errors),
        Cell::from(words::duration(latency.p50_us)),
        Cell::from(words::duration(latency.p90_us)),
        Cell::from(words::duration(latency.p99_us)),
        Cell::from(words::duration(latency.max_us)),
        Cell::from(words::sparkline(&latency.buckets, 25, ascii)),
    ]
}

/// A glyph a second, higher for slower on a logarithmic scale from 100 us to 10 s.
fn heat(latency: &Latency, canvas: Canvas) -> Row {
    let width = canvas.width.saturating_sub(14);
    let shown = &latency.slowest[latency.slowest.len().saturating_sub(width)..];
    let cells = shown.iter().map(|us| {
        let steps = u64::from((us / 100).checked_ilog10().map_or(0, |log| log + 1));
        let look = if *us >= 1_000_000 { Look::Victim } else { Look::Plain };
        Cell::new(words::level(if *us == 0 { 0 } else { steps + 2 }, 8, canvas.ascii).to_string(), look)
    });
    Row(std::iter::once(Cell::new(format!("{:<12}  ", latency.op), Look::Label)).chain(cells).collect())
}
