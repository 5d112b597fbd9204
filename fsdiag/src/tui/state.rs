//! What the interface is in: a pure function of messages. Time, keys and data come in; effects go out.

mod dialog;
mod list;

pub use dialog::{Dialog, SURE};
pub use list::List;

use super::{
    keys::Action,
    picture::{Act, Picture, SourceState},
};

/// One screen of the interface, in the order of their keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Screen {
    #[default]
    Overview,
    Operations,
    Locks,
    Stacks,
    Latency,
    Timeline,
    Events,
    Act,
}

impl Screen {
    pub const ALL: [Self; 8] = [
        Self::Overview,
        Self::Operations,
        Self::Locks,
        Self::Stacks,
        Self::Latency,
        Self::Timeline,
        Self::Events,
        Self::Act,
    ];

    pub fn title(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Operations => "Operations",
            Self::Locks => "Locks",
            Self::Stacks => "Stacks",
            Self::Latency => "Latency",
            Self::Timeline => "Timeline",
            Self::Events => "Events",
            Self::Act => "Act",
        }
    }

    pub fn index(self) -> usize {
        Self::ALL.iter().position(|s| *s == self).unwrap_or(0)
    }

    fn turned(self, by: isize) -> Self {
        let count = Self::ALL.len() as isize;
        Self::ALL[(self.index() as isize + by).rem_euclid(count) as usize]
    }
}

/// What happens to the interface.
#[derive(Clone, Debug, PartialEq)]
pub enum Msg {
    Key(Action),
    /// A character while a line is being typed.
    Typed(char),
    Erased,
    Entered,
    /// Mouse: row of the screen, 0 on top, and column.
    Clicked {
        column: u16,
        row: u16,
    },
    Scrolled(i16),
    Data(Box<Picture>),
    Resized {
        width: u16,
        height: u16,
    },
    /// An act ended: what to say, and whether it went well.
    Acted {
        text: String,
        ok: bool,
    },
}

/// What the loop does for the interface.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    Quit,
    Suspend,
    Redraw,
    Save,
    /// Run `fsdiag` with these arguments and say how it ended.
    Act {
        args: Vec<String>,
        /// A secret, for its standard input.
        input: Option<String>,
    },
    Pause(bool),
    Speed {
        faster: bool,
    },
    Step,
    NextStall,
}

/// Everything that a frame depends on.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub screen: Screen,
    pub picture: Picture,
    /// Data that came while paused.
    held: Option<Box<Picture>>,
    pub paused: bool,
    /// Pictures held back while paused.
    pub buffered: u64,
    pub lists: [List; 8],
    pub dialog: Option<Dialog>,
    pub search: String,
    pub filter: bool,
    pub message: Option<(String, bool)>,
    pub read_only: bool,
    pub width: u16,
    pub height: u16,
}

impl State {
    pub fn new(read_only: bool) -> Self {
        Self { read_only, ..Self::default() }
    }

    /// Whether the next characters are text, not keys.
    pub fn typing(&self) -> bool {
        self.dialog.as_ref().is_some_and(Dialog::types)
    }

    /// The acts that may be offered: none with `--read-only`.
    pub fn acts(&self) -> &[Act] {
        if self.read_only { &[] } else { &self.picture.acts }
    }

    pub fn list(&self) -> &List {
        &self.lists[self.screen.index()]
    }

    /// Rows of the current screen.
    pub fn rows(&self) -> usize {
        let picture = &self.picture;
        match self.screen {
            Screen::Overview => picture.operations.len().min(8),
            Screen::Operations => self.shown(&picture.operations, |o| format!("{} {} {}", o.op, o.id, o.path)).count(),
            Screen::Locks => self.shown(&picture.locks, |l| format!("{} {}", l.name, l.holder)).count(),
            Screen::Stacks => self.shown(&picture.stacks, |s| s.frames.join(" ")).count(),
            Screen::Latency => picture.latency.len(),
            Screen::Timeline => picture.lanes.len(),
            Screen::Events => self.shown(&picture.events, |e| e.text.clone()).count(),
            Screen::Act => self.acts().len(),
        }
    }

    /// Rows that pass the filter.
    pub fn shown<'a, T>(&'a self, rows: &'a [T], text: impl Fn(&T) -> String + 'a) -> impl Iterator<Item = &'a T> + 'a {
        rows.iter().filter(move |row| !self.filter || self.matches(&text(row)))
    }

    /// Whether a row holds what is searched for, in any case.
    pub fn matches(&self, text: &str) -> bool {
        !self.search.is_empty() && text.to_lowercase().contains(&self.search.to_lowercase())
    }

    /// The next state; the effects are the loop's to carry out.
    pub fn update(&mut self, msg: Msg) -> Vec<Effect> {
        match msg {
            Msg::Data(picture) => self.take(picture),
            Msg::Key(action) => return self.key(action),
            Msg::Typed(c) => self.with_dialog(|dialog| dialog.typed(c)),
            Msg::Erased => self.with_dialog(Dialog::erased),
            Msg::Entered => return self.entered(),
            Msg::Clicked { row, column } => self.clicked(column, row),
            Msg::Scrolled(by) => self.scroll(isize::from(by)),
            Msg::Resized { width, height } => (self.width, self.height) = (width, height),
            Msg::Acted { text, ok } => self.message = Some((text, ok)),
        }
        Vec::new()
    }

    fn take(&mut self, picture: Box<Picture>) {
        if self.paused && !matches!(picture.source.state, SourceState::Replay { .. }) {
            self.buffered += 1;
            self.held = Some(picture);
            return;
        }
        self.picture = *picture;
        self.clamp();
    }

    fn key(&mut self, action: Action) -> Vec<Effect> {
        match action {
            Action::Quit => return vec![Effect::Quit],
            Action::Back => return self.back(),
            Action::Suspend => return vec![Effect::Suspend],
            Action::Redraw => return vec![Effect::Redraw],
            Action::Save => return vec![Effect::Save],
            Action::Pause => return self.pause(),
            Action::Slower => return vec![Effect::Speed { faster: false }],
            Action::Faster => return vec![Effect::Speed { faster: true }],
            Action::Step => return vec![Effect::Step],
            Action::NextStall => return vec![Effect::NextStall],
            Action::Details => return self.details(),
            Action::Help => self.dialog = Some(Dialog::Help { top: 0 }),
            Action::Search => self.dialog = Some(Dialog::Search { text: self.search.clone() }),
            Action::Filter => self.toggle_filter(),
            Action::NextScreen => self.show(self.screen.turned(1)),
            Action::PreviousScreen => self.show(self.screen.turned(-1)),
            Action::Screen(n) => self.show(Screen::ALL[usize::from(n.clamp(1, 8)) - 1]),
            Action::NextMatch => self.find(1),
            Action::PreviousMatch => self.find(-1),
            Action::Down => self.scroll(1),
            Action::Up => self.scroll(-1),
            Action::PageDown => self.scroll(self.half_page()),
            Action::PageUp => self.scroll(-self.half_page()),
            Action::Top => self.scroll(isize::MIN / 2),
            Action::Bottom => self.scroll(isize::MAX / 2),
        }
        Vec::new()
    }

    fn back(&mut self) -> Vec<Effect> {
        if self.dialog.take().is_some() || self.message.take().is_some() {
            return Vec::new();
        }
        if self.filter {
            self.filter = false;
        } else if self.screen != Screen::Overview {
            self.show(Screen::Overview);
        } else {
            return vec![Effect::Quit];
        }
        Vec::new()
    }

    fn show(&mut self, screen: Screen) {
        self.dialog = None;
        self.screen = screen;
        self.clamp();
    }

    fn pause(&mut self) -> Vec<Effect> {
        self.paused = !self.paused;
        if !self.paused {
            self.buffered = 0;
            if let Some(held) = self.held.take() {
                self.picture = *held;
                self.clamp();
            }
        }
        vec![Effect::Pause(self.paused)]
    }

    fn details(&mut self) -> Vec<Effect> {
        match (&self.dialog, self.screen) {
            (Some(_), _) => return self.entered(),
            (None, Screen::Act) => {
                let chosen = self.acts().get(self.list().selected).cloned();
                self.dialog = chosen.map(Dialog::asking);
            }
            (None, Screen::Overview) if self.picture.verdict.is_some() => {
                self.dialog = Some(Dialog::Evidence { top: 0 });
            }
            (None, _) => self.dialog = (self.rows() > 0).then_some(Dialog::Row { top: 0 }),
        }
        Vec::new()
    }

    fn entered(&mut self) -> Vec<Effect> {
        let Some(dialog) = self.dialog.take() else { return Vec::new() };
        let (next, outcome) = dialog.entered();
        self.dialog = next;
        match outcome {
            dialog::Outcome::Nothing => Vec::new(),
            dialog::Outcome::Search(text) => {
                self.search = text;
                self.find(0);
                Vec::new()
            }
            dialog::Outcome::Act { args, input } => {
                self.message = Some((format!("running: fsdiag {}", args.join(" ")), true));
                vec![Effect::Act { args, input }]
            }
        }
    }

    fn with_dialog(&mut self, change: impl FnOnce(&mut Dialog)) {
        if let Some(dialog) = &mut self.dialog {
            change(dialog);
        }
    }

    fn toggle_filter(&mut self) {
        self.filter = !self.filter && !self.search.is_empty();
        self.clamp();
    }

    fn half_page(&self) -> isize {
        isize::try_from((self.height.max(20) - 8) / 2).unwrap_or(6)
    }

    fn scroll(&mut self, by: isize) {
        if let Some(dialog) = &mut self.dialog {
            dialog.scroll(by);
            return;
        }
        let rows = self.rows();
        self.lists[self.screen.index()].scroll(by, rows);
    }

    fn clamp(&mut self) {
        let rows = self.rows();
        self.lists[self.screen.index()].clamp(rows);
    }

    /// A click on a tab shows that screen, a click on a row selects it.
    fn clicked(&mut self, column: u16, row: u16) {
        match row {
            super::view::TABS_ROW => {
                if let Some(screen) = super::view::tab_at(column) {
                    self.show(screen);
                }
            }
            row if row >= super::view::FIRST_ROW => {
                let rows = self.rows();
                let at = usize::from(row - super::view::FIRST_ROW) + self.list().top;
                self.lists[self.screen.index()].select(at, rows);
            }
            _ => self.dialog = self.picture.verdict.is_some().then_some(Dialog::Evidence { top: 0 }),
        }
    }

    /// Selects the next row that matches; 0 begins with the selected one.
    fn find(&mut self, by: isize) {
        let texts = self.row_texts();
        let count = texts.len() as isize;
        if count == 0 || self.search.is_empty() {
            return;
        }
        let direction = if by < 0 { -1 } else { 1 };
        let start = self.list().selected as isize + by;
        let order = (0..count).map(|step| (start + step * direction).rem_euclid(count) as usize);
        match order.into_iter().find(|at| self.matches(&texts[*at])) {
            Some(at) => self.lists[self.screen.index()].select(at, texts.len()),
            None => self.message = Some((format!("nothing matches `{}`", self.search), false)),
        }
    }

    fn row_texts(&self) -> Vec<String> {
        let picture = &self.picture;
        match self.screen {
            Screen::Overview | Screen::Operations => {
                picture.operations.iter().map(|o| format!("{} {} {} {}", o.op, o.id, o.path, o.waits)).collect()
            }
            Screen::Locks => picture.locks.iter().map(|l| format!("{} {}", l.name, l.holder)).collect(),
            Screen::Stacks => {
                picture.stacks.iter().map(|s| format!("{} {}", s.threads.join(" "), s.frames.join(" "))).collect()
            }
            Screen::Latency => picture.latency.iter().map(|l| l.op.clone()).collect(),
            Screen::Timeline => picture.lanes.iter().map(|l| l.worker.clone()).collect(),
            Screen::Events => picture.events.iter().map(|e| e.text.clone()).collect(),
            Screen::Act => self.acts().iter().map(|a| a.title.clone()).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
