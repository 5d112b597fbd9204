//! Candidates: who may hold the lock that the victims need, ranked, and how sure that is.

use std::collections::BTreeMap;

use fsd_events::op::Op;

use super::{Guess, GuessKind, RACES, View};
use crate::engine::{
    model::ops::{Micros, OpStats},
    report::Confidence,
};

/// So long may an operation take from its ENTER to the lock: who came that little later may have it.
const RACE_US: Micros = 500;

impl View<'_, '_> {
    /// R10 to R14: candidates entered no later than the first victim, ranked.
    pub(super) fn lock(&self, first: usize, victims: &[usize], stalled: &[Op]) -> Option<Guess> {
        let since = self.at(first);
        let majority = self.majority(victims);
        let mut ranked: Vec<(f64, usize, usize)> = Vec::new();
        // The first ones may only have lost their ends.
        let next = victims.iter().map(|op| self.at(*op)).filter(|at| *at > since).nth(1);
        let until = next.filter(|_| self.leaks()).unwrap_or(since) + RACE_US;
        for op in self.ops.iter().copied().filter(|op| self.at(*op) <= until && !self.in_hole(*op)) {
            let (score, after) = self.score(op, since, majority, stalled);
            ranked.push((score, op, after));
        }
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| self.at(a.1).cmp(&self.at(b.1))));
        let (score, culprit, completed_after) = *ranked.first()?;
        let mut alternatives: Vec<usize> = ranked[1..].iter().filter(|c| c.0 >= 2.0).map(|c| c.1).collect();
        let victims: Vec<usize> = victims.iter().copied().filter(|op| *op != culprit).collect();
        let affected = victims.len() + 1;
        let outside = self.may_be_first_victim(culprit, stalled);
        let confidence = match () {
            () if affected >= 3 && score >= 5.0 && alternatives.is_empty() && !outside => Confidence::High,
            () if affected >= 2 && score >= 4.0 => Confidence::Medium,
            () => Confidence::Low,
        };
        let confidence = self.capped(confidence, affected, culprit);
        // What is a few seconds old may still be slow only, however unusual that is.
        let fresh = self.now - self.at(culprit) < self.case.model.limits.stalled_us / 2;
        let young = fresh || !victims.iter().chain([&culprit]).any(|op| self.is_stalled(*op));
        let confidence = if young { Confidence::Low } else { confidence };
        if completed_after > RACES || !self.is_quick(culprit) {
            let others = self.where_it_stops(&victims, stalled);
            alternatives.retain(|op| !others.contains(op));
            alternatives.splice(..0, others.into_iter().filter(|op| *op != culprit));
        }
        let lossy = self.loss() > 0.005;
        let kind = GuessKind::Lock;
        Some(Guess { kind, confidence, culprit, alternatives, victims, completed_after, lossy, outside })
    }

    /// Where the culprit may be slow by itself: the first quick one behind which none ended, and the last one before
    /// that, which may share the lock that a quick one asks for alone.
    fn where_it_stops(&self, victims: &[usize], stalled: &[Op]) -> Vec<usize> {
        let stops = |op: &usize| self.is_quick(*op) && self.after(*op, stalled) <= RACES;
        let Some(first) = victims.iter().copied().find(stops) else { return Vec::new() };
        let earlier = self.ops.iter().rev().copied().find(|op| self.at(*op) < self.at(first));
        earlier.into_iter().chain([first]).collect()
    }

    fn score(&self, op: usize, since: Micros, majority: Option<Op>, stalled: &[Op]) -> (f64, usize) {
        let at = self.at(op);
        let after = self.after(op, stalled);
        let novel = self.is_novel(op);
        let expected = |kind: &Op| self.rate(*kind) * ((since - at).max(0) as f64 / 1e6);
        let shared = stalled.iter().any(|kind| self.later(*kind, at) == 0 && expected(kind) >= 3.0);
        let score = match (after <= RACES, novel) {
            (true, novel) => 4.0 + f64::from(u8::from(novel)),
            (false, true) => {
                2.0 + 2.5 * f64::from(u8::from(shared)) + f64::from(u8::from(Some(self.kind(op)) != majority))
            }
            (false, false) => 0.0,
        };
        (score, after)
    }

    /// A thread that serves no request may have taken the lock: then the first that asked for it only waits. It is as
    /// likely of a kind as that is frequent, and comes as long behind the last that had the lock as two requests take to
    /// come; the holder itself comes as long behind it as one takes.
    fn may_be_first_victim(&self, op: usize, stalled: &[Op]) -> bool {
        /// Of a hundred such words one may be wrong; and how often a thread that serves no request holds locks is not
        /// known.
        const ACCIDENT: f64 = 0.002;
        const RARE: f64 = 0.01;
        let all: u64 = self.session.stats.values().map(|stats| stats.count).sum();
        let Some(kind) = self.stats(self.kind(op)) else { return false };
        let share = kind.count as f64 / all.max(1) as f64;
        share > RARE || share * self.missed_before(op, stalled) > ACCIDENT
    }

    /// How many of these kinds would have come between the last that ended and this one.
    fn missed_before(&self, op: usize, kinds: &[Op]) -> f64 {
        let stats = || kinds.iter().filter_map(|kind| self.stats(*kind));
        let first = stats().filter_map(OpStats::first_exit).min();
        let last = stats().filter_map(|stats| stats.last_exit).max();
        let Some((first, last)) = first.zip(last).filter(|(first, last)| first < last) else { return f64::INFINITY };
        let ended: u64 = stats().map(|stats| stats.count).sum();
        (self.at(op) - last).max(0) as f64 * ended as f64 / (last - first) as f64
    }

    fn majority(&self, victims: &[usize]) -> Option<Op> {
        let mut counts: BTreeMap<Op, usize> = BTreeMap::new();
        victims.iter().for_each(|op| *counts.entry(self.kind(*op)).or_default() += 1);
        counts.into_iter().max_by_key(|(_, n)| *n).map(|(op, _)| op)
    }

    /// Section D: loss, clock steps and thin data lower a level; signals of clients raise it.
    fn capped(&self, confidence: Confidence, affected: usize, culprit: usize) -> Confidence {
        let loss = self.loss();
        let fakes = loss * self.session.entered as f64;
        let no_threads = self.session.threads.is_empty() && !self.session.is_own();
        let awake = self.now - self.session.clock.awake_since(self.at(culprit), self.now);
        let thin = self.session.entered < 200 && !self.op(culprit).watched;
        match () {
            // That none has ended since is no news there.
            () if self.session.one_sided => Confidence::Low,
            () if no_threads && fakes >= affected as f64 => Confidence::Low,
            // Before a silence that may be sleep nothing was old, and behind it nothing is yet.
            () if awake < self.case.model.limits.stalled_us => Confidence::Low,
            () if loss > 0.005 || thin && confidence == Confidence::High => confidence.min(Confidence::Medium),
            () if self.session.clock.stepped_between(self.at(culprit), self.now) => confidence.min(Confidence::Medium),
            () => confidence,
        }
    }
}
