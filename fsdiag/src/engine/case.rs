//! The model at one moment, arranged for the rules: who is open, for how long, who waits for whom.

mod apart;
mod closed;
mod kin;
mod seats;
mod twins;

use std::collections::{BTreeMap, BTreeSet};

use fsd_events::op::Op;

pub(super) use self::apart::label;
use self::kin::Kin;
use super::{
    fact::{Key, Place},
    infer::{self, Guess},
    leaks,
    model::{
        Model, Now,
        open::Unjudged,
        ops::{Micros, OpenOp},
        session::{Ended, Session},
        tasks::Task,
    },
    report::{Culprit, Evidence, Waiter},
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
        let lives = lives(model, now);
        let kin = kin::of(&lives);
        let (ops, answered) = closed::part(twins::open_ops(&lives, &kin), &lives, &kin);
        let unjudged = twins::unjudged(&lives);
        let Latest { threads, proofs } = Latest::of(model);
        let mut case = Self {
            model,
            lives,
            kin,
            ops,
            answered,
            threads,
            seats: Vec::new(),
            proofs,
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
        let op = &self.ops[op];
        op.watched || op.age.is_some_and(|age| age >= self.model.limits.stalled_us)
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
            Who::Thread(at) => self.threads[at].thread.since_us.and_then(|us| Micros::try_from(us).ok()),
            Who::Ended { .. } => None,
        }
    }

    /// `Release #456`, `download task 9`, `goroutine 21`.
    pub fn name_of(&self, party: usize) -> String {
        match self.parties[party].who {
            Who::Op(op) => self.op_name(op),
            Who::Task { id, task, .. } => format!("{} task #{id}", task.kind.name()),
            Who::Thread(at) => match self.threads[at].op {
                Some((_, op)) => format!("{op} ({})", self.threads[at].label()),
                None => self.threads[at].label(),
            },
            Who::Ended { id, .. } => format!("#{id}, which has ended,"),
        }
    }

    pub fn op_name(&self, op: usize) -> String {
        let open = self.ops[op].open;
        let name = match open.key() {
            Key::Num(n) => format!("{} #{n}", open.op()),
            Key::Hex(n) => format!("{} #{n:#x}", open.op()),
            key @ (Key::Line(_) | Key::Thread(_)) => format!("{} ({key})", open.op()),
        };
        match self.daemon(self.ops[op].life) {
            Some(daemon) => format!("{name} of {daemon}"),
            None => name,
        }
    }

    pub fn culprit(&self, party: usize) -> Culprit {
        let seen = self.parties[party].thread.map(|at| &self.threads[at]);
        let age_s = self.age_of(party).map(seconds);
        let mut culprit = match self.parties[party].who {
            Who::Op(op) => self.op_culprit(op),
            Who::Task { id, task, .. } => Culprit {
                id: Some(id.to_string()),
                thread: Some(format!("{} task", task.kind.name())),
                path: task.path.as_deref().map(str::to_owned),
                age_s,
                ..Culprit::default()
            },
            Who::Thread(at) => {
                let label = self.threads[at].label();
                let op = self.threads[at].op.map(|(_, op)| op.to_string());
                let id = op.is_some().then(|| label.clone());
                Culprit { op, id, thread: Some(label), age_s, ..Culprit::default() }
            }
            Who::Ended { id, .. } => Culprit { id: Some(id.to_string()), ..Culprit::default() },
        };
        if let Some(seen) = seen {
            culprit.thread = Some(seen.label());
        }
        culprit
    }

    pub fn op_culprit(&self, op: usize) -> Culprit {
        let at = &self.ops[op];
        Culprit {
            op: Some(at.open.op().to_string()),
            id: Some(at.open.key().to_string()),
            thread: at.open.call.thread.as_deref().map(str::to_owned),
            path: at.open.call.path.as_deref().map(str::to_owned),
            lock: None,
            age_s: at.age.map(seconds),
            daemon: self.daemon(at.life).map(str::to_owned),
        }
    }

    pub fn waiter(&self, party: usize) -> Waiter {
        let culprit = self.culprit(party);
        let thread = culprit.id.is_none().then_some(culprit.thread).flatten();
        Waiter { op: culprit.op, id: culprit.id, thread, daemon: culprit.daemon }
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

    /// `2 Getattr, 1 Readdir`, most frequent first.
    pub fn counts(&self, parties: &[usize]) -> String {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for party in parties {
            let kind = self.op_kind(*party).map_or_else(|| self.kind_word(*party), |op| op.to_string());
            *counts.entry(kind).or_default() += 1;
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        counts.iter().map(|(word, n)| format!("{n} {word}")).collect::<Vec<_>>().join(", ")
    }

    fn kind_word(&self, party: usize) -> String {
        match self.parties[party].who {
            Who::Task { task, .. } => format!("{} task", task.kind.name()),
            Who::Thread(_) => String::from("thread"),
            _ => String::from("unknown"),
        }
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

fn lives(model: &Model, now: Now) -> Vec<Life<'_>> {
    let latest_dump = model.dumps.iter().filter_map(|d| d.2).max();
    let current: Vec<(usize, &Session)> = model.current().collect();
    let walls: Vec<(&Session, u64)> = current.iter().filter_map(|(_, s)| Some((*s, s.clock.wall?))).collect();
    let latest_wall = walls.iter().map(|(_, wall)| *wall).max();
    let life = |(_, session): (usize, &'_ Session)| -> Option<Micros> {
        const SAME_INCIDENT: u64 = 600_000_000;
        let own = session.clock.wall?;
        let near = |wall: &u64| *wall >= own && *wall - own <= SAME_INCIDENT;
        let of_log = walls.iter().filter(|other| apart::share_a_log(session, other.0)).map(|other| other.1);
        let told = [latest_dump, latest_wall].into_iter().flatten().filter(near).chain(of_log);
        let wall = now.wall_us.into_iter().chain(told).max();
        session.clock.at_wall(wall?)
    };
    // Those who write into one log without the time of day read one clock.
    let one_clock = |session: &Session| {
        let others = current.iter().map(|(_, other)| other).filter(|other| apart::share_a_log(session, other));
        let alike = others.filter(|other| other.clock.is_monotonic() && session.clock.is_monotonic());
        alike.filter_map(|other| other.clock.last).max()
    };
    let alive = |(at, session): (usize, &'_ Session)| {
        let now = session.clock.last.max(life((at, session))).max(one_clock(session));
        now.or(session.clock.last)
    };
    let made = current.iter().copied().map(|(at, session)| {
        let ended = model.ended_of(at);
        let dead = ended.is_some_and(|e| e.crash);
        Life { session, now: if dead { session.clock.last } else { alive((at, session)) }, dead, ended, called: None }
    });
    let mut lives: Vec<Life<'_>> = made.collect();
    apart::name(&mut lives);
    lives
}

pub fn seconds(us: Micros) -> f64 {
    (us as f64 / 1e5).round() / 10.0
}
