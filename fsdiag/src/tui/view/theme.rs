//! Colours and borders: what the terminal and the user's wishes allow.

use ratatui::{
    style::{Color, Modifier, Style},
    symbols::border,
};

use crate::tui::page::Look;

/// How many colours there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Palette {
    /// `NO_COLOR`, or a dumb terminal: bold, reverse and letters must do.
    None,
    Sixteen,
    /// 256 and more: blue and orange instead of green and red, which all eyes tell apart.
    Many,
}

#[derive(Clone, Copy, Debug)]
pub struct Theme {
    pub palette: Palette,
    pub ascii: bool,
}

impl Theme {
    /// From the environment; `get` reads a variable.
    pub fn from_env(get: impl Fn(&str) -> Option<String>) -> Self {
        let term = get("TERM").unwrap_or_default();
        let forced = get("CLICOLOR_FORCE").is_some_and(|v| v != "0");
        let no_color = get("NO_COLOR").is_some_and(|v| !v.is_empty()) || term == "dumb" || term.is_empty();
        let many = term.contains("256") || get("COLORTERM").is_some_and(|v| v == "truecolor" || v == "24bit");
        let palette = match (no_color && !forced, many) {
            (true, _) => Palette::None,
            (false, true) => Palette::Many,
            (false, false) => Palette::Sixteen,
        };
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| get(name).filter(|v| !v.is_empty()));
        let utf8 = locale.is_some_and(|l| l.to_lowercase().replace('-', "").contains("utf8"));
        Self { palette, ascii: !utf8 || term == "linux" }
    }

    pub fn style(&self, look: Look) -> Style {
        let bold = Style::new().add_modifier(Modifier::BOLD);
        match (self.palette, look) {
            (_, Look::Plain) => Style::new(),
            (Palette::None, Look::Culprit | Look::Loud | Look::Match) => bold.add_modifier(Modifier::REVERSED),
            (Palette::None, Look::Label | Look::Victim) => bold,
            (Palette::None, Look::Dim) => Style::new().add_modifier(Modifier::DIM),
            (Palette::None, _) => Style::new(),
            (palette, look) => coloured(palette, look),
        }
    }

    pub fn selected(&self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    pub fn border(&self) -> border::Set<'static> {
        const ASCII: border::Set<'static> = border::Set {
            top_left: "+",
            top_right: "+",
            bottom_left: "+",
            bottom_right: "+",
            vertical_left: "|",
            vertical_right: "|",
            horizontal_top: "-",
            horizontal_bottom: "-",
        };
        if self.ascii { ASCII } else { border::PLAIN }
    }
}

fn coloured(palette: Palette, look: Look) -> Style {
    let many = palette == Palette::Many;
    let pick = |rich: u8, plain: Color| if many { Color::Indexed(rich) } else { plain };
    let bold = Style::new().add_modifier(Modifier::BOLD);
    match look {
        Look::Plain => Style::new(),
        Look::Label => bold.fg(pick(67, Color::Cyan)),
        Look::Culprit => bold.fg(pick(201, Color::Magenta)),
        Look::Victim => Style::new().fg(pick(208, Color::Red)),
        Look::Slow => Style::new().fg(pick(220, Color::Yellow)),
        Look::Good => Style::new().fg(pick(75, Color::Green)),
        Look::Dim => Style::new().fg(pick(245, Color::DarkGray)),
        Look::Loud => bold.fg(pick(208, Color::Red)),
        Look::Match => Style::new().add_modifier(Modifier::REVERSED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn theme(pairs: &[(&str, &str)]) -> Theme {
        Theme::from_env(|name| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn wishes_and_terminals_are_respected() {
        assert_eq!(theme(&[("TERM", "xterm-256color")]).palette, Palette::Many);
        assert_eq!(theme(&[("TERM", "xterm")]).palette, Palette::Sixteen);
        assert_eq!(theme(&[("TERM", "xterm"), ("NO_COLOR", "1")]).palette, Palette::None);
        assert_eq!(theme(&[("TERM", "xterm"), ("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")]).palette, Palette::Sixteen);
        assert_eq!(theme(&[("TERM", "dumb")]).palette, Palette::None);
        assert!(theme(&[("TERM", "xterm"), ("LANG", "C")]).ascii);
        assert!(!theme(&[("TERM", "xterm"), ("LANG", "de_DE.UTF-8")]).ascii);
    }
}
