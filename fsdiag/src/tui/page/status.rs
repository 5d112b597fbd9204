//! The lines around every screen: where the data comes from, what the verdict is, and what takes a screen's place.

use super::{Canvas, Cell, Look, Page, Row, words};
use crate::{
    engine::plural::{count, verb},
    tui::{
        picture::{Source, SourceState, Verdict},
        state::{Screen, State},
    },
};

/// Smallest terminal that can hold the screens; below it only the verdict is shown.
pub const SMALLEST: (u16, u16) = (60, 15);
/// Lines of the banner, and what the title keeps of itself at least.
const BANNER: usize = 3;
const TITLE: usize = 8;
/// From here on there is room for the name of the program.
const WIDE: usize = 80;

/// Mount, pid, flags, how fresh and how complete the data is.
pub fn line(state: &State, width: usize) -> Row {
    let source = &state.picture.source;
    let mut cells = vec![condition(&source.state)];
    if state.paused && !state.replaying() {
        cells.push(Cell::new(format!(" PAUSED, {} buffered", state.buffered), Look::Loud));
    }
    let name = if width < WIDE { "" } else { "fsdiag " };
    let long = |cells: &[Cell]| cells.iter().map(|cell| words::width(&cell.text)).sum::<usize>() + name.len();
    if !state.choosing() {
        let room = width.saturating_sub(long(&cells) + TITLE.min(words::width(&source.title)));
        cells.extend(fitting(facts(source), room));
    }
    let used = long(&cells);
    let title = words::cut_front(&source.title, width.saturating_sub(used).max(TITLE));
    Row([Cell::new(name, Look::Label), Cell::from(title)].into_iter().chain(cells).collect())
}

/// As much as there is room for; what is as it should be gives way first, from the right.
fn fitting(mut facts: Vec<Cell>, room: usize) -> Vec<Cell> {
    while facts.iter().map(|fact| words::width(&fact.text)).sum::<usize>() > room {
        let Some(last) = facts.iter().rposition(|fact| fact.look == Look::Plain) else { break };
        facts.remove(last);
    }
    facts
}

fn facts(source: &Source) -> Vec<Cell> {
    let mut cells = Vec::new();
    if !source.kind.is_empty() {
        cells.push(Cell::new(format!(" {}", source.kind), Look::Dim));
    }
    if let Some(pid) = source.pid {
        cells.push(Cell::from(format!(" pid {pid}")));
    }
    cells.extend(source.workers.map(|(busy, all)| {
        let look = if busy >= all { Look::Victim } else { Look::Plain };
        Cell::new(format!(" busy {busy}/{all}"), look)
    }));
    cells.push(Cell::from(format!(" {}/s", words::count(source.events_per_s))));
    // A lag that is not known is not shown.
    if source.lag_ms > 0 {
        let look = if source.lag_ms >= 2_000 { Look::Slow } else { Look::Plain };
        let lag =
            if source.lag_ms < 1_000 { format!("{}ms", source.lag_ms) } else { words::duration(source.lag_ms * 1_000) };
        cells.push(Cell::new(format!(" lag {lag}"), look));
    }
    let look = if source.lost > 0 { Look::Slow } else { Look::Plain };
    cells.push(Cell::new(format!(" lost {}", words::count(source.lost)), look));
    if source.bad_lines > 0 {
        cells.push(Cell::new(format!(" bad {}", words::count(source.bad_lines)), Look::Slow));
    }
    // Their prefix says nothing that the brackets do not.
    let flags: Vec<&str> = source.flags.iter().map(|flag| flag.trim_start_matches("debug_")).collect();
    if !flags.is_empty() {
        cells.push(Cell::new(format!(" [{}]", flags.join(" ")), Look::Slow));
    }
    cells
}

fn condition(state: &SourceState) -> Cell {
    let (text, look) = match state {
        SourceState::Empty => (" no events yet".into(), Look::Dim),
        SourceState::Choosing => (String::new(), Look::Dim),
        SourceState::Loading { .. } => (" loading".into(), Look::Slow),
        SourceState::Live => (" live".into(), Look::Good),
        SourceState::Recorded => (" recorded".into(), Look::Dim),
        SourceState::Replay { speed, paused, at_us, length_us } => {
            let how = if *paused { "PAUSED" } else { "replay" };
            let (at, length) = (words::clock(*at_us), words::clock(*length_us));
            (format!(" {how} {} {at}/{length}", speed.label()), Look::Slow)
        }
        SourceState::Gone { .. } => (" GONE".into(), Look::Victim),
        SourceState::Reconnecting { in_s, .. } => (format!(" reconnecting in {in_s}s"), Look::Victim),
        SourceState::Failed { .. } => (" failed".into(), Look::Victim),
    };
    Cell::new(text, look)
}

/// What is wrong, who is it, since when, how many wait, how sure; at most three lines.
pub fn banner(state: &State, width: usize) -> Vec<Row> {
    if let Some((text, ok)) = &state.message {
        let row = Row::looking(text.clone(), if *ok { Look::Good } else { Look::Loud });
        return shortened(row.wrapped(width.max(1)), BANNER, width);
    }
    if state.choosing() {
        return vec![Row(vec![choices(state)])];
    }
    match &state.picture.verdict {
        Some(verdict) => {
            let key = if state.screen == Screen::Overview && width >= WIDE { ", Enter: evidence" } else { "" };
            let head = Row(vec![head(verdict), Cell::from(key)]);
            let look = if verdict.recovered { Look::Plain } else { Look::Victim };
            let sentence = Row::looking(verdict.sentence.clone(), look).wrapped(width.max(1));
            std::iter::once(head).chain(shortened(sentence, BANNER - 1, width)).collect()
        }
        None => vec![Row(vec![healthy(state)])],
    }
}

fn head(verdict: &Verdict) -> Cell {
    let (word, look) = if verdict.recovered { (". RECOVERED", Look::Good) } else { ("! STALL", Look::Culprit) };
    let age = verdict.age_s.map_or(String::new(), |s| format!(" {}", words::duration((s * 1e6) as u64)));
    let after = if verdict.recovered { " after" } else { "" };
    let (cause, sure) = (&verdict.cause, &verdict.confidence);
    Cell::new(format!("{word}{after}{age}: {cause}, {sure}, {} waiting", verdict.waiters), look)
}

/// The first `most` lines; the last one says if there are more.
fn shortened(mut rows: Vec<Row>, most: usize, width: usize) -> Vec<Row> {
    if rows.len() > most {
        rows.truncate(most);
        if let Some(Row(cells)) = rows.last_mut() {
            let cut = cells.last_mut();
            cut.into_iter().for_each(|cell| {
                cell.text = words::cut(&format!("{} ...", cell.text), width.max(1));
            });
        }
    }
    rows
}

fn choices(state: &State) -> Cell {
    let sick = state.picture.mounts.iter().filter(|choice| choice.sick).count();
    let unknown = state.picture.mounts.iter().filter(|choice| choice.unknown).count();
    match (state.picture.mounts.len(), sick) {
        (0, _) => Cell::new("nothing to look at", Look::Slow),
        (_, 0) if unknown > 0 => Cell::new(
            format!("~ how {} {} cannot be told; root sees more", count(unknown, "mount"), verb(unknown, "does", "do")),
            Look::Slow,
        ),
        (_, 0) => Cell::new(". every mount looks well", Look::Good),
        (all, sick) => Cell::new(
            format!("! {sick} of {} {} dead", count(all, "mount"), verb(sick, "hangs or is", "hang or are")),
            Look::Culprit,
        ),
    }
}

fn healthy(state: &State) -> Cell {
    let picture = &state.picture;
    let oldest = picture.operations.iter().map(|o| o.age_us).max().unwrap_or(0);
    let rate = picture.completed.last().copied().unwrap_or(0);
    match picture.source.state {
        SourceState::Empty | SourceState::Loading { .. } | SourceState::Failed { .. } => Cell::new("", Look::Dim),
        SourceState::Reconnecting { .. } | SourceState::Gone { .. } => Cell::new("~ nothing is known", Look::Slow),
        _ if picture.source.untold.is_some() => Cell::new(
            format!("~ cannot tell whether anything hangs: {}", picture.source.untold.unwrap_or_default()),
            Look::Slow,
        ),
        _ if picture.source.lost > 0 => Cell::new(
            format!(
                "~ no stall seen, but {} {} lost: one could hide",
                words::count(picture.source.lost),
                verb(picture.source.lost, "event was", "events were")
            ),
            Look::Slow,
        ),
        _ if picture.operations.is_empty() => {
            Cell::new(format!(". healthy: {} ops/s, nothing is open", words::count(rate)), Look::Good)
        }
        _ => Cell::new(
            format!(". healthy: {} ops/s, oldest open op {}", words::count(rate), words::duration(oldest)),
            Look::Good,
        ),
    }
}

/// What stands in a screen's place while there is nothing to show in it.
pub fn instead(state: &State, canvas: Canvas) -> Option<Page> {
    let picture = &state.picture;
    let Source { state: source, title, .. } = &picture.source;
    let nothing = picture.operations.is_empty() && picture.events.is_empty() && picture.verdict.is_none();
    let lines: Vec<String> = match source {
        SourceState::Empty => vec![
            format!("No events yet from {title}."),
            "fsd records by itself; of another daemon switch the debug log on, or look at its mount: fsdiag tui MOUNT."
                .into(),
        ],
        SourceState::Loading { done, total } => {
            vec![loading(*done, *total), bar(*done, *total, canvas), "q leaves; nothing is changed.".into()]
        }
        SourceState::Failed { what, next } => vec![format!("error: {what}"), next.clone()],
        SourceState::Reconnecting { in_s, why } if nothing => {
            vec![why.clone(), format!("Looking again in {in_s} s; m shows what else is mounted.")]
        }
        SourceState::Gone { why } if nothing => vec![why.clone(), "Waiting for it to come back.".into()],
        _ => return None,
    };
    let rows = lines.into_iter().flat_map(|line| Row::text(line).wrapped(canvas.width.max(1))).collect();
    Some(Page { rows, ..Page::default() })
}

fn loading(done: u64, total: u64) -> String {
    let percent = (done * 100).checked_div(total).unwrap_or(0);
    format!("Loading: {} of {}, {percent} %", words::bytes(done), words::bytes(total))
}

fn bar(done: u64, total: u64, canvas: Canvas) -> String {
    let (full, free) = if canvas.ascii { ("#", ".") } else { ("█", "░") };
    let width = canvas.width.min(60);
    let filled = usize::try_from(done * width as u64 / total.max(1)).unwrap_or(0).min(width);
    format!("{}{}", full.repeat(filled), free.repeat(width - filled))
}

/// What a terminal that is too small shows.
pub fn too_small(state: &State) -> Vec<Row> {
    let width = usize::from(state.width).max(1);
    let mut rows = banner(state, width);
    rows.push(Row::looking(format!("(the screens need {}x{})", SMALLEST.0, SMALLEST.1), Look::Dim));
    rows
}
