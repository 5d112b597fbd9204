//! One turn of the loop: what can happen, and what the terminal's events mean to the state.

use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseEvent, MouseEventKind};

use super::{
    keys::{Action, Keymap},
    picture::Picture,
    state::{Msg, State},
};

/// The closed set of things the loop waits for.
pub enum Turn {
    Terminal(Event),
    Picture(Box<Picture>),
    /// What an act says while it runs beside the loop.
    Told(Msg),
    /// INT, TERM, HUP: leave, with the terminal in order.
    Signal,
}

/// The messages that a terminal event is worth in this state.
pub fn messages(event: Event, state: &State, keys: &Keymap) -> Vec<Msg> {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => key_message(key, state, keys).into_iter().collect(),
        Event::Mouse(mouse) => mouse_message(mouse).into_iter().collect(),
        Event::Resize(width, height) => vec![Msg::Resized { width, height }],
        Event::Paste(text) if state.typing() => text.chars().filter(|c| !c.is_control()).map(Msg::Typed).collect(),
        _ => Vec::new(),
    }
}

fn key_message(key: KeyEvent, state: &State, keys: &Keymap) -> Option<Msg> {
    if state.typing() && !key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            KeyCode::Char(c) => Some(Msg::Typed(c)),
            KeyCode::Backspace => Some(Msg::Erased),
            KeyCode::Enter => Some(Msg::Entered),
            KeyCode::Esc => Some(Msg::Key(Action::Back)),
            _ => None,
        };
    }
    keys.action(key).map(Msg::Key)
}

fn mouse_message(mouse: MouseEvent) -> Option<Msg> {
    match mouse.kind {
        MouseEventKind::Down(_) => Some(Msg::Clicked { column: mouse.column, row: mouse.row }),
        MouseEventKind::ScrollDown => Some(Msg::Scrolled(3)),
        MouseEventKind::ScrollUp => Some(Msg::Scrolled(-3)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::state::Dialog;

    #[test]
    fn while_a_line_is_typed_letters_are_letters() {
        let (mut state, keys) = (State::new(false), Keymap::default());
        let press = |c| Event::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE));
        assert_eq!(messages(press('q'), &state, &keys), [Msg::Key(Action::Back)]);
        state.dialog = Some(Dialog::Search { text: String::new() });
        assert_eq!(messages(press('q'), &state, &keys), [Msg::Typed('q')]);
        let quit = Event::Key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL));
        assert_eq!(messages(quit, &state, &keys), [Msg::Key(Action::Quit)]);
        assert_eq!(messages(Event::Paste("a\nb".into()), &state, &keys), [Msg::Typed('a'), Msg::Typed('b')]);
    }
}
