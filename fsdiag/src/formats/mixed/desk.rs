//! Desks: the parsers of one writer, one desk for each daemon of a log, so that none pairs what is another's.

use crate::{
    engine::fact::{At, Fact, Writer},
    formats::{
        Entry, Line, PARSERS, Parser, Taken, UNKNOWN,
        clock::{Stamp, Zone},
        gate::{Formats, GATE},
        writer::By,
    },
};

/// All parsers, as one writer has used them so far.
pub(super) struct Desk {
    writer: Option<Writer>,
    zone: Zone,
    slots: Vec<Slot>,
    /// Their bits, and the slot of each.
    bits: Formats,
    of_bit: [u8; Formats::BITS as usize],
    /// Who took the line before: lines of one format come in runs.
    recent: Option<usize>,
    /// Formats that wait for more: they are offered every line.
    awake: Formats,
    /// Facts that came of it, and when it was used last.
    worth: (bool, u64),
}

struct Slot {
    parser: Box<dyn Parser>,
    bit: Formats,
    /// Slots that are asked before this one.
    yields_to: Vec<usize>,
    /// Slots that will be, once they have taken a line.
    gives_way_to: Vec<usize>,
    /// It has taken one.
    seen: bool,
}

/// What each format gave in all, in the order of the entries.
#[derive(Default)]
pub(super) struct Tally(Vec<(u64, u64)>);

/// The desks of one input; the first is that of lines of which nobody knows who wrote them.
pub(super) struct Desks {
    entries: &'static [Entry],
    pub(super) all: Vec<Desk>,
    at: usize,
    turns: u64,
    pub(super) tally: Tally,
}

/// Whose line it is.
pub(super) enum Turn {
    /// Of the same writer as the line before.
    Stays,
    To,
    /// Of a new writer, whose desk took the place of that one.
    Instead(Box<Desk>),
}

/// A journal names thousands of processes; so many at once are remembered.
const MOST: usize = 64;

impl Desks {
    pub(super) fn new(entries: &'static [Entry]) -> Self {
        let all = vec![Desk::new(entries, None)];
        Self { entries, all, at: 0, turns: 0, tally: Tally::default() }
    }

    /// Who wrote the line before.
    pub(super) fn writer(&self) -> Option<&Writer> {
        self.all[self.at].writer()
    }

    /// Whether the line before was of nobody that is known.
    pub(super) fn is_at_first(&self) -> bool {
        self.at == 0
    }

    /// Finds the desk for a line.
    pub(super) fn turn_to(&mut self, by: Option<&By<'_>>, text: &str) -> Turn {
        let Some(by) = by else {
            // What follows in a dump may stand there without an envelope.
            let goes_on = self.all[self.at].awake != 0 && text.starts_with([' ', '\t']) || text.is_empty();
            return if goes_on { Turn::Stays } else { self.go_to(0) };
        };
        if self.writer().is_some_and(|writer| by.is(writer)) {
            return Turn::Stays;
        }
        match self.all.iter().position(|desk| desk.writer().is_some_and(|writer| by.is(writer))) {
            Some(at) => self.go_to(at),
            None if GATE.of(text) == 0 => self.go_to(0),
            None => self.open(Desk::new(self.entries, Some(by.writer()))),
        }
    }

    fn go_to(&mut self, at: usize) -> Turn {
        if at == self.at {
            return Turn::Stays;
        }
        self.at = at;
        self.turns += 1;
        self.all[at].worth.1 = self.turns;
        Turn::To
    }

    fn open(&mut self, desk: Desk) -> Turn {
        if self.all.len() < MOST {
            self.all.push(desk);
            return self.go_to(self.all.len() - 1);
        }
        // Those that never told of a request first: most processes of a journal are no daemons.
        let least = (1..self.all.len()).min_by_key(|at| self.all[*at].worth).unwrap_or(0);
        let left = std::mem::replace(&mut self.all[least], desk);
        self.at = 0;
        self.go_to(least);
        Turn::Instead(Box::new(left))
    }

    /// The time of a line of the present writer by that one's clock.
    pub(super) fn own(&mut self, at: At, around: Option<Stamp>) -> At {
        self.all[self.at].zone.own(at, around)
    }

    /// Offers a line to the parsers of its writer.
    #[inline(always)]
    pub(super) fn read(&mut self, line: &Line<'_>, facts: &mut Vec<Fact>) -> Taken {
        self.all[self.at].read(line, &mut self.tally, facts)
    }

    /// The format that gave most events, or most lines where none gave an event, and its events.
    pub(super) fn best(&self) -> Option<(&'static str, u64)> {
        let of = |(at, entry): (usize, &Entry)| (entry.format, self.tally.0.get(at).copied().unwrap_or_default());
        let known = self.entries.iter().enumerate().map(of);
        let known = known.filter(|(format, (lines, _))| *lines > 0 && *format != UNKNOWN);
        known.rev().max_by_key(|(_, (lines, events))| (*events, *lines)).map(|(format, (_, events))| (format, events))
    }
}

impl Desk {
    fn new(entries: &[Entry], writer: Option<Writer>) -> Self {
        let place = |format: &&str| entries.iter().position(|entry| entry.format == *format);
        let bit = |entry: &Entry| PARSERS.iter().position(|other| other.format == entry.format).map_or(0, |at| 1 << at);
        let slot = |entry: &Entry| Slot {
            parser: (entry.make)(),
            bit: bit(entry),
            yields_to: entry.yields_to.iter().filter_map(place).collect(),
            gives_way_to: entry.gives_way_to.iter().filter_map(place).collect(),
            seen: false,
        };
        let slots: Vec<Slot> = entries.iter().map(slot).collect();
        let mut of_bit = [0; Formats::BITS as usize];
        slots.iter().zip(0..).for_each(|(slot, at)| of_bit[slot.bit.trailing_zeros() as usize] = at);
        let bits = slots.iter().fold(0, |bits, slot| bits | slot.bit);
        Self { writer, zone: Zone::default(), slots, bits, of_bit, recent: None, awake: 0, worth: (false, 0) }
    }

    pub(super) fn writer(&self) -> Option<&Writer> {
        self.writer.as_ref()
    }

    pub(super) fn named(&mut self, tid: u64) {
        self.slots.iter_mut().for_each(|slot| slot.parser.named(tid));
    }

    #[inline(always)]
    fn read(&mut self, line: &Line<'_>, tally: &mut Tally, facts: &mut Vec<Fact>) -> Taken {
        let taken = self.recent.map_or(Taken::No, |at| self.in_turn(at, line, tally, facts));
        let taken = if taken == Taken::No { self.by_another(line, tally, facts) } else { taken };
        self.worth.0 |= !facts.is_empty() && self.recent.is_some();
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
        let mut left = asked & self.bits;
        while left != 0 {
            let at = usize::from(self.of_bit[left.trailing_zeros() as usize]);
            left &= left - 1;
            if Some(at) != self.recent {
                let taken = self.offer(at, line, tally, facts);
                if taken != Taken::No {
                    return Some((at, taken));
                }
            }
        }
        None
    }

    /// Another format goes on: what the one before held back comes before the facts of this line.
    fn settle_first(&mut self, before: usize, tally: &mut Tally, facts: &mut Vec<Fact>) {
        let later = facts.len();
        self.slots[before].parser.settle(facts);
        self.note(before);
        tally.at(before).1 += (facts.len() - later) as u64;
        facts.rotate_left(later);
    }

    /// Offers a line to one parser, after those that it yields to.
    #[inline(always)]
    fn in_turn(&mut self, at: usize, line: &Line<'_>, tally: &mut Tally, facts: &mut Vec<Fact>) -> Taken {
        for first in 0..self.slots[at].yields_to.len() {
            let taken = self.offer(self.slots[at].yields_to[first], line, tally, facts);
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
        if taken == Taken::No && self.awake & slot.bit == 0 {
            debug_assert!(slot.parser.is_idle(), "{} begins to wait by a line that it refuses", slot.parser.format());
            return taken;
        }
        self.awake = slot.among(self.awake);
        if taken != Taken::No {
            if !slot.seen {
                self.give_way(at);
            }
            let (lines, events) = tally.at(at);
            *lines += u64::from(taken.is_own());
            *events += facts.len() as u64;
        }
        taken
    }

    /// It has seen its own: from here on it is asked before those that give way to it.
    fn give_way(&mut self, seen: usize) {
        self.slots[seen].seen = true;
        for slot in &mut self.slots {
            let known = slot.gives_way_to.iter().position(|first| *first == seen);
            slot.yields_to.extend(known.map(|at| slot.gives_way_to.remove(at)));
        }
    }

    /// One step of every parser; what comes of it stands in the order of the lines.
    pub(super) fn each(&mut self, tally: &mut Tally, facts: &mut Vec<Fact>, step: fn(&mut dyn Parser, &mut Vec<Fact>)) {
        for at in 0..self.slots.len() {
            let before = facts.len();
            step(self.slots[at].parser.as_mut(), facts);
            self.note(at);
            tally.at(at).1 += (facts.len() - before) as u64;
        }
        facts.sort_by_key(|fact| fact.place.line);
    }

    /// Notes whether a parser waits for more.
    fn note(&mut self, at: usize) {
        self.awake = self.slots[at].among(self.awake);
    }
}

impl Slot {
    /// Those that wait for more, with this one if it does.
    #[inline]
    fn among(&self, awake: Formats) -> Formats {
        if self.parser.is_idle() { awake & !self.bit } else { awake | self.bit }
    }
}

impl Tally {
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    #[inline]
    fn at(&mut self, format: usize) -> &mut (u64, u64) {
        if self.0.len() <= format {
            self.0.resize(format + 1, (0, 0));
        }
        &mut self.0[format]
    }
}
