//! The first screen: the flow of operations, and the worst of them.

use super::{Canvas, Cell, Look, Page, Row, operations, words};
use crate::tui::{picture::Verdict, state::State};

/// Operations listed here; the rest stands on the next screen.
const LISTED: usize = 8;

pub fn page(state: &State, canvas: Canvas) -> Page {
    let picture = &state.picture;
    let mut page = operations::listed(state, canvas, LISTED);
    page.rows.push(Row::default());
    page.rows.extend(flow("in flight", &picture.inflight, canvas));
    page.rows.extend(flow("completed/s", &picture.completed, canvas));
    page.rows.push(kernel(state));
    page.rows.extend(picture.others.iter().map(also));
    page.rows.extend(picture.notes.iter().take(4).map(|note| Row::looking(format!("note: {note}"), Look::Dim)));
    page
}

fn flow(label: &str, values: &[u64], canvas: Canvas) -> Option<Row> {
    let newest = values.last()?;
    let bars = words::sparkline(values, canvas.width.saturating_sub(24), canvas.ascii);
    Some(Row(vec![Cell::new(format!("{label:<12}"), Look::Label), Cell::from(format!("{newest:>8}  {bars}"))]))
}

/// The kernel's count beside ours: the difference has not been read by the daemon.
fn kernel(state: &State) -> Row {
    let picture = &state.picture;
    let ours = picture.inflight.last().copied().unwrap_or(0);
    let text = match picture.source.kernel_waiting {
        Some(kernel) => {
            let unread = kernel.saturating_sub(ours);
            format!("{kernel:>8}  {unread} of them unread by the daemon")
        }
        None => format!("{:>8}  (fusectl is not readable here)", "?"),
    };
    Row(vec![Cell::new(format!("{:<12}", "kernel waits"), Look::Label), Cell::from(text)])
}

fn also(verdict: &Verdict) -> Row {
    Row::looking(format!("also: {} ({}) {}", verdict.cause, verdict.confidence, verdict.sentence), Look::Slow)
}
