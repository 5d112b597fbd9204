//! Colours of plain output: on a terminal only, never with `NO_COLOR`.

use std::io::IsTerminal;

/// What a word means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Bad,
    Warn,
    Good,
    Dim,
    Bold,
}

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
        let code = match tone {
            Tone::Bad => "1;31",
            Tone::Warn => "33",
            Tone::Good => "32",
            Tone::Dim => "2",
            Tone::Bold => "1",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_colour_the_text_stays_as_it_is() {
        assert_eq!(Paint::default().tone("stall", Tone::Bad), "stall");
        assert_eq!(Paint { on: true }.tone("stall", Tone::Good), "\x1b[32mstall\x1b[0m");
    }
}
