//! Crowd: more daemons in one log than can be told apart, and what is given up for it.

use super::{
    Model,
    ops::Micros,
    session::{Ended, Session},
    voices::{Spare, Told},
};
use crate::engine::fact::{InputId, Key, Place, Writer};

/// What nobody can tell any more, because too many daemons write into one log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GivenUp {
    pub daemons: u64,
    /// Requests that were open: how they went on is not known.
    pub requests: u64,
}

impl Model {
    /// What lives tell that bears on who followed whom.
    pub(super) fn told_of(&self) -> impl Fn(usize) -> Told {
        |at| self.sessions[at].told()
    }

    /// Somebody else writes. If it was taken for one that another had followed, that is undone.
    pub(super) fn turn(&mut self, stream: InputId, writer: Option<&Writer>, speaks: bool) {
        if speaks {
            self.voices.hears(stream, |of| self.sessions[of].has_entered_anything());
        }
        let Some(open) = self.voices.turn_to(stream, writer, speaks) else { return };
        let its = |session: &Session| {
            let about = &session.about;
            about.stream == stream && about.writer.as_deref() == writer
        };
        if let Some(session) = self.past.rises(its, open) {
            self.sessions.push(session);
            self.voices.set_session(stream, self.sessions.len() - 1);
        }
    }

    /// A place for a session: a new one, or that of somebody who needs it no more.
    pub(super) fn seat(&mut self, mut session: Session) -> usize {
        session.is_one_of(self.sessions.len());
        if let Some(at) = self.vacant.pop() {
            self.sessions[at] = session;
            return at;
        }
        let sessions = &self.sessions;
        let spare = self.voices.spare(|at| sessions[at].told(), |at| sessions[at].open.is_empty());
        match spare {
            None => {
                self.sessions.push(session);
                let many = self.sessions.len();
                if many.is_power_of_two() {
                    self.sessions.iter_mut().for_each(|session| session.is_one_of(many));
                }
                many - 1
            }
            Some(Spare::Past { voice, session: at }) => {
                let before = std::mem::replace(&mut self.sessions[at], session);
                self.voices.bury(voice, before.open.len() as u64);
                self.past.add(Box::new(before));
                at
            }
            Some(Spare::Quiet { session: at }) => {
                let before = std::mem::replace(&mut self.sessions[at], session);
                self.given_up.add(before.open.len() as u64);
                self.past.count(&before);
                at
            }
        }
    }

    /// All that write into that log have ended with their machine.
    pub(super) fn boot(&mut self, input: InputId) {
        let stream = self.stream(input);
        self.last_foreign = None;
        for at in self.voices.all_sessions(stream) {
            let place = Place { input, line: 0, part: 0 };
            let mut before = self.vacate(at);
            before.ended.get_or_insert_with(|| Ended {
                crash: false,
                text: "the machine was started anew".into(),
                place,
            });
            self.past.add(Box::new(before));
        }
    }

    /// Takes a session out; another one may have its place.
    pub(super) fn vacate(&mut self, at: usize) -> Session {
        let mut vacant = Session::default();
        vacant.vacant = true;
        self.voices.take_session(at);
        self.vacant.push(at);
        std::mem::replace(&mut self.sessions[at], vacant)
    }

    /// Whose end is whose is not known any more of what began without a number.
    pub(super) fn leave(&mut self, input: InputId) {
        let Some(at) = self.voices.session(self.stream(input)) else { return };
        let lost = self.sessions[at].forget_nameless();
        self.given_up.add(lost);
    }
}

impl GivenUp {
    fn add(&mut self, requests: u64) {
        self.daemons += u64::from(requests > 0);
        self.requests += requests;
    }
}

impl Session {
    fn told(&self) -> Told {
        /// Whoever has just begun gives out such numbers.
        const FIRST: u64 = 16;
        let first = self.clock.first.and_then(|first| self.clock.wall_of(first));
        let last = self.clock.wall.and_then(|wall| Micros::try_from(wall).ok());
        let begins = self.about.started.is_some() || self.first_key.is_some_and(|key| key < FIRST);
        Told { span: first.zip(last), begins }
    }

    fn forget_nameless(&mut self) -> u64 {
        let nameless = self.open.glances().map(|open| open.key).filter(|key| matches!(key, Key::Line(_)));
        let nameless: Vec<Key> = nameless.collect();
        let lost = nameless.len() as u64;
        nameless.into_iter().for_each(|key| drop(self.close(key)));
        self.loss.lines += lost;
        lost
    }
}

#[cfg(test)]
mod tests {
    use fsd_events::op::Op;

    use super::*;
    use crate::engine::{
        fact::{At, Call, Done, Fact, Place, Sink as _, What},
        model::{Limits, Now, voices::MOST_DAEMONS},
        report::Report,
    };

    /// One request of each process by turns, as often; one of the first ones never ends.
    fn report(processes: u32, rounds: u64) -> Report {
        let mut model = Model::new(Limits::default());
        let input = model.input("log");
        let mut line = 0;
        for round in 0..rounds {
            for pid in 0..processes {
                let writer = Writer { identity: pid.into(), host: "nas".into(), name: "sshfs".into(), pid: Some(pid) };
                model.writer(input, Some(&writer), true);
                line += 1;
                let (place, key) = (Place { input, line, part: 0 }, Key::Num(round * 2 + 4));
                let at = At { mono_us: None, wall_us: Some(1_795_000_000_000_000 + round * 2_000_000 + line) };
                model.fact(Fact { place, at, what: What::Enter(Box::new(Call::new(key, Op::Read))) });
                if (pid, round) != (3, 1) {
                    let done = Done { key, op: None, us: Some(1), errno: Some(0), bytes: None };
                    model.fact(Fact { place, at, what: What::Exit(done) });
                }
            }
        }
        model.report(Now::default())
    }

    #[test]
    fn whoever_was_taken_for_a_process_that_is_gone_and_writes_again_lives() {
        let report = report(900, 3);
        assert!(report.notes.iter().all(|note| note.kind != "restart"), "{:?}", report.notes);
        assert_eq!((report.ops["Read"].count, report.orphans.len()), (2699, 1));
    }

    #[test]
    fn of_more_daemons_than_are_told_apart_those_with_nothing_open_are_only_counted() {
        const MANY: u32 = 2 * MOST_DAEMONS as u32;
        let report = report(MANY, 3);
        assert_eq!((report.ops["Read"].count, report.orphans.len()), (3 * u64::from(MANY) - 1, 1));
        assert_eq!(report.orphans[0].daemon.as_deref(), Some("sshfs[3]"));
    }
}
