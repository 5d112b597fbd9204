//! What lies over a screen: help, evidence, a line being typed, an act being asked for.

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
    /// Shown before it is done.
    Confirm {
        act: Act,
        value: String,
    },
    /// The second question, for what can hurt: the word must be typed.
    Sure {
        act: Act,
        value: String,
        text: String,
    },
}

/// What Enter in a dialog leads to.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Nothing,
    Search(String),
    Act { args: Vec<String>, input: Option<String> },
}

/// What must be typed before something that can hurt is done.
pub const SURE: &str = "yes";

impl Dialog {
    /// The first question for an act.
    pub fn asking(act: Act) -> Self {
        if act.prompt.is_empty() {
            Self::Confirm { act, value: String::new() }
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

    /// What Enter does: the dialog that follows, and what comes of it.
    pub fn entered(self) -> (Option<Self>, Outcome) {
        match self {
            Self::Search { text } => (None, Outcome::Search(text)),
            Self::Prompt { act, text } if text.trim().is_empty() => {
                (Some(Self::Prompt { act, text }), Outcome::Nothing)
            }
            Self::Prompt { act, text } => (Some(Self::Confirm { act, value: text }), Outcome::Nothing),
            Self::Confirm { act, value } if act.hurts => {
                (Some(Self::Sure { act, value, text: String::new() }), Outcome::Nothing)
            }
            Self::Confirm { act, value } => (None, command(&act, value)),
            Self::Sure { act, value, text } if text == SURE => (None, command(&act, value)),
            Self::Help { .. } | Self::Evidence { .. } | Self::Row { .. } | Self::Sure { .. } => {
                (None, Outcome::Nothing)
            }
        }
    }
}

/// A secret is handed over as input; anything else ends the command line, word by word.
fn command(act: &Act, value: String) -> Outcome {
    let mut args = act.command.clone();
    if act.secret {
        return Outcome::Act { args, input: Some(value) };
    }
    args.extend(value.split_whitespace().map(str::to_owned));
    Outcome::Act { args, input: None }
}
