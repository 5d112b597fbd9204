//! Evidence with the words of the lines that it points at, read again from the inputs.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io::Read,
};

use memchr::{memchr_iter, memrchr};

use crate::{
    engine::{report::Report, veil::veiled},
    sources::{file::Input, lines::Lines},
};

/// Longest quotation.
const LONGEST: usize = 400;

/// The last part of an input that cannot be read twice.
#[derive(Default)]
pub struct Tails {
    /// Number of the first line, and the bytes from there.
    pieces: VecDeque<(u64, Box<[u8]>)>,
    bytes: usize,
}

/// Where some of the lines begin in an input that can be read twice, in order.
#[derive(Default)]
pub struct Marks {
    /// The number of a line, and how many bytes stand before it.
    lines: Vec<(u64, u64)>,
    bytes: u64,
}

/// How the lines of an input are found again.
pub enum Again {
    Tails(Tails),
    Marks(Marks),
}

/// Those of all inputs, by name.
pub type Kept = BTreeMap<String, Again>;

impl Again {
    pub fn of(input: &Input) -> Self {
        if input.can_be_read_again() { Self::Marks(Marks::default()) } else { Self::Tails(Tails::default()) }
    }

    /// `first` is the number of the line that these bytes go on with, or begin with, where they begin one.
    pub fn keep(&mut self, first: u64, begins: bool, bytes: &[u8]) {
        match self {
            Self::Tails(tails) => tails.keep(first, bytes),
            Self::Marks(marks) => {
                marks.lines.extend(begins.then_some((first, marks.bytes)));
                marks.bytes += bytes.len() as u64;
            }
        }
    }
}

impl Marks {
    /// The last mark at or before a line: its number, how many bytes stand before it, and the number of the next one.
    fn before(&self, line: u64) -> (u64, u64, u64) {
        let next = self.lines.partition_point(|(number, _)| *number <= line);
        let (number, bytes) = next.checked_sub(1).map_or((1, 0), |at| self.lines[at]);
        (number, bytes, self.lines.get(next).map_or(u64::MAX, |(number, _)| *number))
    }
}

impl Tails {
    const KEPT: usize = 8 << 20;

    /// `first` is the number of the line that these bytes begin with or go on with.
    pub fn keep(&mut self, first: u64, bytes: &[u8]) {
        self.bytes += bytes.len();
        self.pieces.push_back((first, bytes.into()));
        while self.bytes > Self::KEPT && self.pieces.len() > 1 {
            let Some((_, gone)) = self.pieces.pop_front() else { break };
            self.bytes -= gone.len();
        }
    }

    /// Fills in the texts of evidence from `input`, of which these are the lines.
    pub fn quote(&self, report: &mut Report, input: &str) {
        let all = report.verdicts.iter_mut().flat_map(|verdict| &mut verdict.evidence);
        for evidence in all.filter(|evidence| evidence.input == input) {
            evidence.text = self.get(evidence.line).map(quotation).unwrap_or_default();
        }
    }

    fn get(&self, number: u64) -> Option<&[u8]> {
        let at = self.pieces.partition_point(|(first, _)| *first < number);
        let begins = self.pieces.get(at).filter(|(first, _)| *first == number);
        let (first, bytes) = begins.or_else(|| self.pieces.get(at.checked_sub(1)?))?;
        bytes.split(|b| *b == b'\n').nth(usize::try_from(number - first).ok()?)
    }
}

/// Fills in the texts; a line that cannot be read again stays empty.
pub fn fill(report: &mut Report, inputs: &[Input], kept: &Kept) {
    let mut wanted: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    for evidence in report.verdicts.iter().flat_map(|v| &v.evidence) {
        wanted.entry(evidence.input.clone()).or_default().insert(evidence.line);
    }
    let mut texts: BTreeMap<(String, u64), String> = BTreeMap::new();
    for (name, lines) in wanted {
        let found = match (kept.get(&name), inputs.iter().find(|i| i.name() == name)) {
            (Some(Again::Tails(tails)), _) => {
                lines.iter().filter_map(|n| Some((*n, quotation(tails.get(*n)?)))).collect()
            }
            (Some(Again::Marks(marks)), Some(input)) => read_again(input, marks, lines),
            (None, Some(input)) => read_again(input, &Marks::default(), lines),
            (_, None) => Vec::new(),
        };
        texts.extend(found.into_iter().map(|(n, text)| ((name.clone(), n), text)));
    }
    for evidence in report.verdicts.iter_mut().flat_map(|v| &mut v.evidence) {
        if let Some(text) = texts.get(&(evidence.input.clone(), evidence.line)) {
            evidence.text.clone_from(text);
        }
    }
}

/// Reads only what stands behind a mark, where the bytes of the file are those of the text.
fn read_again(input: &Input, marks: &Marks, mut wanted: BTreeSet<u64>) -> Vec<(u64, String)> {
    let mut found = Vec::new();
    while let Some(first) = wanted.first() {
        let (number, bytes, until) = marks.before(*first);
        let Ok(source) = input.open_at(bytes) else {
            found.extend(input.open().map(|source| read_on(source, 0, &wanted)).unwrap_or_default());
            break;
        };
        let later = wanted.split_off(&until);
        found.extend(read_on(source, number - 1, &wanted));
        wanted = later;
    }
    found
}

/// The wanted lines of a source before which there are so many others.
fn read_on(mut source: impl Read, mut number: u64, wanted: &BTreeSet<u64>) -> Vec<(u64, String)> {
    let mut found = Vec::new();
    let Some(last) = wanted.last() else { return found };
    let (mut lines, mut block) = (Lines::default(), vec![0; 256 << 10]);
    let mut next = wanted.iter().copied().peekable();
    while let Ok(got @ 1..) = source.read(&mut block) {
        let mut bytes = &block[..got];
        let ends = memchr_iter(b'\n', bytes).count() as u64;
        // The lines of most blocks are only counted.
        if let Some(last) = memrchr(b'\n', bytes).filter(|_| next.peek().is_some_and(|next| *next > number + ends)) {
            number += ends;
            lines.clear();
            bytes = &bytes[last + 1..];
        }
        lines.feed(bytes, |line| {
            number += 1;
            if next.next_if_eq(&number).is_some() {
                found.push((number, quotation(line)));
            }
        });
        if number >= *last {
            return found;
        }
    }
    if wanted.contains(&(number + 1)) {
        found.push((number + 1, quotation(lines.rest())));
    }
    found
}

fn quotation(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let text = veiled(text.trim().trim_matches('\0'));
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_line_is_found_again_wherever_the_blocks_of_the_input_end() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("log");
        let long = "x".repeat(600 << 10);
        let text: String =
            (1..=40_000).map(|n| if n == 20_000 { format!("{long}\n") } else { format!("line {n}\n") }).collect();
        let text = text + "the last one";
        fs::write(&path, &text).expect("a file");
        let input = Input::File(path);
        for wanted in
            [vec![1, 2], vec![1, 39_999], vec![19_999, 20_001], vec![40_000, 40_001], vec![20_000], vec![50_000]]
        {
            let mut again = Again::of(&input);
            let (mut first, mut begins) = (1, true);
            for bytes in text.as_bytes().chunks(100_000) {
                again.keep(first, begins, bytes);
                (first, begins) = (first + memchr_iter(b'\n', bytes).count() as u64, bytes.ends_with(b"\n"));
            }
            let Again::Marks(marks) = again else { panic!("a file can be read again") };
            let lines = || wanted.iter().copied().collect();
            let found = read_again(&input, &marks, lines());
            assert_eq!(found, read_again(&input, &Marks::default(), lines()));
            let expected = wanted.into_iter().filter(|n| *n <= 40_001).map(|n| match n {
                20_000 => (n, quotation(long.as_bytes())),
                40_001 => (n, "the last one".to_owned()),
                n => (n, format!("line {n}")),
            });
            assert_eq!(found, expected.collect::<Vec<_>>());
        }
    }
}
