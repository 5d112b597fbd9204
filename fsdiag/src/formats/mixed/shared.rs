//! Shared logs: each line goes to the desk of whoever wrote it, as its envelope, its format or a heading above it tells.

use super::{Mixed, desk::Desk, desks::Turn, heading, threads::Joined};
use crate::{
    engine::fact::{At, Fact, Sink},
    formats::{
        Line, Parser,
        clock::Stamp,
        writer::{self, By},
    },
};

impl Mixed {
    #[inline(never)]
    pub(super) fn foreign(
        &mut self,
        mut line: Line<'_>,
        around: Option<Stamp>,
        by: Option<&By<'_>>,
        sink: &mut dyn Sink,
    ) {
        let of_line = if by.is_none() { writer::of_line(line.text) } else { None };
        let (heading, mut whole) = (self.headings.now(), String::new());
        let by = by.or(of_line.as_ref()).copied();
        let by = match &heading {
            Some(heading) if by.is_some() || !self.desks.goes_on(line.text) => {
                Some(heading::under(heading, by, &mut whole))
            }
            _ => by,
        };
        if by.is_some() || !self.desks.is_at_first() {
            self.turn_to(by.as_ref(), line.text, sink);
        }
        let outer = match around {
            Some(Stamp::Wall(us)) => At { wall_us: Some(us), ..line.at },
            _ => line.at,
        };
        if line.at.wall_us.is_some() {
            line.at = self.desks.own(line.at, around);
        }
        self.offer(&line, Some(outer), sink);
        if let Some((joined, desks)) = self.desks.joined() {
            self.join(&joined, &desks, sink);
        }
    }

    /// What those desks held back is told, and from here on it is one that writes.
    fn join(&mut self, joined: &Joined, desks: &[usize], sink: &mut dyn Sink) {
        for at in desks {
            let writer = self.desks.each(*at, &mut self.facts, |parser, out| parser.finish(out));
            sink.writer(self.input, writer, false);
            self.hand_over(sink);
        }
        joined.others.iter().for_each(|other| sink.joins(self.input, other, &joined.daemon));
        sink.writer(self.input, Some(&joined.daemon), false);
    }

    pub(super) fn turn_to(&mut self, by: Option<&By<'_>>, text: &str, sink: &mut dyn Sink) {
        match self.desks.turn_to(by, text) {
            Turn::Stays => {}
            Turn::To => sink.writer(self.input, self.desks.writer(), true),
            Turn::Instead(left) => {
                left.into_iter().for_each(|desk| self.put_away(desk, sink));
                sink.writer(self.input, self.desks.writer(), true);
            }
        }
    }

    /// The machine was started anew: nothing that was open has an end any more.
    pub(super) fn boots(&mut self, sink: &mut dyn Sink) {
        self.each(sink, |parser, out| parser.finish(out));
        self.desks.begin_anew();
        sink.boots(self.input);
        sink.writer(self.input, None, false);
    }

    /// There are more writers than desks: what one of them began without a number has no end from here on.
    fn put_away(&mut self, mut desk: Desk, sink: &mut dyn Sink) {
        desk.each(&mut self.desks.tally, &mut self.facts, |parser, out| parser.finish(out));
        desk.weigh(&self.facts);
        if self.facts.is_empty() && desk.open() == 0 {
            return;
        }
        sink.writer(self.input, desk.writer(), false);
        self.hand_over(sink);
        if desk.open() > 0 {
            sink.leaves(self.input);
        }
    }

    pub(super) fn each(&mut self, sink: &mut dyn Sink, step: fn(&mut dyn Parser, &mut Vec<Fact>)) {
        for at in 0..self.desks.len() {
            let writer = self.desks.each(at, &mut self.facts, step);
            if !self.facts.is_empty() {
                sink.writer(self.input, writer, false);
                self.hand_over(sink);
            }
        }
        sink.writer(self.input, self.desks.writer(), false);
    }
}
