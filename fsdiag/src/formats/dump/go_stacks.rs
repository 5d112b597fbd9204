//! Go's goroutine dumps: pprof `debug=1` and `debug=2`, and what SIGQUIT prints.

use super::goroutines::Goroutines;
use crate::{
    engine::fact::Fact,
    formats::{Line, Mark, Parser, Taken},
};

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(GoStacks(Goroutines::new("go-stacks")))
}

struct GoStacks(Goroutines);

impl Parser for GoStacks {
    fn format(&self) -> &'static str {
        "go-stacks"
    }

    fn marks(&self) -> &'static [Mark] {
        &[Mark::Starts("SIGQUIT: quit"), Mark::Starts("goroutine ")]
    }

    fn is_idle(&self) -> bool {
        !self.0.is_reading()
    }

    fn line(&mut self, line: &Line<'_>, out: &mut Vec<Fact>) -> Taken {
        if line.text == "SIGQUIT: quit" {
            self.0.begin(line, out);
            return Taken::Yes;
        }
        match self.0.line(line, out) {
            Taken::No if self.0.is_reading() && (line.text.starts_with("PC=0x") || is_register(line.text)) => {
                Taken::Yes
            }
            taken => taken,
        }
    }

    fn finish(&mut self, out: &mut Vec<Fact>) {
        self.0.hand_over(out);
    }
}

/// `rax    0xfffffffffffffffc`: the registers that end a SIGQUIT dump.
fn is_register(text: &str) -> bool {
    const LONGEST: usize = 6;
    let text = text.trim_ascii_start();
    // Few other lines begin with so short a word.
    let Some(end) = text.bytes().take(LONGEST + 1).position(|byte| byte.is_ascii_whitespace()) else { return false };
    let (name, value) = (&text[..end], text[end..].trim_ascii_start());
    value.starts_with("0x")
        && value.split_ascii_whitespace().count() == 1
        && name.bytes().all(|b| b.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_register_is_a_short_name_and_a_number() {
        for text in ["rax    0xfffffffffffffffc", " r10 0x0 ", "rflags 0x246"] {
            assert!(is_register(text), "{text}");
        }
        for text in ["", "rax", "rax ", "rax 12", "rflags1 0x246", "a.b 0x1", "rax 0x1 0x2", "0x1"] {
            assert!(!is_register(text), "{text}");
        }
    }
}
