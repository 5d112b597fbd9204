//! The first screen: the worst of the open operations, and the flow of all of them.

use super::{Canvas, Cell, Look, Page, Row, operations, words};
use crate::{
    engine::plural::ending,
    tui::{picture::Verdict, state::State},
};

/// Rows of the list that the rest leaves at least.
const LEAST: usize = 3;
/// Notes that are shown; all of them stand in the evidence.
const NOTES: usize = 4;

pub fn page(state: &State, canvas: Canvas) -> Page {
    let picture = &state.picture;
    let mut below = Vec::new();
    below.extend(flow("in flight", &picture.inflight, canvas));
    below.extend(flow("completed/s", &picture.completed, canvas));
    below.push(workers(state, canvas));
    below.push(kernel(state));
    below.push(loss(state));
    below.extend(picture.others.iter().map(also));
    below.extend(picture.notes.iter().take(NOTES).map(|note| Row::looking(format!("note: {note}"), Look::Dim)));
    operations::page(state, canvas).with_below(below, canvas, LEAST)
}

fn label(text: &str) -> Cell {
    Cell::new(format!("{text:<12}"), Look::Label)
}

fn flow(name: &str, values: &[u64], canvas: Canvas) -> Option<Row> {
    let newest = values.last()?;
    let bars = words::sparkline(values, canvas.width.saturating_sub(22), canvas.ascii);
    Some(Row(vec![label(name), Cell::from(format!("{:>8}  {bars}", words::count(*newest)))]))
}

/// How many of the daemon's threads work now.
fn workers(state: &State, canvas: Canvas) -> Row {
    let Some((busy, all)) = state.picture.source.workers.filter(|(_, all)| *all > 0) else {
        return Row(vec![label("workers"), Cell::new(format!("{:>8}  not told by this source", "?"), Look::Dim)]);
    };
    let (full, free) = if canvas.ascii { ("#", ".") } else { ("■", "□") };
    let shown = (all as usize).min(canvas.width.saturating_sub(40)).max(1);
    let filled = (busy as usize * shown).div_ceil(all as usize).min(shown);
    let bar = format!("{}{}", full.repeat(filled), free.repeat(shown - filled));
    let look = if busy >= all { Look::Victim } else { Look::Plain };
    let word = if busy >= all { "all busy" } else { "busy" };
    Row(vec![label("workers"), Cell::new(format!("{:>8}  {bar} {word}", format!("{busy}/{all}")), look)])
}

/// The kernel's count beside ours: the difference has not been read by the daemon.
fn kernel(state: &State) -> Row {
    let picture = &state.picture;
    let ours = picture.operations.iter().filter(|operation| !operation.place.is_empty()).count() as u64;
    let cell = match picture.source.kernel_waiting {
        Some(kernel) => {
            let unread = kernel.saturating_sub(ours);
            let text = match unread {
                0 => format!("{kernel:>8}  unanswered, by the kernel's own count"),
                _ => format!("{kernel:>8}  unanswered, {unread} not read by the daemon"),
            };
            Cell::new(text, if unread > 0 { Look::Victim } else { Look::Plain })
        }
        None => Cell::new(format!("{:>8}  the kernel's count is not known here", "?"), Look::Dim),
    };
    Row(vec![label("kernel waits"), cell])
}

fn loss(state: &State) -> Row {
    let source = &state.picture.source;
    let look = if source.lost + source.bad_lines > 0 { Look::Slow } else { Look::Plain };
    let text = format!(
        "{:>8}  event{}, {} unreadable line{}",
        words::count(source.lost),
        ending(source.lost),
        words::count(source.bad_lines),
        ending(source.bad_lines)
    );
    Row(vec![label("lost"), Cell::new(text, look)])
}

fn also(verdict: &Verdict) -> Row {
    Row::looking(format!("also: {} ({}) {}", verdict.cause, verdict.confidence, verdict.sentence), Look::Slow)
}
