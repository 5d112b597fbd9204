//! The slow path: contended waits, long holds and broken order, told to the journal.

use std::{panic::Location, time::Duration};

use fsd_events::{
    event::Step,
    ids::OpId,
    ring::{Draft, SMALL, tables::Tag},
};

use crate::platform::clock;

use super::{
    super::{journal, local::ThreadSlot, tick},
    Class,
    entry::{self, Entry, Name, TOLD},
    label::Label,
    view,
};

/// A wait shorter than this is no event: under load there are too many of them to be worth reading.
pub(super) const SHORT: Duration = Duration::from_millis(1);
/// Between two events of one wait.
pub(super) const REPEAT: Duration = Duration::from_secs(1);
/// Holders named in one event.
pub(super) const HOLDERS: usize = 16;

/// Waits for the lock; returns it, and the mark of a hold that was told when the wait was.
#[cold]
pub(super) fn wait<G>(
    slot: Option<&'static ThreadSlot>,
    name: Name,
    site: &'static Location<'static>,
    mut try_for: impl FnMut(Duration) -> Option<G>,
) -> (G, u64) {
    let since_us = clock::now_mono_us();
    if let Some(slot) = slot {
        entry::set_wait(slot, Entry { name, since_us, op: slot.works_for() }, site);
    }
    let mut told = 0;
    let guard = loop {
        let limit = if told == 0 { SHORT } else { REPEAT };
        match try_for(limit) {
            Some(guard) => break guard,
            None => {
                told = TOLD;
                slot.into_iter().for_each(|slot| tell_wait(slot, name, since_us));
            }
        }
    };
    if let Some(slot) = slot {
        entry::clear_wait(slot);
        if told != 0 {
            tell_hold(slot, name);
        }
    }
    (guard, told)
}

fn tell_wait(slot: &ThreadSlot, name: Name, since_us: u64) {
    let mut holders = [OpId(0); HOLDERS];
    let found = view::holders(name, &mut holders);
    slot.announce();
    let now_us = clock::now_mono_us();
    tell(slot.works_for(), name, Step::Wait, &holders[..found], now_us.saturating_sub(since_us));
}

/// The thread has the lock now.
#[cold]
pub(super) fn tell_hold(slot: &ThreadSlot, name: Name) {
    slot.announce();
    let op = slot.works_for();
    tell(op, name, Step::Hold, &[op], 0);
}

#[cold]
pub(super) fn tell_free(ended: &Entry) {
    tell(ended.op, ended.name, Step::Free, &[], tick::now_us().saturating_sub(ended.since_us));
}

/// Puts a step of a lock into the journal.
pub(super) fn tell(op: OpId, name: Name, step: Step, holders: &[OpId], us: u64) {
    let Some(tag) = Tag::unpack(name.tag) else { return };
    journal::tell(clock::now_mono_us(), || {
        Draft::<SMALL>::lock(op, Label::of_lock(name).as_str(), (tag.kind, tag.mode, step), holders, us)
    });
}

pub(super) fn class_name(name: Name) -> &'static str {
    class(name).map_or("?", Class::name)
}

pub(super) fn class(name: Name) -> Option<&'static Class> {
    Tag::unpack(name.tag).and_then(|tag| Class::numbered(tag.class))
}

#[cold]
#[track_caller]
pub(super) fn out_of_order(slot: &ThreadSlot, name: Name) {
    let last = entry::count(slot).checked_sub(1).and_then(|n| entry::held(slot, n));
    let last = last.map_or("?", |entry| class_name(entry.name));
    super::broken("lock order", &format!("{} taken while {last} is held", class_name(name)));
}
