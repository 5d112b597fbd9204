//! Gate: which formats a line may be of, told by one look at it.
//!
//! A parser that waits for nothing knows its lines by a mark. One automaton finds the marks of all formats in one
//! pass, so that a line which the format before it refuses is not offered to every parser there is.

use std::sync::LazyLock;

use super::{PARSERS, scan::head};
use crate::engine::words::Words;

/// What a line has that a parser may take while it waits for nothing.
#[derive(Clone, Copy, Debug)]
pub enum Mark {
    /// Its text, without the blanks before it, starts so.
    Starts(&'static str),
    /// These letters, large or small, stand somewhere in it.
    Has(&'static str),
    /// Its first byte is one of these.
    First(&'static [u8]),
}

/// Formats by their place in [`PARSERS`], a bit each.
pub(super) type Formats = u32;

const _: () = assert!(PARSERS.len() <= Formats::BITS as usize, "each format has a bit");

pub(super) static GATE: LazyLock<Gate> = LazyLock::new(Gate::new);

pub(super) struct Gate {
    first: [Formats; 256],
    /// By the first byte of the trimmed text.
    starts: Vec<Vec<Start>>,
    words: Words,
    of_word: Vec<Formats>,
}

/// How a line may start.
struct Start {
    text: &'static [u8],
    /// Its first bytes as a number, and which bits of that count: almost always they tell already.
    head: u64,
    mask: u64,
    formats: Formats,
}

impl Start {
    fn new(text: &'static str, formats: Formats) -> Self {
        let mask = u64::MAX >> (64 - 8 * text.len().min(8));
        Self { text: text.as_bytes(), head: head(text.as_bytes()), mask, formats }
    }
}

impl Gate {
    fn new() -> Self {
        let mut first = [0; 256];
        let mut starts: Vec<Vec<Start>> = (0..256).map(|_| Vec::new()).collect();
        let (mut words, mut of_word) = (Vec::new(), Vec::new());
        for (at, entry) in PARSERS.iter().enumerate() {
            let bit: Formats = 1 << at;
            for mark in (entry.make)().marks() {
                match mark {
                    Mark::Starts(start) => starts[usize::from(start.as_bytes()[0])].push(Start::new(start, bit)),
                    Mark::First(bytes) => bytes.iter().for_each(|byte| first[usize::from(*byte)] |= bit),
                    Mark::Has(word) => {
                        words.push(*word);
                        of_word.push(bit);
                    }
                }
            }
        }
        Self { first, starts, words: Words::in_any_case(&words), of_word }
    }

    /// The formats that may take the line while they wait for nothing.
    pub(super) fn of(&self, text: &str) -> Formats {
        let Some(first) = text.as_bytes().first() else { return 0 };
        // Whatever a blank is elsewhere, no character that begins so is one.
        let trimmed = if first.is_ascii_graphic() { text } else { text.trim_start() }.as_bytes();
        self.first[usize::from(*first)] | self.starting(trimmed) | self.having(trimmed)
    }

    /// Whether a line is of a known format by more than its first byte.
    pub(super) fn of_a_format(&self, text: &str) -> bool {
        const ANY: Formats = !(1 << (PARSERS.len() - 1));
        (self.begun(text) | self.having(text.as_bytes())) & ANY != 0
    }

    /// Those of which a line begins as no other does.
    pub(super) fn begun(&self, text: &str) -> Formats {
        self.starting(text.trim_start().as_bytes())
    }

    #[inline]
    fn starting(&self, trimmed: &[u8]) -> Formats {
        let starts = trimmed.first().map_or(&[][..], |byte| &self.starts[usize::from(*byte)]);
        let head = head(trimmed);
        let starting = starts.iter().filter(|s| (head ^ s.head) & s.mask == 0 && trimmed.starts_with(s.text));
        starting.fold(0, |formats, s| formats | s.formats)
    }

    #[inline]
    fn having(&self, text: &[u8]) -> Formats {
        let mut formats = 0;
        self.words.each(text, |word| {
            formats |= self.of_word[word];
            false
        });
        formats
    }
}
