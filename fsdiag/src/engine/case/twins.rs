//! Twins: the same request as two witnesses tell it, e.g. a daemon's log and the kernel's trace; it is one request.

use std::collections::{BTreeMap, HashMap};

use fsd_events::op::Op;

use super::{
    Life, OpenAt,
    apart::share_a_log,
    kin::{Apart, Kin, pairs, plain},
};
use crate::engine::{
    fact::Key,
    model::{
        open::Unjudged,
        ops::{Micros, OpenOp},
        session::Session,
    },
};

/// Requests of two logs of one daemon are the same when they are of one kind and began at the same moment.
const SAME_MOMENT: Micros = 20_000;

pub(super) fn open_ops<'m>(lives: &[Life<'m>], kin: &[Option<Kin>]) -> Vec<OpenAt<'m>> {
    let mut ops: Vec<OpenAt<'m>> = Vec::new();
    let mut told = (lives.iter().filter(|l| is_open(l)).count() > 1).then(Told::default);
    for (life, l) in by_quality(lives, kin) {
        let mut open: Vec<&OpenOp> = l.session.judged().collect();
        open.sort_by_key(|o| (o.order, o.place));
        // A list that doubles as it grows would take half as much again of a crowd.
        if ops.is_empty() {
            ops.reserve_exact(open.len());
        }
        let apart = kin[life].and_then(|kin| Some((kin.of, kin.apart?)));
        let known = apart.map(|(of, apart)| fall_together(&ops, of, &open, apart)).unwrap_or_default();
        for (index, open) in open.into_iter().enumerate() {
            let wall = open.at.and_then(|t| l.session.clock.wall_of(t));
            let told_before = || told.as_mut().and_then(|told| told.before(open, wall, (life, l), ops.len()));
            let watched = l.session.watch_stalled.iter().find(|(key, op, _)| *key == open.key() && *op == open.op());
            let stated = watched.and_then(|(_, _, us)| Micros::try_from(*us).ok());
            let (watched, age) = (watched.is_some(), l.session.age(open.at, l.now).or(stated));
            match known.get(&index).copied().or_else(told_before) {
                Some(twin) => {
                    ops[twin].also.get_or_insert(open.place);
                    ops[twin].age = ops[twin].age.max(age);
                }
                None => {
                    let (daemon, shift) = apart.map_or((life, 0), |(of, apart)| (of, apart.shift));
                    let at = open.at.map(|at| at + shift);
                    ops.push(OpenAt { open, life, daemon, at, age, watched, also: None });
                }
            }
        }
    }
    ops
}

/// What is open beside those, in crowds so large that only the oldest are judged.
pub(super) fn unjudged(lives: &[Life<'_>]) -> Unjudged {
    let mut all = Unjudged::default();
    let tells = |l: &&Life<'_>| is_open(l) && !l.session.one_sided;
    lives.iter().filter(tells).for_each(|l| all.add(&l.session.open.unjudged()));
    all
}

/// Which requests of a second witness are which of those that the first one told of.
fn fall_together(ops: &[OpenAt<'_>], of: usize, open: &[&OpenOp], apart: Apart) -> HashMap<usize, usize> {
    let mut kinds: BTreeMap<Op, [Vec<(Micros, usize)>; 2]> = BTreeMap::new();
    for (index, op) in ops.iter().enumerate().filter(|(_, op)| op.life == of) {
        kinds.entry(plain(op.open.op())).or_default()[0].extend(op.at.map(|at| (at, index)));
    }
    for (index, op) in open.iter().enumerate() {
        kinds.entry(plain(op.op())).or_default()[1].extend(op.at.map(|at| (at, index)));
    }
    let mut known = HashMap::new();
    for [mut first, mut second] in kinds.into_values() {
        first.sort_unstable();
        second.sort_unstable();
        let times = |list: &[(Micros, usize)]| list.iter().map(|(at, _)| *at).collect::<Vec<_>>();
        let pairs = pairs(&times(&first), &times(&second), apart.shift, apart.blur);
        known.extend(pairs.into_iter().map(|(a, b)| (second[b].1, first[a].1)));
    }
    known
}

/// Whether what is open there still counts.
fn is_open(l: &Life<'_>) -> bool {
    let handed = l.session.handed_over.is_some();
    let ended = l.ended.is_some_and(|e| !e.crash);
    !l.session.open.is_empty() && !handed && !ended
}

/// Logs whose requests have numbers first, and before the others those that know the time of day: where two tell the
/// same, their words are kept. Last those that are known to be second witnesses.
fn by_quality<'l, 'm>(lives: &'l [Life<'m>], kin: &[Option<Kin>]) -> Vec<(usize, &'l Life<'m>)> {
    let mut lives: Vec<(usize, &Life<'m>)> = lives.iter().enumerate().filter(|(_, l)| is_open(l)).collect();
    let numbered = |l: &Life<'_>| l.session.open.glances().any(|open| matches!(open.key, Key::Num(_) | Key::Hex(_)));
    let second = |at: usize| kin[at].is_some_and(|kin| kin.apart.is_some());
    lives.sort_by_key(|(at, l)| (second(*at), !numbered(l), l.session.clock.wall.is_none(), *at));
    lives
}

/// Requests that other lives have told of.
#[derive(Default)]
struct Told<'m> {
    /// By kind and moment; of many at one moment the first stand for all.
    began: HashMap<(Op, Micros), Vec<First<'m>>>,
    /// By the kernel's number; only one of the two need know the time.
    numbered: HashMap<(Op, u64), First<'m>>,
}

#[derive(Clone, Copy)]
struct First<'m> {
    life: usize,
    session: &'m Session,
    op: usize,
    wall: Option<Micros>,
    path: Option<&'m str>,
    /// The number is the kernel's by the word of its source.
    sure: bool,
}

impl First<'_> {
    /// Two daemons do not tell of one request, nor is it one that is told with two paths.
    fn may_be(&self, other: &Self) -> bool {
        let two = self.session.is_own() && other.session.is_own() || share_a_log(self.session, other.session);
        // One witness may know less of where the mount lies.
        let alike = |(a, b): (&str, &str)| a.ends_with(b) || b.ends_with(a);
        self.life != other.life && !two && self.path.zip(other.path).is_none_or(alike)
    }
}

impl<'m> Told<'m> {
    /// The operation of another life that is the same request; if there is none, `at` is where this one will stand.
    fn before(
        &mut self,
        open: &'m OpenOp,
        wall: Option<Micros>,
        (life, l): (usize, &Life<'m>),
        at: usize,
    ) -> Option<usize> {
        let (path, sure) = (open.call.path.as_deref(), open.call.unique.is_some());
        let first = First { life, session: l.session, op: at, wall, path, sure };
        let twin = self.by_moment(open, first).or_else(|| self.by_number(open, first));
        if let (Some(wall), None) = (wall, twin) {
            let moment = self.began.entry((open.op(), wall.div_euclid(SAME_MOMENT))).or_default();
            if moment.iter().all(|other| other.life != life) {
                moment.push(first);
            }
        }
        if let (Some(number), None) = (number(open), twin) {
            self.numbered.entry((open.op(), number)).or_insert(first);
        }
        twin
    }

    fn by_moment(&self, open: &OpenOp, own: First<'m>) -> Option<usize> {
        let wall = own.wall?;
        let step = wall.div_euclid(SAME_MOMENT);
        let mut near = (step - 1..=step + 1).filter_map(|step| self.began.get(&(open.op(), step))).flatten();
        let same = |other: &&First<'m>| other.may_be(&own) && (other.wall.unwrap_or(wall) - wall).abs() < SAME_MOMENT;
        near.find(same).map(|other| other.op)
    }

    /// Where both know the time of day, the moment decides: two daemons count alike.
    fn by_number(&self, open: &OpenOp, own: First<'m>) -> Option<usize> {
        let other = self.numbered.get(&(open.op(), number(open)?))?;
        let timed = other.wall.is_some() && own.wall.is_some();
        (other.may_be(&own) && !timed && (other.sure || own.sure)).then_some(other.op)
    }
}

pub(super) fn number(open: &OpenOp) -> Option<u64> {
    match (open.call.unique, open.key()) {
        (Some(unique), _) => Some(unique),
        (None, Key::Num(number) | Key::Hex(number)) => Some(number),
        (None, Key::Line(_) | Key::Thread(_)) => None,
    }
}
