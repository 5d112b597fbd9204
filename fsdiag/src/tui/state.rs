//! What the interface is in: a pure function of messages. Time, keys and data come in; effects go out.

mod dialog;
mod items;
mod list;
mod message;
mod screen;

pub use dialog::{Dialog, SURE};
pub use list::List;
pub use message::{Effect, Msg, Order};
pub use screen::Screen;

use super::{
    keys::Action,
    picture::{Act, Picture, SourceState},
    view::frame,
};

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
    lists: [List; 8],
    /// Position in the list of mounts.
    choice: List,
    pub dialog: Option<Dialog>,
    pub search: String,
    pub filter: bool,
    pub message: Option<(String, bool)>,
    /// Acts that were begun so far.
    begun: u64,
    pub read_only: bool,
    pub width: u16,
    pub height: u16,
}

impl State {
    pub fn new(read_only: bool) -> Self {
        let mut state = Self { read_only, ..Self::default() };
        // Of the raw lines the newest are looked at, and of the threads' history the present.
        state.lists[Screen::Events.index()].follow = true;
        state
    }

    /// Whether the next characters are text, not keys.
    pub fn typing(&self) -> bool {
        self.dialog.as_ref().is_some_and(Dialog::types)
    }

    /// The acts that may be offered: none with `--read-only`.
    pub fn acts(&self) -> &[Act] {
        if self.read_only { &[] } else { &self.picture.acts }
    }

    /// Whether the list of mounts stands in the place of every screen.
    pub fn choosing(&self) -> bool {
        self.picture.source.state == SourceState::Choosing
    }

    /// Whether time is the recording's, so that pausing is the source's business.
    pub fn replaying(&self) -> bool {
        matches!(self.picture.source.state, SourceState::Replay { .. })
    }

    pub fn list(&self) -> &List {
        if self.choosing() { &self.choice } else { &self.lists[self.screen.index()] }
    }

    fn list_mut(&mut self) -> &mut List {
        if self.choosing() { &mut self.choice } else { &mut self.lists[self.screen.index()] }
    }

    /// The next state; the effects are the loop's to carry out.
    pub fn update(&mut self, msg: Msg) -> Vec<Effect> {
        match msg {
            Msg::Data(picture) => self.take(picture),
            Msg::Key(action) => return self.key(action),
            Msg::Typed(c) => self.with_dialog(|dialog| dialog.typed(c)),
            Msg::Erased => self.with_dialog(Dialog::erased),
            Msg::Entered => return self.entered(),
            Msg::Clicked { row, column } => return self.clicked(column, row),
            Msg::Scrolled(by) => self.scroll(isize::from(by)),
            Msg::Resized { width, height } => (self.width, self.height) = (width, height),
            Msg::Previewed { args, lines } => self.with_dialog(|dialog| dialog.previewed(&args, lines)),
            Msg::Said { act, line } => self.with_dialog(|dialog| dialog.said(act, line)),
            Msg::Acted { act, text, ok } => {
                self.with_dialog(|dialog| dialog.done(act, ok));
                self.message = Some((text, ok));
            }
            Msg::Noted { text, ok } => self.message = Some((text, ok)),
        }
        Vec::new()
    }

    fn take(&mut self, picture: Box<Picture>) {
        let replay = matches!(picture.source.state, SourceState::Replay { .. });
        if self.paused && !replay {
            self.buffered += 1;
            self.held = Some(picture);
            return;
        }
        self.show_picture(*picture);
        if let SourceState::Replay { paused, .. } = self.picture.source.state {
            self.paused = paused;
        }
    }

    /// What was selected stays selected, wherever it stands now.
    fn show_picture(&mut self, picture: Picture) {
        let before = self.selected().filter(|_| !self.list().follow).map(|item| self.key_of(item));
        self.picture = picture;
        let rows = self.visible();
        let moved = before.and_then(|key| rows.iter().position(|item| self.key_of(*item) == key));
        let count = rows.len();
        self.list_mut().refreshed(moved, count);
    }

    fn key(&mut self, action: Action) -> Vec<Effect> {
        // What was said has been read: the verdict takes its place again.
        let said = self.message.take().is_some();
        match action {
            Action::Quit => return vec![Effect::Quit],
            Action::Back => return self.back(said),
            Action::Suspend => return vec![Effect::Suspend],
            Action::Redraw => return vec![Effect::Redraw],
            Action::Save => return vec![Effect::Save],
            Action::Pause => return self.pause(),
            Action::Slower => return vec![Effect::Speed { faster: false }],
            Action::Faster => return vec![Effect::Speed { faster: true }],
            Action::Step => return vec![Effect::Step],
            Action::NextStall => return vec![Effect::NextStall],
            Action::Rewind => return vec![Effect::Rewind],
            Action::Mounts => return self.choose(),
            Action::Details => return self.details(),
            Action::Help => self.dialog = Some(Dialog::Help { top: 0 }),
            Action::Evidence => self.evidence(),
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

    /// The mounts are looked at anew, whatever was paused.
    fn choose(&mut self) -> Vec<Effect> {
        (self.dialog, self.paused, self.buffered, self.held) = (None, false, 0, None);
        vec![Effect::Choose]
    }

    fn back(&mut self, said: bool) -> Vec<Effect> {
        if self.dialog.take().is_some() || said {
            return Vec::new();
        }
        if self.choosing() {
            return vec![Effect::Quit];
        }
        if self.filter {
            self.toggle_filter();
        } else if self.screen != Screen::Overview {
            self.show(Screen::Overview);
        } else {
            return vec![Effect::Quit];
        }
        Vec::new()
    }

    fn show(&mut self, screen: Screen) {
        if self.choosing() {
            return;
        }
        self.dialog = None;
        self.screen = screen;
        self.clamp();
    }

    fn pause(&mut self) -> Vec<Effect> {
        self.paused = !self.paused;
        if !self.paused {
            self.buffered = 0;
            if let Some(held) = self.held.take() {
                self.show_picture(*held);
            }
        }
        vec![Effect::Pause(self.paused)]
    }

    fn details(&mut self) -> Vec<Effect> {
        if self.dialog.is_some() {
            return self.entered();
        }
        let selected = self.selected();
        if self.choosing() {
            let chosen = selected.and_then(|item| self.picture.mounts.get(item));
            return chosen.map(|choice| Effect::Open(choice.mount.clone())).into_iter().collect();
        }
        match self.screen {
            Screen::Act => {
                let chosen = selected.and_then(|item| self.acts().get(item)).cloned();
                let Some(dialog) = chosen.map(Dialog::asking) else { return Vec::new() };
                let effects = dialog.preview();
                self.dialog = Some(dialog);
                return effects;
            }
            Screen::Overview if self.picture.verdict.is_some() => self.evidence(),
            _ => self.dialog = selected.map(|_| Dialog::Row { top: 0 }),
        }
        Vec::new()
    }

    fn evidence(&mut self) {
        self.dialog = self.picture.verdict.is_some().then_some(Dialog::Evidence { top: 0 });
    }

    fn entered(&mut self) -> Vec<Effect> {
        let Some(dialog) = self.dialog.take() else { return Vec::new() };
        let prompted = matches!(dialog, Dialog::Prompt { .. });
        let (next, outcome) = dialog.entered(self.begun + 1);
        self.dialog = next;
        match outcome {
            dialog::Outcome::Nothing if prompted => self.dialog.as_ref().map(Dialog::preview).unwrap_or_default(),
            dialog::Outcome::Nothing => Vec::new(),
            dialog::Outcome::Search(text) => {
                self.search = text;
                self.filter &= !self.search.is_empty();
                self.clamp();
                self.find(0);
                Vec::new()
            }
            dialog::Outcome::Act(order) => {
                (self.message, self.begun) = (None, order.act);
                vec![Effect::Act(order)]
            }
        }
    }

    fn with_dialog(&mut self, change: impl FnOnce(&mut Dialog)) {
        if let Some(dialog) = &mut self.dialog {
            change(dialog);
        }
    }

    fn toggle_filter(&mut self) {
        let selected = self.selected();
        self.filter = !self.filter && !self.search.is_empty();
        if self.search.is_empty() {
            self.message = Some(("search for something first; the filter then shows only what matches".into(), false));
        }
        let rows = self.visible();
        let at = selected.and_then(|item| rows.iter().position(|row| *row == item));
        let count = rows.len();
        self.list_mut().refreshed(at, count);
    }

    fn half_page(&self) -> isize {
        isize::try_from(frame::Frame::of(self).body.1 / 2).unwrap_or(1).max(1)
    }

    fn scroll(&mut self, by: isize) {
        if let Some(dialog) = &mut self.dialog {
            dialog.scroll(by);
            return;
        }
        let rows = self.visible().len();
        self.list_mut().scroll(by, rows);
    }

    fn clamp(&mut self) {
        let rows = self.visible().len();
        self.list_mut().clamp(rows);
    }

    /// A click on a tab shows that screen, on the verdict its evidence, on a row selects it, and again opens it.
    fn clicked(&mut self, column: u16, row: u16) -> Vec<Effect> {
        if self.dialog.as_ref().is_some_and(|dialog| !dialog.types()) {
            self.dialog = None;
            return Vec::new();
        }
        let frame = frame::Frame::of(self);
        match row {
            row if row == frame.tabs => {
                if let Some(screen) = frame::tab_at(column, self.width) {
                    self.show(screen);
                }
            }
            row if row > 0 && row < frame.tabs => self.evidence(),
            _ => {
                let top = super::view::first_row(self, frame);
                let Some(at) = row.checked_sub(top.0).map(usize::from) else { return Vec::new() };
                let (rows, at) = (self.visible().len(), at + top.1);
                if at < rows && at == self.list().selected {
                    return self.details();
                }
                self.list_mut().select(at, rows);
            }
        }
        Vec::new()
    }

    /// Selects the next row that matches; 0 begins with the selected one.
    fn find(&mut self, by: isize) {
        let rows = self.visible();
        let count = rows.len() as isize;
        if count == 0 || self.search.is_empty() {
            return;
        }
        let direction = if by < 0 { -1 } else { 1 };
        let start = self.list().selected as isize + by;
        let mut order = (0..count).map(|step| (start + step * direction).rem_euclid(count) as usize);
        match order.find(|at| self.matches(&self.text_of(rows[*at]))) {
            Some(at) => self.list_mut().select(at, rows.len()),
            None => self.message = Some((format!("nothing matches `{}`", self.search), false)),
        }
    }
}

#[cfg(test)]
mod tests;
