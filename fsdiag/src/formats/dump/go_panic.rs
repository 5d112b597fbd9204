//! A crash of a Go program: `panic: ...` or `fatal error: ...`, then the goroutines as they died.

use super::goroutines::Goroutines;
use crate::{
    engine::fact::{Fact, HintKind},
    formats::{Line, Mark, Parser, Taken, scan},
};

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(GoPanic { goroutines: Goroutines::new("go-panic"), crashed: false })
}

struct GoPanic {
    goroutines: Goroutines,
    crashed: bool,
}

impl Parser for GoPanic {
    fn format(&self) -> &'static str {
        "go-panic"
    }

    fn marks(&self) -> &'static [Mark] {
        &[
            Mark::Starts("panic: "),
            Mark::Starts("fatal error: "),
            Mark::Starts("unexpected fault address "),
            Mark::Starts("runtime: out of memory"),
        ]
    }

    fn is_idle(&self) -> bool {
        !self.crashed
    }

    fn line(&mut self, line: &Line<'_>, out: &mut Vec<Fact>) -> Taken {
        const LAST_WORDS: [&str; 4] =
            ["panic: ", "fatal error: ", "unexpected fault address ", "runtime: out of memory"];
        if scan::starts(line.text, &LAST_WORDS) {
            return self.crash(line, out);
        }
        if !self.crashed {
            return Taken::No;
        }
        if scan::starts(line.text, &["[signal ", "\tpanic: ", "exit status "]) {
            return Taken::Yes;
        }
        self.goroutines.line(line, out)
    }

    fn finish(&mut self, out: &mut Vec<Fact>) {
        self.goroutines.hand_over(out);
    }
}

impl GoPanic {
    /// One crash may say several last words.
    fn crash(&mut self, line: &Line<'_>, out: &mut Vec<Fact>) -> Taken {
        if self.crashed && self.goroutines.is_reading() && self.goroutines.threads().is_empty() {
            return Taken::Yes;
        }
        self.crashed = true;
        self.goroutines.begin(line, out);
        line.hint(HintKind::Panic, None, out);
        line.end(true, out)
    }
}
