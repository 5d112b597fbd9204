//! Twins: the same request as two witnesses tell it, e.g. a daemon's log and the kernel's trace; it is one request.

use std::collections::HashMap;

use fsd_events::op::Op;

use super::{Life, OpenAt};
use crate::engine::{
    fact::Key,
    model::ops::{Micros, OpenOp},
};

/// Requests of two logs of one daemon are the same when they are of one kind and began at the same moment.
const SAME_MOMENT: Micros = 20_000;

pub(super) fn open_ops<'m>(lives: &[Life<'m>]) -> Vec<OpenAt<'m>> {
    let mut ops: Vec<OpenAt<'m>> = Vec::new();
    let mut told = (lives.iter().filter(|l| is_open(l)).count() > 1).then(Told::default);
    for (life, l) in by_quality(lives) {
        let mut open: Vec<&OpenOp> = l.session.open.values().collect();
        open.sort_by_key(|o| (o.order, o.place));
        for open in open {
            let wall = open.at.and_then(|t| l.session.clock.wall_of(t));
            let twin = told.as_mut().and_then(|told| told.before(open, wall, life, ops.len()));
            let watched = l.session.watch_stalled.iter().any(|(key, op, _)| *key == open.key() && *op == open.op());
            match twin {
                Some(twin) => _ = ops[twin].also.get_or_insert(open.place),
                None => ops.push(OpenAt { open, life, age: l.session.age(open.at, l.now), watched, also: None }),
            }
        }
    }
    ops
}

/// Whether what is open there still counts.
fn is_open(l: &Life<'_>) -> bool {
    let handed = l.session.handed_over.is_some();
    let ended = l.session.ended.as_ref().is_some_and(|e| !e.crash);
    !l.session.open.is_empty() && !handed && !ended
}

/// Logs whose requests have numbers first, and before the others those that know the time of day: where two tell the
/// same, their words are kept.
fn by_quality<'l, 'm>(lives: &'l [Life<'m>]) -> Vec<(usize, &'l Life<'m>)> {
    let mut lives: Vec<(usize, &Life<'m>)> = lives.iter().enumerate().filter(|(_, l)| is_open(l)).collect();
    let numbered = |l: &Life<'_>| l.session.open.keys().any(|k| matches!(k, Key::Num(_) | Key::Hex(_)));
    lives.sort_by_key(|(at, l)| (!numbered(l), l.session.clock.wall.is_none(), *at));
    lives
}

/// Requests that other lives have told of.
#[derive(Default)]
struct Told {
    /// By kind and moment; of many at one moment the first stand for all.
    began: HashMap<(Op, Micros), Vec<First>>,
    /// By the kernel's number; only one of the two need know the time.
    numbered: HashMap<(Op, u64), First>,
}

#[derive(Clone, Copy)]
struct First {
    life: usize,
    op: usize,
    wall: Option<Micros>,
    /// The number is the kernel's by the word of its source.
    sure: bool,
}

impl Told {
    /// The operation of another life that is the same request; if there is none, `at` is where this one will stand.
    fn before(&mut self, open: &OpenOp, wall: Option<Micros>, life: usize, at: usize) -> Option<usize> {
        let first = First { life, op: at, wall, sure: open.call.unique.is_some() };
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

    fn by_moment(&self, open: &OpenOp, own: First) -> Option<usize> {
        let wall = own.wall?;
        let step = wall.div_euclid(SAME_MOMENT);
        let mut near = (step - 1..=step + 1).filter_map(|step| self.began.get(&(open.op(), step))).flatten();
        let same = |other: &&First| other.life != own.life && (other.wall.unwrap_or(wall) - wall).abs() < SAME_MOMENT;
        near.find(same).map(|other| other.op)
    }

    /// Where both know the time of day, the moment decides: two daemons count alike.
    fn by_number(&self, open: &OpenOp, own: First) -> Option<usize> {
        let other = self.numbered.get(&(open.op(), number(open)?))?;
        let timed = other.wall.is_some() && own.wall.is_some();
        (other.life != own.life && !timed && (other.sure || own.sure)).then_some(other.op)
    }
}

fn number(open: &OpenOp) -> Option<u64> {
    match (open.call.unique, open.key()) {
        (Some(unique), _) => Some(unique),
        (None, Key::Num(number) | Key::Hex(number)) => Some(number),
        (None, Key::Line(_) | Key::Thread(_)) => None,
    }
}
