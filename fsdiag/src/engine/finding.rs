//! A verdict in the making, and how several of them are put in order.

use std::collections::HashSet;

use super::{
    case::{Case, seconds},
    fact::Place,
    report::{Cause, Confidence, Culprit, Verdict, Waiter},
};

/// One rule: one cause, one file, one section in `docs/TRIAGE.md`.
pub trait Rule: Sync {
    fn cause(&self) -> Cause;
    /// What this rule sees in a case; nothing where its witnesses are missing.
    fn find(&self, case: &Case<'_>) -> Vec<Finding>;
}

/// What a rule found.
#[derive(Clone, Debug)]
pub struct Finding {
    pub verdict: Verdict,
    /// The party to blame, where it is one.
    pub party: Option<usize>,
    /// Parties whose trouble this explains, the culprit among them.
    pub covers: Vec<usize>,
}

impl Finding {
    pub fn new(cause: Cause, confidence: Confidence, sentence: String) -> Self {
        let verdict = Verdict {
            cause,
            confidence,
            sentence,
            culprit: None,
            alternatives: Vec::new(),
            waiters: Vec::new(),
            waiters_left_out: 0,
            evidence: Vec::new(),
            advice: Vec::new(),
            isolate: Vec::new(),
        };
        Self { verdict, party: None, covers: Vec::new() }
    }

    /// Blames a party; its own lines become evidence.
    #[must_use]
    pub fn blames(mut self, case: &Case<'_>, party: usize) -> Self {
        self.verdict.culprit = Some(case.culprit(party));
        self.party = Some(party);
        self.covers.push(party);
        self.evidence(case, case.places(party))
    }

    #[must_use]
    pub fn culprit(mut self, culprit: Culprit) -> Self {
        self.verdict.culprit = Some(culprit);
        self
    }

    #[must_use]
    pub fn lock(mut self, lock: &str) -> Self {
        if let Some(culprit) = &mut self.verdict.culprit {
            culprit.lock = Some(lock.to_owned());
        }
        self
    }

    #[must_use]
    pub fn waiters(mut self, case: &Case<'_>, parties: &[usize]) -> Self {
        let room = case.model.limits.listed.saturating_sub(self.verdict.waiters.len());
        let mut named = parties.iter().map(|p| case.waiter(*p)).filter(|w| *w != Waiter::default());
        self.verdict.waiters.extend(named.by_ref().take(room));
        self.verdict.waiters_left_out += named.count() as u64;
        self.covers.extend_from_slice(parties);
        self.evidence(case, parties.iter().filter_map(|p| case.place_of(*p)))
    }

    #[must_use]
    pub fn alternatives(mut self, case: &Case<'_>, parties: &[usize]) -> Self {
        self.verdict.alternatives.extend(parties.iter().take(ALTERNATIVES).map(|p| case.culprit(*p)));
        self
    }

    #[must_use]
    pub fn evidence(mut self, case: &Case<'_>, places: impl IntoIterator<Item = Place>) -> Self {
        for evidence in case.evidence(places) {
            if self.verdict.evidence.len() < 12 && !self.verdict.evidence.contains(&evidence) {
                self.verdict.evidence.push(evidence);
            }
        }
        self
    }

    #[must_use]
    pub fn advice(mut self, advice: &[&str]) -> Self {
        self.verdict.advice.extend(advice.iter().map(|a| (*a).to_owned()));
        self
    }

    #[must_use]
    pub fn isolate(mut self, flags: &[&str]) -> Self {
        self.verdict.isolate.extend(flags.iter().map(|f| (*f).to_owned()));
        self
    }
}

/// More candidates than that are no help.
const ALTERNATIVES: usize = 100;

/// Surest first, then as the rules stand in their table; what an earlier one explains is dropped.
pub fn in_order(found: Vec<(usize, Finding)>) -> Vec<Verdict> {
    let mut found = found;
    found.sort_by_key(|(rule, f)| (std::cmp::Reverse(f.verdict.confidence), *rule, std::cmp::Reverse(f.covers.len())));
    let mut explained: HashSet<usize> = HashSet::new();
    let mut verdicts: Vec<Verdict> = Vec::new();
    for (_, finding) in found {
        let known = match finding.party {
            Some(party) => explained.contains(&party),
            None => !finding.covers.is_empty() && finding.covers.iter().all(|c| explained.contains(c)),
        };
        let again = verdicts.iter().any(|v| v.cause == finding.verdict.cause && v.culprit == finding.verdict.culprit);
        if known || again {
            continue;
        }
        explained.extend(&finding.covers);
        verdicts.push(finding.verdict);
    }
    verdicts
}

/// `34.2 s`, or nothing where there is no clock.
pub fn for_time(us: Option<i64>) -> String {
    us.map(|us| format!(" for {:.1} s", seconds(us))).unwrap_or_default()
}

/// `1 operation`, `3 operations`.
pub fn count(n: usize, one: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} {one}{plural}")
}

/// `waits` or `wait`.
pub fn verb(n: usize, one: &'static str, many: &'static str) -> &'static str {
    if n == 1 { one } else { many }
}

/// ` (read of movie.mkv)`: the path of a party where it is known.
pub fn of_path(case: &Case<'_>, party: usize) -> String {
    case.culprit(party).path.map(|p| format!(" of {p}")).unwrap_or_default()
}
