//! Mixed input: every parser over one file, each line to the first that takes it.

use std::{borrow::Cow, sync::LazyLock};

use fsd_events::line::{Decoded, Decoder};
use memchr::memmem::Finder;

use super::{
    Entry, Line, PARSERS, Parser, Taken, UNKNOWN,
    clock::Days,
    envelope,
    gate::{Formats, GATE},
    salvage,
};
use crate::engine::fact::{Fact, InputId, Place, Sink};

/// How fsd writes its lines, and nobody else.
const OWN: &[u8] = b"{\"run\":";

/// All parsers over one input.
pub struct Mixed {
    input: InputId,
    slots: Vec<Slot>,
    /// Their bits, and the slot of each.
    bits: Formats,
    of_bit: [u8; Formats::BITS as usize],
    /// Who took the line before: lines of one format come in runs.
    recent: Option<usize>,
    /// Formats that wait for more: they are offered every line.
    awake: Formats,
    /// The lines may have the colours of a terminal.
    coloured: bool,
    days: Days,
    decoder: Decoder,
    own_events: u64,
    counts: Counts,
    facts: Vec<Fact>,
}

struct Slot {
    parser: Box<dyn Parser>,
    bit: Formats,
    /// Slots that are asked before this one.
    yields_to: Vec<usize>,
    lines: u64,
    events: u64,
}

/// What an input gave in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub lines: u64,
    pub events: u64,
    /// Lines of a known format that were cut or garbled. What no parser knows is somebody else's, not bad.
    pub bad_lines: u64,
}

impl Mixed {
    pub fn new(input: InputId) -> Self {
        Self::with(input, PARSERS)
    }

    /// Only these formats; a fuzz target runs one alone.
    pub fn with(input: InputId, entries: &[Entry]) -> Self {
        let place = |format: &&str| entries.iter().position(|entry| entry.format == *format);
        let bit = |entry: &Entry| PARSERS.iter().position(|other| other.format == entry.format).map_or(0, |at| 1 << at);
        let slot = |entry: &Entry| Slot {
            parser: (entry.make)(),
            bit: bit(entry),
            yields_to: entry.yields_to.iter().filter_map(place).collect(),
            lines: 0,
            events: 0,
        };
        let slots: Vec<Slot> = entries.iter().map(slot).collect();
        let mut of_bit = [0; Formats::BITS as usize];
        slots.iter().zip(0..).for_each(|(slot, at)| of_bit[slot.bit.trailing_zeros() as usize] = at);
        let bits = slots.iter().fold(0, |bits, slot| bits | slot.bit);
        let (days, decoder, counts) = (Days::default(), Decoder::default(), Counts::default());
        let (recent, awake, own_events, facts) = (None, 0, 0, Vec::new());
        Self { input, slots, bits, of_bit, recent, awake, coloured: true, days, decoder, own_events, counts, facts }
    }

    /// The same log goes on in another input: a request that began in the one before may end here.
    #[must_use]
    pub fn go_on(mut self, input: InputId) -> Self {
        self.input = input;
        (self.own_events, self.counts) = (0, Counts::default());
        self.slots.iter_mut().for_each(|slot| (slot.lines, slot.events) = (0, 0));
        self
    }

    /// Reads one line, without its line feed; bytes that are no UTF-8 are replaced.
    pub fn line(&mut self, raw: &[u8], sink: &mut dyn Sink) {
        self.read(raw, None, sink);
    }

    /// The same for a line that is known to be UTF-8.
    pub fn text(&mut self, text: &str, sink: &mut dyn Sink) {
        self.read(text.as_bytes(), Some(text), sink);
    }

    /// Looks whether the lines of this block have colours at all: one look at many lines is cheaper than one at each.
    pub fn begin_block(&mut self, bytes: &[u8]) {
        self.coloured = memchr::memchr(envelope::ESCAPE, bytes).is_some();
    }

    /// What follows may be anything again.
    pub fn end_block(&mut self) {
        self.coloured = true;
    }

    fn read(&mut self, raw: &[u8], text: Option<&str>, sink: &mut dyn Sink) {
        self.counts.lines += 1;
        let place = Place { input: self.input, line: self.counts.lines };
        let Some(raw) = self.whole(raw) else { return };
        if raw.first() == Some(&b'{') && is_event(raw) && self.own(place, raw, sink) {
            return;
        }
        if raw.starts_with(OWN) {
            return self.damaged(place, &String::from_utf8_lossy(raw), sink);
        }
        let text = text.filter(|text| text.len() == raw.len());
        let raw = text.map_or_else(|| String::from_utf8_lossy(raw), Cow::Borrowed);
        let opened = envelope::open(&raw, self.coloured);
        let inner = matches!(opened.text, Cow::Owned(_)) && is_event(opened.text.as_bytes());
        if inner && self.own(place, opened.text.as_bytes(), sink) {
            return;
        }
        let at = opened.stamp.map(|stamp| self.days.at(stamp)).unwrap_or_default();
        if opened.text.as_bytes().starts_with(OWN) {
            return self.damaged(place, &opened.text, sink);
        }
        self.foreign(&Line { place, text: &opened.text, at }, sink);
    }

    /// A line of fsd's own that is torn: what is left of it may end a request, never begin one.
    fn damaged(&mut self, place: Place, text: &str, sink: &mut dyn Sink) {
        self.counts.bad_lines += 1;
        if let Some(remains) = salvage::event(text) {
            sink.remains(place, remains);
        }
    }

    /// A line without the NULs that a crash of the machine leaves before it; None: there is nothing else.
    fn whole<'a>(&mut self, raw: &'a [u8]) -> Option<&'a [u8]> {
        if raw.first() != Some(&0) {
            return Some(raw);
        }
        let text = raw.iter().position(|byte| *byte != 0).map(|at| &raw[at..]);
        self.counts.bad_lines += u64::from(text.is_none());
        text
    }

    /// Counts lines that the block reader has read already: events of fsd, all of them.
    pub fn skip(&mut self, lines: u64) {
        self.counts.lines += lines;
        self.counts.events += lines;
        self.own_events += lines;
    }

    /// No further line is there for now: parsers hand over what they held back to join it with later lines.
    pub fn settle(&mut self, sink: &mut dyn Sink) {
        self.each(sink, |parser, out| parser.settle(out));
    }

    /// The input ended.
    pub fn finish(&mut self, sink: &mut dyn Sink) {
        self.each(sink, |parser, out| parser.finish(out));
    }

    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The format that gave most events, or most lines where none gave an event.
    pub fn format(&self) -> &'static str {
        let best = self.slots.iter().rev().max_by_key(|slot| (slot.known(), slot.events, slot.lines));
        match best.filter(|slot| slot.known()) {
            Some(slot) if slot.events >= self.own_events => slot.parser.format(),
            _ if self.own_events > 0 => "fsd-events",
            _ => UNKNOWN,
        }
    }

    /// fsd's own events need no parser here: their scanner is in `fsd-events`.
    fn own(&mut self, place: Place, raw: &[u8], sink: &mut dyn Sink) -> bool {
        match self.decoder.decode(raw) {
            Decoded::Event(event) => sink.event(place, &event),
            Decoded::Unknown { run, seq } => {
                sink.unknown(place, run, seq);
                return true;
            }
            Decoded::Malformed => return false,
        }
        self.own_events += 1;
        self.counts.events += 1;
        true
    }

    fn foreign(&mut self, line: &Line<'_>, sink: &mut dyn Sink) {
        let before = self.recent;
        if before.is_none_or(|at| !self.in_turn(at, line)) {
            let taken = self.taker(self.awake | GATE.of(line.text), line);
            // A blank line parts the blocks of one dump.
            if taken.is_some() || !line.text.is_empty() {
                self.recent = taken.filter(|at| self.slots[*at].parser.format() != UNKNOWN);
            }
            if let Some(before) = before.filter(|_| taken.is_some()) {
                self.settle_first(before);
            }
        }
        self.hand_over(sink);
    }

    /// The first of the `asked` formats that takes a line; the one that took the line before has refused it already.
    fn taker(&mut self, asked: Formats, line: &Line<'_>) -> Option<usize> {
        let mut left = asked & self.bits;
        while left != 0 {
            let at = usize::from(self.of_bit[left.trailing_zeros() as usize]);
            left &= left - 1;
            if Some(at) != self.recent && self.offer(at, line) {
                return Some(at);
            }
        }
        None
    }

    /// Another format goes on: what the one before held back comes before the facts of this line.
    fn settle_first(&mut self, before: usize) {
        let mut later = std::mem::take(&mut self.facts);
        let slot = &mut self.slots[before];
        slot.parser.settle(&mut self.facts);
        slot.note(&mut self.awake);
        slot.events += self.facts.len() as u64;
        self.facts.append(&mut later);
    }

    /// Offers a line to one parser, after those that it yields to.
    fn in_turn(&mut self, at: usize, line: &Line<'_>) -> bool {
        let before = (0..self.slots[at].yields_to.len()).any(|n| self.offer(self.slots[at].yields_to[n], line));
        before || self.offer(at, line)
    }

    fn offer(&mut self, at: usize, line: &Line<'_>) -> bool {
        let slot = &mut self.slots[at];
        let taken = slot.parser.line(line, &mut self.facts);
        slot.note(&mut self.awake);
        match taken {
            Taken::No => return false,
            Taken::Yes => slot.lines += 1,
            Taken::Bad => self.counts.bad_lines += 1,
        }
        slot.events += self.facts.len() as u64;
        true
    }

    fn each(&mut self, sink: &mut dyn Sink, step: fn(&mut dyn Parser, &mut Vec<Fact>)) {
        let mut before = 0;
        for slot in &mut self.slots {
            step(slot.parser.as_mut(), &mut self.facts);
            slot.note(&mut self.awake);
            slot.events += (self.facts.len() - before) as u64;
            before = self.facts.len();
        }
        self.facts.sort_by_key(|fact| fact.place.line);
        self.hand_over(sink);
    }

    fn hand_over(&mut self, sink: &mut dyn Sink) {
        self.counts.events += self.facts.len() as u64;
        self.facts.drain(..).for_each(|fact| sink.fact(fact));
    }
}

impl Slot {
    /// Notes whether it waits for more.
    fn note(&self, awake: &mut Formats) {
        *awake = if self.parser.is_idle() { *awake & !self.bit } else { *awake | self.bit };
    }

    fn known(&self) -> bool {
        self.lines > 0 && self.parser.format() != UNKNOWN
    }
}

/// Whether it is worth reading a line as an event of fsd.
fn is_event(raw: &[u8]) -> bool {
    static NAMED: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"ev\""));
    raw.starts_with(OWN) || NAMED.find(raw).is_some()
}
