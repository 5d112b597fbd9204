//! Keys: one table that the loop, the footer, the help and the configuration read.

use std::collections::BTreeMap;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// What a key means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    Back,
    Quit,
    Help,
    Details,
    Down,
    Up,
    PageDown,
    PageUp,
    Top,
    Bottom,
    NextScreen,
    PreviousScreen,
    Screen(u8),
    Search,
    NextMatch,
    PreviousMatch,
    Filter,
    Pause,
    Slower,
    Faster,
    Step,
    NextStall,
    Save,
    Redraw,
    Suspend,
}

/// One row of the table.
pub struct Binding {
    pub action: Action,
    /// Name in the configuration.
    pub name: &'static str,
    /// Default keys, as the configuration spells them; the first stands in the footer.
    pub keys: &'static [&'static str],
    pub help: &'static str,
    /// Stands in the footer.
    pub footer: bool,
}

const fn row(
    action: Action,
    name: &'static str,
    keys: &'static [&'static str],
    help: &'static str,
    footer: bool,
) -> Binding {
    Binding { action, name, keys, help, footer }
}

/// The single list of keys.
pub const KEYS: &[Binding] = &[
    row(Action::Help, "help", &["?", "f1"], "this help", true),
    row(Action::Details, "details", &["enter"], "evidence of the verdict, details of a row", true),
    row(Action::NextScreen, "next-screen", &["tab", "l", "right"], "next screen", true),
    row(Action::PreviousScreen, "previous-screen", &["backtab", "h", "left"], "previous screen", false),
    row(Action::Down, "down", &["j", "down"], "one row down", false),
    row(Action::Up, "up", &["k", "up"], "one row up", false),
    row(Action::PageDown, "page-down", &["ctrl-d", "pagedown"], "half a page down", false),
    row(Action::PageUp, "page-up", &["ctrl-u", "pageup"], "half a page up", false),
    row(Action::Top, "top", &["g", "home"], "first row", false),
    row(Action::Bottom, "bottom", &["G", "end"], "last row", false),
    row(Action::Search, "search", &["/"], "search", true),
    row(Action::NextMatch, "next-match", &["n"], "next match", false),
    row(Action::PreviousMatch, "previous-match", &["N"], "previous match", false),
    row(Action::Filter, "filter", &["f"], "show only matching rows", false),
    row(Action::Pause, "pause", &["space"], "pause and go on", true),
    row(Action::Slower, "slower", &["["], "replay slower", false),
    row(Action::Faster, "faster", &["]"], "replay faster", false),
    row(Action::Step, "step", &["."], "replay one event", false),
    row(Action::NextStall, "next-stall", &["e"], "replay to the next stall", false),
    row(Action::Save, "save", &["s"], "save the report to a file", false),
    row(Action::Redraw, "redraw", &["f5", "ctrl-l"], "draw anew", false),
    row(Action::Suspend, "suspend", &["ctrl-z"], "suspend to the shell", false),
    row(Action::Back, "back", &["q", "esc"], "close, back, then quit", true),
    row(Action::Quit, "quit", &["ctrl-c"], "quit", false),
];

/// Keys in force: the table, with what the user remapped.
pub struct Keymap {
    keys: BTreeMap<String, Action>,
}

impl Default for Keymap {
    fn default() -> Self {
        let pairs = KEYS.iter().flat_map(|row| row.keys.iter().map(|key| ((*key).to_owned(), row.action)));
        Self { keys: pairs.collect() }
    }
}

impl Keymap {
    /// Replaces the keys of the actions that `wanted` names; the second value lists what was wrong with it.
    pub fn remapped(wanted: &BTreeMap<String, Vec<String>>) -> (Self, Vec<String>) {
        let (mut map, mut wrong) = (Self::default(), Vec::new());
        for (name, keys) in wanted {
            match KEYS.iter().find(|row| row.name == name) {
                Some(row) => map.rebind(row.action, keys),
                None => wrong.push(format!("no action is called `{name}`; see `?` for the names")),
            }
        }
        (map, wrong)
    }

    fn rebind(&mut self, action: Action, keys: &[String]) {
        self.keys.retain(|_, bound| *bound != action);
        self.keys.extend(keys.iter().map(|key| (key.clone(), action)));
    }

    /// What that key means; digits choose a screen.
    pub fn action(&self, key: KeyEvent) -> Option<Action> {
        let spelled = spell(key)?;
        let screen = spelled.parse::<u8>().ok().filter(|n| (1..=8).contains(n));
        self.keys.get(&spelled).copied().or(screen.map(Action::Screen))
    }

    /// The keys of an action, for help and footer.
    pub fn keys_of(&self, row: &Binding) -> String {
        let mut keys: Vec<_> = self.keys.iter().filter(|(_, a)| **a == row.action).map(|(k, _)| k.as_str()).collect();
        keys.sort_by_key(|key| row.keys.iter().position(|k| k == key).unwrap_or(usize::MAX));
        keys.join(" ")
    }
}

/// The spelling of a key in the table and the configuration.
fn spell(key: KeyEvent) -> Option<String> {
    let plain = match key.code {
        KeyCode::Char(' ') => "space".into(),
        KeyCode::Char(c) => c.to_string(),
        KeyCode::Enter => "enter".into(),
        KeyCode::Esc => "esc".into(),
        KeyCode::Tab => "tab".into(),
        KeyCode::BackTab => "backtab".into(),
        KeyCode::Up => "up".into(),
        KeyCode::Down => "down".into(),
        KeyCode::Left => "left".into(),
        KeyCode::Right => "right".into(),
        KeyCode::Home => "home".into(),
        KeyCode::End => "end".into(),
        KeyCode::PageUp => "pageup".into(),
        KeyCode::PageDown => "pagedown".into(),
        KeyCode::F(n) => format!("f{n}"),
        _ => return None,
    };
    Some(if key.modifiers.contains(KeyModifiers::CONTROL) { format!("ctrl-{plain}") } else { plain })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(code: KeyCode, modifiers: KeyModifiers) -> KeyEvent {
        KeyEvent::new(code, modifiers)
    }

    #[test]
    fn no_key_means_two_things_and_no_name_stands_twice() {
        let mut keys: Vec<_> = KEYS.iter().flat_map(|row| row.keys).collect();
        let mut names: Vec<_> = KEYS.iter().map(|row| row.name).collect();
        let (all_keys, all_names) = (keys.len(), names.len());
        keys.sort();
        keys.dedup();
        names.sort();
        names.dedup();
        assert_eq!((keys.len(), names.len()), (all_keys, all_names));
    }

    #[test]
    fn the_habitual_keys_work() {
        let map = Keymap::default();
        assert_eq!(map.action(press(KeyCode::Char('q'), KeyModifiers::NONE)), Some(Action::Back));
        assert_eq!(map.action(press(KeyCode::Char('c'), KeyModifiers::CONTROL)), Some(Action::Quit));
        assert_eq!(map.action(press(KeyCode::Char('G'), KeyModifiers::SHIFT)), Some(Action::Bottom));
        assert_eq!(map.action(press(KeyCode::Char('3'), KeyModifiers::NONE)), Some(Action::Screen(3)));
        assert_eq!(map.action(press(KeyCode::Char('9'), KeyModifiers::NONE)), None);
    }

    #[test]
    fn remapping_replaces_the_keys_of_one_action_and_names_what_it_does_not_know() {
        let wanted = BTreeMap::from([("down".into(), vec!["ctrl-n".into()]), ("fly".into(), vec!["x".into()])]);
        let (map, wrong) = Keymap::remapped(&wanted);
        assert_eq!(map.action(press(KeyCode::Char('n'), KeyModifiers::CONTROL)), Some(Action::Down));
        assert_eq!(map.action(press(KeyCode::Char('j'), KeyModifiers::NONE)), None);
        assert_eq!(wrong.len(), 1);
    }
}
