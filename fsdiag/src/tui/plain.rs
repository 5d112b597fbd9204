//! The same screens as linear, labelled text: for screen readers, pipes and bug reports.

use super::{
    page::{self, Canvas, Row, details, status},
    state::{Screen, State},
};

/// Lines of a screen: what is longer is cut, the newest events stay.
const LONGEST: usize = 500;

/// Every screen, one after another.
pub fn text(state: &State, width: usize) -> String {
    let mut state = state.clone();
    (state.width, state.dialog) = (u16::try_from(width).unwrap_or(u16::MAX), None);
    let mut lines = vec![status::line(&state, width).plain()];
    lines.extend(status::banner(&state, width).iter().map(Row::plain));
    if state.choosing() {
        lines.push(String::new());
        lines.extend(body(&state, width));
        return lines.join("\n") + "\n";
    }
    if let Some(verdict) = &state.picture.verdict {
        lines.extend(details::evidence(verdict).iter().map(Row::plain));
    }
    for screen in Screen::ALL {
        state.screen = screen;
        lines.push(String::new());
        lines.push(format!("== {} ==", screen.title()));
        lines.extend(body(&state, width));
    }
    lines.join("\n") + "\n"
}

fn body(state: &State, width: usize) -> Vec<String> {
    let page = page::body(state, Canvas { width, height: LONGEST, ascii: true });
    let rows = page.rows.iter().take(LONGEST);
    page.header.iter().chain(rows).chain(&page.below).map(Row::plain).collect()
}
