//! A crash of a Go program: `panic: ...` or `fatal error: ...`, then the goroutines as they died.

use super::goroutines::Goroutines;
use crate::{
    engine::fact::{Fact, HintKind},
    formats::{Line, Mark, Parser, Taken, scan},
};

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(GoPanic { goroutines: Goroutines::new("go-panic"), held: Vec::new(), began: 0 })
}

struct GoPanic {
    goroutines: Goroutines,
    /// What last words tell once a goroutine follows: other programs fail in the same words, and nothing follows.
    held: Vec<Fact>,
    /// The line of those words.
    began: u64,
}

const LAST_WORDS: [&str; 4] = ["panic: ", "fatal error: ", "unexpected fault address ", "runtime: out of memory"];

/// The runtime's own stack may stand before the first goroutine, lines.
const NEAR: u64 = 100;

impl Parser for GoPanic {
    fn format(&self) -> &'static str {
        "go-panic"
    }

    fn marks(&self) -> &'static [Mark] {
        const {
            &[
                Mark::Starts(LAST_WORDS[0]),
                Mark::Starts(LAST_WORDS[1]),
                Mark::Starts(LAST_WORDS[2]),
                Mark::Starts(LAST_WORDS[3]),
            ]
        }
    }

    fn is_idle(&self) -> bool {
        !self.goroutines.is_reading()
    }

    fn line(&mut self, line: &Line<'_>, out: &mut Vec<Fact>) -> Taken {
        if scan::starts(line.text, &LAST_WORDS) {
            return self.crash(line, out);
        }
        if !self.goroutines.is_reading() {
            return Taken::No;
        }
        let waits = self.goroutines.threads().is_empty();
        if waits && (line.text == "SIGQUIT: quit" || line.place.line.abs_diff(self.began) > NEAR) {
            self.held.clear();
            self.goroutines.hand_over(out);
            return Taken::No;
        }
        if scan::starts(line.text, &["[signal ", "\tpanic: ", "exit status "]) {
            return Taken::Yes;
        }
        let taken = self.goroutines.line(line, out);
        if waits && !self.goroutines.threads().is_empty() {
            out.append(&mut self.held);
        }
        taken
    }

    fn finish(&mut self, out: &mut Vec<Fact>) {
        self.held.clear();
        self.goroutines.hand_over(out);
    }
}

impl GoPanic {
    fn crash(&mut self, line: &Line<'_>, out: &mut Vec<Fact>) -> Taken {
        // One crash may say several last words.
        const TOGETHER: u64 = 3;
        let goes_on = !self.held.is_empty() && line.place.line.abs_diff(self.began) <= TOGETHER;
        if goes_on {
            return Taken::Yes;
        }
        self.goroutines.begin(line, out);
        self.began = line.place.line;
        self.held.clear();
        line.hint(HintKind::Panic, None, &mut self.held);
        line.end(true, &mut self.held)
    }
}
