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
    Said(String),
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
    /// Ask `fsdiag` with these arguments what it would do.
    Preview {
        args: Vec<String>,
    },
    /// Run `fsdiag` with these arguments and say how it ended.
    Act {
        args: Vec<String>,
        /// A secret, for its standard input.
        input: Option<String>,
    },
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
