//! Mixed input: every parser over one file, each line to the first that takes it.

mod counts;
mod desk;
mod desks;
mod fold;
mod front;
mod heading;
mod held;
mod own;
mod record;
mod shared;
mod threads;
mod ties;
mod trust;

use fsd_events::line::Decoder;

pub use self::counts::Counts;
use self::{
    desks::Desks,
    heading::Headings,
    own::{OWN, is_event},
    record::Rank,
    trust::Trust,
};
use super::{
    Entry, Line, PARSERS, Taken, UNKNOWN,
    clock::Days,
    envelope::{self, Form, Margin, Opened, PART},
    scan, writer,
};
use crate::engine::fact::{At, Fact, InputId, Place, Sink};

/// All parsers over one input, anew for each daemon that writes into it.
pub struct Mixed {
    input: InputId,
    desks: Desks,
    /// The lines may have what only a terminal understands.
    dressed: bool,
    /// Whether what is one line may stand in several.
    form: Form,
    rank: Rank,
    /// Its bytes are those of one long line.
    in_pieces: bool,
    margin: Margin,
    headings: Headings,
    /// Inputs before this one were each of one thread.
    by_thread: bool,
    days: Days,
    /// The last time that was told without an event, by a line of somebody else and by one of a known format.
    told: [Option<u64>; 2],
    trust: Trust,
    /// How many objects that somebody shipped are around what is read now.
    depth: u8,
    decoder: Decoder,
    own_events: u64,
    counts: Counts,
    facts: Vec<Fact>,
}

impl Mixed {
    pub fn new(input: InputId) -> Self {
        Self::with(input, PARSERS)
    }

    /// The same for lines that are to be read as they come, e.g. because they are still being written.
    pub fn live(input: InputId) -> Self {
        Self { rank: Rank::Forward, ..Self::new(input) }
    }

    /// Only these formats; a fuzz target runs one alone.
    pub fn with(input: InputId, entries: &'static [Entry]) -> Self {
        let (days, decoder, counts) = (Days::default(), Decoder::default(), Counts::default());
        let (desks, told, own_events, facts) = (Desks::new(entries), [None; 2], 0, Vec::new());
        Self {
            input,
            desks,
            dressed: true,
            form: Form::Unknown,
            rank: Rank::default(),
            in_pieces: false,
            margin: Margin::default(),
            headings: Headings::default(),
            by_thread: false,
            days,
            told,
            trust: Trust::default(),
            depth: 0,
            decoder,
            own_events,
            counts,
            facts,
        }
    }

    /// The same log goes on in another input: a request that began in the one before may end here.
    #[must_use]
    pub fn go_on(mut self, input: InputId) -> Self {
        self.input = input;
        self.by_thread = self.is_by_thread();
        (self.form, self.rank, self.in_pieces) = (Form::Unknown, Rank::default(), false);
        (self.own_events, self.counts) = (0, Counts::default());
        self.desks.tally.clear();
        self
    }

    /// The number at the end of the input's name, which may be that of a thread.
    pub fn named(&mut self, tid: u64) {
        if self.by_thread {
            // The times of another thread begin anew.
            self.days = Days::default();
        }
        self.desks.named(tid);
    }

    /// Whether its program writes a file for each thread: a next number in a name is another thread then.
    pub fn is_by_thread(&self) -> bool {
        let format = self.format();
        self.by_thread || PARSERS.iter().any(|entry| entry.by_thread && entry.format == format)
    }

    /// Reads one line, without its line feed; bytes that are no UTF-8 are replaced.
    pub fn line(&mut self, raw: &[u8], sink: &mut dyn Sink) {
        let place = self.next();
        self.read(place, raw, None, sink);
    }

    /// The same for a line that is known to be UTF-8.
    pub fn text(&mut self, text: &str, sink: &mut dyn Sink) {
        let place = self.next();
        match text.as_bytes().first() {
            Some(b'{' | 0) => self.read(place, text.as_bytes(), Some(text), sink),
            _ if matches!(self.form, Form::Lines) => self.open(place, text, sink),
            _ => self.read(place, text.as_bytes(), Some(text), sink),
        }
    }

    /// Looks whether the lines of this block have colours or the like at all: one look at many lines is cheaper than one
    /// at each.
    pub fn begin_block(&mut self, bytes: &[u8]) {
        self.dressed = envelope::are_dressed(bytes);
    }

    /// What follows may be anything again.
    pub fn end_block(&mut self) {
        self.dressed = true;
    }

    fn next(&mut self) -> Place {
        self.counts.lines += 1;
        self.place(self.counts.lines)
    }

    /// Of a line, or of a part of one.
    fn place(&self, line: u64) -> Place {
        let (line, part) = (line & ((1 << PART) - 1), (line >> PART) as u16);
        Place { input: self.input, line, part }
    }

    fn read(&mut self, place: Place, raw: &[u8], text: Option<&str>, sink: &mut dyn Sink) {
        if !matches!(self.form, Form::Lines) && self.is_of_a_record(raw, sink) {
            return;
        }
        self.line_of(place, raw, text, sink);
    }

    fn line_of(&mut self, place: Place, raw: &[u8], text: Option<&str>, sink: &mut dyn Sink) {
        let Some(raw) = self.whole(raw) else { return };
        if raw.first() == Some(&b'{') {
            if is_event(raw) && self.own(place, raw, sink) {
                return;
            }
            if raw.starts_with(OWN) {
                return self.damaged(place, &scan::text(raw), sink);
            }
        }
        match text.filter(|text| text.len() == raw.len()) {
            Some(text) => self.open(place, text, sink),
            None => self.open(place, &scan::text(raw), sink),
        }
    }

    fn open(&mut self, place: Place, text: &str, sink: &mut dyn Sink) {
        let text = self.margin.off(text);
        if (heading::may_be(text) || self.headings.are_ruled()) && self.headings.read(text, &mut self.days) {
            // Whatever follows is no part of what was said above, nor said again.
            self.trust.forgets();
            return self.turn_to(None, text, sink);
        }
        if text.starts_with('-') && heading::is_boot(text) {
            return self.boots(sink);
        }
        if envelope::is_bare(text, self.dressed) {
            return self.alone(Line { place, text, at: At::default(), host: "" }, sink);
        }
        match envelope::stamped(text).filter(|_| !self.dressed) {
            Some((stamp, text)) => {
                let at = self.days.at_any(Some(stamp));
                self.alone(Line { place, text, at, host: "" }, sink);
            }
            None => self.unwrap(place, text, sink),
        }
    }

    /// A line without an envelope that tells who wrote it.
    #[inline]
    fn alone(&mut self, mut line: Line<'_>, sink: &mut dyn Sink) {
        if !self.desks.is_at_first()
            || self.headings.are_there()
            || writer::may_tell(line.text) && writer::of_line(line.text).is_some()
        {
            return self.foreign(line, None, None, sink);
        }
        if line.at.wall_us.is_some() {
            line.at = self.desks.own(line.at, None);
        }
        self.offer(&line, None, sink);
    }

    #[inline(never)]
    fn unwrap(&mut self, place: Place, text: &str, sink: &mut dyn Sink) {
        envelope::open(text, self.dressed, |opened| self.opened(place, &opened, sink));
    }

    fn opened(&mut self, place: Place, opened: &Opened<'_>, sink: &mut dyn Sink) {
        let settled;
        let opened = if opened.doubt.is_none() || !opened.many && self.trust.believes(opened) {
            opened
        } else {
            settled = self.trust.settled(opened);
            &settled
        };
        let text = opened.text;
        let place = Place { part: place.part.max(opened.part), ..place };
        if text.starts_with('{') && is_event(text.as_bytes()) && self.own(place, text.as_bytes(), sink) {
            return;
        }
        let at = self.days.at_any(opened.stamp);
        if opened.collected && self.trust.is_again(at, &opened.by, text) {
            return;
        }
        if text.as_bytes().starts_with(OWN) {
            return self.damaged(place, text, sink);
        }
        let by = Some(&opened.by).filter(|by| by.is_known());
        self.foreign(Line { place, text, at, host: opened.by.host }, opened.outer, by, sink);
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
        self.rank = Rank::Forward;
        self.counts.lines += lines;
        self.counts.events += lines;
        self.own_events += lines;
    }

    /// No further line is there for now: parsers hand over what they held back to join it with later lines.
    pub fn settle(&mut self, sink: &mut dyn Sink) {
        self.release(sink);
        self.each(sink, |parser, out| parser.settle(out));
    }

    /// The log ended.
    pub fn finish(&mut self, sink: &mut dyn Sink) {
        self.end(sink);
        self.each(sink, |parser, out| parser.finish(out));
    }

    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The format that gave most events, or most lines where none gave an event.
    pub fn format(&self) -> &'static str {
        match self.desks.best() {
            Some((format, events)) if events >= self.own_events => format,
            _ if self.own_events > 0 => "fsd-events",
            _ => UNKNOWN,
        }
    }

    /// Offers a line to the parsers of its writer, and hands over what comes of it; `outer`: its time as told around it.
    #[inline]
    fn offer(&mut self, line: &Line<'_>, outer: Option<At>, sink: &mut dyn Sink) {
        match self.desks.read(line, &mut self.facts) {
            Taken::Bad => self.counts.bad_lines += 1,
            Taken::No if envelope::is_object(line.text) && self.shipped(line, sink) => return,
            // The time of day may stand in the line itself.
            Taken::Chat(at) if self.facts.is_empty() => return self.passed(at, true, sink),
            taken if self.facts.is_empty() => {
                let at = outer.and_then(|outer| self.desks.heard(outer)).unwrap_or(line.at);
                return self.passed(at, taken.is_own(), sink);
            }
            _ => {}
        }
        self.hand_over(sink);
    }

    /// Whether the line is an object in which somebody shipped another one.
    fn shipped(&mut self, line: &Line<'_>, sink: &mut dyn Sink) -> bool {
        /// Nobody ships what was shipped so often.
        const DEEPEST: u8 = 3;
        if self.depth == DEEPEST {
            return false;
        }
        self.depth += 1;
        let is_one = envelope::shipped(line.text, |opened| self.opened(line.place, &opened, sink));
        self.depth -= 1;
        is_one
    }

    /// A daemon that only chats, or is silent while others write, is not finished: its requests grow older.
    fn passed(&mut self, at: At, own: bool, sink: &mut dyn Sink) {
        const WORTH_A_WORD: u64 = 100_000;
        let Some(now) = at.wall_us.or(at.mono_us) else { return };
        let told = &mut self.told[usize::from(own)];
        if told.is_none_or(|told| now.abs_diff(told) >= WORTH_A_WORD) {
            *told = Some(now);
            sink.passed(self.input, at, own);
        }
    }

    #[inline(always)]
    fn hand_over(&mut self, sink: &mut dyn Sink) {
        self.counts.events += self.facts.len() as u64;
        // One is the rule, and costs less than a list.
        if self.facts.len() == 1 {
            self.facts.pop().into_iter().for_each(|fact| sink.fact(fact));
        } else {
            self.facts.drain(..).for_each(|fact| sink.fact(fact));
        }
    }
}
