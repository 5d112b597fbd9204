//! Message: what happens to the interface, and what the loop then does for it.

use crate::tui::{keys::Action, picture::Picture};

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
    /// What an act says that it would do.
    Previewed {
        args: Vec<String>,
        lines: Vec<String>,
    },
    /// A line of an act that runs.
    Said {
        act: u64,
        line: String,
    },
    /// An act ended: what to say, and whether it went well.
    Acted {
        act: u64,
        text: String,
        ok: bool,
    },
    /// Something to say at the bottom, and whether it is good.
    Noted {
        text: String,
        ok: bool,
    },
}

/// An act to be carried out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// Which one, of all that were begun: what it says and how it ends is told by it.
    pub act: u64,
    pub args: Vec<String>,
    /// A secret, for its standard input.
    pub input: Option<String>,
    /// It was asked about twice: only then may it hurt.
    pub sure: bool,
}

/// What the loop does for the interface.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    Quit,
    Suspend,
    Redraw,
    Save,
    /// Ask `fsdiag` with these arguments what it would do.
    Preview {
        args: Vec<String>,
    },
    /// Run `fsdiag` and say how it ended.
    Act(Order),
    /// Show the list of mounts.
    Choose,
    /// Show that mount.
    Open(String),
    Pause(bool),
    Speed {
        faster: bool,
    },
    Step,
    NextStall,
    Rewind,
}
