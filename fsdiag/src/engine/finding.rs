//! A verdict in the making, and how several of them are put in order.

use std::collections::{HashMap, HashSet};

use super::{
    case::{Case, lasting},
    fact::Place,
    model::ops::Micros,
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

    /// What it rests on was said at these times: a record that is missing since then may say otherwise.
    #[must_use]
    pub fn rests_on(mut self, case: &Case<'_>, told: impl IntoIterator<Item = Option<Micros>>) -> Self {
        let life = self.party.and_then(|party| case.life_of_party(party)).map(|life| case.lives[life].session);
        if life.is_some_and(|session| told.into_iter().any(|told| !session.sequence.is_whole_since(told))) {
            self.verdict.confidence = self.verdict.confidence.min(Confidence::Medium);
        }
        self
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

/// As many of a crowd's findings as a report lists; the first of them covers what the others are about. A crowd in one
/// trouble is one trouble, and a verdict takes thirty times the room of its request.
pub fn listed(case: &Case<'_>, mut all: impl Iterator<Item = Finding>) -> Vec<Finding> {
    let mut found: Vec<Finding> = all.by_ref().take(case.model.limits.listed).collect();
    if let Some(first) = found.first_mut() {
        all.for_each(|other| first.covers.extend(other.covers));
    }
    found
}

/// The same for troubles of one party each, of which only those that are listed are put into words.
pub fn of_parties<T>(
    case: &Case<'_>,
    mut troubles: impl Iterator<Item = (usize, T)>,
    tell: impl Fn(usize, T) -> Finding,
) -> Vec<Finding> {
    let first = troubles.by_ref().take(case.model.limits.listed);
    let mut found: Vec<Finding> = first.map(|(party, trouble)| tell(party, trouble)).collect();
    if let Some(first) = found.first_mut() {
        first.covers.extend(troubles.map(|(party, _)| party));
    }
    found
}

/// More candidates than that are no help.
const ALTERNATIVES: usize = 100;

/// Surest first, then as the rules stand in their table; what an earlier one explains is dropped.
pub fn in_order(found: Vec<(usize, Finding)>) -> Vec<Verdict> {
    let mut found = found;
    found.sort_by(|(one, a), (two, b)| {
        let by_order = (b.verdict.confidence, one, b.covers.len()).cmp(&(a.verdict.confidence, two, a.covers.len()));
        by_order.then_with(|| age(&b.verdict).total_cmp(&age(&a.verdict)))
    });
    let mut explained: HashSet<usize> = HashSet::new();
    let mut verdicts: Vec<Verdict> = Vec::new();
    // By the id of the culprit: of a crowd each has its own.
    let mut told: HashMap<Option<String>, Vec<(usize, Option<usize>)>> = HashMap::new();
    for (_, finding) in found {
        let known = match finding.party {
            Some(party) => explained.contains(&party),
            None => !finding.covers.is_empty() && finding.covers.iter().all(|c| explained.contains(c)),
        };
        let Verdict { cause, culprit, .. } = &finding.verdict;
        let alike = told.entry(culprit.as_ref().and_then(|culprit| culprit.id.clone())).or_default();
        // Two parties that are called alike are of two daemons.
        let one = |party: &Option<usize>| party.zip(finding.party).is_none_or(|(a, b)| a == b);
        let alike_to = |v: &Verdict| v.cause == *cause && v.culprit == *culprit;
        let again = alike.iter().any(|(at, party)| one(party) && alike_to(&verdicts[*at]));
        if known || again {
            continue;
        }
        alike.push((verdicts.len(), finding.party));
        explained.extend(&finding.covers);
        verdicts.push(finding.verdict);
    }
    verdicts
}

/// Of several in one trouble the one that is in it for longest comes first.
fn age(verdict: &Verdict) -> f64 {
    verdict.culprit.as_ref().and_then(|culprit| culprit.age_s).unwrap_or(0.0)
}

/// ` for 34.2 s`, or nothing where there is no clock.
pub fn for_time(us: Option<i64>) -> String {
    us.map(|us| format!(" for {}", lasting(us))).unwrap_or_default()
}

/// ` (read of movie.mkv)`: the path of a party where it is known.
pub fn of_path(case: &Case<'_>, party: usize) -> String {
    case.culprit(party).path.map(|p| format!(" of {p}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use fsd_events::{event::Phase, op::Op};

    use crate::engine::{
        fact::{At, Call, Done, Fact, Key, Place, Sink as _, What},
        model::{Limits, Model, Now},
        report::Cause,
    };

    #[test]
    fn a_crowd_in_one_trouble_is_told_by_as_many_as_are_listed() {
        let mut model = Model::new(Limits { listed: 10, ..Limits::default() });
        let input = model.input("log");
        let mut tell = |line: u64, second: u64, what| {
            let at = At { mono_us: Some(second * 1_000_000), wall_us: None };
            model.fact(Fact { place: Place { input, line, part: 0 }, at, what });
        };
        for id in 1..=50 {
            let key = Key::Num(id);
            let doing = Some((Phase::Upstream, "the server".into()));
            tell(id, id, What::Enter(Box::new(Call { doing, asynchronous: true, ..Call::new(key, Op::Read) })));
        }
        let key = Key::Num(51);
        tell(200, 600, What::Enter(Box::new(Call::new(key, Op::Getattr))));
        tell(201, 601, What::Exit(Done { key, op: None, us: None, errno: Some(0), bytes: None }));
        let report = model.report(Now::default());
        assert_eq!(report.verdicts.len(), 10);
        assert!(report.verdicts.iter().all(|verdict| verdict.cause == Cause::UpstreamStall));
        assert_eq!(report.verdicts[0].culprit.as_ref().and_then(|culprit| culprit.id.as_deref()), Some("1"));
    }
}
