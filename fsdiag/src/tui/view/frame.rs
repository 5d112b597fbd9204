//! Frame: which lines of the terminal hold what. The view draws into it, and the mouse is understood by it.

use crate::tui::{
    page::status,
    state::{Screen, State},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Lines of the banner, below the status line.
    pub banner: u16,
    /// Line of the tabs.
    pub tabs: u16,
    /// First line and height of the body.
    pub body: (u16, u16),
}

impl Frame {
    pub fn of(state: &State) -> Self {
        let banner = status::banner(state, usize::from(state.width)).len();
        let banner = u16::try_from(banner).unwrap_or(3).clamp(1, 3);
        let tabs = 1 + banner;
        let body = tabs + 1;
        Self { banner, tabs, body: (body, state.height.saturating_sub(body + 1).max(1)) }
    }
}

/// A tab as it is written at that width.
pub fn tab_text(screen: Screen, width: u16) -> String {
    let all: usize = Screen::ALL.iter().map(|screen| screen.title().len() + 3).sum();
    let name = if all <= usize::from(width) + 1 { screen.title() } else { screen.short() };
    format!("{} {name}", screen.index() + 1)
}

/// The screen whose tab lies at that column.
pub fn tab_at(column: u16, width: u16) -> Option<Screen> {
    let mut start = 0;
    Screen::ALL.into_iter().find(|screen| {
        let end = start + tab_text(*screen, width).len() + 1;
        let hit = (start..end).contains(&usize::from(column));
        start = end;
        hit
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tabs_fit_into_the_smallest_screen_and_are_hit_where_they_stand() {
        for width in [60, 80, 200] {
            let texts: Vec<String> = Screen::ALL.into_iter().map(|screen| tab_text(screen, width)).collect();
            let line = texts.join(" ");
            assert!(line.len() <= usize::from(width), "{line}");
            for (screen, text) in Screen::ALL.into_iter().zip(&texts) {
                let column = u16::try_from(line.find(text.as_str()).unwrap()).unwrap();
                assert_eq!(tab_at(column, width), Some(screen));
            }
        }
    }
}
