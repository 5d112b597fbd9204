//! The terminal: taken over, given back on every way out, also on a panic or a signal.

use std::io::{self, stdout};

use ratatui::{
    DefaultTerminal,
    crossterm::{
        cursor::Show,
        event::{DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture},
        execute,
    },
};

/// The terminal while the screens own it.
pub struct Screen {
    terminal: DefaultTerminal,
    mouse: bool,
}

impl Screen {
    /// Raw mode, the alternate screen and, if wanted, the mouse. A panic gives all of it back before it prints.
    pub fn take(mouse: bool) -> io::Result<Self> {
        let terminal = ratatui::try_init()?;
        execute!(stdout(), EnableBracketedPaste)?;
        if mouse {
            execute!(stdout(), EnableMouseCapture)?;
        }
        Ok(Self { terminal, mouse })
    }

    pub fn draw(&mut self, picture: impl FnOnce(&mut ratatui::Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(picture).map(drop)
    }

    /// Forgets what is on the screen, so that the next frame draws all of it.
    pub fn clear(&mut self) -> io::Result<()> {
        self.terminal.clear()
    }

    /// Width and height in characters.
    pub fn size(&self) -> io::Result<(u16, u16)> {
        self.terminal.size().map(|size| (size.width, size.height))
    }

    /// Gives the terminal back, stops this process until the shell continues it, and takes it again.
    pub fn suspend(&mut self) -> io::Result<()> {
        give_back(self.mouse);
        signal_hook::low_level::emulate_default_handler(signal_hook::consts::SIGTSTP)?;
        *self = Self::take(self.mouse)?;
        self.clear()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back(self.mouse);
    }
}

fn give_back(mouse: bool) {
    if mouse {
        let _ = execute!(stdout(), DisableMouseCapture);
    }
    let _ = execute!(stdout(), DisableBracketedPaste, Show);
    ratatui::restore();
}
