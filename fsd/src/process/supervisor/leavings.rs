//! Leavings: what dead runs have not written, until a short process has appended it to their event files.

use std::process::Child;

use super::{Handed, Supervisor, drain};

/// What one of them left.
pub(super) struct Left {
    handed: Handed,
    new_run: String,
    /// Writes it; None: a thread of the run may still be there.
    writer: Option<Child>,
}

impl Supervisor {
    /// Sees to what the run before left, and with it every other that died before it served.
    pub(super) fn see_to(&mut self, handed: Handed) {
        let (cause, new_run) = (handed.cause, &self.presence.run);
        let known = |run: &String| run == new_run || self.left.iter().any(|left| left.handed.run == *run);
        let mut runs = drain::runs(&self.places);
        runs.retain(|run| !known(run) && *run != handed.run);
        let others = runs.into_iter().map(|run| Handed { resent: drain::unanswered(&self.places, &run), run, cause });
        let all = others.chain([handed]).map(|handed| Left { handed, new_run: new_run.clone(), writer: None });
        let all: Vec<_> = all.collect();
        self.left.extend(all);
        self.write_leavings();
    }

    /// Has written what is left of those that are dead to the last thread.
    pub(super) fn write_leavings(&mut self) {
        let (program, places) = (&self.program, &self.places);
        self.left.retain_mut(|left| match &mut left.writer {
            Some(writer) => matches!(writer.try_wait(), Ok(None)),
            None if !drain::is_over(places, &left.handed.run) => true,
            None => {
                left.writer = drain::start(&program.path(), places, &left.handed, &left.new_run);
                left.writer.is_some()
            }
        });
    }

    /// Those who still write.
    pub(super) fn writers(&mut self) -> impl Iterator<Item = Child> {
        std::mem::take(&mut self.left).into_iter().filter_map(|left| left.writer)
    }
}
