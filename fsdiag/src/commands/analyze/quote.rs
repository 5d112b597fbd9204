//! Evidence with the words of the lines that it points at, read again from the inputs.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io::Read as _,
};

use crate::{
    engine::report::Report,
    sources::{file::Input, lines::Lines},
};

/// Longest quotation.
const LONGEST: usize = 400;

/// The last lines of an input that cannot be read twice.
#[derive(Default)]
pub struct Tails {
    lines: VecDeque<(u64, Box<[u8]>)>,
    bytes: usize,
}

impl Tails {
    const KEPT: usize = 8 << 20;

    pub fn keep(&mut self, number: u64, line: &[u8]) {
        let line = &line[..line.len().min(2 * LONGEST)];
        self.bytes += line.len() + 32;
        self.lines.push_back((number, line.into()));
        while self.bytes > Self::KEPT {
            let Some((_, gone)) = self.lines.pop_front() else { break };
            self.bytes -= gone.len() + 32;
        }
    }

    fn get(&self, number: u64) -> Option<&[u8]> {
        let at = self.lines.binary_search_by_key(&number, |(n, _)| *n).ok()?;
        Some(&self.lines[at].1)
    }
}

/// Fills in the texts; a line that cannot be read again stays empty.
pub fn fill(report: &mut Report, inputs: &[Input], tails: &Tails) {
    let mut wanted: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    for evidence in report.verdicts.iter().flat_map(|v| &v.evidence) {
        wanted.entry(evidence.input.clone()).or_default().insert(evidence.line);
    }
    let mut texts: BTreeMap<(String, u64), String> = BTreeMap::new();
    for (name, lines) in wanted {
        let found = match inputs.iter().find(|i| i.name() == name) {
            Some(input @ Input::File(_)) => read_again(input, &lines),
            _ => lines.iter().filter_map(|n| Some((*n, quotation(tails.get(*n)?)))).collect(),
        };
        texts.extend(found.into_iter().map(|(n, text)| ((name.clone(), n), text)));
    }
    for evidence in report.verdicts.iter_mut().flat_map(|v| &mut v.evidence) {
        if let Some(text) = texts.get(&(evidence.input.clone(), evidence.line)) {
            evidence.text.clone_from(text);
        }
    }
}

fn read_again(input: &Input, wanted: &BTreeSet<u64>) -> Vec<(u64, String)> {
    let (mut found, mut number) = (Vec::new(), 0);
    let (Ok(mut source), Some(last)) = (input.open(), wanted.last()) else { return found };
    let (mut lines, mut block) = (Lines::default(), vec![0; 1 << 20]);
    while let Ok(got @ 1..) = source.read(&mut block) {
        lines.feed(&block[..got], |line| {
            number += 1;
            if wanted.contains(&number) {
                found.push((number, quotation(line)));
            }
        });
        if number > *last {
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
    let text = text.trim().trim_matches('\0');
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}
