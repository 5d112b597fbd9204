//! The lines around every screen: where the data comes from, what the verdict is, and what takes a screen's place.

use super::{Cell, Look, Page, Row, words};
use crate::tui::{
    picture::{Source, SourceState},
    state::State,
};

/// Smallest terminal that can hold the screens; below it only the verdict is shown.
pub const SMALLEST: (u16, u16) = (60, 15);

/// Mount, pid, flags, how fresh and how complete the data is.
pub fn line(state: &State) -> Row {
    let source = &state.picture.source;
    let mut cells = vec![Cell::new("fsdiag ", Look::Label), Cell::from(source.title.as_str())];
    if let Some(pid) = source.pid {
        cells.push(Cell::from(format!(" pid {pid}")));
    }
    cells.push(condition(&source.state));
    cells.extend(source.workers.map(|(busy, all)| {
        let look = if busy == all { Look::Victim } else { Look::Plain };
        Cell::new(format!(" workers {busy}/{all}"), look)
    }));
    cells.push(Cell::from(format!(" {}/s", words::count(source.events_per_s))));
    // A lag that is not known is not shown.
    if source.lag_ms > 0 {
        cells.push(Cell::from(format!(" lag {}ms", source.lag_ms)));
    }
    if source.lost + source.bad_lines > 0 {
        let text = format!(" lost {} bad {}", words::count(source.lost), words::count(source.bad_lines));
        cells.push(Cell::new(text, Look::Slow));
    }
    if !source.flags.is_empty() {
        cells.push(Cell::new(format!(" [{}]", source.flags.join(" ")), Look::Slow));
    }
    if state.paused {
        cells.push(Cell::new(format!(" PAUSED, {} buffered", state.buffered), Look::Loud));
    }
    Row(cells)
}

fn condition(state: &SourceState) -> Cell {
    let (text, look) = match state {
        SourceState::Empty => (" no events yet".into(), Look::Dim),
        SourceState::Loading { .. } => (" loading".into(), Look::Slow),
        SourceState::Live => (" live".into(), Look::Good),
        SourceState::Recorded => (" recorded".into(), Look::Dim),
        SourceState::Replay { speed, paused, .. } => {
            (format!(" replay {}{}", speed.label(), if *paused { " paused" } else { "" }), Look::Slow)
        }
        SourceState::Gone { .. } => (" source gone".into(), Look::Victim),
        SourceState::Reconnecting { in_s, .. } => (format!(" reconnecting in {in_s}s"), Look::Slow),
        SourceState::Failed { .. } => (" failed".into(), Look::Victim),
    };
    Cell::new(text, look)
}

/// One sentence: what is wrong, who is it, since when, how many wait, how sure.
pub fn banner(state: &State) -> Row {
    if let Some((text, ok)) = &state.message {
        return Row::looking(text.clone(), if *ok { Look::Good } else { Look::Loud });
    }
    let Some(verdict) = &state.picture.verdict else { return Row(vec![healthy(state)]) };
    let (word, look) = if verdict.recovered { ("RECOVERED", Look::Good) } else { ("STALL", Look::Culprit) };
    let age = verdict.age_s.map_or(String::new(), |s| format!(" {s:.0}s"));
    let head = format!("! {word}{age} {} ({}), {} waiting: ", verdict.cause, verdict.confidence, verdict.waiters);
    let tail = " - Enter: evidence";
    Row(vec![Cell::new(head, look), Cell::new(verdict.sentence.clone(), look), Cell::new(tail, Look::Plain)])
}

fn healthy(state: &State) -> Cell {
    let picture = &state.picture;
    let oldest = picture.operations.iter().map(|o| o.age_us).max().unwrap_or(0);
    let rate = picture.completed.last().copied().unwrap_or(0);
    match picture.source.state {
        SourceState::Empty | SourceState::Loading { .. } | SourceState::Failed { .. } => Cell::new("", Look::Dim),
        _ if picture.source.lost > 0 => Cell::new(
            format!(". no stall seen; {} events were lost, so one could hide", words::count(picture.source.lost)),
            Look::Slow,
        ),
        _ => Cell::new(
            format!(". healthy: {} ops/s, oldest open op {}", words::count(rate), words::duration(oldest)),
            Look::Good,
        ),
    }
}

/// What stands in a screen's place while there is nothing to show in it.
pub fn instead(state: &State) -> Option<Page> {
    let Source { state: source, title, .. } = &state.picture.source;
    let lines: Vec<String> = match source {
        SourceState::Empty => vec![
            format!("No events yet from {title}."),
            "fsd records by itself; for another daemon switch its debug log on, or use `fsdiag attach MOUNT`.".into(),
        ],
        SourceState::Loading { done, total } => vec![loading(*done, *total), "q leaves; nothing is changed.".into()],
        SourceState::Failed { what, next } => vec![format!("error: {what}"), next.clone()],
        SourceState::Reconnecting { in_s, why } if state.picture.operations.is_empty() => {
            vec![why.clone(), format!("Trying again in {in_s} s.")]
        }
        SourceState::Gone { why } if state.picture.operations.is_empty() && state.picture.events.is_empty() => {
            vec![why.clone(), "Waiting for it to come back.".into()]
        }
        _ => return None,
    };
    Some(Page { rows: lines.into_iter().map(Row::text).collect(), ..Page::default() })
}

fn loading(done: u64, total: u64) -> String {
    let percent = (done * 100).checked_div(total).unwrap_or(0);
    format!("Loading: {} of {} MB, {percent} %", done / 1_000_000, total / 1_000_000)
}

/// What a terminal that is too small shows.
pub fn too_small(state: &State) -> Vec<Row> {
    vec![banner(state), Row::looking(format!("(the screens need {}x{})", SMALLEST.0, SMALLEST.1), Look::Dim)]
}
