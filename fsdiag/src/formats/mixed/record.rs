//! Records: inputs in which one line of a log stands in several, or in a cell of a table.

use super::Mixed;
use crate::{
    engine::fact::Sink,
    formats::envelope::{Form, Record},
};

impl Mixed {
    /// Whether a line is but a part of what is one line of the log.
    #[inline(never)]
    pub(super) fn is_of_a_record(&mut self, raw: &[u8], sink: &mut dyn Sink) -> bool {
        if matches!(self.form, Form::Unknown) {
            self.form = Form::of(raw);
        }
        let Form::Records(records) = &mut self.form else { return false };
        let whole = records.line(self.counts.lines, raw);
        let refused = records.refused();
        self.records(whole, refused, sink);
        true
    }

    /// Records that are whole, and lines that belong to none, because the input is of something else.
    pub(super) fn records(&mut self, whole: Vec<Record>, refused: Option<Vec<(u64, Vec<u8>)>>, sink: &mut dyn Sink) {
        whole.iter().for_each(|(line, text)| self.open(self.place(*line), text, sink));
        for (line, raw) in refused.iter().flatten() {
            self.form = Form::Lines;
            self.line_of(self.place(*line), raw, None, sink);
        }
    }
}
