//! Desks of an input: one for each daemon that writes into it, found by who wrote a line.

use hashbrown::HashTable;

use super::{
    desk::{Desk, Tally},
    threads::{Joined, Threads},
};
use crate::{
    engine::fact::{At, Fact, Writer},
    formats::{
        Entry, Line, PARSERS, Parser, Taken, UNKNOWN,
        clock::{Stamp, Zone},
        gate::{Formats, GATE},
        writer::By,
    },
};

/// The desks of one input; the first is that of lines of which nobody knows who wrote them.
pub(super) struct Desks {
    /// The formats that are read at all.
    formats: Formats,
    all: Vec<Desk>,
    /// Where the desk of each writer stands.
    places: HashTable<usize>,
    at: usize,
    turns: u64,
    threads: Threads,
    joined: Option<Joined>,
    /// Of whoever began requests and stamped a line inside another stamp last.
    zone: Zone,
    pub(super) tally: Tally,
    /// Room for so many.
    most: usize,
}

/// Whose line it is.
pub(super) enum Turn {
    /// Of the same writer as the line before.
    Stays,
    To,
    /// Of a new writer; for whose desk there was no room without putting these away.
    Instead(Vec<Desk>),
}

/// A cluster has so many daemons, and a journal names more processes: a desk takes little more room than the parsers
/// that its writer's lines were for.
const MOST: usize = 4096;

impl Desks {
    pub(super) fn new(entries: &[Entry]) -> Self {
        let named = |format: &str| entries.iter().any(|entry| entry.format == format);
        let bits = PARSERS.iter().zip(0..).map(|(entry, at)| Formats::from(named(entry.format)) << at);
        let formats = bits.fold(0, |formats, bit| formats | bit);
        let (all, places) = (vec![Desk::new(formats, None)], HashTable::new());
        let (threads, zone, tally) = (Threads::default(), Zone::default(), Tally::default());
        Self { formats, all, places, at: 0, turns: 0, threads, joined: None, zone, tally, most: MOST }
    }

    /// Nobody has written so far; what each format gave stays counted.
    pub(super) fn begin_anew(&mut self) {
        self.all = vec![Desk::new(self.formats, None)];
        self.places.clear();
        (self.at, self.threads, self.joined) = (0, Threads::default(), None);
    }

    /// Who wrote the line before.
    pub(super) fn writer(&self) -> Option<&Writer> {
        self.all[self.at].writer()
    }

    /// Whether the line before was of nobody that is known.
    pub(super) fn is_at_first(&self) -> bool {
        self.at == 0
    }

    pub(super) fn named(&mut self, tid: u64) {
        self.all[0].named(tid);
    }

    /// Finds the desk for a line.
    pub(super) fn turn_to(&mut self, by: Option<&By<'_>>, text: &str) -> Turn {
        let Some(by) = by else {
            return if self.goes_on(text) { Turn::Stays } else { self.go_to(0) };
        };
        if self.writer().is_some_and(|writer| by.is(writer)) {
            return Turn::Stays;
        }
        let by = &self.threads.daemon(by).map_or(*by, By::of);
        if self.writer().is_some_and(|writer| by.is(writer)) {
            return Turn::Stays;
        }
        match self.place(by) {
            Some(at) => self.go_to(at),
            None if GATE.of(text) == 0 => self.go_to(0),
            None => {
                let writer = by.writer();
                self.open(writer)
            }
        }
    }

    /// Whether a line belongs to what the present writer says: what follows in a dump may stand there without an envelope.
    pub(super) fn goes_on(&self, text: &str) -> bool {
        self.all[self.at].is_waiting() && text.starts_with([' ', '\t']) || text.is_empty()
    }

    fn go_to(&mut self, at: usize) -> Turn {
        if at == self.at {
            return Turn::Stays;
        }
        self.at = at;
        self.turns += 1;
        self.all[at].turns(self.turns);
        Turn::To
    }

    fn open(&mut self, writer: Writer) -> Turn {
        let left = if self.all.len() < self.most { Vec::new() } else { self.put_away() };
        let watched = self.threads.arrives(&writer);
        self.all.push(Desk::new(self.formats, Some(writer)));
        self.seat(self.all.len() - 1);
        for writer in watched {
            if let Some(at) = self.of(&writer) {
                self.all[at].watched = true;
            }
        }
        self.go_to(self.all.len() - 1);
        if left.is_empty() { Turn::To } else { Turn::Instead(left) }
    }

    fn seat(&mut self, at: usize) {
        let all = &self.all;
        let place = |at: &usize| all[*at].writer().map_or(0, |writer| By::of(writer).number());
        self.places.insert_unique(place(&at), at, place);
    }

    /// A quarter of them at once, because it takes a look at all: those that lose least.
    fn put_away(&mut self) -> Vec<Desk> {
        let mut all: Vec<Desk> = self.all.drain(1..).collect();
        all.sort_by_key(Desk::worth);
        let kept = all.split_off(all.len().div_ceil(4));
        self.all.extend(kept);
        self.places.clear();
        (1..self.all.len()).for_each(|at| self.seat(at));
        self.at = 0;
        all
    }

    /// The time of a line of the present writer by that one's clock.
    pub(super) fn own(&mut self, at: At, around: Option<Stamp>) -> At {
        let desk = &mut self.all[self.at];
        if around.is_some() && desk.has_told() {
            self.zone.own(at, around);
        }
        desk.zone.own(at, around)
    }

    /// The time of a line of whoever has begun no request, by the clock of those whose requests grow old by it; `outer`:
    /// as those who collected it tell.
    pub(super) fn heard(&mut self, outer: At) -> Option<At> {
        (!self.all[self.at].has_told()).then(|| self.zone.own(outer, None))
    }

    /// Offers a line to the parsers of its writer.
    #[inline(always)]
    pub(super) fn read(&mut self, line: &Line<'_>, facts: &mut Vec<Fact>) -> Taken {
        let desk = &mut self.all[self.at];
        let taken = desk.read(line, &mut self.tally, facts);
        if self.at > 0 {
            desk.weigh(facts);
            if desk.watched && !facts.is_empty() {
                self.watch(facts);
            }
        }
        taken
    }

    #[inline(never)]
    fn watch(&mut self, facts: &[Fact]) {
        let desk = &mut self.all[self.at];
        let Some(writer) = desk.writer() else { return };
        let (joined, watched) = self.threads.look(writer, facts);
        desk.watched = watched;
        self.joined = joined;
    }

    /// Writers of whom it has just shown that they are threads of one daemon, with their desks.
    pub(super) fn joined(&mut self) -> Option<(Joined, Vec<usize>)> {
        let joined = self.joined.take()?;
        let desks = joined.others.iter().filter_map(|writer| self.of(writer)).collect();
        self.at = self.of(&joined.daemon).unwrap_or(0);
        Some((joined, desks))
    }

    /// The desk of a writer.
    fn of(&self, writer: &Writer) -> Option<usize> {
        self.place(&By::of(writer))
    }

    fn place(&self, by: &By<'_>) -> Option<usize> {
        let its = |at: &usize| self.all[*at].writer().is_some_and(|writer| by.is(writer));
        self.places.find(by.number(), its).copied()
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// One step of every parser of a desk; gives its writer.
    pub(super) fn each(
        &mut self,
        at: usize,
        facts: &mut Vec<Fact>,
        step: fn(&mut dyn Parser, &mut Vec<Fact>),
    ) -> Option<&Writer> {
        let desk = &mut self.all[at];
        desk.each(&mut self.tally, facts, step);
        desk.weigh(facts);
        self.all[at].writer()
    }

    /// The format that gave most events, or most lines where none gave an event, and its events.
    pub(super) fn best(&self) -> Option<(&'static str, u64)> {
        let known = PARSERS.iter().enumerate().map(|(at, entry)| (entry.format, self.tally.of(at)));
        let known = known.filter(|(format, (lines, _))| *lines > 0 && *format != UNKNOWN);
        known.rev().max_by_key(|(_, (lines, events))| (*events, *lines)).map(|(format, (_, events))| (format, events))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::fact::Place;

    fn read(desks: &mut Desks, host: &str, text: &str) -> (Vec<String>, usize) {
        let by = By { host, ..By::default() };
        let left = match desks.turn_to(Some(&by), text) {
            Turn::Instead(left) => left.iter().filter_map(|desk| Some(desk.writer()?.host.to_string())).collect(),
            Turn::Stays | Turn::To => Vec::new(),
        };
        let mut facts = Vec::new();
        desks.read(&Line { place: Place::default(), text, at: At::default(), host }, &mut facts);
        (left, facts.len())
    }

    #[test]
    fn who_waits_for_an_answer_keeps_the_desk_where_the_answer_is_known_again() {
        let mut desks = Desks { most: 9, ..Desks::new(PARSERS) };
        assert_eq!(read(&mut desks, "hung", "DEBUG : &{a (r)}: Read: len=4096, offset=0"), (Vec::new(), 1));
        for host in ["b", "c", "d", "e"] {
            read(&mut desks, host, "DEBUG : &{a (r)}: Read: len=4096, offset=0");
            read(&mut desks, host, "DEBUG : &{a (r)}: >Read: read=4096, err=<nil>");
        }
        for host in ["f", "g", "h"] {
            read(&mut desks, host, "DEBUG : forgetting everything");
        }
        assert_eq!(read(&mut desks, "i", "DEBUG : idle").0, ["f", "g"]);
        read(&mut desks, "j", "DEBUG : idle");
        assert_eq!(read(&mut desks, "k", "DEBUG : idle").0, ["h", "i"]);
        read(&mut desks, "l", "DEBUG : idle");
        assert_eq!(read(&mut desks, "m", "DEBUG : idle").0, ["j", "k"]);
        assert_eq!(read(&mut desks, "hung", "DEBUG : &{a (r)}: >Read: read=4096, err=<nil>").1, 1);
    }
}
