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
    let mut words = text.split_ascii_whitespace();
    let (name, value) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    name.len() <= 6
        && value.starts_with("0x")
        && words.next().is_none()
        && name.bytes().all(|b| b.is_ascii_alphanumeric())
}
