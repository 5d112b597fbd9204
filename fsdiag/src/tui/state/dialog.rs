//! What lies over a screen: help, evidence, a line being typed, an act being asked for, and one that runs.

use super::{Effect, message::Order};
use crate::tui::picture::Act;

/// Over the screen; keys go to it.
#[derive(Clone, Debug, PartialEq)]
pub enum Dialog {
    Help {
        top: usize,
    },
    Evidence {
        top: usize,
    },
    /// Details of the selected row.
    Row {
        top: usize,
    },
    Search {
        text: String,
    },
    /// A value the act needs.
    Prompt {
        act: Act,
        text: String,
    },
    /// Shown before it is done, with what the command itself says that it would do.
    Confirm {
        act: Act,
        value: String,
        shown: Vec<String>,
    },
    /// The second question, for what can hurt: the word must be typed.
    Sure {
        act: Act,
        value: String,
        text: String,
    },
    /// An act that runs, or has ended, with what it says.
    Running {
        act: u64,
        title: String,
        lines: Vec<String>,
        ok: Option<bool>,
    },
}

/// What Enter in a dialog leads to.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Nothing,
    Search(String),
    Act(Order),
}

/// What must be typed before something that can hurt is done.
pub const SURE: &str = "yes";
/// Lines of an act that are kept.
const LINES: usize = 500;

impl Dialog {
    /// The first question for an act.
    pub fn asking(act: Act) -> Self {
        if act.prompt.is_empty() {
            Self::Confirm { act, value: String::new(), shown: Vec::new() }
        } else {
            Self::Prompt { act, text: String::new() }
        }
    }

    /// Whether the next characters are text.
    pub fn types(&self) -> bool {
        matches!(self, Self::Search { .. } | Self::Prompt { .. } | Self::Sure { .. })
    }

    fn text(&mut self) -> Option<&mut String> {
        match self {
            Self::Search { text } | Self::Prompt { text, .. } | Self::Sure { text, .. } => Some(text),
            _ => None,
        }
    }

    pub fn typed(&mut self, c: char) {
        if let Some(text) = self.text() {
            text.push(c);
        }
    }

    pub fn erased(&mut self) {
        if let Some(text) = self.text() {
            text.pop();
        }
    }

    pub fn scroll(&mut self, by: isize) {
        if let Self::Help { top } | Self::Evidence { top } | Self::Row { top } = self {
            *top = top.saturating_add_signed(by).min(10_000);
        }
    }

    /// The first line that is shown.
    pub fn top(&self) -> usize {
        match self {
            Self::Help { top } | Self::Evidence { top } | Self::Row { top } => *top,
            _ => 0,
        }
    }

    /// What the command is asked for an act that is to be shown.
    pub fn preview(&self) -> Vec<Effect> {
        match self {
            Self::Confirm { act, value, shown } if shown.is_empty() => {
                vec![Effect::Preview { args: arguments(act, value) }]
            }
            _ => Vec::new(),
        }
    }

    /// The command's own words about what it would do; a line with `!` hurts, and is asked about twice.
    pub fn previewed(&mut self, args: &[String], lines: Vec<String>) {
        if let Self::Confirm { act, value, shown } = self
            && arguments(act, value) == args
        {
            act.hurts |= lines.iter().any(|line| line.starts_with('!'));
            *shown = lines;
        }
    }

    /// Of the act that is shown: one before it may still run.
    pub fn said(&mut self, of: u64, line: String) {
        if let Self::Running { act, lines, .. } = self
            && *act == of
            && lines.len() < LINES
        {
            lines.push(line);
        }
    }

    pub fn done(&mut self, of: u64, well: bool) {
        if let Self::Running { act, ok, .. } = self
            && *act == of
        {
            *ok = Some(well);
        }
    }

    /// What Enter does: the dialog that follows, and what comes of it; an act gets that number.
    pub fn entered(self, number: u64) -> (Option<Self>, Outcome) {
        match self {
            Self::Search { text } => (None, Outcome::Search(text)),
            Self::Prompt { act, text } if text.trim().is_empty() => {
                (Some(Self::Prompt { act, text }), Outcome::Nothing)
            }
            Self::Prompt { act, text } => {
                (Some(Self::Confirm { act, value: text, shown: Vec::new() }), Outcome::Nothing)
            }
            // Not before it is seen what it would do.
            Self::Confirm { act, value, shown } if shown.is_empty() => {
                (Some(Self::Confirm { act, value, shown }), Outcome::Nothing)
            }
            Self::Confirm { act, value, .. } if act.hurts => {
                (Some(Self::Sure { act, value, text: String::new() }), Outcome::Nothing)
            }
            Self::Confirm { act, value, .. } => act_on(number, act, value, false),
            Self::Sure { act, value, text } if text == SURE => act_on(number, act, value, true),
            Self::Help { .. } | Self::Evidence { .. } | Self::Row { .. } | Self::Sure { .. } | Self::Running { .. } => {
                (None, Outcome::Nothing)
            }
        }
    }
}

fn act_on(number: u64, act: Act, value: String, sure: bool) -> (Option<Dialog>, Outcome) {
    let args = arguments(&act, &value);
    let running = Dialog::Running { act: number, title: act.title, lines: Vec::new(), ok: None };
    (Some(running), Outcome::Act(Order { act: number, args, input: act.secret.then_some(value), sure }))
}

/// A secret is handed over as input; anything else ends the command line, word by word.
fn arguments(act: &Act, value: &str) -> Vec<String> {
    let words = value.split_whitespace().filter(|_| !act.secret).map(str::to_owned);
    act.command.iter().cloned().chain(words).collect()
}
