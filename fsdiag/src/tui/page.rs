//! A screen as lines of text with a meaning: what `view` draws on the terminal and `--plain` prints.

pub mod choice;
pub mod details;
pub mod events;
pub mod help;
pub mod latency;
pub mod locks;
pub mod operations;
pub mod overview;
pub mod row;
pub mod stacks;
pub mod status;
pub mod table;
pub mod timeline;
pub mod words;

pub use self::row::{Cell, Look, Row};
use super::state::{Screen, State};

/// A screen's body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Stays on top while the rows scroll.
    pub header: Option<Row>,
    pub rows: Vec<Row>,
    /// Rows of the list before the first of `rows`, which nobody could see.
    pub skipped: usize,
    /// Whether a row can be selected.
    pub selectable: bool,
    /// Stays at the bottom while the rows scroll.
    pub below: Vec<Row>,
}

impl Page {
    /// One line in the place of a list.
    pub fn note(text: &str, look: Look) -> Self {
        Self { rows: vec![Row::looking(text, look)], ..Self::default() }
    }

    /// Sentences in the place of a list, in full.
    fn wrapped(self, width: usize) -> Self {
        let rows = self.rows.iter().flat_map(|row| row.wrapped(width.max(1))).collect();
        Self { rows, ..self }
    }

    /// With these lines at the bottom, as far as they leave room for `rows` of the list.
    #[must_use]
    pub fn with_below(self, below: Vec<Row>, canvas: Canvas, rows: usize) -> Self {
        let list = self.rows.len().min(rows) + usize::from(self.header.is_some());
        let room = canvas.height.saturating_sub(list);
        Self { below: below.into_iter().take(room).collect(), ..self }
    }
}

/// How large, and with which characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Canvas {
    pub width: usize,
    pub height: usize,
    /// No character outside ASCII.
    pub ascii: bool,
}

/// The body of the current screen.
pub fn body(state: &State, canvas: Canvas) -> Page {
    let page = whole(state, canvas);
    if page.selectable { page } else { page.wrapped(canvas.width) }
}

fn whole(state: &State, canvas: Canvas) -> Page {
    if state.choosing() {
        return choice::page(state, canvas);
    }
    if let Some(page) = status::instead(state, canvas) {
        return page;
    }
    match state.screen {
        Screen::Overview => overview::page(state, canvas),
        Screen::Operations => operations::page(state, canvas),
        Screen::Locks => locks::page(state, canvas),
        Screen::Stacks => stacks::page(state, canvas),
        Screen::Latency => latency::page(state, canvas),
        Screen::Timeline => timeline::page(state, canvas),
        Screen::Events => events::page(state, canvas),
        Screen::Act => details::acts(state),
    }
}

/// What stands where the filter has left nothing.
pub fn nothing(state: &State, otherwise: &str, look: Look) -> Page {
    if state.filter {
        return Page::note(&format!("nothing matches `{}`; f shows everything again", state.search), Look::Slow);
    }
    Page::note(otherwise, look)
}
