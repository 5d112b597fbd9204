//! Locks that matter now: of the daemon's own record, else of its newest stack dump.

use std::collections::BTreeMap;

use super::moment::Moment;
use crate::{
    engine::{
        fact::{Dump, LockUse, Thread},
        model::{Model, locks::Lock as Known},
    },
    tui::picture::{Lock, LockWaiter},
};

/// Most waited for first, then longest held.
pub(super) fn all(model: &Model, moments: &[Moment<'_>]) -> Vec<Lock> {
    let mut rows: Vec<Lock> = moments.iter().flat_map(recorded).collect();
    if rows.is_empty() {
        rows = model.dumps.last().map(|(_, dump, _)| dumped(dump)).unwrap_or_default();
    }
    rows.sort_by_key(|lock| std::cmp::Reverse((lock.waiters.len(), lock.held_us)));
    rows
}

fn recorded(moment: &Moment<'_>) -> Vec<Lock> {
    let used = |(_, lock): &(&str, &Known)| !lock.holders.is_empty() || !lock.waiters.is_empty();
    moment.session.locks.iter().filter(used).map(|(name, lock)| row(moment, name, lock)).collect()
}

fn row(moment: &Moment<'_>, name: &str, lock: &Known) -> Lock {
    let since = lock.holders.values().filter_map(|held| held.since).min();
    let holder =
        |(id, held): (&u64, &crate::engine::model::locks::Use)| format!("{} ({})", moment.named(*id), held.mode.name());
    let mut waiters: Vec<LockWaiter> = lock
        .waiters
        .iter()
        .map(|(id, waits)| LockWaiter { name: moment.named(*id), us: moment.since(waits.since) })
        .collect();
    waiters.sort_by_key(|waiter| std::cmp::Reverse(waiter.us));
    Lock {
        name: name.to_owned(),
        kind: lock.kind.name().to_owned(),
        holder: lock.holders.iter().map(holder).collect::<Vec<_>>().join(", "),
        held_us: moment.since(since),
        then: lock.holders.keys().map(|id| moment.waits(*id)).find(|waits| !waits.is_empty()).unwrap_or_default(),
        waiters,
    }
}

/// Threads of a dump that wait for or hold the same lock.
fn dumped(dump: &Dump) -> Vec<Lock> {
    let mut locks: BTreeMap<&str, Lock> = BTreeMap::new();
    for thread in &dump.threads {
        for held in &thread.holds {
            let lock = named(&mut locks, &held.key);
            let mode = match held.mode {
                LockUse::Read => " (read)",
                LockUse::Write => " (write)",
                LockUse::Unknown => "",
            };
            let comma = if lock.holder.is_empty() { "" } else { ", " };
            lock.holder.push_str(&format!("{comma}{}{mode}", label(thread)));
            lock.held_us = lock.held_us.max(thread.since_us);
            if let Some(wanted) = &thread.waits_for {
                lock.then = format!("lock {}", wanted.key);
            }
        }
        if let Some(wanted) = &thread.waits_for {
            let lock = named(&mut locks, &wanted.key);
            if let (true, Some(owner)) = (lock.holder.is_empty(), &wanted.owner) {
                lock.holder = owner.to_string();
            }
            let us = thread.since_us;
            lock.waiters.push(LockWaiter { name: label(thread), us });
        }
    }
    locks.into_values().filter(|lock| !lock.waiters.is_empty()).collect()
}

fn named<'l, 'd>(locks: &'l mut BTreeMap<&'d str, Lock>, key: &'d str) -> &'l mut Lock {
    locks.entry(key).or_insert_with(|| Lock { name: key.to_owned(), kind: String::from("dump"), ..Lock::default() })
}

fn label(thread: &Thread) -> String {
    match &thread.op {
        Some((_, op)) => format!("{} ({op})", thread.label),
        None => thread.label.to_string(),
    }
}
