//! Colours of plain output: on a terminal only, never with `NO_COLOR`.

use std::io::IsTerminal;

use super::clean::clean;

/// What a word means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Bad,
    Warn,
    Good,
    Dim,
    Bold,
}

impl Tone {
    const ALL: [Self; 5] = [Self::Bad, Self::Warn, Self::Good, Self::Dim, Self::Bold];

    fn code(self) -> &'static str {
        match self {
            Self::Bad => "\x1b[1;31m",
            Self::Warn => "\x1b[33m",
            Self::Good => "\x1b[32m",
            Self::Dim => "\x1b[2m",
            Self::Bold => "\x1b[1m",
        }
    }
}

/// Ends every tone.
const PLAIN: &str = "\x1b[0m";

/// Whether to paint.
#[derive(Clone, Copy, Debug, Default)]
pub struct Paint {
    on: bool,
}

impl Paint {
    /// For stdout: `CLICOLOR_FORCE` switches it on, `NO_COLOR`, a dumb terminal or a pipe off.
    pub fn for_stdout() -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0");
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self { on: set("CLICOLOR_FORCE") || (!set("NO_COLOR") && !dumb && std::io::stdout().is_terminal()) }
    }

    /// The text in its tone.
    pub fn tone(self, text: &str, tone: Tone) -> String {
        if !self.on {
            return text.to_owned();
        }
        format!("{}{text}{PLAIN}", tone.code())
    }

    /// One line of output, without its end: no name in it begins another line or gives orders. Tones stay, and end
    /// with the line.
    pub fn line(self, text: &str) -> String {
        if !self.on {
            return clean(text);
        }
        let (mut line, mut rest, mut toned) = (String::with_capacity(text.len()), text, false);
        while let Some((at, code)) = tone_in(rest) {
            line.push_str(&clean(&rest[..at]));
            line.push_str(code);
            toned = code != PLAIN;
            rest = &rest[at + code.len()..];
        }
        line.push_str(&clean(rest));
        line.push_str(if toned { PLAIN } else { "" });
        line
    }
}

/// The first beginning or end of a tone.
fn tone_in(text: &str) -> Option<(usize, &'static str)> {
    let codes = || Tone::ALL.map(Tone::code).into_iter().chain([PLAIN]);
    let found = text.match_indices('\x1b').map(|(at, _)| at);
    found.filter_map(|at| codes().find(|code| text[at..].starts_with(code)).map(|code| (at, code))).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_colour_the_text_stays_as_it_is() {
        assert_eq!(Paint::default().tone("stall", Tone::Bad), "stall");
        assert_eq!(Paint { on: true }.tone("stall", Tone::Good), "\x1b[32mstall\x1b[0m");
    }

    #[test]
    fn a_name_in_a_line_gives_no_orders_and_its_tone_ends_with_the_line() {
        let film = "a\x1b]0;owned\x07\nhealthy";
        let line = |on: bool| {
            let paint = Paint { on };
            paint.line(&format!("{} {film}", paint.tone("stall", Tone::Bad)))
        };
        assert_eq!(line(false), "stall a?]0;owned??healthy");
        assert_eq!(line(true), "\x1b[1;31mstall\x1b[0m a?]0;owned??healthy");
        assert_eq!(Paint { on: true }.line("b\x1b[32mgreen\x1b[2J"), "b\x1b[32mgreen?[2J\x1b[0m");
    }
}
