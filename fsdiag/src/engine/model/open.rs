//! Open: the requests without an answer, the latest as they came, the crowd behind them packed.
//!
//! Most requests end soon, and a few stay; a log of which every end is lost has millions. So the latest are kept as
//! they came, and when there are many of them the older half is packed into a tenth of the room.

mod names;
mod packed;
mod row;

use std::{borrow::Cow, collections::BTreeMap, sync::OnceLock};

use fsd_events::op::Op;

use self::packed::Packed;
use super::{
    Limits,
    handful::Handful,
    ops::{Micros, OpenOp},
};
use crate::engine::fact::Key;

#[derive(Clone, Debug, Default)]
pub struct OpenOps {
    latest: Handful<Key, OpenOp>,
    /// Made when it is needed: most lives have none.
    crowd: Option<Box<Packed>>,
    /// Those of the crowd that a report judges, unpacked when one is made.
    judged: OnceLock<Vec<OpenOp>>,
    /// All of them are judged, however many: somebody asks for certain ones.
    all: bool,
}

/// What can be told of each request, packed or not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Glance {
    pub key: Key,
    pub op: Op,
    pub at: Option<Micros>,
    pub order: u64,
    pub unique: Option<u64>,
}

/// Requests that are only counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Unjudged {
    pub kinds: BTreeMap<Op, u64>,
    /// Those whose source has no clock.
    pub timeless: u64,
}

/// Most that are kept as they came.
const LATEST: usize = 8192;
/// Most of a crowd that a report weighs one by one; the others it counts.
const JUDGED: usize = 93 << 10;

impl OpenOps {
    pub fn len(&self) -> usize {
        self.latest.len() + self.crowd.as_ref().map_or(0, |crowd| crowd.len())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn contains_key(&self, key: &Key) -> bool {
        self.latest.contains_key(key) || self.crowd.as_ref().is_some_and(|crowd| crowd.contains(key))
    }

    pub fn get(&self, key: &Key) -> Option<Cow<'_, OpenOp>> {
        let latest = self.latest.get(key).map(Cow::Borrowed);
        latest.or_else(|| self.crowd.as_ref()?.get(key).map(Cow::Owned))
    }

    pub fn glances(&self) -> impl Iterator<Item = Glance> {
        self.latest.values().map(Glance::of).chain(self.crowd.iter().flat_map(|crowd| crowd.glances()))
    }

    /// Those that a report judges, in any order: all, or of a large crowd the oldest and those that are `mentioned`.
    pub fn judged(&self, mentioned: impl Fn(Key) -> bool) -> impl Iterator<Item = &OpenOp> {
        let most = if self.all { usize::MAX } else { JUDGED };
        let judged = |crowd: &Packed| self.judged.get_or_init(|| crowd.oldest(most, mentioned));
        self.latest.values().chain(self.crowd.as_deref().map(judged).into_iter().flatten())
    }

    pub(super) fn judge(&mut self, limits: Limits) {
        self.all = limits.listed == usize::MAX;
    }

    pub(super) fn judge_as(&mut self, other: &Self) {
        self.all = other.all;
    }

    /// What the judged ones leave out of a crowd.
    pub fn unjudged(&self) -> Unjudged {
        let judged = self.judged.get().map_or(&[][..], Vec::as_slice);
        let mut left = Unjudged::default();
        let Some(crowd) = self.crowd.as_ref().filter(|crowd| crowd.len() > judged.len()) else { return left };
        for glance in crowd.glances() {
            *left.kinds.entry(glance.op).or_default() += 1;
            left.timeless += u64::from(glance.at.is_none());
        }
        for op in judged {
            left.kinds.entry(op.op()).and_modify(|count| *count -= 1);
            left.timeless -= u64::from(op.at.is_none());
        }
        left
    }

    pub(super) fn get_mut(&mut self, key: &Key) -> Option<&mut OpenOp> {
        if self.crowd.is_some() && !self.latest.contains_key(key) {
            let op = self.remove(key)?;
            self.insert(op);
        }
        self.latest.get_mut(key)
    }

    /// Gives the one that was there under that key.
    pub(super) fn insert(&mut self, op: OpenOp) -> Option<OpenOp> {
        let key = op.key();
        if self.crowd.is_none() && self.latest.len() < LATEST {
            return self.latest.insert(key, op);
        }
        let before = self.remove(&key);
        if self.latest.len() >= LATEST && self.crowd.as_ref().is_none_or(|crowd| crowd.has_room()) {
            self.pack();
        }
        self.latest.insert(key, op);
        before
    }

    pub(super) fn remove(&mut self, key: &Key) -> Option<OpenOp> {
        if let Some(op) = self.latest.remove(key) {
            return Some(op);
        }
        let op = self.crowd.as_mut()?.remove(key)?;
        self.judged.take();
        Some(op)
    }

    pub(super) fn clear(&mut self) {
        *self = Self { all: self.all, ..Self::default() };
    }

    /// The older half joins the crowd.
    fn pack(&mut self) {
        self.judged.take();
        // Where they stand is much less to sort than they are.
        let mut ages: Vec<(u64, Key)> = self.latest.values().map(|op| (op.order, op.key())).collect();
        let half = ages.len() / 2;
        ages.select_nth_unstable(half);
        ages[..half].sort_unstable();
        let crowd = self.crowd.get_or_insert_default();
        ages[..half].iter().filter_map(|(_, key)| self.latest.remove(key)).for_each(|op| crowd.insert(op));
    }
}

impl Unjudged {
    pub fn count(&self) -> u64 {
        self.kinds.values().sum()
    }

    pub fn add(&mut self, other: &Self) {
        other.kinds.iter().for_each(|(op, count)| *self.kinds.entry(*op).or_default() += count);
        self.timeless += other.timeless;
    }
}

impl Glance {
    fn of(op: &OpenOp) -> Self {
        Self { key: op.key(), op: op.op(), at: op.at, order: op.order, unique: op.call.unique }
    }
}

#[cfg(test)]
mod tests;
