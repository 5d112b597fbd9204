//! Latency per operation: percentiles, histogram by powers of two; of the selected one a heat map over time.

use super::{Canvas, Cell, Look, Page, Row, nothing, table::table, words};
use crate::tui::{
    picture::{HEAT, Latency},
    state::State,
};

/// Rows of the list that the heat map leaves at least.
const LEAST: usize = 3;
/// Labels of the heat map's rows, fastest first.
const ROWS: [&str; HEAT.len() + 1] = ["< 100us", "< 1ms", "< 10ms", "< 100ms", "< 1s", "< 10s", "> 10s"];
const LABEL: usize = 10;

pub fn page(state: &State, canvas: Canvas) -> Page {
    let (rows, latency) = (state.visible(), &state.picture.latency);
    if rows.is_empty() {
        return nothing(state, "no operation has completed yet", Look::Dim);
    }
    let names = ["operation", "count", "errors", "p50", "p90", "p99", "max", "1us .. 16s"];
    let cells = rows.iter().filter_map(|at| latency.get(*at)).map(|l| cells(l, canvas.ascii)).collect();
    let heat = state.selected().and_then(|at| latency.get(at)).map(|l| heat(l, canvas)).unwrap_or_default();
    table(&names, cells, canvas.width).with_below(heat, canvas, LEAST)
}

fn cells(latency: &Latency, ascii: bool) -> Vec<Cell> {
    let told = &latency.summary;
    let errors = if told.errors > 0 { Look::Slow } else { Look::Dim };
    let times = [told.p50_us, told.p90_us, told.p99_us, told.max_us];
    let [p50, p90, p99, max] = times.map(|us| Cell::from(words::latency(us, told.resolution_us)));
    vec![
        Cell::from(latency.op.as_str()),
        Cell::from(words::count(told.count)),
        Cell::new(words::count(told.errors), errors),
        p50,
        p90,
        p99,
        max,
        Cell::from(words::sparkline(&latency.buckets, 25, ascii)),
    ]
}

/// A column a second, newest right; slower is higher, more is darker. The rows that hold nothing are left out at the
/// fast end where there is no room for them.
fn heat(latency: &Latency, canvas: Canvas) -> Vec<Row> {
    let width = canvas.width.saturating_sub(LABEL);
    let shown = &latency.heat[latency.heat.len().saturating_sub(width)..];
    let title =
        format!("{} in the last {} s, a column a second, newest right; darker is more", latency.op, shown.len());
    let mut rows = vec![Row::looking(words::cut(&title, canvas.width), Look::Label)];
    for row in (0..ROWS.len()).rev() {
        let look = if row >= 5 { Look::Victim } else { Look::Plain };
        let cells: String = shown.iter().map(|second| words::shade(second[row], canvas.ascii)).collect();
        rows.push(Row(vec![Cell::new(format!("{:>8}  ", ROWS[row]), Look::Label), Cell::new(cells, look)]));
    }
    rows
}
