//! What others say of a daemon in a log that it shares with them: the init system, the kernel, a shell.

use super::{Model, session::Ended};
use crate::engine::fact::{At, HintKind, InputId, Place};

/// The death of a daemon, told by somebody else.
#[derive(Clone, Debug)]
pub struct Unplaced {
    stream: InputId,
    turn: u64,
    ended: Ended,
    /// Those that it names.
    named: Vec<usize>,
    /// Whoever tells it says who he is, and yet names none: it may be the death of any program there is.
    of_anything: bool,
}

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

    /// A daemon died; whoever wrote that line tells of itself only if it is one.
    pub(super) fn end(&mut self, place: Place, at: At, ended: Ended) {
        let stream = self.stream(place.input);
        let own = self.voices.session(stream).filter(|at| self.is_daemon(*at));
        let daemons = self.daemons(stream);
        if own.is_some() || daemons.is_empty() {
            let session = self.foreign(place);
            session.clock.time(at);
            session.dies(ended);
            return;
        }
        if !self.is_of_others(&daemons, &ended.text) {
            let named = self.named(&daemons, &ended.text);
            let of_anything = named.is_empty() && self.voices.writer(stream).is_some();
            self.unplaced.push(Unplaced { stream, turn: self.voices.turn(), ended, named, of_anything });
        }
    }

    /// Whether a line tells of another process than these: a stranger, or a child.
    fn is_of_others(&self, daemons: &[usize], text: &str) -> bool {
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

    /// How that life ended, as it or somebody else says.
    pub fn ended_of(&self, at: usize) -> Option<&Ended> {
        let sure = |told: &&Unplaced| !told.of_anything && self.whose(told) == [at];
        let told = || self.unplaced.iter().find(sure).map(|told| &told.ended);
        let session = &self.sessions[at];
        session.ended.as_ref().filter(|_| !session.outlived()).or_else(told)
    }

    /// Deaths that may be of several daemons, or of none of them while one hangs.
    pub fn unplaced_ends(&self) -> impl Iterator<Item = &Ended> {
        let doubtful = |told: &&Unplaced| match &self.whose(told)[..] {
            [] => false,
            [one] => told.of_anything && !self.sessions[*one].open.is_empty(),
            _ => !told.of_anything,
        };
        let outlived = self.sessions.iter().filter(|session| session.outlived());
        let unplaced = self.unplaced.iter().filter(doubtful).map(|told| &told.ended);
        unplaced.chain(outlived.filter_map(|session| session.ended.as_ref()))
    }

    /// Those that it may be about: who has written since is not dead.
    fn whose(&self, told: &Unplaced) -> Vec<usize> {
        let daemons = if told.named.is_empty() { self.daemons(told.stream) } else { told.named.clone() };
        daemons.into_iter().filter(|at| self.voices.silent_since(*at, told.turn)).collect()
    }

    fn daemons(&self, stream: InputId) -> Vec<usize> {
        self.voices.sessions(stream).into_iter().filter(|at| self.is_daemon(*at)).collect()
    }

    fn is_daemon(&self, at: usize) -> bool {
        let session = &self.sessions[at];
        session.entered > 0 || session.about.started.is_some()
    }

    /// Of these the ones that a text names, by their number or else by their name.
    fn named(&self, daemons: &[usize], text: &str) -> Vec<usize> {
        let writer = |at: &usize| self.sessions[*at].about.writer.as_deref();
        let numbered = |at: &&usize| writer(at).and_then(|w| w.pid).is_some_and(|pid| has_number(text, pid));
        let called = |at: &&usize| writer(at).is_some_and(|w| !w.name.is_empty() && text.contains(&*w.name));
        let by_number: Vec<usize> = daemons.iter().filter(numbered).copied().collect();
        if by_number.is_empty() { daemons.iter().filter(called).copied().collect() } else { by_number }
    }
}

/// The process that a text buries: `Killed process 812 (rclone)`.
pub fn process(text: &str) -> Option<u32> {
    let (_, rest) = text.split_once("Killed process ")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn has_number(text: &str, number: u32) -> bool {
    text.split(|c: char| !c.is_ascii_digit()).any(|digits| digits.parse() == Ok(number))
}
