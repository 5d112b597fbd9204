//! Circle: threads that wait for each other, by what the dump states or by what each of them may have.

use std::collections::{BTreeMap, BTreeSet};

use fsd_events::op::Op;

use super::{Conclusion, Pile, Proof, Seen, Stacks, doing, doing::Doing, holder};
use crate::engine::report::{Cause, Confidence};

impl Stacks<'_> {
    pub(super) fn deadlocked(&self) -> Option<Conclusion> {
        let stated = self.stated_cycle();
        let is_stated = stated.is_some();
        let cycle = stated.or_else(|| self.cycle().map(|cycle| self.widened(cycle)))?;
        let handle = |at: &&usize| self.threads[**at].op.is_some_and(|op| op == Op::Release);
        let culprit = *cycle.iter().find(handle).or(cycle.first())?;
        let steps = || cycle.iter().filter_map(|at| self.waits_for(*at));
        let mut others: Vec<usize> = steps().flat_map(|holder| &holder.others).copied().collect();
        let mut told: BTreeSet<usize> = cycle.iter().copied().collect();
        others.retain(|at| told.insert(*at));
        let same = |holder: &holder::Holder| holder.others.is_empty() && holder.proof >= Proof::SameObject;
        let confidence = match () {
            () if is_stated || steps().all(|holder| holder.proof == Proof::Stated) => Confidence::Certain,
            // To have an object is not to hold its lock: a circle of such is none where somebody else fits.
            () if steps().all(same) => Confidence::Medium,
            () => Confidence::Low,
        };
        let waiters = self.behind(culprit).into_iter().filter(|at| !cycle.contains(at)).collect();
        let lock = self.threads[culprit].thread.waits_for.as_ref().map(|lock| lock.key.clone());
        Some(Conclusion { cycle, waiters, lock, others, ..self.blame(Cause::DeadlockCycle, confidence, culprit) })
    }

    /// Threads that form a cycle, in order. A walk marks where it was, so that it ends.
    pub(super) fn cycle(&self) -> Option<Vec<usize>> {
        let mut done = BTreeSet::new();
        for start in 0..self.threads.len() {
            let (mut path, mut at) = (Vec::new(), start);
            while !done.contains(&at) {
                if let Some(from) = path.iter().position(|seen| *seen == at) {
                    return Some(path.split_off(from));
                }
                path.push(at);
                // Waiters in front of the same function may want different locks: that closes no circle.
                let Some(holder) = self.waits_for(at).filter(|holder| holder.proof >= Proof::Inside) else { break };
                at = holder.at;
            }
            done.extend(path);
        }
        None
    }

    fn stated_cycle(&self) -> Option<Vec<usize>> {
        let named = |name: &str| {
            self.threads.iter().position(|s| s.thread.name.as_deref() == Some(name) || &*s.thread.label == name)
        };
        let members: Vec<usize> = self.dump.stated_cycle.iter().filter_map(|name| named(name)).collect();
        (!members.is_empty()).then_some(members)
    }

    /// A circle with those who alone wait for a further lock, and may have one of its locks as its members have: that
    /// fewer threads have all the locks is no likelier.
    fn widened(&self, mut cycle: Vec<usize>) -> Vec<usize> {
        let held_by = |at: usize, who: usize| {
            let holder = self.waits_for(at).filter(|holder| holder.proof == Proof::SameObject);
            holder.is_some_and(|holder| holder.at == who || holder.others.contains(&who))
        };
        let alone = self.piles.iter().filter_map(|pile| if let [only] = pile.waiters[..] { Some(only) } else { None });
        for at in alone.filter(|at| !self.asks(*at)) {
            let belongs = |member: &usize| held_by(*member, at);
            if !cycle.contains(&at) && cycle.iter().any(belongs) && cycle.iter().any(|member| held_by(at, *member)) {
                cycle.push(at);
            }
        }
        cycle
    }

    /// Two locks that callbacks wait for, and nobody else in the dump at anything: whoever has the one waits for the
    /// other, unless who has it has forgotten it.
    pub(super) fn interlocked(&self) -> Option<Conclusion> {
        self.two_locks().filter(|found| found.others.is_empty())
    }

    /// The same beside callbacks that are held up by something else: any of them may have one of the locks, or both.
    pub(super) fn interlocked_beside(&self) -> Option<Conclusion> {
        self.two_locks().map(|found| Conclusion { rests: true, ..found })
    }

    /// Two locks that callbacks wait for, as a circle, and others who may have them.
    fn two_locks(&self) -> Option<Conclusion> {
        let [first, second] = &self.piles[..] else { return None };
        if ![first, second].iter().all(|pile| self.is_by_address(pile)) {
            return None;
        }
        let waits = |seen: &Seen<'_>| seen.thread.waits_for.is_some() && seen.serves;
        let rests = |seen: &Seen<'_>| seen.doing == Doing::Idle || seen.doing == Doing::Wait && !seen.serves;
        let others = (0..self.threads.len()).filter(|at| !waits(&self.threads[*at]) && !rests(&self.threads[*at]));
        let others: Vec<usize> = others.collect();
        let held_up = |at: &usize| self.threads[*at].op.is_some() && holder::is_held_up(self.threads[*at].doing);
        if !others.iter().all(held_up) {
            return None;
        }
        let cycle = vec![self.rarest(second)?, self.rarest(first)?];
        let all = first.waiters.iter().chain(&second.waiters).copied();
        let waiters = all.filter(|at| !cycle.contains(at)).collect();
        let lock = Some(second.lock.key.clone());
        let found = self.blame(Cause::DeadlockCycle, Confidence::Low, cycle[0]);
        Some(Conclusion { cycle, waiters, lock, others, ..found })
    }

    /// Python's are locks and conditions alike.
    fn is_by_address(&self, pile: &Pile<'_>) -> bool {
        let python = pile.waiters.iter().any(|at| doing::awaits_in_python(self.threads[*at].thread));
        pile.lock.key.starts_with("0x") && !python
    }

    /// Many wait in one function for the lock that one of another function has.
    fn rarest(&self, pile: &Pile<'_>) -> Option<usize> {
        let caller = |at: usize| holder::caller(self.threads[at].thread).map(|frame| &*frame.function);
        let mut like: BTreeMap<Option<&str>, usize> = BTreeMap::new();
        pile.waiters.iter().for_each(|at| *like.entry(caller(*at)).or_default() += 1);
        let rank = |at: &usize| (self.asks(*at), like.get(&caller(*at)).copied(), self.threads[*at].thread.number);
        pile.waiters.iter().copied().min_by_key(rank)
    }

    /// Whether its callback only asks for what is there.
    fn asks(&self, at: usize) -> bool {
        matches!(self.threads[at].op, Some(Op::Getattr | Op::Lookup | Op::Access))
    }
}
