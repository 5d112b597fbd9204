//! Late: lines that somebody on the way to the file has delayed, or sent once more. An end may stand before its
//! beginning, and a whole block of lines may stand there twice: neither hangs.

use std::collections::VecDeque;

use fsd_events::op::Op;

use super::{
    answered::Answer,
    ops::{Micros, OpenOp},
    session::Session,
};
use crate::engine::fact::{At, Done, Key, Place};

/// The latest requests of a log that have ended, and the latest ends whose beginning is not known.
#[derive(Clone, Debug, Default)]
pub(super) struct Late {
    ended: VecDeque<Ended>,
    early: VecDeque<Early>,
    /// How many write into their logs.
    writers: usize,
}

/// A request, with the times of day of its two lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) key: Key,
    pub(super) op: Op,
    pub(super) began: u64,
    pub(super) ended: u64,
}

/// An end without a beginning so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Early {
    pub(super) at: u64,
    pub(super) done: Done,
    /// Its beginning counts as lost until it is there.
    pub(super) counted: bool,
}

impl Late {
    /// Blocks that are sent again are not longer, as a rule, and hold the lines of all who write.
    const ENDED: usize = 1024;
    const FEWEST: usize = 32;
    const EARLY: usize = 64;
    /// So far lines of one log are apart that several threads or connections write at once.
    pub(super) const APART_US: u64 = 100_000;

    pub(super) fn ended(&mut self, request: Ended) {
        let room = self.room();
        push(&mut self.ended, request, room);
    }

    pub(super) fn writers(&self) -> usize {
        self.writers
    }

    fn room(&self) -> usize {
        /// Fewer have enough room each.
        const FEW: usize = 16;
        (Self::ENDED * FEW / self.writers.max(FEW)).max(Self::FEWEST)
    }

    pub(super) fn early(&mut self, end: Early) {
        push(&mut self.early, end, Self::EARLY);
    }

    /// Whether that request has begun at that time, and ended.
    pub(super) fn has_begun(&self, key: Key, op: Op, at: u64) -> bool {
        self.ended.iter().any(|known| known.key == key && known.op == op && known.began == at)
    }

    pub(super) fn has_ended(&self, key: Key, at: u64) -> bool {
        self.ended.iter().any(|known| known.key == key && known.ended == at)
    }

    /// The end of a request that begins now, if it stood before that. No later request of that number is so near.
    #[inline]
    pub(super) fn end_of(&mut self, key: Key, at: Option<u64>) -> Option<Early> {
        if self.early.is_empty() {
            return None;
        }
        let at = at?;
        let near = |end: &Early| end.done.key == key && end.at.abs_diff(at) <= Self::APART_US;
        let found = self.early.iter().rposition(near)?;
        self.early.remove(found)
    }
}

impl Session {
    /// So many write into logs: each remembers less of what it need not.
    pub(super) fn is_one_of(&mut self, writers: usize) {
        self.late.writers = writers;
        let room = self.late.room();
        let ended = &mut self.late.ended;
        ended.drain(..ended.len().saturating_sub(room));
        ended.shrink_to_fit();
        self.stats.values_mut().for_each(|stats| stats.is_one_of(writers));
    }

    /// Whether a line is older than those before it, and by more than the threads of a daemon get in each other's way.
    #[inline]
    pub(super) fn goes_back(&self, at: At) -> bool {
        const JITTER_US: u64 = 1_000;
        let times = at.wall_us.zip(self.clock.wall);
        times.is_some_and(|(own, latest)| own.saturating_add(JITTER_US) < latest) && !self.is_own()
    }

    /// Whether a line that goes back says what has been said: that this request begins, or, without an operation, ends.
    pub(super) fn has_told(&self, key: Key, begins: Option<Op>, at: At) -> bool {
        let Some(wall) = at.wall_us else { return false };
        let Some(op) = begins else { return self.late.has_ended(key, wall) };
        let same = |open: &OpenOp| open.op() == op && self.wall(open.at) == Some(wall);
        self.late.has_begun(key, op, wall) || self.open.get(&key).is_some_and(|open| same(&open))
    }

    /// A request has ended whose both lines are known.
    pub(super) fn has_served(&mut self, open: &OpenOp, done: &Done, at: Option<Micros>) {
        if let Key::Num(number) = open.key() {
            self.answered.note(Answer { number, op: open.op(), began: open.at }, done.errno, self.tells_uniques);
        }
        if let (Key::Num(_) | Key::Hex(_), Some(began), Some(ended)) = (open.key(), self.wall(open.at), self.wall(at)) {
            self.late.ended(Ended { key: open.key(), op: open.op(), began, ended });
        }
    }

    /// An end of which the beginning is not known may only stand before it; `lost`: as many were lost before.
    pub(super) fn comes_early(&mut self, done: &Done, wall: Option<u64>, lost: u64) {
        if let (Key::Num(_) | Key::Hex(_), Some(at), false) = (done.key, wall, self.is_own()) {
            self.late.early(Early { at, done: *done, counted: self.loss.lone_exits > lost });
        }
    }

    /// The end of what has just begun stood before that.
    pub(super) fn ends_at_once(&mut self, end: &Early, at: Option<Micros>, place: Place) {
        self.loss.lone_exits -= u64::from(end.counted);
        self.exit(&end.done, at, place);
    }

    /// Under one name or the other an end came whose beginning stands under the other one.
    pub(super) fn ends_what_ended_elsewhere(&mut self, other: Late) {
        let early: Vec<Early> = self.late.early.drain(..).chain(other.early).collect();
        for end in early {
            let began = self.open.get(&end.done.key).map(|open| (open.at, open.place));
            match began {
                Some((at, place)) if self.wall(at).is_none_or(|wall| wall <= end.at + Late::APART_US) => {
                    self.ends_at_once(&end, self.clock.at_wall(end.at), place);
                }
                _ => self.late.early(end),
            }
        }
    }

    /// Of a life that is over none comes late.
    pub(super) fn forget_lines(&mut self) {
        self.late = Late::default();
    }

    fn wall(&self, at: Option<Micros>) -> Option<u64> {
        u64::try_from(self.clock.wall_of(at?)?).ok()
    }
}

fn push<T>(list: &mut VecDeque<T>, item: T, most: usize) {
    if list.len() >= most {
        list.pop_front();
    }
    list.push_back(item);
}
