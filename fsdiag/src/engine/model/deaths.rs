//! Deaths: who died in a daemon's log or beside it, as a shell, the init system or the kernel tells it. On a machine any
//! program may die, so a death is a daemon's only as far as number and name fit it.

mod fates;
mod fit;

use std::collections::VecDeque;

pub use self::fates::Fates;
use self::fit::{Fit, by_name, by_number, fit_of_dump, is_a_daemon, is_elsewhere, share_a_path};
use super::{
    Model,
    ops::Micros,
    session::{Ended, Session},
};
use crate::engine::{
    fact::{At, InputId, Place, Victim, Writer},
    report::Confidence,
};

/// The latest ones of a log: children may die in it without end.
#[derive(Clone, Debug, Default)]
pub(super) struct Deaths(VecDeque<Death>);

#[derive(Clone, Debug)]
struct Death {
    ended: Ended,
    victim: Victim,
    since: Since,
    wall: Option<u64>,
}

/// How far a daemon was at some moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Since {
    pub(super) answers: u64,
    /// Requests that it had taken up.
    entered: u64,
    pub(super) at: Option<Micros>,
}

/// The death of a daemon in a log of several, told by somebody else.
#[derive(Clone, Debug)]
pub(super) struct Unplaced {
    stream: InputId,
    turn: u64,
    ended: Ended,
    /// Those that it names.
    named: Vec<usize>,
    /// Whoever tells it says who he is or who died, and yet names none: it may be the death of any program there is.
    of_anything: bool,
}

/// How a daemon ended, and how sure it is that it was that one.
#[derive(Clone, Copy, Debug)]
pub struct Fate<'m> {
    pub ended: &'m Ended,
    pub sure: Confidence,
}

impl<'m> Fate<'m> {
    fn of(ended: &'m Ended, sure: Confidence) -> Self {
        Self { ended, sure }
    }
}

impl Deaths {
    const KEPT: usize = 16;

    fn add(&mut self, death: Death) {
        if self.0.len() == Self::KEPT {
            self.0.pop_front();
        }
        self.0.push_back(death);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Model {
    /// A daemon ended, or somebody died; whoever wrote that line tells of itself only if it is a daemon.
    pub(super) fn end(&mut self, place: Place, at: At, ended: Ended, victim: Option<&Victim>) {
        let stream = self.stream(place.input);
        let own = self.voices.session(stream).filter(|at| self.is_daemon(*at));
        let mut daemons = self.daemons(stream);
        daemons.retain(|at| victim.is_none_or(|victim| !is_elsewhere(&self.sessions[*at], victim)));
        if own.is_some() || daemons.is_empty() {
            let session = self.foreign(place);
            session.clock.time(at);
            match victim {
                None => session.dies(ended),
                Some(victim) => {
                    let (victim, since) = (victim.clone(), session.since_now());
                    session.deaths.add(Death { ended, victim, since, wall: at.wall_us });
                }
            }
            return;
        }
        if !self.is_of_others(&daemons, &ended.text) {
            let named = self.named(&daemons, &ended.text);
            let says = self.voices.writer(stream).is_some() || victim.is_some_and(|victim| !victim.is_nameless());
            let of_anything = named.is_empty() && says;
            let told = Unplaced { stream, turn: self.voices.turn(), ended, named, of_anything };
            self.keep(told);
        }
    }

    /// Services may die in a journal without end: those that may be anybody's are forgotten first.
    fn keep(&mut self, told: Unplaced) {
        const MOST: usize = 1024;
        if self.unplaced.len() >= MOST {
            let oldest = self.unplaced.iter().position(|told| told.of_anything).unwrap_or(0);
            self.unplaced.remove(oldest);
        }
        self.unplaced.push(told);
    }

    /// How a life that is over ended, as far as its own log tells.
    pub fn fate_of_past<'m>(&self, life: &'m Session) -> Option<Fate<'m>> {
        let told = |death: &'m Death| Some(Fate::of(&death.ended, self.in_log(life, death)?));
        life.last_word().or_else(|| life.deaths.0.iter().filter_map(told).max_by_key(|fate| fate.sure))
    }

    /// Those that it may be about: who has written since is not dead.
    fn whose(&self, told: &Unplaced) -> Vec<usize> {
        let daemons = if told.named.is_empty() { self.daemons(told.stream) } else { told.named.clone() };
        daemons.into_iter().filter(|at| self.voices.silent_since(*at, told.turn)).collect()
    }

    /// Those of logs that are not over.
    fn deaths(&self) -> impl Iterator<Item = (usize, &Death)> {
        self.current().flat_map(|(at, session)| session.deaths.0.iter().map(move |death| (at, death)))
    }

    /// Whose death a log tells of, and how sure that is; where it is not told which daemon's, it is said of that log.
    fn whose_death(&self, log: usize, death: &Death) -> Option<(usize, Confidence)> {
        if self.is_daemon(log) {
            return Some((log, self.in_log(&self.sessions[log], death)?));
        }
        let daemons = self.current().filter(|(at, _)| self.is_daemon(*at));
        let fits: Vec<(usize, Fit)> = daemons.map(|(at, session)| (at, self.beside(session, death))).collect();
        let dumps = self.dumps.iter().map(|(_, dump, _)| fit_of_dump(dump, &death.victim));
        let best = fits.iter().map(|(_, fit)| *fit).chain(dumps).max();
        let fit = best.unwrap_or_else(|| by_name(None, &death.victim));
        let mut its = fits.iter().filter(|(_, other)| *other == fit).map(|(at, _)| *at);
        let one = its.next().filter(|_| its.next().is_none());
        match fit {
            Fit::Its | Fit::Likely => Some((one.unwrap_or(log), fit.told_of(&death.victim))),
            Fit::Namesake if self.is_open(one) => Some((one.unwrap_or(log), self.namesake(one))),
            Fit::Perhaps if self.is_open(None) => Some((log, Confidence::Medium)),
            Fit::Namesake | Fit::Perhaps | Fit::Not => None,
        }
    }

    /// Whether a daemon's own log tells of its death: what names nobody is of whoever writes there.
    fn in_log(&self, session: &Session, death: &Death) -> Option<Confidence> {
        if session.went_on(&death.since) {
            return None;
        }
        // Who writes something behind it may be another one, or have died while that was under way.
        let fit = match self.fit(session, &death.victim, Told::Within) {
            Fit::Likely if session.took_up(&death.since) => Fit::Perhaps,
            fit => fit,
        };
        match fit {
            fit @ (Fit::Its | Fit::Likely) => Some(fit.told_of(&death.victim)),
            Fit::Perhaps if death.victim.is_nameless() => Some(Confidence::Certain),
            Fit::Namesake | Fit::Perhaps if !session.open.is_empty() => Some(Confidence::Medium),
            Fit::Namesake | Fit::Perhaps | Fit::Not => None,
        }
    }

    /// Whether a death that another log tells of may be that daemon's: not if it has written since. Of a machine's
    /// programs several may have one name: then it takes a number, the path of the mount, or a log that ends with the
    /// death to tell whose it was.
    fn beside(&self, session: &Session, death: &Death) -> Fit {
        let fit = self.fit(session, &death.victim, Told::Beside);
        let numbered = by_number(session.about.pid, death.victim.pid).is_some();
        let known = numbered || share_a_path(&session.about.banner, &death.ended.text);
        match session.silence_before(death) {
            Some(Silence::Undone) => Fit::Not,
            _ if known => fit,
            Some(Silence::Moment) => fit,
            Some(Silence::While) | None => fit.min(Fit::Namesake),
            Some(Silence::Long) => Fit::Not,
        }
    }

    fn fit(&self, session: &Session, victim: &Victim, told: Told) -> Fit {
        if is_elsewhere(session, victim) {
            return Fit::Not;
        }
        let is_client = || session.judged().any(|open| open.call.pid.is_some() && open.call.pid == victim.pid);
        by_number(session.about.pid, victim.pid).unwrap_or_else(|| match is_client() {
            true => Fit::Not,
            false => self.fit_by_name(session, victim, told),
        })
    }

    /// A container or a script bears any name; what runs in it may be known by its log, and by that only. Whoever tells of
    /// it from outside may mean any other container in which the same program runs.
    fn fit_by_name(&self, session: &Session, victim: &Victim, told: Told) -> Fit {
        let fit = by_name(self.program(session), victim);
        let Some(writer) = session.about.writer.as_deref() else { return fit };
        let container = writer.name.is_empty() && writer.pid.is_none();
        match (by_name(self.program_of_format(session), victim), told) {
            (known @ (Fit::Its | Fit::Likely), Told::Within) if !is_a_daemon(writer.called()) => fit.max(known),
            (Fit::Its | Fit::Likely, Told::Beside) if container => fit.max(Fit::Perhaps),
            _ => fit,
        }
    }

    /// What a daemon is called, where its log tells.
    fn program<'m>(&'m self, session: &'m Session) -> Option<&'m str> {
        let writer = session.about.writer.as_deref().map(Writer::called).filter(|name| !name.is_empty());
        writer.or_else(|| self.program_of_format(session))
    }

    fn program_of_format(&self, session: &Session) -> Option<&'static str> {
        let format = self.inputs.get(usize::from(session.about.input.input.0)).map(|input| &*input.format);
        fit::PROGRAMS.iter().find(|(of, _)| Some(*of) == format).map(|(_, program)| *program)
    }

    /// How sure the death of a namesake is that of a daemon: what hung for long by its last word did not wait for it.
    fn namesake(&self, daemon: Option<usize>) -> Confidence {
        let hung = daemon.is_some_and(|at| self.sessions[at].hung_for(self.limits.stalled_us));
        if hung { Confidence::Low } else { Confidence::Medium }
    }

    /// Whether anything is open in that daemon, or in any.
    fn is_open(&self, daemon: Option<usize>) -> bool {
        let asked = |at: usize| daemon.is_none_or(|daemon| daemon == at);
        !self.dumps.is_empty() || self.current().any(|(at, session)| asked(at) && !session.open.is_empty())
    }
}

/// How long a daemon had written nothing when somebody died.
enum Silence {
    /// It has written since.
    Undone,
    Moment,
    While,
    /// What it was at is another matter.
    Long,
}

/// As many requests may still come to be written that were under way.
const RACES: u64 = 3;

impl Session {
    /// Its log tells of a death, by all that is known its own.
    pub(super) fn dies(&mut self, ended: Ended) {
        self.ended_since = self.since_now();
        self.ended = Some(ended);
    }

    /// Whether it went on after the death that it told of.
    pub(super) fn outlived(&self) -> bool {
        self.ended.as_ref().is_some_and(|ended| ended.crash) && !self.is_own() && self.went_on(&self.ended_since)
    }

    /// Nothing tells that it ended, nor that anybody did.
    pub fn is_alive(&self) -> bool {
        self.ended.is_none() && self.deaths.is_empty()
    }

    /// Its daemon writes something.
    pub(super) fn speaks(&mut self, at: At) -> Option<Micros> {
        let at = self.time(at);
        self.spoke = self.spoke.max(at);
        at
    }

    /// The same without a request that it is about.
    pub(super) fn writes(&mut self, at: At) {
        self.passes(at);
        self.spoke = self.spoke.max(self.clock.last);
    }

    pub(super) fn since_now(&self) -> Since {
        let answers = self.answers() + self.open.len() as u64 + RACES;
        Since { answers, entered: self.entered, at: self.clock.last }
    }

    /// Whether it has served or written since: then it lives, whoever died.
    pub(super) fn went_on(&self, since: &Since) -> bool {
        const RACE: Micros = 1_000_000;
        let wrote = self.spoke.zip(since.at).is_some_and(|(spoke, then)| spoke > then + RACE);
        wrote || self.answers() > since.answers || self.entered > since.entered + RACES
    }

    /// Whether it has taken up anything since: what ends may have been under way.
    fn took_up(&self, since: &Since) -> bool {
        self.entered > since.entered
    }

    /// None where the one or the other has no time of day.
    fn silence_before(&self, death: &Death) -> Option<Silence> {
        const RACE_US: u64 = 1_000_000;
        // Whole seconds, and the moment that the end of a process takes.
        const MOMENT_US: u64 = 2_000_000;
        const SAME_INCIDENT_US: u64 = 600_000_000;
        let (wall, then) = self.clock.wall.zip(death.wall)?;
        Some(match then.saturating_sub(wall) {
            _ if wall > then + RACE_US => Silence::Undone,
            silence if silence <= MOMENT_US => Silence::Moment,
            silence if silence <= SAME_INCIDENT_US => Silence::While,
            _ => Silence::Long,
        })
    }

    /// Whether anything has been open for so long by its last word.
    fn hung_for(&self, limit: Micros) -> bool {
        self.judged().any(|open| self.age(open.at, self.clock.last).is_some_and(|age| age >= limit))
    }

    fn answers(&self) -> u64 {
        self.stats.values().map(|stats| stats.count).sum()
    }

    /// What it said itself, if that was the last.
    fn last_word(&self) -> Option<Fate<'_>> {
        self.ended.as_ref().filter(|_| !self.outlived()).map(|ended| Fate::of(ended, Confidence::Certain))
    }
}

/// Where a death is told: in what the daemon's container writes, or in a log of somebody else.
#[derive(Clone, Copy)]
enum Told {
    Within,
    Beside,
}
