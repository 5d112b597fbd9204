//! Fold: lines that a terminal broke at its width, as a capture of its screen shows them, put together again.

use std::collections::BTreeSet;

use super::front::time_of;
use crate::formats::{gate::GATE, scan};

/// A log whose lines were broken.
pub(super) struct Fold {
    /// Of the terminal, characters.
    width: usize,
    /// Of the line before.
    last: usize,
    /// The line so far, and its number.
    open: Option<(u64, String)>,
}

/// Nobody looks at a log in less, or in more.
const WIDTHS: std::ops::RangeInclusive<usize> = 40..=500;
/// Fewer broken lines may be of that width by chance.
const FEW: usize = 4;
/// So many that leave a bracket open for the next line are of no whole dump.
const TORN: usize = 2;
/// Of so many lines one is broken at the least.
const ONE_OF: usize = 6;

impl Fold {
    /// By the first lines: many are as wide as the widest, and what follows them begins as no line does.
    pub(super) fn of(lines: &[(u64, Vec<u8>)]) -> Option<Self> {
        let texts: Vec<_> = lines.iter().map(|(_, line)| scan::text(line)).collect();
        let width = texts.iter().map(|text| width(text)).max().filter(|width| WIDTHS.contains(width))?;
        let full = || texts.iter().zip(texts.iter().skip(1)).filter(|(text, _)| self::width(text) == width);
        let different: BTreeSet<&str> = full().map(|(text, _)| &**text).collect();
        let begun = full().filter(|(_, next)| begins(next)).count();
        let torn = full().filter(|(text, next)| is_torn(text, next)).count();
        let many = full().count() * ONE_OF >= texts.len() && different.len() >= FEW;
        // Of a dump few are as long, but what they open the next line closes.
        let dump = torn >= TORN && torn * 2 >= full().count();
        let broken = (many || dump) && begun * ONE_OF <= full().count();
        (broken && texts.iter().any(|text| begins(text))).then_some(Self { width, last: 0, open: None })
    }

    /// The line that is whole because this one begins another.
    pub(super) fn line(&mut self, number: u64, line: &[u8]) -> Option<(u64, String)> {
        let text = scan::text(line);
        let goes_on = self.last == self.width && !begins(&text);
        self.last = width(&text);
        match &mut self.open {
            Some((_, open)) if goes_on && open.len() <= LONGEST => {
                open.push_str(&text);
                None
            }
            _ => self.open.replace((number, text.into_owned())),
        }
    }

    /// The last line.
    pub(super) fn rest(&mut self) -> Option<(u64, String)> {
        self.open.take()
    }
}

/// No line of a log is longer, bytes.
const LONGEST: usize = 1 << 20;

fn width(text: &str) -> usize {
    text.chars().count()
}

/// Whether a line closes what the line before it left open.
fn is_torn(text: &str, next: &str) -> bool {
    let open = |text: &str| text.matches('(').count() as i64 - text.matches(')').count() as i64;
    open(text) > 0 && open(next) < 0
}

/// Whether a line begins as one does that is not the rest of another.
fn begins(text: &str) -> bool {
    text.is_empty()
        || text.starts_with('\t')
        || text.starts_with("{\"")
        || GATE.begun(text) != 0
        || time_of(text.as_bytes()).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(texts: &[String]) -> Vec<(u64, Vec<u8>)> {
        (1..).zip(texts.iter().map(|text| text.as_bytes().to_vec())).collect()
    }

    fn broken(text: &str, width: usize) -> Vec<String> {
        let chars: Vec<char> = text.chars().collect();
        chars.chunks(width).map(|part| part.iter().collect()).collect()
    }

    #[test]
    fn lines_that_a_terminal_broke_are_whole_again() {
        let log: Vec<String> =
            (10..40).map(|n| format!("2026-11-22T09:43:{n}Z read of {} bytes{}", n, " µ".repeat(n % 20))).collect();
        let parts: Vec<String> = log.iter().flat_map(|line| broken(line, 40)).collect();
        let mut fold = Fold::of(&lines(&parts)).expect("it is broken");
        let mut whole: Vec<(u64, String)> =
            (1..).zip(&parts).filter_map(|(number, part)| fold.line(number, part.as_bytes())).collect();
        whole.extend(fold.rest());
        assert_eq!(whole.iter().map(|(_, text)| text.clone()).collect::<Vec<_>>(), log);
        assert_eq!(whole[0].0, 1);
    }

    #[test]
    fn the_few_long_lines_of_a_dump_are_whole_again() {
        let frames = (0..60).flat_map(|n| {
            let arguments = "0x28a0a7a30480, ".repeat(1 + n % 5);
            let file = format!("\texample.org/streamfs/fs.go:{n} +0x3a5");
            [format!("example.org/streamfs.(*fs).Read{n}({arguments}0x0)"), file]
        });
        let dump: Vec<String> = ["goroutine 21 [running]:".to_owned()].into_iter().chain(frames).collect();
        let parts: Vec<String> = dump.iter().flat_map(|line| broken(line, 80)).collect();
        let mut fold = Fold::of(&lines(&parts)).expect("it is broken");
        let whole = (1..).zip(&parts).filter_map(|(number, part)| fold.line(number, part.as_bytes()));
        let mut whole: Vec<String> = whole.map(|(_, text)| text).collect();
        whole.extend(fold.rest().map(|(_, text)| text));
        assert_eq!(whole, dump);
    }

    #[test]
    fn lines_of_one_width_are_not_broken() {
        let log: Vec<String> = (10..40).map(|n| format!("2026-11-22T09:43:{n}Z read of {n} bytes of a file")).collect();
        assert!(Fold::of(&lines(&log)).is_none());
        let stacks: Vec<String> =
            (0..60).map(|n| format!("\t/usr/lib/go/src/net/http/server.go:{} +0x4d{}", n * 50, n % 4)).collect();
        assert!(Fold::of(&lines(&stacks)).is_none());
        assert!(Fold::of(&[]).is_none());
    }
}
