//! Verdicts as the screens show them; one that is over stays for the post-mortem.

use crate::{
    engine::report,
    tui::{picture::Verdict, trace::Trace},
};

pub fn verdict(verdict: &report::Verdict) -> Verdict {
    let culprit = verdict.culprit.clone().unwrap_or_default();
    let id = culprit.id.map(|id| format!("#{id}"));
    let parts = [culprit.op, id, culprit.daemon, culprit.thread, culprit.lock, culprit.path];
    let evidence = |e: &report::Evidence| format!("{}:{} {}", e.input, e.line, e.text);
    Verdict {
        cause: verdict.cause.name().to_owned(),
        confidence: verdict.confidence.name().to_owned(),
        sentence: verdict.sentence.clone(),
        culprit: parts.into_iter().flatten().collect::<Vec<_>>().join(" "),
        age_s: culprit.age_s,
        waiters: verdict.waiting(),
        evidence: verdict.evidence.iter().map(evidence).collect(),
        advice: verdict.advice.clone(),
        recovered: false,
    }
}

/// What hung and no longer does is shown as recovered until something hangs again.
pub(super) fn recovered(trace: &Trace) -> Option<Verdict> {
    let (_, ended) = trace.ended.as_ref()?;
    Some(Verdict { recovered: true, ..verdict(ended) })
}
