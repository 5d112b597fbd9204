//! The model at one moment, arranged for the rules: who is open, for how long, who waits for whom.

mod apart;
mod called;
mod closed;
mod kin;
mod places;
mod present;
mod seats;
mod twins;

use std::collections::BTreeSet;

use fsd_events::op::Op;

pub(super) use self::called::named;
use self::{kin::Kin, places::Places};
use super::{
    fact::Place,
    infer::{self, Guess},
    leaks,
    model::{
        Model, Now,
        deaths::Fates,
        open::Unjudged,
        ops::{Micros, OpenOp},
        session::{Ended, Session},
        tasks::Task,
    },
    report::{Confidence, Evidence, Input, UNKNOWN},
    stacks::Conclusion,
    threads::{Latest, Seen},
    waits::Graph,
};

/// What the rules read.
pub struct Case<'m> {
    pub model: &'m Model,
    /// Lives that nothing followed, with their own present.
    pub lives: Vec<Life<'m>>,
    /// For each life, whose second witness it is.
    pub kin: Vec<Option<Kin>>,
    /// Whether any is.
    joined: bool,
    /// How daemons ended, in the present or before.
    pub fates: Fates<'m>,
    /// The operations of each life, and of each whose course tells what holds them up.
    places: Places,
    /// Requests without an answer, oldest first within a life.
    pub ops: Vec<OpenAt<'m>>,
    /// Those that another witness shows answered: their log lost the end.
    pub answered: Vec<OpenAt<'m>>,
    /// Threads of the latest dump of each process.
    pub threads: Vec<Seen<'m>>,
    /// The party of each thread.
    pub seats: Vec<usize>,
    /// What each dump proves, with the index of its first thread.
    pub proofs: Vec<(usize, Conclusion)>,
    /// Dumps that only seem to be earlier ones of the same process, and the later one.
    pub earlier_dumps: Vec<(Place, Place)>,
    pub parties: Vec<Party<'m>>,
    pub graph: Graph,
    pub guesses: Vec<Guess>,
    /// Open requests whose ends are lost, it seems.
    pub leaks: BTreeSet<usize>,
    /// Requests that are open too, and only counted.
    pub unjudged: Unjudged,
}

pub struct Life<'m> {
    pub session: &'m Session,
    pub now: Option<Micros>,
    /// It crashed, was killed, or ended without finishing its work.
    pub dead: bool,
    pub ended: Option<&'m Ended>,
    /// How sure it is that this daemon ended so.
    pub sure: Option<Confidence>,
    /// Where several daemons write into its log.
    pub called: Option<String>,
}

/// An open operation with its age.
#[derive(Clone)]
pub struct OpenAt<'m> {
    pub open: &'m OpenOp,
    pub life: usize,
    /// The life whose course tells what holds it up: another one where this one is a second witness of the same daemon.
    pub daemon: usize,
    /// When it began, in the time of that life.
    pub at: Option<Micros>,
    pub age: Option<Micros>,
    /// A watchdog called it stalled.
    pub watched: bool,
    /// Where another witness tells of the same request.
    pub also: Option<Place>,
}

/// Somebody who waits or is waited for.
#[derive(Clone, Debug)]
pub struct Party<'m> {
    pub who: Who<'m>,
    /// Its stack, where a dump shows it.
    pub thread: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
pub enum Who<'m> {
    Op(usize),
    Task {
        life: usize,
        id: u64,
        task: &'m Task,
    },
    Thread(usize),
    /// An id that is not open any more, and yet holds something.
    Ended {
        life: usize,
        id: u64,
    },
}

impl<'m> Case<'m> {
    pub fn new(model: &'m Model, now: Now) -> Self {
        let fates = model.fates();
        let lives = present::lives(model, now, &fates);
        let kin = kin::of(&lives);
        let (ops, answered) = closed::part(twins::open_ops(&lives, &kin), &lives, &kin);
        let unjudged = twins::unjudged(&lives);
        let Latest { threads, proofs, earlier: earlier_dumps } = Latest::of(model);
        let mut case = Self {
            model,
            lives,
            joined: kin.iter().any(Option::is_some),
            kin,
            fates,
            places: Places::of(&ops),
            ops,
            answered,
            threads,
            seats: Vec::new(),
            proofs,
            earlier_dumps,
            parties: Vec::new(),
            graph: Graph::default(),
            guesses: Vec::new(),
            leaks: BTreeSet::new(),
            unjudged,
        };
        case.seat();
        case.graph = Graph::of(&mut case);
        case.leaks = (0..case.lives.len()).flat_map(|life| leaks::of(&case, life)).collect();
        case.guesses = (0..case.lives.len()).filter_map(|life| infer::guess(&case, life)).collect();
        case
    }

    /// How many requests have no answer.
    pub fn open_count(&self) -> u64 {
        self.ops.len() as u64 + self.unjudged.count()
    }

    pub fn life_of(&self, op: usize) -> &Life<'m> {
        &self.lives[self.ops[op].life]
    }

    /// Old enough to be called stalled, or called so by the daemon itself.
    pub fn is_stuck(&self, op: usize) -> bool {
        let at = &self.ops[op];
        at.watched || at.age.map_or_else(|| self.is_given_up(at), |age| age >= self.model.limits.stalled_us)
    }

    /// Where no clock tells: its client gave up on it, and many that began behind it have been answered.
    fn is_given_up(&self, at: &OpenAt<'_>) -> bool {
        const MANY: usize = 50;
        let stats = self.lives[at.life].session.stats.values();
        at.open.interrupted && stats.map(|kind| kind.behind(at.open.order)).sum::<usize>() >= MANY
    }

    /// Whether a thread of a dump is where it is for long, and does not only pass: its request is stuck, the dump says
    /// since when, or an earlier dump shows it there, too.
    pub fn lasts(&self, thread: usize) -> bool {
        let seen = &self.threads[thread];
        let since = seen.thread.since_us.and_then(|us| Micros::try_from(us).ok());
        let long = since.is_some_and(|us| us >= self.model.limits.stalled_us);
        seen.stays || long || self.op_of(self.seats[thread]).is_some_and(|op| self.is_stuck(op))
    }

    pub fn stuck(&self) -> impl Iterator<Item = usize> {
        (0..self.ops.len()).filter(|op| self.is_stuck(*op))
    }

    /// The party of an operation: operations are seated first, in their order.
    pub fn party_of(&self, op: usize) -> Option<usize> {
        self.parties.get(op).filter(|p| matches!(p.who, Who::Op(o) if o == op)).map(|_| op)
    }

    /// The operation behind a party.
    pub fn op_of(&self, party: usize) -> Option<usize> {
        match self.parties[party].who {
            Who::Op(op) => Some(op),
            _ => None,
        }
    }

    pub fn op_kind(&self, party: usize) -> Option<Op> {
        match self.parties[party].who {
            Who::Op(op) => Some(self.ops[op].open.op()),
            Who::Thread(at) => self.threads[at].op.map(|(_, op)| op),
            _ => None,
        }
    }

    pub fn age_of(&self, party: usize) -> Option<Micros> {
        match self.parties[party].who {
            Who::Op(op) => self.ops[op].age,
            Who::Task { life, task, .. } => Some(self.lives[life].now? - task.since?),
            Who::Thread(at) => self.threads[at].thread.at_least_us().and_then(|us| Micros::try_from(us).ok()),
            Who::Ended { .. } => None,
        }
    }

    /// Where a party stands in the inputs.
    pub fn place_of(&self, party: usize) -> Option<Place> {
        match self.parties[party].who {
            Who::Op(op) => Some(self.ops[op].open.place),
            Who::Task { task, .. } => Some(task.place),
            Who::Thread(at) => Some(self.threads[at].place),
            Who::Ended { .. } => None,
        }
    }

    pub fn places(&self, party: usize) -> Vec<Place> {
        let thread = self.parties[party].thread.map(|at| self.threads[at].place);
        let also = self.op_of(party).and_then(|op| self.ops[op].also);
        let mut places: Vec<Place> = self.place_of(party).into_iter().chain(also).chain(thread).collect();
        places.dedup();
        places
    }

    /// Evidence for places; the text is filled in by whoever can read the inputs.
    pub fn evidence(&self, places: impl IntoIterator<Item = Place>) -> Vec<Evidence> {
        let mut seen: Vec<Place> = Vec::new();
        for place in places {
            if seen.len() == 12 {
                break;
            }
            if !seen.contains(&place) {
                seen.push(place);
            }
        }
        let cite = |p: Place| Evidence { input: self.input_name(p), line: p.line, text: String::new() };
        seen.into_iter().filter(|p| p.line > 0).map(cite).collect()
    }

    pub fn input_name(&self, place: Place) -> String {
        self.model.inputs.get(usize::from(place.input.0)).map(|i| i.path.clone()).unwrap_or_default()
    }

    /// How sure a cause is that one line tells: where no input is of a known format, it need not be of a daemon at all.
    pub fn sureness_of_a_line(&self) -> Confidence {
        let known = |input: &Input| input.format != UNKNOWN || input.lines == 0;
        let inputs = &self.model.inputs;
        if inputs.is_empty() || inputs.iter().any(known) { Confidence::Medium } else { Confidence::Low }
    }

    /// The kernel's own count, where anybody tells it.
    pub fn kernel_waiting(&self) -> Option<u64> {
        let told = |life: &Life<'_>| {
            let stall = life.session.stall.as_ref().and_then(|s| s.kernel_waiting);
            life.session.last_beat.as_ref().and_then(|(beat, ..)| beat.kernel_waiting).or(stall)
        };
        self.model.kernel_waiting.or_else(|| self.lives.iter().rev().find_map(told))
    }

    /// Requests that the kernel waits for and no log of that life's daemon shows: nobody has read them.
    pub fn unread(&self, life: usize) -> Option<u64> {
        let alone = (0..self.lives.len()).all(|other| !self.are_apart(life, other));
        if alone {
            let beat = self.lives.iter().rev().find_map(|l| l.session.last_beat.as_ref());
            let queued = beat.map_or(0, |beat| beat.0.replies_queued);
            return Some(self.kernel_waiting()?.saturating_sub(self.open_count() + queued));
        }
        // Of several daemons only what each says itself is its own.
        let beat = &self.lives[life].session.last_beat.as_ref()?.0;
        let open = self.ops_beside(life).count() as u64 + beat.replies_queued;
        Some(beat.kernel_waiting?.saturating_sub(open))
    }

    /// The life that a party belongs to.
    pub fn life_of_party(&self, party: usize) -> Option<usize> {
        match self.parties[party].who {
            Who::Op(op) => Some(self.ops[op].life),
            Who::Task { life, .. } | Who::Ended { life, .. } => Some(life),
            Who::Thread(_) => None,
        }
    }
}

pub fn seconds(us: Micros) -> f64 {
    (us as f64 / 1e5).round() / 10.0
}

/// `34.2 s`, beyond a day `3 days 4 h`: nobody reads so many seconds.
pub fn lasting(us: Micros) -> String {
    const HOUR: Micros = 3_600_000_000;
    match (us / (24 * HOUR), us / HOUR % 24) {
        (..1, _) => format!("{:.1} s", seconds(us)),
        (1, hours) => format!("1 day {hours} h"),
        (days, hours) => format!("{days} days {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_told_as_days() {
        let told = [1_000_000, 86_399_900_000, 90_000_000_000, 200_000_000_000].map(lasting);
        assert_eq!(told, ["1.0 s", "86399.9 s", "1 day 1 h", "2 days 7 h"]);
    }
}
