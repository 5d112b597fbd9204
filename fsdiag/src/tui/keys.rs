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
    Rewind,
    Evidence,
    Mounts,
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
    /// One word for the footer.
    pub short: &'static str,
    pub footer: Footer,
}

/// When a key stands in the last line of the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Footer {
    Never,
    Always,
    /// Where a screen is shown, not the list of mounts.
    Screens,
    Replay,
    /// While something is searched for.
    Found,
    /// While there is a verdict.
    Verdict,
}

const fn row(
    action: Action,
    name: &'static str,
    keys: &'static [&'static str],
    help: &'static str,
    (short, footer): (&'static str, Footer),
) -> Binding {
    Binding { action, name, keys, help, short, footer }
}

/// In the help only.
const HELP: (&str, Footer) = ("", Footer::Never);

/// The single list of keys.
pub const KEYS: &[Binding] = &[
    row(Action::Help, "help", &["?", "f1"], "this help", ("help", Footer::Always)),
    row(Action::Details, "details", &["enter"], "evidence, details of a row, do an act", ("open", Footer::Always)),
    row(Action::Evidence, "evidence", &["v"], "evidence of the verdict", ("evidence", Footer::Verdict)),
    row(Action::NextScreen, "next-screen", &["tab", "l", "right"], "next screen", ("screen", Footer::Screens)),
    row(Action::PreviousScreen, "previous-screen", &["backtab", "h", "left"], "previous screen", HELP),
    row(Action::Down, "down", &["j", "down"], "one row down", HELP),
    row(Action::Up, "up", &["k", "up"], "one row up", HELP),
    row(Action::PageDown, "page-down", &["ctrl-d", "pagedown"], "half a page down", HELP),
    row(Action::PageUp, "page-up", &["ctrl-u", "pageup"], "half a page up", HELP),
    row(Action::Top, "top", &["g", "home"], "first row", HELP),
    row(Action::Bottom, "bottom", &["G", "end"], "last row", HELP),
    row(Action::Search, "search", &["/"], "search", ("search", Footer::Screens)),
    row(Action::NextMatch, "next-match", &["n"], "next match", ("next", Footer::Found)),
    row(Action::PreviousMatch, "previous-match", &["N"], "previous match", HELP),
    row(Action::Filter, "filter", &["f"], "show only rows that match the search", ("filter", Footer::Found)),
    row(Action::Pause, "pause", &["space"], "pause and go on", ("pause", Footer::Screens)),
    row(Action::Slower, "slower", &["["], "replay slower", ("slower", Footer::Replay)),
    row(Action::Faster, "faster", &["]"], "replay faster", ("faster", Footer::Replay)),
    row(Action::Step, "step", &["."], "replay one line", ("step", Footer::Replay)),
    row(Action::NextStall, "next-stall", &["e"], "replay to the next stall", ("stall", Footer::Replay)),
    row(Action::Rewind, "rewind", &["0"], "replay from the start", HELP),
    row(Action::Mounts, "mounts", &["m"], "choose another mount", ("mounts", Footer::Screens)),
    row(Action::Save, "save", &["s"], "save all screens as text to a file", HELP),
    row(Action::Redraw, "redraw", &["f5", "ctrl-l"], "draw anew", HELP),
    row(Action::Suspend, "suspend", &["ctrl-z"], "suspend to the shell", HELP),
    row(Action::Back, "back", &["q", "esc"], "close, back, then quit", ("back", Footer::Always)),
    row(Action::Quit, "quit", &["ctrl-c"], "quit", HELP),
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
                Some(row) => map.rebind(row, keys, &mut wrong),
                None => {
                    let names: Vec<_> = KEYS.iter().map(|row| row.name).collect();
                    wrong.push(format!("no action is called `{name}`; there are: {}", names.join(", ")));
                }
            }
        }
        // Nobody shall be locked in.
        for row in KEYS.iter().filter(|row| matches!(row.action, Action::Quit | Action::Help | Action::Back)) {
            if map.keys_of(row).is_empty() {
                wrong.push(format!("`{}` has no key left; it keeps {}", row.name, row.keys.join(" ")));
                map.keys.extend(row.keys.iter().map(|key| ((*key).to_owned(), row.action)));
            }
        }
        (map, wrong)
    }

    fn rebind(&mut self, row: &Binding, keys: &[String], wrong: &mut Vec<String>) {
        self.keys.retain(|_, bound| *bound != row.action);
        for key in keys {
            if !is_key(key) {
                wrong.push(format!("`{key}` is no key; write `x`, `ctrl-x`, `f5`, `enter`, `pagedown`, ..."));
                continue;
            }
            if let Some(other) = self.keys.insert(key.clone(), row.action).filter(|other| *other != row.action) {
                let other = KEYS.iter().find(|row| row.action == other).map_or("", |row| row.name);
                wrong.push(format!("`{key}` means `{}` now and `{other}` no more", row.name));
            }
        }
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

/// Keys that are spelt as words.
const WORDS: [&str; 13] =
    ["space", "enter", "esc", "tab", "backtab", "up", "down", "left", "right", "home", "end", "pageup", "pagedown"];

/// Whether a key can be spelt so.
fn is_key(text: &str) -> bool {
    let plain = text.strip_prefix("ctrl-").filter(|rest| !rest.is_empty()).unwrap_or(text);
    let function = plain.strip_prefix('f').and_then(|n| n.parse::<u8>().ok()).is_some_and(|n| (1..=24).contains(&n));
    plain.chars().count() == 1 || function || WORDS.contains(&plain)
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

    #[test]
    fn what_is_taken_from_another_action_or_is_no_key_is_said_and_nobody_is_locked_in() {
        let wanted = BTreeMap::from([
            ("filter".into(), vec!["/".into(), "hyper-x".into()]),
            ("quit".into(), Vec::new()),
            ("back".into(), vec!["q".into()]),
        ]);
        let (map, wrong) = Keymap::remapped(&wanted);
        assert_eq!(map.action(press(KeyCode::Char('/'), KeyModifiers::NONE)), Some(Action::Filter));
        assert_eq!(map.action(press(KeyCode::Char('c'), KeyModifiers::CONTROL)), Some(Action::Quit));
        let all = wrong.join("; ");
        assert!(wrong.len() == 3 && all.contains("`search` no more") && all.contains("hyper-x"), "{all}");
    }
}
