//! Endings: what shells, init systems and the kernel say when a daemon dies, and causes in lines of unknown logs.

use std::sync::LazyLock;

use crate::{
    engine::fact::{Fact, HintKind},
    formats::{Line, Mark, Parser, Taken, UNKNOWN, hint, scan},
};

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(Ending)
}

struct Ending;

static MARKS: LazyLock<Vec<Mark>> = LazyLock::new(|| {
    let said = ["oom-kill:", "exited with status ", "exit code ", "code=killed", "code=dumped"];
    said.iter().chain(&STATES).chain(&*hint::ALL).map(|word| Mark::Has(word)).collect()
});

/// Why a shell's job ended.
const STATES: [&str; 5] = ["Killed", "Segmentation fault", "Aborted", "Bus error", "Illegal instruction"];

impl Parser for Ending {
    fn format(&self) -> &'static str {
        UNKNOWN
    }

    fn marks(&self) -> &'static [Mark] {
        &MARKS
    }

    fn line(&mut self, line: &Line<'_>, out: &mut Vec<Fact>) -> Taken {
        if scan::has(line.text, "Out of memory: Killed process") || scan::has(line.text, "oom-kill:") {
            line.hint(HintKind::NoMemory, None, out);
            return line.end(true, out);
        }
        if is_death(line.text) {
            return line.end(true, out);
        }
        match hint::of(line.text) {
            Some(kind) => line.hint(kind, None, out),
            None => Taken::No,
        }
    }
}

/// `bash: line 1: 30305 Killed  'rclone' ...`, `Segmentation fault (core dumped)`, `exited with status 137`.
fn is_death(text: &str) -> bool {
    let text = text.trim();
    let by_signal = |said: &str| scan::num_after(text, said).is_some_and(|status| (129..=159).contains(&status));
    // The letter that both have is rare.
    let signalled = scan::has(text, "xit") && (by_signal("exited with status ") || by_signal("exit code "))
        || scan::has(text, "code=killed")
        || scan::has(text, "code=dumped");
    let job = job(text);
    let by_shell = STATES.iter().any(|word| match text.strip_prefix(word) {
        Some(rest) => rest.is_empty() || rest.starts_with(" (core dumped)"),
        None => job.is_some_and(|state| state.starts_with(word)),
    });
    signalled || by_shell
}

/// What follows the process number in a shell's report of a job.
fn job(text: &str) -> Option<&str> {
    let rest = scan::after(text, ": line ").and_then(|rest| scan::split(rest, ": ")).map_or(text, |(_, rest)| rest);
    let (_, state) = scan::num(rest.trim_start())?;
    state.strip_prefix(' ').map(str::trim_start)
}
