//! Crowd: where many daemons are in trouble, those that are so in one way make a table with a row for each.

use std::fmt::Write as _;

use super::{SHOWN, more};
use crate::{
    engine::{
        plural::{count, verb},
        report::{Confidence, Verdict},
    },
    output::paint::{Paint, Tone},
};

/// So many verdicts are told one by one.
const FEW: usize = 6;
/// So many of one cause are a crowd.
const ALIKE: usize = 3;

/// Verdicts of one cause that are told together.
pub(super) struct Crowd<'r>(Vec<&'r Verdict>);

/// What is told one by one, and what together; the first verdict is always told by itself.
pub(super) fn parted(verdicts: &[Verdict]) -> (Vec<(usize, &Verdict)>, Vec<Crowd<'_>>) {
    let mut alone = Vec::new();
    let mut crowds: Vec<Crowd<'_>> = Vec::new();
    for (number, verdict) in verdicts.iter().enumerate() {
        let alike = |other: &&Verdict| other.cause == verdict.cause;
        if number == 0 || verdicts.len() <= FEW || verdicts[1..].iter().filter(alike).count() <= ALIKE {
            alone.push((number, verdict));
            continue;
        }
        match crowds.iter_mut().find(|crowd| crowd.0[0].cause == verdict.cause) {
            Some(crowd) => crowd.0.push(verdict),
            None => crowds.push(Crowd(vec![verdict])),
        }
    }
    // Who is stuck for longest may be where it began.
    let age = |verdict: &Verdict| verdict.culprit.as_ref().and_then(|culprit| culprit.age_s).unwrap_or(0.0);
    crowds.iter_mut().for_each(|crowd| crowd.0.sort_by(|a, b| age(b).total_cmp(&age(a))));
    (alone, crowds)
}

impl Crowd<'_> {
    pub(super) fn tell(&self, text: &mut String, paint: Paint) {
        let (number, cause) = (self.0.len(), self.0[0].cause);
        let head = format!(
            "also: {} {} of {} ({})",
            count(number, "more verdict"),
            verb(number, "tells", "tell"),
            cause.name(),
            self.sureness()
        );
        _ = write!(text, "\n{}\n", paint.line(&paint.tone(&head, Tone::Bold)));
        for verdict in self.0.iter().take(SHOWN) {
            _ = writeln!(text, "{}", paint.line(&row(verdict)));
        }
        if number > SHOWN {
            _ = writeln!(text, "  {}", more(number).trim_start().trim_matches(['(', ')']));
        }
    }

    /// `3 high, 36 low`
    fn sureness(&self) -> String {
        let all = [Confidence::Certain, Confidence::High, Confidence::Medium, Confidence::Low];
        let count = |sure: Confidence| self.0.iter().filter(|verdict| verdict.confidence == sure).count();
        let told = all.into_iter().filter(|sure| count(*sure) > 0);
        told.map(|sure| format!("{} {}", count(sure), sure.name())).collect::<Vec<_>>().join(", ")
    }
}

/// Who, where, for how long, and who waits behind it; its sentence where nobody is to blame.
fn row(verdict: &Verdict) -> String {
    let Some(culprit) = verdict.culprit.as_ref().filter(|culprit| culprit.op.is_some()) else {
        return format!("  {}", verdict.sentence);
    };
    let op = culprit.op.as_deref().unwrap_or_default();
    let id = culprit.id.as_ref().map(|id| format!(" #{id}")).unwrap_or_default();
    let age = culprit.age_s.map_or_else(|| "?".to_owned(), |age| format!("{age:.1} s"));
    let input = verdict.evidence.first().map_or("", |evidence| evidence.input.as_str());
    let daemon = culprit.daemon.as_deref().unwrap_or(input);
    let path = culprit.path.as_deref().map(|path| format!("  {path}")).unwrap_or_default();
    let waits = match verdict.waiting() {
        0 => String::new(),
        n => format!("  {n} {}", verb(n, "waits", "wait")),
    };
    format!("  {:<24} {age:>9}  {daemon}{path}{waits}", format!("{op}{id}"))
}
