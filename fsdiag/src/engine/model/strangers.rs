//! What others say of a daemon in a log that it shares with them: the init system, the kernel, a shell.

use super::Model;
use crate::engine::fact::{At, HintKind, InputId, Place, Writer};

impl Model {
    /// The session that a telling line belongs to; none: it is another program's business.
    pub(super) fn subject(&mut self, place: Place, kind: HintKind, text: &str) -> Option<usize> {
        let stream = self.stream(place.input);
        let own = self.voices.session(stream);
        if let Some(own) = own.filter(|at| self.is_daemon(*at)) {
            return Some(own);
        }
        let daemons = self.daemons(stream);
        if self.is_of_others(&daemons, text) {
            return None;
        }
        let named = self.named(&daemons, text);
        // Init systems unmount for others; a child of a daemon writes under its name.
        let speaker = self.voices.writer(stream).filter(|_| kind != HintKind::Unmount && !daemons.is_empty());
        let namesake =
            |at: &usize| self.sessions[*at].about.writer.as_deref().map(|w| &w.name) == speaker.map(|w| &w.name);
        if speaker.is_some() && named.is_empty() && !daemons.iter().any(namesake) {
            return None;
        }
        Some(match (&named[..], &daemons[..]) {
            ([one], _) | ([], [one]) => *one,
            _ => own.unwrap_or_else(|| self.start_session(stream, place)),
        })
    }

    /// Whether a line tells of another process than these: a stranger, or a child.
    pub(super) fn is_of_others(&self, daemons: &[usize], text: &str) -> bool {
        let pid_of = |at: &usize| self.sessions[*at].about.pid;
        let other = |pid| daemons.iter().all(|at| pid_of(at).is_some_and(|own| own != pid));
        !daemons.is_empty() && process(text).is_some_and(other)
    }

    /// Lines are missing; where nobody says whose they were, they may be anybody's.
    pub(super) fn lost(&mut self, place: Place, at: At, lines: u64) {
        let stream = self.stream(place.input);
        let own = self.voices.session(stream).filter(|at| self.is_daemon(*at));
        let mut daemons = own.map_or_else(|| self.daemons(stream), |own| vec![own]);
        if daemons.is_empty() {
            self.foreign(place);
            daemons.extend(self.voices.session(stream));
        }
        for daemon in daemons {
            let session = &mut self.sessions[daemon];
            session.clock.time(at);
            session.loss.lines += lines;
        }
    }

    pub(super) fn daemons(&self, stream: InputId) -> Vec<usize> {
        self.voices.sessions(stream, self.told_of()).into_iter().filter(|at| self.is_daemon(*at)).collect()
    }

    pub(super) fn is_daemon(&self, at: usize) -> bool {
        let session = &self.sessions[at];
        session.entered > 0 || session.about.started.is_some()
    }

    /// Of these the ones that a text names, by their number or else by their name.
    pub(super) fn named(&self, daemons: &[usize], text: &str) -> Vec<usize> {
        let writer = |at: &usize| self.sessions[*at].about.writer.as_deref();
        let numbered = |at: &&usize| writer(at).and_then(|w| w.pid).is_some_and(|pid| has_number(text, pid));
        let called = |at: &&usize| writer(at).map(Writer::called).is_some_and(|n| !n.is_empty() && text.contains(n));
        let by_number: Vec<usize> = daemons.iter().filter(numbered).copied().collect();
        if by_number.is_empty() { daemons.iter().filter(called).copied().collect() } else { by_number }
    }
}

/// The process that a text buries: `Killed process 812 (rclone)`.
fn process(text: &str) -> Option<u32> {
    let (_, rest) = text.split_once("Killed process ")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn has_number(text: &str, number: u32) -> bool {
    text.split(|c: char| !c.is_ascii_digit()).any(|digits| digits.parse() == Ok(number))
}
