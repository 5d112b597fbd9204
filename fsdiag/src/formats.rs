//! What a line means, whoever wrote it: every log and dump format, and the driver that runs them over one input.
//!
//! A format is one file with a [`Parser`] and one row in [`PARSERS`]. The driver never fails: a line that nobody takes
//! is counted.

use fsd_events::line::{Decoded, decode};

use crate::engine::fact::{Fact, InputId, Place, Sink};

/// One line of an input.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    pub place: Place,
    /// Lossy UTF-8, without line feed; the envelope of a log collector is stripped.
    pub text: &'a str,
    /// From the envelope.
    pub wall_us: Option<u64>,
}

/// Whether a parser knows a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    No,
    Yes,
}

/// One format's reader; keeps what it needs between lines.
pub trait Parser: Send {
    /// One of the contract's words.
    fn format(&self) -> &'static str;
    /// Appends the facts of this line.
    fn line(&mut self, line: &Line<'_>, out: &mut Vec<Fact>) -> Taken;
    /// The input ended: appends what was still being put together.
    fn finish(&mut self, out: &mut Vec<Fact>);
}

/// One row of the list of formats.
pub struct Entry {
    pub format: &'static str,
    pub make: fn() -> Box<dyn Parser>,
    /// How much the first lines look like this format; 0: not at all.
    pub sniff: fn(&[&str]) -> u32,
}

/// Every foreign format; fsd's own events need no parser, their scanner is in `fsd-events`.
pub const PARSERS: &[Entry] = &[];

/// What an input gave in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub lines: u64,
    pub events: u64,
    pub bad_lines: u64,
}

/// All parsers over one input: a line goes to the first active parser that takes it.
pub struct Mixed {
    input: InputId,
    parsers: Vec<(Box<dyn Parser>, u64)>,
    own_events: u64,
    counts: Counts,
    facts: Vec<Fact>,
}

impl Mixed {
    pub fn new(input: InputId) -> Self {
        let parsers = PARSERS.iter().map(|entry| ((entry.make)(), 0)).collect();
        Self { input, parsers, own_events: 0, counts: Counts::default(), facts: Vec::new() }
    }

    /// Reads one line, without its line feed.
    pub fn line(&mut self, raw: &[u8], sink: &mut dyn Sink) {
        self.counts.lines += 1;
        let place = Place { input: self.input, line: self.counts.lines };
        if raw.first() == Some(&b'{') {
            match decode(raw) {
                Decoded::Event(event) => {
                    self.own_events += 1;
                    self.counts.events += 1;
                    return sink.event(place, &event);
                }
                Decoded::Unknown { run, seq } => return sink.unknown(place, run, seq),
                Decoded::Malformed => {}
            }
        }
        self.foreign(place, raw, sink);
    }

    /// Counts lines that somebody else (the block reader of fsd's own events) has read already.
    pub fn skip(&mut self, lines: u64, events: u64) {
        self.counts.lines += lines;
        self.counts.events += events;
        self.own_events += events;
    }

    /// The input ended.
    pub fn finish(&mut self, sink: &mut dyn Sink) {
        let mut facts = std::mem::take(&mut self.facts);
        for (parser, events) in &mut self.parsers {
            parser.finish(&mut facts);
            *events += facts.len() as u64;
            self.counts.events += facts.len() as u64;
            facts.drain(..).for_each(|fact| sink.fact(&fact));
        }
    }

    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The format that gave most events.
    pub fn format(&self) -> &'static str {
        let own = ("fsd-events", self.own_events);
        let all = self.parsers.iter().map(|(parser, events)| (parser.format(), *events)).chain([own]);
        all.filter(|(_, events)| *events > 0).max_by_key(|(_, events)| *events).map_or("unknown", |(name, _)| name)
    }

    fn foreign(&mut self, place: Place, raw: &[u8], sink: &mut dyn Sink) {
        let text = String::from_utf8_lossy(raw);
        let line = Line { place, text: text.trim_end_matches('\r'), wall_us: None };
        let taken = self.parsers.iter_mut().find_map(|(parser, events)| {
            (parser.line(&line, &mut self.facts) == Taken::Yes).then(|| *events += self.facts.len() as u64)
        });
        match taken {
            Some(()) => self.counts.events += self.facts.len() as u64,
            None if line.text.trim().is_empty() => {}
            None => self.counts.bad_lines += 1,
        }
        self.facts.drain(..).for_each(|fact| sink.fact(&fact));
    }
}
