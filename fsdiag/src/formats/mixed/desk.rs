//! Desk: the parsers of one writer, one desk for each daemon of a log, so that none pairs what is another's.

use crate::{
    engine::fact::{Fact, Key, What, Writer},
    formats::{
        Entry, Line, PARSERS, Parser, Taken, UNKNOWN,
        clock::Zone,
        gate::{Formats, GATE},
    },
};

/// All parsers, as one writer has used them so far.
pub(super) struct Desk {
    writer: Option<Writer>,
    pub(super) zone: Zone,
    /// The formats that are read at all.
    formats: Formats,
    /// Those that a line was offered to: most of a log never see one.
    slots: Vec<Slot>,
    /// Where each of them is.
    of_format: [u8; Formats::BITS as usize],
    /// Who took the line before: lines of one format come in runs.
    recent: Option<usize>,
    /// Formats that wait for more: they are offered every line.
    awake: Formats,
    /// Formats that have taken a line.
    seen: Formats,
    /// Of which thread the lines are, as the input's name tells.
    tid: Option<u64>,
    worth: Worth,
    /// What it says may show that its writer is a thread.
    pub(super) watched: bool,
}

struct Slot {
    parser: Box<dyn Parser>,
    /// Its place among all formats.
    format: usize,
    /// Those that are asked before it.
    yields_to: Formats,
    /// Those that will be, once they have taken a line.
    gives_way_to: Formats,
}

/// What would be lost with a desk, the greatest loss first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Worth {
    /// Its lines have no numbers, and only here it is known which request an end means.
    open: u32,
    /// It told of something.
    told: bool,
    /// When it was used last.
    turn: u64,
}

/// What each format gave in all, by its place: lines and events.
#[derive(Default)]
pub(super) struct Tally([(u64, u64); Formats::BITS as usize]);

/// The bits of formats, by their names.
fn bits(formats: &[&str]) -> Formats {
    let of = |format: &&str| PARSERS.iter().position(|entry| entry.format == *format).map_or(0, |at| 1 << at);
    formats.iter().map(of).fold(0, |all, bit: Formats| all | bit)
}

/// No parser was made.
const NONE: u8 = u8::MAX;

impl Desk {
    pub(super) fn new(formats: Formats, writer: Option<Writer>) -> Self {
        let of_format = [NONE; Formats::BITS as usize];
        Self {
            writer,
            zone: Zone::default(),
            formats,
            slots: Vec::new(),
            of_format,
            recent: None,
            awake: 0,
            seen: 0,
            tid: None,
            worth: Worth::default(),
            watched: false,
        }
    }

    pub(super) fn writer(&self) -> Option<&Writer> {
        self.writer.as_ref()
    }

    /// Whether a parser waits for more lines.
    pub(super) fn is_waiting(&self) -> bool {
        self.awake != 0
    }

    pub(super) fn named(&mut self, tid: u64) {
        self.tid = Some(tid);
        self.slots.iter_mut().for_each(|slot| slot.parser.named(tid));
    }

    /// It is used now.
    pub(super) fn turns(&mut self, turn: u64) {
        self.worth.turn = turn;
    }

    pub(super) fn worth(&self) -> Worth {
        self.worth
    }

    /// Whether any event was in what its writer wrote.
    pub(super) fn has_told(&self) -> bool {
        self.worth.told
    }

    /// Requests whose ends nobody else would know.
    pub(super) fn open(&self) -> u32 {
        self.worth.open
    }

    /// Notes what begins and ends that has no number.
    pub(super) fn weigh(&mut self, facts: &[Fact]) {
        let open = &mut self.worth.open;
        for fact in facts {
            match &fact.what {
                What::Enter(call) if matches!(call.key, Key::Line(_)) => *open = open.saturating_add(1),
                // The end of what began before the log is named by its own line.
                What::Exit(done) if matches!(done.key, Key::Line(_)) && done.key != fact.place.key() => {
                    *open = open.saturating_sub(1);
                }
                _ => {}
            }
        }
    }

    #[inline(always)]
    pub(super) fn read(&mut self, line: &Line<'_>, tally: &mut Tally, facts: &mut Vec<Fact>) -> Taken {
        let taken = self.recent.map_or(Taken::No, |at| self.in_turn(at, line, tally, facts));
        let taken = if taken == Taken::No { self.by_another(line, tally, facts) } else { taken };
        self.worth.told |= !facts.is_empty() && self.recent.is_some();
        taken
    }

    /// A line that the parser of the line before refuses.
    #[inline(never)]
    fn by_another(&mut self, line: &Line<'_>, tally: &mut Tally, facts: &mut Vec<Fact>) -> Taken {
        let before = self.recent;
        let next = self.taker(self.awake | GATE.of(line.text), line, tally, facts);
        // A blank line parts the blocks of one dump.
        if next.is_some() || !line.text.is_empty() {
            self.recent = next.map(|(at, _)| at).filter(|at| self.slots[*at].parser.format() != UNKNOWN);
        }
        if let Some(before) = before.filter(|_| next.is_some()) {
            self.settle_first(before, tally, facts);
        }
        next.map_or(Taken::No, |(_, taken)| taken)
    }

    /// The first of the `asked` formats that takes a line; the one that took the line before has refused it already.
    fn taker(
        &mut self,
        asked: Formats,
        line: &Line<'_>,
        tally: &mut Tally,
        facts: &mut Vec<Fact>,
    ) -> Option<(usize, Taken)> {
        for format in each(asked & self.formats) {
            let at = self.slot(format);
            if Some(at) != self.recent {
                let taken = self.offer(at, line, tally, facts);
                if taken != Taken::No {
                    return Some((at, taken));
                }
            }
        }
        None
    }

    /// The parser of a format, made when it is asked for the first time.
    #[inline]
    fn slot(&mut self, format: usize) -> usize {
        if self.of_format[format] == NONE { self.make(format) } else { usize::from(self.of_format[format]) }
    }

    #[inline(never)]
    fn make(&mut self, format: usize) -> usize {
        let Entry { make, yields_to, gives_way_to, .. } = &PARSERS[format];
        let mut parser = make();
        self.tid.into_iter().for_each(|tid| parser.named(tid));
        let at = self.slots.len();
        let slot = Slot { parser, format, yields_to: bits(yields_to), gives_way_to: bits(gives_way_to) };
        self.slots.push(slot);
        self.of_format[format] = u8::try_from(at).unwrap_or(NONE);
        at
    }

    /// Another format goes on: what the one before held back comes before the facts of this line.
    fn settle_first(&mut self, before: usize, tally: &mut Tally, facts: &mut Vec<Fact>) {
        let later = facts.len();
        self.slots[before].parser.settle(facts);
        self.note(before);
        tally.at(self.slots[before].format).1 += (facts.len() - later) as u64;
        facts.rotate_left(later);
    }

    /// Offers a line to one parser, after those that it yields to.
    #[inline(always)]
    fn in_turn(&mut self, at: usize, line: &Line<'_>, tally: &mut Tally, facts: &mut Vec<Fact>) -> Taken {
        let slot = &self.slots[at];
        let first = slot.yields_to | slot.gives_way_to & self.seen;
        for format in each(first & self.formats) {
            let first = self.slot(format);
            let taken = self.offer(first, line, tally, facts);
            if taken != Taken::No {
                return taken;
            }
        }
        self.offer(at, line, tally, facts)
    }

    #[inline(always)]
    fn offer(&mut self, at: usize, line: &Line<'_>, tally: &mut Tally, facts: &mut Vec<Fact>) -> Taken {
        let slot = &mut self.slots[at];
        let taken = slot.parser.line(line, facts);
        if taken == Taken::No && self.awake & slot.bit() == 0 {
            debug_assert!(slot.parser.is_idle(), "{} begins to wait by a line that it refuses", slot.parser.format());
            return taken;
        }
        self.awake = slot.among(self.awake);
        if taken != Taken::No {
            self.seen |= slot.bit();
            let (lines, events) = tally.at(slot.format);
            *lines += u64::from(taken.is_own());
            *events += facts.len() as u64;
        }
        taken
    }

    /// One step of every parser; what comes of it stands in the order of the lines.
    pub(super) fn each(&mut self, tally: &mut Tally, facts: &mut Vec<Fact>, step: fn(&mut dyn Parser, &mut Vec<Fact>)) {
        // Whichever was asked first.
        for format in 0..self.of_format.len() {
            let at = usize::from(self.of_format[format]);
            let Some(slot) = self.slots.get_mut(at) else { continue };
            let before = facts.len();
            step(slot.parser.as_mut(), facts);
            tally.at(format).1 += (facts.len() - before) as u64;
            self.note(at);
        }
        facts.sort_by_key(|fact| fact.place.line);
    }

    /// Notes whether a parser waits for more.
    fn note(&mut self, at: usize) {
        self.awake = self.slots[at].among(self.awake);
    }
}

/// The places of these formats.
fn each(formats: Formats) -> impl Iterator<Item = usize> {
    let mut left = formats;
    std::iter::from_fn(move || {
        let format = (left != 0).then(|| left.trailing_zeros() as usize);
        left &= left.wrapping_sub(1);
        format
    })
}

impl Slot {
    #[inline]
    fn bit(&self) -> Formats {
        1 << self.format
    }

    /// Those that wait for more, with this one if it does.
    #[inline]
    fn among(&self, awake: Formats) -> Formats {
        if self.parser.is_idle() { awake & !self.bit() } else { awake | self.bit() }
    }
}

impl Tally {
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn of(&self, format: usize) -> (u64, u64) {
        self.0[format]
    }

    #[inline]
    fn at(&mut self, format: usize) -> &mut (u64, u64) {
        &mut self.0[format]
    }
}
