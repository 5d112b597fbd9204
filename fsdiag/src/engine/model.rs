//! Everything that was observed, folded: sessions of daemons, dumps of their threads, the kernel's word.

pub mod answered;
pub mod block;
pub mod clock;
pub mod crowd;
pub mod deaths;
mod dumped;
mod fold;
pub mod gaps;
pub mod handful;
pub mod hash;
pub mod hints;
mod ids;
mod join;
mod judged;
mod late;
mod latency;
pub mod locks;
pub mod numbers;
pub mod open;
pub mod ops;
pub mod past;
pub mod session;
pub mod slow;
mod strangers;
pub mod tasks;
mod voices;

use std::collections::{BTreeMap, BTreeSet};

use fsd_events::{
    event::Event,
    ids::{RunId, Unique},
};

use self::{
    crowd::GivenUp,
    deaths::Unplaced,
    dumped::Told,
    hash::NumberMap,
    ops::{Micros, OpenOp},
    past::Past,
    session::{Origin, Session},
    voices::Voices,
};
use super::{
    fact::{At, Call, Dump, Fact, InputId, Key, Place, Remains, Sink, Writer},
    kernel::KernelState,
    report::{Input, Report, UNKNOWN},
};

/// From when on something is called stalled.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub stalled_us: Micros,
    /// Most open requests that a report lists, and most waiters of a verdict; all are counted.
    pub listed: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { stalled_us: 10_000_000, listed: 1000 }
    }
}

/// The moment of the report; without it the data itself says when they end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Now {
    pub wall_us: Option<u64>,
}

/// A pure fold over facts and events.
#[derive(Clone, Debug, Default)]
pub struct Model {
    pub limits: Limits,
    pub sessions: Vec<Session>,
    /// Lives of foreign logs that another one of the same log followed.
    pub past: Past,
    pub dumps: Vec<(Place, Box<Dump>, Option<u64>)>,
    /// How many dumps may be others once more, and the first of each, behind where those stand.
    pub copies: BTreeMap<Place, (Place, u64)>,
    pub kernel: KernelState,
    pub kernel_waiting: Option<u64>,
    pub kernel_seen: bool,
    pub inputs: Vec<Input>,
    /// Those whose latest line stands first, and how many of the earliest were left out.
    pub turned: Vec<(InputId, u64)>,
    by_run: NumberMap<u64, usize>,
    /// The input of the latest foreign fact, and its session.
    last_foreign: Option<(InputId, usize)>,
    /// Who writes into each stream of foreign logs, and the current session of each.
    voices: Voices,
    /// Deaths of which nobody knows whose they were.
    unplaced: Vec<Unplaced>,
    /// Rotated sets: the input that a later one continues.
    continues: NumberMap<InputId, InputId>,
    last_run: Option<(RunId, usize)>,
    /// What the dumps of each daemon tell.
    told: Vec<Told>,
    pub given_up: GivenUp,
    /// Names that turned out to be those of threads.
    pub threads: u64,
    /// Places of sessions that are elsewhere now.
    vacant: Vec<usize>,
}

impl Model {
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Makes an input known by name; facts refer to it by the number.
    pub fn input(&mut self, path: &str) -> InputId {
        let id = InputId(u16::try_from(self.inputs.len()).unwrap_or(u16::MAX));
        self.inputs.push(Input { path: path.to_owned(), format: UNKNOWN.to_owned(), ..Input::default() });
        id
    }

    /// `later` goes on where `earlier` ended: the same daemon's log after a rotation.
    pub fn continues(&mut self, later: InputId, earlier: InputId) {
        self.last_foreign = None;
        self.continues.insert(later, earlier);
    }

    /// What reading an input gave in all.
    pub fn counted(&mut self, input: InputId, format: &str, lines: u64, events: u64, bad_lines: u64) {
        if let Some(slot) = self.inputs.get_mut(usize::from(input.0)) {
            *slot = Input { path: slot.path.clone(), format: format.to_owned(), lines, events, bad_lines };
        }
    }

    /// An input was read from its end to its begin, but for so many of the earliest lines.
    pub fn turned(&mut self, input: InputId, left_out: u64) {
        self.turned.push((input, left_out));
    }

    /// The worker of that run is known to be dead, though it did not say goodbye.
    pub fn died(&mut self, run: RunId, input: InputId, text: &str) {
        let Some(session) = self.by_run.get(&run.0).map(|at| &mut self.sessions[*at]) else { return };
        if session.ended.is_none() && session.handed_over.is_none() {
            let place = Place { input, line: 0, part: 0 };
            session.ended = Some(session::Ended { crash: true, text: text.into(), place });
        }
    }

    /// Whether nothing at all was observed.
    pub fn is_empty(&self) -> bool {
        let silent = |s: &Session| s.entered == 0 && s.hints.is_empty() && s.is_alive() && s.clock.last.is_none();
        self.lives().all(silent) && self.dumps.is_empty() && !self.kernel_seen
    }

    /// What can be said now.
    pub fn report(&self, now: Now) -> Report {
        super::report_of(self, now)
    }

    /// Sessions that are not followed by another life of the same daemon.
    pub fn current(&self) -> impl Iterator<Item = (usize, &Session)> {
        let foreign = self.voices.current(self.told_of());
        self.sessions.iter().enumerate().filter(move |(at, _)| !self.is_over(*at, foreign))
    }

    /// Whether a later session took over from this one.
    pub fn is_past(&self, at: usize) -> bool {
        self.is_over(at, self.voices.current(self.told_of()))
    }

    /// The session of whoever wrote into the same log under that name next.
    pub fn follower(&self, at: usize) -> Option<&Session> {
        self.voices.follower(at, self.told_of()).map(|next| &self.sessions[next])
    }

    fn is_over(&self, at: usize, foreign: &BTreeSet<usize>) -> bool {
        match self.sessions[at].origin {
            Origin::Own { mount_run, .. } => {
                let later =
                    |s: &Session| matches!(s.origin, Origin::Own { mount_run: other, .. } if other == mount_run);
                self.sessions[at + 1..].iter().any(later)
                    || self.sessions[at + 1..].iter().any(|s| s.is_own() && self.took_the_place_of(at, s))
            }
            Origin::Foreign => self.is_told_by_events(at) || !foreign.contains(&at),
        }
    }

    /// Whether it was mounted at the same path after the last word of that one: while that one speaks, they are two, on
    /// two machines or one above the other.
    fn took_the_place_of(&self, at: usize, later: &Session) -> bool {
        const LATE: Micros = 1_000_000;
        let earlier = &self.sessions[at];
        let same = !earlier.about.mount.is_empty() && earlier.about.mount == later.about.mount;
        let last = earlier.clock.wall.and_then(|wall| Micros::try_from(wall).ok());
        let began = later.clock.first.and_then(|first| later.clock.wall_of(first));
        same && last.zip(began).is_none_or(|(last, began)| began + LATE >= last)
    }

    fn run(&mut self, run: RunId, mount_run: RunId, place: Place) -> usize {
        if let Some((last, at)) = self.last_run
            && last == run
        {
            return at;
        }
        let at = *self.by_run.entry(run.0).or_insert_with(|| {
            let mut session = Session::own(run, mount_run);
            session.open.judge(self.limits);
            session.about.input = place;
            self.sessions.push(session);
            self.sessions.len() - 1
        });
        self.last_run = Some((run, at));
        at
    }

    fn stream(&self, input: InputId) -> InputId {
        let mut first = input;
        while let Some(earlier) = self.continues.get(&first).filter(|e| **e != input) {
            first = *earlier;
        }
        first
    }

    /// The session that a foreign fact belongs to.
    #[inline]
    fn foreign(&mut self, place: Place) -> &mut Session {
        let latest = self.last_foreign.filter(|(input, _)| *input == place.input);
        let at = match latest {
            Some((_, at)) => at,
            None => self.foreign_session(place),
        };
        &mut self.sessions[at]
    }

    #[inline(never)]
    fn foreign_session(&mut self, place: Place) -> usize {
        let stream = self.stream(place.input);
        let known = self.voices.session(stream);
        let at = known.unwrap_or_else(|| self.start_session(stream, place));
        self.last_foreign = Some((place.input, at));
        at
    }

    /// Past and present lives, for what is counted over all of them.
    pub fn lives(&self) -> impl Iterator<Item = &Session> {
        self.past.all().chain(&self.sessions)
    }

    fn start_session(&mut self, stream: InputId, place: Place) -> usize {
        self.last_foreign = None;
        let mut session = Session::default();
        session.open.judge(self.limits);
        (session.about.input, session.about.stream) = (place, stream);
        if let Some(writer) = self.voices.writer(stream) {
            (session.about.pid, session.about.writer) = (writer.pid, Some(Box::new(writer.clone())));
        }
        // A dump's session is known by its number: it stays where it is.
        let before = self.voices.session(stream).filter(|at| !self.sessions[*at].of_dump);
        let at = match before {
            Some(at) => {
                self.past.add(Box::new(std::mem::replace(&mut self.sessions[at], session)));
                at
            }
            None => self.seat(session),
        };
        self.voices.set_session(stream, at);
        at
    }

    /// A request of a foreign log begins, and perhaps a new life with it.
    fn begin(&mut self, call: Box<Call>, at: At, place: Place) {
        let session = self.foreign(place);
        if session.goes_back(at) && session.has_told(call.key, Some(call.op), at) {
            return;
        }
        let wall = at.wall_us;
        let at = session.speaks(at);
        let key = call.key;
        session.enter(call, at, place);
        if let Some(end) = session.late.end_of(key, wall) {
            session.ends_at_once(&end, at, place);
        }
        if let Some(first) = session.is_anew(key, at) {
            let later = session.split(first);
            let slot = self.start_session(self.stream(place.input), place);
            self.sessions[slot] = later;
        }
    }

    /// An ENTER that the kernel sent again: the old worker's entry ends, its age goes on (it is the same clock).
    fn resent(&mut self, at: usize, unique: Unique) -> Option<OpenOp> {
        let Origin::Own { mount_run, .. } = self.sessions[at].origin else { return None };
        let same_mount = |s: &Session| matches!(s.origin, Origin::Own { mount_run: m, .. } if m == mount_run);
        let before = self.sessions[..at].iter_mut().filter(|s| same_mount(s));
        before.rev().find_map(|session| {
            let open = session.open.glances().find(|open| open.unique == Some(unique.0))?;
            session.close(open.key)
        })
    }
}

impl Sink for Model {
    fn fact(&mut self, fact: Fact) {
        self.take(fact);
    }

    fn event(&mut self, place: Place, event: &Event<'_>) {
        self.apply_event(place, event);
    }

    fn writer(&mut self, input: InputId, writer: Option<&Writer>, speaks: bool) {
        let stream = self.stream(input);
        self.last_foreign = None;
        self.turn(stream, writer, speaks);
    }

    fn boots(&mut self, input: InputId) {
        self.boot(input);
    }

    fn joins(&mut self, input: InputId, other: &Writer, daemon: &Writer) {
        self.join(input, other, daemon);
    }

    fn leaves(&mut self, input: InputId) {
        self.leave(input);
    }

    fn passed(&mut self, input: InputId, at: At, own: bool) {
        let stream = self.stream(input);
        let daemon = self.voices.session(stream).filter(|of| own && self.sessions[*of].has_entered_anything());
        if let Some(of) = daemon {
            self.sessions[of].writes(at);
        }
        // Whoever wrote it: those who write into one log read one clock.
        if let Some(latest) = self.voices.heard(stream, |of| self.sessions[of].has_entered_anything()) {
            self.sessions[latest].passes(at);
        }
    }

    fn unknown(&mut self, place: Place, run: RunId, seq: u64, _wall_us: u64) {
        self.numbered(place, run, seq);
    }

    fn remains(&mut self, place: Place, remains: Remains) {
        // A run of which no whole event was read is not made up from damage.
        let Some(at) = self.by_run.get(&remains.run.0).copied() else { return };
        self.numbered(place, remains.run, remains.seq);
        if let Some(id) = remains.exit {
            drop(self.sessions[at].close(Key::Num(id)));
        }
    }
}

impl Model {
    /// A record of which nothing but its number counts.
    fn numbered(&mut self, place: Place, run: RunId, seq: u64) {
        let at = self.run(run, RunId::default(), place);
        let session = &mut self.sessions[at];
        let time = session.clock.last.unwrap_or(0);
        let _known = session.sequence.saw(seq, time);
    }
}
