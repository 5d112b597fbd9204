//! > The daemon met wrong data: short body, 600000 of 1048576 bytes (b.mxf).

use fsd_events::op::Op;

use crate::engine::{
    case::Case,
    fact::HintKind,
    finding::{Finding, Rule},
    model::session::{Hint, Session},
    report::{Cause, Culprit},
};

pub struct WrongBytes;

impl Rule for WrongBytes {
    fn cause(&self) -> Cause {
        Cause::WrongBytes
    }

    fn find(&self, case: &Case<'_>) -> Vec<Finding> {
        case.lives.iter().filter_map(|life| finding(case, life.session)).collect()
    }
}

pub fn is_told_by(hint: &Hint) -> bool {
    matches!(hint.kind, HintKind::ShortBody | HintKind::Changed)
}

fn finding(case: &Case<'_>, session: &Session) -> Option<Finding> {
    let hints = &session.hints;
    let failed = session.stats.get(&Op::Read).is_some_and(|reads| reads.errors > 0);
    // A body that was short, and whole when it was asked for again, is none of the reader's business.
    let healed = |h: &Hint| !failed && h.text.contains("retry") || session.is_over(h);
    let wrong = |h: &&Hint| is_told_by(h) && !healed(h);
    let first = hints.iter().find(wrong)?;
    let times = hints.iter().filter(wrong).count();
    let of = first.path.as_deref().map(|p| format!(" ({p})")).unwrap_or_default();
    let again = if times > 1 { format!(", {times} times") } else { String::new() };
    let sentence = format!("The daemon met wrong data{again}: {}{of}.", first.text.trim_end_matches('.'));
    let culprit = Culprit { path: first.path.as_deref().map(str::to_owned), ..Culprit::default() };
    let finding = Finding::new(Cause::WrongBytes, case.sureness_of_a_line(), sentence).culprit(culprit);
    let places: Vec<_> = hints.iter().filter(wrong).map(|h| h.place).collect();
    Some(finding.evidence(case, places).advice(&[
        "compare a checksum of the mounted file with the origin's; the origin may have changed the file while it was read",
    ]))
}
