//! The same screens as linear, labelled text: for screen readers, pipes and bug reports.

use super::{
    page::{self, Canvas, Row, details, status},
    state::{Screen, State},
};

/// Every screen, one after another.
pub fn text(state: &State, width: usize) -> String {
    let mut state = state.clone();
    let mut lines = vec![status::line(&state).plain(), status::banner(&state).plain()];
    if let Some(verdict) = &state.picture.verdict {
        lines.extend(details::evidence(verdict).iter().map(Row::plain));
    }
    for screen in Screen::ALL {
        state.screen = screen;
        let page = page::body(&state, Canvas { width, ascii: true });
        lines.push(String::new());
        lines.push(format!("== {} ==", screen.title()));
        lines.extend(page.header.iter().chain(&page.rows).map(Row::plain));
    }
    lines.join("\n") + "\n"
}
