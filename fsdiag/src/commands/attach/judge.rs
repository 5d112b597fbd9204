//! Judge: what a look at the kernel's side alone proves, for whoever looks again and again.

use super::text;
use crate::{
    engine::{
        model::{Limits, Model, Now},
        report::Report,
    },
    sources::kernel::{facts::Transcript, look::Look, rows::Row, sys},
};

/// A judged look.
pub struct Judged {
    pub model: Model,
    pub report: Report,
}

/// Verdicts, notes and open requests of one look, with the words of the evidence.
pub fn judge(look: &Look, rows: &[Row], limits: Limits) -> Judged {
    let mut model = Model::new(limits);
    let input = model.input(&look.mount.point.display().to_string());
    let mut transcript = Transcript::new(input);
    transcript.look(look, rows);
    transcript.facts.iter().for_each(|fact| model.apply(fact));
    let (lines, facts) = (transcript.lines.len() as u64, transcript.facts.len() as u64);
    model.counted(input, "kernel-trace", lines, facts, 0);
    let mut report = model.report(Now { wall_us: Some(sys::wall_us()) });
    report.notes.extend(model.kernel.notes(u64::try_from(limits.stalled_us).unwrap_or(0)));
    for row in rows {
        *report.inflight.entry(text::op_name(row)).or_default() += 1;
        report.orphans.push(text::orphan(row, look, &transcript.lines));
    }
    for evidence in report.verdicts.iter_mut().flat_map(|verdict| &mut verdict.evidence) {
        let line = usize::try_from(evidence.line).ok().and_then(|n| transcript.lines.get(n.checked_sub(1)?));
        line.into_iter().for_each(|line| evidence.text.clone_from(line));
    }
    Judged { model, report }
}
