//! > The recorder itself is late: its writer lags by 14.0 s, so the record ends before the present.

use crate::engine::{
    case::{Case, seconds},
    finding::{Finding, Rule},
    report::{Cause, Confidence, Culprit},
};

pub struct ObserverFault;

impl Rule for ObserverFault {
    fn cause(&self) -> Cause {
        Cause::ObserverFault
    }

    fn find(&self, case: &Case<'_>) -> Vec<Finding> {
        (0..case.lives.len()).filter_map(|life| late(case, life).or_else(|| silent(case, life))).collect()
    }
}

/// The writer says so itself.
fn late(case: &Case<'_>, life: usize) -> Option<Finding> {
    let (beat, _, place) = case.lives[life].session.last_beat.as_ref()?;
    let lag = i64::try_from(beat.writer_lag_us).ok()?;
    let limit = case.model.limits.stalled_us;
    let sentence = format!(
        "The recorder itself is late: its writer lags by {:.1} s, so the record ends before the present.",
        seconds(lag)
    );
    let advice = "look at the disk of the event file (df, fsd's own messages): full or stuck, it holds the writer up";
    (lag >= limit).then(|| made(Confidence::High, sentence, "event writer").advice(&[advice]).evidence(case, [*place]))
}

/// Events go on and the pulse does not: the watchdog's thread is stuck or gone.
fn silent(case: &Case<'_>, life: usize) -> Option<Finding> {
    let l = &case.lives[life];
    let (_, at, place) = l.session.last_beat.as_ref()?;
    let silence = l.session.clock.last? - (*at)?;
    if silence < 2 * case.model.limits.stalled_us || l.ended.is_some() {
        return None;
    }
    let sentence = format!(
        "The watchdog has been silent for {:.1} s while operations were recorded: it is stuck or gone.",
        seconds(silence)
    );
    Some(made(Confidence::High, sentence, "watchdog").evidence(case, [*place]))
}

fn made(confidence: Confidence, sentence: String, thread: &str) -> Finding {
    let culprit = Culprit { thread: Some(thread.to_owned()), ..Culprit::default() };
    Finding::new(Cause::ObserverFault, confidence, sentence).culprit(culprit).advice(&[
        "look from outside: fsdiag attach asks the kernel, fsdiag dump copies the stacks without the daemon's help",
    ])
}
