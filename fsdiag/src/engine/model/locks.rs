//! Locks as the daemon reports them: who holds, who waits, since when.

use std::collections::BTreeMap;

use fsd_events::{
    event::{LockKind, LockMode, LockStep, Phase, StalledLock, Step},
    ids::OpId,
};

use super::ops::Micros;
use crate::engine::fact::Place;

/// All locks of one session, by name.
#[derive(Clone, Debug, Default)]
pub struct Locks {
    by_name: BTreeMap<Box<str>, Lock>,
    /// Order in which one task took lock classes: holder's class, then the class it took while holding.
    pub order: BTreeMap<(Box<str>, Box<str>), Place>,
    /// Classes of locks that were held across I/O, with what was done meanwhile; the first case of each.
    pub across: BTreeMap<(Box<str>, Phase), Place>,
}

/// One lock.
#[derive(Clone, Debug)]
pub struct Lock {
    pub kind: LockKind,
    pub holders: BTreeMap<u64, Use>,
    pub waiters: BTreeMap<u64, Use>,
}

/// One party of a lock.
#[derive(Clone, Copy, Debug)]
pub struct Use {
    pub mode: LockMode,
    pub since: Option<Micros>,
    /// When that was last said.
    pub told: Option<Micros>,
    pub place: Place,
    /// It was seen taking the lock itself; otherwise a waiter named it.
    pub stated: bool,
}

impl Locks {
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Lock)> {
        self.by_name.iter().map(|(name, lock)| (&**name, lock))
    }

    pub fn get(&self, name: &str) -> Option<&Lock> {
        self.by_name.get(name)
    }

    /// Locks that `id` holds now.
    pub fn held_by(&self, id: u64) -> impl Iterator<Item = (&str, &Use)> {
        self.by_name.iter().filter_map(move |(name, lock)| Some((&**name, lock.holders.get(&id)?)))
    }

    /// Locks that `id` waits for now.
    pub fn wanted_by(&self, id: u64) -> impl Iterator<Item = (&str, &Lock, &Use)> {
        self.by_name.iter().filter_map(move |(name, lock)| Some((&**name, lock, lock.waiters.get(&id)?)))
    }

    /// Whether that operation holds or wants any lock.
    pub fn mentions(&self, id: u64) -> bool {
        self.by_name.values().any(|lock| lock.holders.contains_key(&id) || lock.waiters.contains_key(&id))
    }

    pub fn step(&mut self, step: &LockStep<'_>, at: Option<Micros>, place: Place) {
        let id = step.id.0;
        if step.step == Step::Wait || step.step == Step::Hold {
            self.note_order(id, &step.lock, place);
        }
        let lock = self.lock(&step.lock, step.kind);
        let us = Micros::try_from(step.us).unwrap_or(0);
        let since = at.map(|at| at - us);
        let stated = Use { mode: step.mode, since, told: at, place, stated: true };
        match step.step {
            Step::Wait => {
                let first = lock.waiters.get(&id).map_or(place, |seen| seen.place);
                lock.waiters.insert(id, Use { place: first, ..stated });
                lock.named_holders(step, at, place);
            }
            Step::Hold => {
                lock.waiters.remove(&id);
                lock.settle_holder(id, stated);
            }
            Step::Free => {
                lock.waiters.remove(&id);
                lock.holders.remove(&id);
            }
        }
    }

    /// Rule D5: `id` begins something, perhaps with a lock held. Only what it was seen taking counts: who was named by
    /// a waiter may have let go since.
    pub(super) fn began(&mut self, id: u64, phase: Phase, place: Place) {
        if self.by_name.is_empty() || !is_io(phase) {
            return;
        }
        let holds = |lock: &Lock| lock.holders.get(&id).is_some_and(|held| held.stated);
        let held = self.by_name.iter().filter(|(_, lock)| lock.kind != LockKind::Permit && holds(lock));
        let held: Vec<Box<str>> = held.map(|(name, _)| class(name).into()).collect();
        held.into_iter().for_each(|class| _ = self.across.entry((class, phase)).or_insert(place));
    }

    /// Rule D5: that lock was held while its holder did something. Permits are there to be held meanwhile.
    pub(super) fn held_across(&mut self, step: &LockStep<'_>, phase: Phase, place: Place) {
        if step.step != Step::Wait && step.kind != LockKind::Permit && is_io(phase) {
            self.across.entry((class(&step.lock).into(), phase)).or_insert(place);
        }
    }

    /// What a `stall` event says of a lock, also where the steps before it were lost.
    pub fn snapshot(&mut self, seen: &StalledLock<'_>, at: Option<Micros>, place: Place) {
        let lock = self.lock(&seen.lock, LockKind::Mutex);
        let since = at.map(|at| at - Micros::try_from(seen.since_us).unwrap_or(0));
        let fresh = Use { mode: LockMode::Write, since, told: at, place, stated: true };
        replace(&mut lock.holders, &seen.holder, fresh);
        replace(&mut lock.waiters, &seen.waiters, fresh);
        seen.holder.iter().for_each(|holder| _ = lock.waiters.remove(&holder.0));
    }

    /// Who goes on with something else has what it waited for.
    pub(super) fn goes_on(&mut self, id: u64) {
        self.by_name.values_mut().for_each(|lock| _ = lock.waiters.remove(&id));
    }

    /// An operation that has ended waits for nothing; what it still holds, it holds.
    pub fn op_ended(&mut self, id: u64) {
        for lock in self.by_name.values_mut() {
            lock.waiters.remove(&id);
            if lock.holders.get(&id).is_some_and(|h| !h.stated) {
                lock.holders.remove(&id);
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    fn lock(&mut self, name: &str, kind: LockKind) -> &mut Lock {
        let fresh = || Lock { kind, holders: BTreeMap::new(), waiters: BTreeMap::new() };
        if !self.by_name.contains_key(name) {
            self.by_name.insert(name.into(), fresh());
        }
        self.by_name.entry(name.into()).or_insert_with(fresh)
    }

    fn note_order(&mut self, id: u64, wanted: &str, place: Place) {
        let held: Vec<Box<str>> = self.held_by(id).map(|(name, _)| class(name).into()).collect();
        for class_held in held.into_iter().filter(|h| **h != *class(wanted)) {
            self.order.entry((class_held, class(wanted).into())).or_insert(place);
        }
    }
}

impl Lock {
    /// A waiter names the holders of its moment: the whole truth about them, except when they took it.
    fn named_holders(&mut self, step: &LockStep<'_>, told: Option<Micros>, place: Place) {
        if step.holder.is_empty() {
            return;
        }
        let named = |id: &u64| step.holder.iter().any(|h| h.0 == *id);
        self.holders.retain(|id, _| named(id));
        let mode = if step.holder.len() > 1 { LockMode::Read } else { LockMode::Write };
        for holder in &step.holder {
            let held = self.holders.entry(holder.0).or_insert(Use { mode, since: None, told, place, stated: false });
            held.told = told;
        }
    }

    fn settle_holder(&mut self, id: u64, hold: Use) {
        // Whoever had it in a way that this one cannot share it has let go, whether its line is there or not.
        if self.kind != LockKind::Permit {
            let shares = |other: &Use| other.mode == LockMode::Read && hold.mode == LockMode::Read;
            self.holders.retain(|other, held| *other == id || shares(held));
        }
        let place = self.holders.get(&id).filter(|h| h.stated).map_or(hold.place, |h| h.place);
        self.holders.insert(id, Use { place, ..hold });
    }
}

/// Longest list of a `stall` event: one that has room is whole.
const LISTED: usize = 16;

/// Only those that are `named` are left, and who was not known is there.
fn replace(known: &mut BTreeMap<u64, Use>, named: &[OpId], fresh: Use) {
    if named.len() < LISTED {
        known.retain(|id, _| named.contains(&OpId(*id)));
    }
    named.iter().for_each(|id| known.entry(id.0).or_insert(fresh).told = fresh.told);
}

fn is_io(phase: Phase) -> bool {
    use Phase::{Alloc, Backoff, Close, Disk, Listing, Lock, Notify, Permit, Reply, Upstream};
    match phase {
        Upstream | Disk | Close | Reply | Notify | Backoff | Listing => true,
        Lock | Permit | Alloc => false,
    }
}

/// The class of a lock: its name without the key of the instance (`store#17` is a `store`).
pub fn class(name: &str) -> &str {
    name.split(['#', '[', '(']).next().unwrap_or(name)
}
