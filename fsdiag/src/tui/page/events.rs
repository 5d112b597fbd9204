//! The raw lines, newest last. Those of fsd begin with the same words: they are shown from their time on.

use super::{Canvas, Cell, Look, Page, Row, nothing, words};
use crate::tui::state::State;

pub fn page(state: &State, canvas: Canvas) -> Page {
    let (shown, events) = (state.visible(), &state.picture.events);
    if shown.is_empty() {
        return nothing(state, "no lines", Look::Dim);
    }
    // Thousands of lines are kept: only those are made that can be seen.
    let first = state.list().window(canvas.height).min(shown.len());
    let rows = shown[first..].iter().take(canvas.height).filter_map(|at| events.get(*at)).map(|event| {
        let look = match (state.matches(&event.text), event.loud) {
            (true, _) => Look::Match,
            (false, true) => Look::Loud,
            (false, false) => Look::Plain,
        };
        let number = format!("{:>8} ", event.line);
        let text = words::cut(&brief(&event.text), canvas.width.saturating_sub(number.len()));
        Row(vec![Cell::new(number, Look::Dim), Cell::new(text, look)])
    });
    Page { rows: rows.collect(), skipped: first, selectable: true, ..Page::default() }
}

/// `12:34:56.789012 enter id:7 op:Read ...` of an event of fsd; any other line as it is.
fn brief(line: &str) -> String {
    let time = || line.split_once("\"ts\":\"")?.1.split_once('T')?.1.split(['Z', '"', '+']).next();
    let rest = || line.split_once("\"ev\":");
    match (time().filter(|_| line.starts_with("{\"run\":")), rest()) {
        (Some(time), Some((_, rest))) => {
            let rest = rest.strip_suffix('}').unwrap_or(rest);
            format!("{time} {}", rest.replace("\",\"", " ").replace(",\"", " ").replace('"', ""))
        }
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_of_fsd_is_shown_from_its_time_on_and_another_line_as_it_is() {
        let line = r#"{"run":"1f","mount_run":"2a","seq":4,"ts":"2026-08-01T12:34:56.789012Z","mono_us":9,"ev":"enter","id":7,"op":"Read","path":"a, b.mkv"}"#;
        assert_eq!(brief(line), "12:34:56.789012 enter id:7 op:Read path:a, b.mkv");
        assert_eq!(brief("2026-08-01 rclone: hello"), "2026-08-01 rclone: hello");
    }
}
