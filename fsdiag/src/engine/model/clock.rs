//! The clock of one session: monotonic where the source has one, else wall time with its steps taken out.

use super::ops::Micros;
use crate::engine::fact::At;

/// A step of the wall clock that was recognised: where, and by how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub at: Micros,
    pub by: Micros,
    /// Nothing at all was written meanwhile: the machine may have slept, or everything hung.
    pub silent: bool,
}

/// The steps of one clock: the first tell what is the matter, of those behind them only what is asked for is kept. A log
/// whose times have no order has a step in every line.
#[derive(Clone, Debug, Default)]
pub struct Steps {
    pub first: Vec<Step>,
    /// How many came after those.
    pub more: u64,
    /// Where those lie.
    between: Option<(Micros, Micros)>,
}

impl Steps {
    /// So many tell what is the matter.
    pub const KEPT: usize = 100;

    fn push(&mut self, step: Step) {
        if self.first.len() < Self::KEPT {
            return self.first.push(step);
        }
        self.more += 1;
        let (from, to) = self.between.unwrap_or((step.at, step.at));
        self.between = Some((from.min(step.at), to.max(step.at)));
    }

    /// The last silent one between two moments.
    fn silence_between(&self, from: Micros, to: Micros) -> Option<&Step> {
        self.first.iter().rfind(|step| step.silent && step.at >= from && step.at <= to)
    }

    /// Whether one lies between two moments; where many lie on both sides, one may.
    fn any_between(&self, from: Micros, to: Micros) -> bool {
        let of_more = self.between.is_some_and(|(first, last)| first <= to && from <= last);
        of_more || self.first.iter().any(|step| step.at >= from && step.at <= to)
    }
}

/// The times of a block of lines, all with both clocks, that no step of the wall clock divides.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    first: (Micros, Micros),
    least: Micros,
    most: Micros,
    offset: Micros,
    wall: u64,
}

impl Span {
    /// None: a time that no clock shows.
    pub fn new(mono_us: u64, wall_us: u64) -> Option<Self> {
        let (mono, wall) = (Micros::try_from(mono_us).ok()?, Micros::try_from(wall_us).ok()?);
        Some(Self { first: (mono, wall), least: mono, most: mono, offset: wall - mono, wall: wall_us })
    }

    /// None: the wall clock was set here.
    pub fn add(&mut self, mono_us: u64, wall_us: u64) -> Option<Micros> {
        let (mono, wall) = (Micros::try_from(mono_us).ok()?, Micros::try_from(wall_us).ok()?);
        let before = std::mem::replace(&mut self.offset, wall - mono);
        (self.least, self.most) = (self.least.min(mono), self.most.max(mono));
        self.wall = self.wall.max(wall_us);
        ((self.offset - before).abs() <= BACK).then_some(mono)
    }
}

#[derive(Clone, Debug, Default)]
pub struct Clock {
    pub first: Option<Micros>,
    pub last: Option<Micros>,
    /// Latest wall clock time seen.
    pub wall: Option<u64>,
    pub steps: Steps,
    /// What is subtracted from wall time to get session time.
    shift: Micros,
    monotonic: bool,
    /// Some time had a fraction of a second.
    fine: bool,
    last_wall: Option<Micros>,
    rhythm: Rhythm,
    /// Wall minus monotonic time.
    offset: Option<Micros>,
}

/// How a log is written.
#[derive(Clone, Copy, Debug, Default)]
struct Rhythm {
    lines: u32,
    /// Longest time in which nothing was written.
    longest: Micros,
    /// The one time that was far longer: the clock was set, or the machine slept.
    once: Micros,
}

impl Rhythm {
    /// Fewer lines have none.
    const LINES: u32 = 20;
    /// So much longer than ever before.
    const TIMES: Micros = 100;
    const SILENCE: Micros = 600_000_000;

    /// What breaks the rhythm once is none of it; twice it is.
    fn note(&mut self, silence: Micros) {
        let breaks = self.is_broken_by(silence);
        self.lines = self.lines.saturating_add(1);
        let usual = if breaks { self.once.min(silence) } else { silence };
        self.longest = self.longest.max(usual);
        self.once = if breaks { self.once.max(silence) } else { self.once };
    }

    fn is_broken_by(&self, silence: Micros) -> bool {
        self.lines >= Self::LINES && silence > Self::SILENCE.max(Self::TIMES.saturating_mul(self.longest))
    }
}

/// What counts of a silence that breaks the rhythm.
pub const COUNTED: Micros = 60_000_000;
/// A backward step below this is jitter between threads.
const BACK: Micros = 1_000_000;
/// Nobody waits so long between two lines of a busy log: suspended, or the clock was set.
const FORWARD: Micros = 10_000_000;

impl Clock {
    /// The session time of a fact, noting steps.
    #[inline]
    pub fn time(&mut self, at: At) -> Option<Micros> {
        match at {
            At { mono_us: None, wall_us: None } => self.last.filter(|_| self.monotonic),
            _ => self.told(at),
        }
    }

    fn told(&mut self, at: At) -> Option<Micros> {
        let mono = at.mono_us.and_then(|us| Micros::try_from(us).ok());
        let wall = at.wall_us.and_then(|us| Micros::try_from(us).ok());
        self.wall = self.wall.max(at.wall_us);
        let now = match mono {
            Some(mono) => {
                self.monotonic = true;
                self.compare(mono, wall);
                mono
            }
            None if self.monotonic => return self.last,
            None => self.unstepped(wall?),
        };
        self.first = Some(self.first.map_or(now, |first| first.min(now)));
        if !self.monotonic {
            self.rhythm.note(self.last.map_or(0, |last| now - last));
        }
        self.last = self.last.max(Some(now));
        self.fine |= now % 1_000_000 != 0;
        Some(now)
    }

    /// Something that is about no request was written then. It may be of a program whose stamps are others: time goes on
    /// by it, and is never set.
    pub(super) fn passes(&mut self, at: At) {
        let now = match (self.monotonic, at.mono_us, at.wall_us) {
            (true, Some(mono), _) => Micros::try_from(mono).ok(),
            (false, None, Some(wall)) => self.at_wall(wall),
            _ => None,
        };
        if let Some(now) = now.filter(|now| self.last.is_some_and(|last| last < *now)) {
            self.rhythm.note(self.last.map_or(0, |last| now - last));
            self.last = Some(now);
            self.wall = self.wall.max(at.wall_us);
        }
    }

    /// Something is written while requests are open. After a silence that breaks the rhythm of the log nobody knows
    /// whether the machine slept, its clock was set, or all hung: only a part of it counts as time.
    pub(super) fn breaks_silence(&mut self, at: At) {
        let (Some(wall), None, Some(last)) = (at.wall_us, at.mono_us, self.last) else { return };
        let silence = self.at_wall(wall).map_or(0, |now| now - last);
        if !self.monotonic && self.rhythm.is_broken_by(silence) {
            let by = silence - COUNTED;
            self.steps.push(Step { at: last + COUNTED, by, silent: true });
            self.shift += by;
        }
    }

    /// Since when it is known that anything went on, at `to`, of what began at `from`.
    pub fn awake_since(&self, from: Micros, to: Micros) -> Micros {
        self.steps.silence_between(from, to).map_or(from, |step| step.at)
    }

    /// Whether taking a whole span gives what taking its times one by one would have given to each of them.
    pub fn is_before(&self, span: &Span) -> bool {
        self.monotonic && self.first.is_some_and(|first| first <= span.least)
    }

    /// All the times of a block at once.
    pub fn pass(&mut self, span: &Span) {
        self.compare(span.first.0, Some(span.first.1));
        self.offset = Some(span.offset);
        self.last = self.last.max(Some(span.most));
        self.wall = self.wall.max(Some(span.wall));
    }

    /// The same clock for a later life; its steps so far were those of the earlier one.
    pub(super) fn going_on(&self) -> Self {
        Self { steps: Steps::default(), ..*self }
    }

    /// How much more than it shows may have passed between two times.
    pub fn blur_us(&self) -> u64 {
        // A clock of its own beside the wall's counts microseconds; a stamp without a date may not.
        if self.fine || self.offset.is_some() { 0 } else { 1_000_000 }
    }

    pub fn is_monotonic(&self) -> bool {
        self.monotonic
    }

    /// Wall time of a moment of the session, as far as it can be known.
    pub fn wall_of(&self, t: Micros) -> Option<Micros> {
        match self.monotonic {
            true => self.offset.map(|offset| t + offset),
            false => Some(t + self.shift),
        }
    }

    /// The session time of a wall clock moment.
    pub fn at_wall(&self, wall: u64) -> Option<Micros> {
        let wall = Micros::try_from(wall).ok()?;
        match self.monotonic {
            true => self.offset.map(|offset| wall - offset),
            false => Some(wall - self.shift),
        }
    }

    /// An operation measured itself: a wall difference much larger than that is a step, not time.
    pub fn measured(&mut self, from: Option<Micros>, to: Option<Micros>, us: Option<u64>) {
        let (Some(from), Some(to), Some(us)) = (from, to, us) else { return };
        let extra = to - from - Micros::try_from(us).unwrap_or(Micros::MAX);
        if !self.monotonic && extra > FORWARD {
            self.steps.push(Step { at: to, by: extra, silent: false });
            self.shift += extra;
            self.last = Some(to - extra);
        }
    }

    /// Whether a step lies between two moments: ages across it are doubtful.
    pub fn stepped_between(&self, from: Micros, to: Micros) -> bool {
        self.steps.any_between(from, to)
    }

    fn compare(&mut self, mono: Micros, wall: Option<Micros>) {
        let Some(wall) = wall else { return };
        let offset = wall - mono;
        if let Some(before) = self.offset.filter(|before| (offset - before).abs() > BACK) {
            self.steps.push(Step { at: mono, by: offset - before, silent: false });
            self.set_back(offset - before, wall);
        }
        self.offset = Some(offset);
    }

    /// Times before a step back lie in the future of the clock as it is now: they are no present.
    fn set_back(&mut self, by: Micros, wall: Micros) {
        if by < 0 {
            self.wall = u64::try_from(wall).ok();
        }
    }

    fn unstepped(&mut self, wall: Micros) -> Micros {
        if let Some(before) = self.last_wall.filter(|before| wall < before - BACK) {
            self.steps.push(Step { at: before - self.shift, by: wall - before, silent: false });
            self.set_back(wall - before, wall);
            self.shift += wall - before;
        }
        self.last_wall = Some(wall);
        wall - self.shift
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_silence_far_beyond_the_rhythm_of_a_log_is_no_time() {
        let shown = |pause: u64, lines: u64, silence: u64| {
            let mut clock = Clock::default();
            let at = |second: u64| At { wall_us: Some((1_000 + second) * 1_000_000), mono_us: None };
            (0..lines).for_each(|n| _ = clock.time(at(n * pause)));
            let now = at((lines - 1) * pause + silence);
            clock.breaks_silence(now);
            let passed = clock.last.zip(clock.time(now)).map_or(0, |(before, now)| now - before);
            (passed / 1_000_000, clock.steps.first.len())
        };
        assert_eq!(shown(2, 30, 3_000), (60, 1));
        assert_eq!(shown(2, 30, 599), (599, 0));
        assert_eq!(shown(60, 30, 3_000), (3_000, 0), "it writes once a minute");
        assert_eq!(shown(2, 19, 3_000), (3_000, 0), "so few lines have no rhythm");
    }

    #[test]
    fn a_clock_that_was_set_forward_once_makes_no_later_silence_usual() {
        let passed = |jumps: u64| {
            let mut clock = Clock::default();
            let at = |second: u64| At { wall_us: Some((1_000 + second) * 1_000_000), mono_us: None };
            (0..40).for_each(|n| _ = clock.time(at(n * 2 + 3_600 * jumps.min(n / 20))));
            (40..80).for_each(|n| _ = clock.time(at(n * 2 + 3_600 * jumps)));
            let now = at(158 + 3_600 * jumps + 1_200);
            clock.breaks_silence(now);
            clock.last.zip(clock.time(now)).map_or(0, |(before, now)| (now - before) / 1_000_000)
        };
        assert_eq!((passed(0), passed(1)), (60, 60));
        assert_eq!(passed(2), 1_200, "it is silent for an hour now and then");
    }

    #[test]
    fn a_clock_that_goes_wild_takes_no_more_memory_and_its_steps_are_counted() {
        let mut clock = Clock::default();
        for n in 0..1000 {
            for us in [1_000_000_000, 1_004_000_000 + n] {
                clock.time(At { wall_us: Some(us), mono_us: None });
            }
        }
        assert_eq!((clock.steps.first.len(), clock.steps.more), (Steps::KEPT, 999 - Steps::KEPT as u64));
        let last = clock.last.expect("it has shown times");
        assert!(clock.stepped_between(last - 10_000_000, last) && !clock.stepped_between(last + 1, last + 2));
    }
}
