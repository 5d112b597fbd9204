//! > The daemon ran out of disk space: write /var/tmp/fsd/x: no space left on device.

use crate::engine::{
    case::Case,
    fact::HintKind,
    finding::{Finding, Rule},
    model::session::{Hint, Session},
    report::{Cause, Confidence, Culprit},
};

pub struct ResourceExhausted;

impl Rule for ResourceExhausted {
    fn cause(&self) -> Cause {
        Cause::ResourceExhausted
    }

    fn find(&self, case: &Case<'_>) -> Vec<Finding> {
        case.lives.iter().filter_map(|life| finding(case, life.session)).collect()
    }
}

pub fn is_told_by(hint: &Hint) -> bool {
    hint.kind != HintKind::KilledForMemory && resource(hint.kind).is_some()
}

fn resource(kind: HintKind) -> Option<(&'static str, &'static str)> {
    match kind {
        HintKind::NoSpace => {
            Some(("disk space", "free space where the daemon keeps its temporary files, or limit its cache"))
        }
        HintKind::NoMemory | HintKind::KilledForMemory => {
            Some(("memory", "look for the OOM killer and cgroup limits; limit the daemon's buffers"))
        }
        HintKind::NoDescriptors => {
            Some(("file descriptors", "raise the limit (ulimit -n), and see whether releases keep up with opens"))
        }
        HintKind::Dns => Some(("name resolution", "ask the resolver by hand (getent hosts)")),
        _ => None,
    }
}

fn finding(case: &Case<'_>, session: &Session) -> Option<Finding> {
    // Of others that were killed this daemon tells nothing of itself.
    let is_own = |hint: &&Hint| hint.kind != HintKind::KilledForMemory || case.fates.is_told_at(hint.place);
    let hints = || session.hints.iter().filter(|hint| !session.is_over(hint)).filter(is_own);
    let (hint, (name, remedy)) = hints().rev().find_map(|h| Some((h, resource(h.kind)?)))?;
    let sentence = format!("The daemon ran out of {name}: {}.", hint.text.trim_end_matches('.'));
    let culprit = Culprit { path: hint.path.as_deref().map(str::to_owned), ..Culprit::default() };
    let places: Vec<_> = hints().filter(|h| h.kind == hint.kind).map(|h| h.place).collect();
    // It was said of the very file that a request has hung on since.
    let hangs = |op: usize| {
        let open = case.ops[op].open;
        std::ptr::eq(case.life_of(op).session, session)
            && open.call.path.as_deref() == hint.path.as_deref()
            && open.at <= hint.at
    };
    let met = hint.path.is_some() && case.stuck().any(hangs);
    let confidence = if met { Confidence::High } else { case.sureness_of_a_line() };
    let finding = Finding::new(Cause::ResourceExhausted, confidence, sentence).culprit(culprit);
    Some(finding.evidence(case, places).advice(&[remedy]))
}
