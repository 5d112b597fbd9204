//! Records: inputs in which one line of a log stands in several, or in a cell of a table, or whose latest line stands
//! first, or whose lines a terminal broke.

use super::{
    Mixed,
    fold::Fold,
    front::{Front, Order},
    held::Held,
};
use crate::{
    engine::fact::Sink,
    formats::envelope::{Form, Record, Records, are_dressed},
};

/// In which order the lines of an input stand.
pub(super) enum Rank {
    Asked(Front),
    Forward,
    Backward(Held),
    /// Forward, but each in several.
    Folded(Fold),
}

impl Default for Rank {
    fn default() -> Self {
        Self::Asked(Front::default())
    }
}

impl Mixed {
    /// Whether lines wait until it is known in which order they stand, or are to be turned round: those behind them must
    /// not be read before them.
    pub fn holds_back(&self) -> bool {
        self.counts.lines > 0 && !matches!(self.rank, Rank::Forward)
    }

    /// The input ended, whether or not the same log goes on in another one.
    pub fn end(&mut self, sink: &mut dyn Sink) {
        if let Form::Records(records) = &mut self.form {
            let (rest, refused) = (records.rest(), records.refused());
            self.records(rest, refused, sink);
        }
        self.release(sink);
    }

    /// Takes the first bytes of an input, and more of them, where they are one line that is longer than any of a log: the
    /// answer of a store. How many those are: the others are to be read as lines.
    pub fn piece(&mut self, bytes: &[u8], sink: &mut dyn Sink) -> usize {
        /// Shorter ones are lines.
        const LONG: usize = 128 << 10;
        if self.counts.lines == 0
            && bytes.len() >= LONG
            && let Some(records) = Records::of_piece(bytes)
        {
            (self.form, self.in_pieces, self.counts.lines) = (Form::Records(Box::new(records)), true, 1);
        }
        let Form::Records(records) = &mut self.form else { return 0 };
        if !self.in_pieces {
            return 0;
        }
        let (whole, of_it) = records.piece(bytes);
        let refused = records.refused();
        let has_ended = of_it < bytes.len();
        self.in_pieces = refused.is_none() && !has_ended;
        if refused.is_none() && has_ended {
            self.form = Form::Unknown;
        }
        self.records(whole, refused, sink);
        of_it
    }

    /// Whether a line is but a part of what is one line of the log, or is held back.
    #[inline(never)]
    pub(super) fn is_of_a_record(&mut self, raw: &[u8], sink: &mut dyn Sink) -> bool {
        if matches!(self.form, Form::Unknown) {
            self.form = Form::of(raw);
        }
        if matches!((&self.form, &self.rank), (Form::Asked, Rank::Forward)) {
            self.form = Form::Lines;
        }
        match &mut self.form {
            Form::Unknown | Form::Lines => return false,
            Form::Asked => self.ranked(self.counts.lines, raw, sink),
            Form::Records(records) => {
                let whole = records.line(self.counts.lines, raw);
                let refused = records.refused();
                self.records(whole, refused, sink);
            }
        }
        true
    }

    /// Records that are whole, and lines that belong to none, because the input is of something else.
    pub(super) fn records(&mut self, whole: Vec<Record>, refused: Option<Vec<(u64, Vec<u8>)>>, sink: &mut dyn Sink) {
        whole.iter().for_each(|(line, text)| self.ranked(*line, text.as_bytes(), sink));
        for (line, raw) in refused.iter().flatten() {
            self.form = Form::Asked;
            self.ranked(*line, raw, sink);
        }
    }

    /// A line of the log, which is read when it is known what stands before it.
    fn ranked(&mut self, number: u64, raw: &[u8], sink: &mut dyn Sink) {
        match &mut self.rank {
            Rank::Forward => self.line_of(self.place(number), raw, None, sink),
            Rank::Backward(held) => held.add(number, raw),
            Rank::Folded(fold) => {
                let whole = fold.line(number, raw);
                self.unfolded(whole, sink);
            }
            Rank::Asked(front) => {
                front.add(number, raw);
                if let Some(order) = front.order() {
                    self.rank_as(order, sink);
                }
            }
        }
    }

    /// Reads what was held back until its order was known, or goes on to hold it back.
    fn rank_as(&mut self, order: Order, sink: &mut dyn Sink) {
        let Rank::Asked(front) = std::mem::replace(&mut self.rank, Rank::Forward) else { return };
        match order {
            Order::Forward if matches!(self.form, Form::Asked) && self.fold(&front) => {
                front.held.iter().for_each(|(number, raw)| self.ranked(*number, raw, sink));
            }
            Order::Forward => {
                self.go_forward();
                front.held.iter().for_each(|(number, raw)| self.earlier(*number, raw, sink));
            }
            Order::Backward => {
                let mut held = Held::default();
                front.held.iter().for_each(|(number, raw)| held.add(*number, raw));
                self.rank = Rank::Backward(held);
            }
        }
    }

    /// Whether a terminal broke those lines.
    fn fold(&mut self, front: &Front) -> bool {
        let fold = Fold::of(&front.held);
        let folds = fold.is_some();
        self.rank = fold.map_or(Rank::Forward, Rank::Folded);
        folds
    }

    fn unfolded(&mut self, whole: Option<(u64, String)>, sink: &mut dyn Sink) {
        if let Some((number, text)) = whole {
            self.earlier(number, text.as_bytes(), sink);
        }
    }

    /// Reads a line that was held back: it may be of an earlier block.
    fn earlier(&mut self, number: u64, raw: &[u8], sink: &mut dyn Sink) {
        let dressed = std::mem::replace(&mut self.dressed, are_dressed(raw));
        self.line_of(self.place(number), raw, None, sink);
        self.dressed = dressed;
    }

    /// From here on lines are read as they come.
    fn go_forward(&mut self) {
        if matches!(self.form, Form::Asked) {
            self.form = Form::Lines;
        }
    }

    /// No line that is held back waits any longer for others.
    pub(super) fn release(&mut self, sink: &mut dyn Sink) {
        if let Rank::Asked(front) = &self.rank {
            let order = front.likely_at_end();
            self.rank_as(order, sink);
        }
        if let Rank::Folded(fold) = &mut self.rank {
            let rest = fold.rest();
            self.unfolded(rest, sink);
        }
        let Rank::Backward(held) = &mut self.rank else { return };
        let held = std::mem::take(held);
        self.rank = Rank::Forward;
        self.counts.left_out += held.left_out;
        let is_forward = held.is_forward();
        self.counts.turned |= !is_forward;
        self.go_forward();
        let read = |number, raw: &[u8]| self.earlier(number, raw, sink);
        if is_forward { held.unturned(read) } else { held.turned(read) }
    }
}
