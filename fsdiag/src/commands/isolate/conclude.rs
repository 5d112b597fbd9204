//! Conclusion: what the runs under each setting say about where the hang is, by the rules of the debugging guide. Pure.
//!
//! > If the hangs stop with debug_skip_eviction, the bug is in the eviction or close path; if they go on, it is
//! > elsewhere. If it disappears with debug_fskit_single_thread, it is a concurrency issue.

use serde::Serialize;

use super::setting::Setting;
use crate::engine::report::Confidence;

/// How the runs under one setting went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub hung: u32,
    pub clean: u32,
    /// Neither seen to hang nor seen to end well.
    pub unclear: u32,
}

impl Tally {
    fn decided(self) -> u32 {
        self.hung + self.clean
    }
}

/// What was found, one word for each answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// Gone without closing, there with one thread.
    ClosePath,
    /// Gone without closing, and gone with one thread: a race of the close path.
    ClosePathConcurrency,
    /// Gone with one thread only.
    Concurrency,
    /// There under each flag.
    Elsewhere,
    /// Gone only when both flags are set.
    OnlyWithBoth,
    /// The hang was not there to begin with.
    NotReproduced,
    /// Runs of one setting went both ways, or one setting contradicts another.
    Disagree,
    /// A setting that the answer needs could not be tried.
    Incomplete,
}

impl Finding {
    /// Whether it says where the hang is.
    pub fn is_answer(self) -> bool {
        !matches!(self, Self::NotReproduced | Self::Disagree | Self::Incomplete)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Conclusion {
    pub finding: Finding,
    /// How unlikely it is that chance alone made the runs look so; None where nothing is concluded.
    pub confidence: Option<Confidence>,
    pub sentence: String,
}

/// How a setting changed the hang.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    Gone,
    Stays,
    Sometimes,
    Unknown,
}

fn effect(tally: Tally) -> Effect {
    match tally {
        Tally { hung: 0, clean: 0, .. } => Effect::Unknown,
        Tally { hung: 0, .. } => Effect::Gone,
        Tally { clean: 0, .. } => Effect::Stays,
        _ => Effect::Sometimes,
    }
}

/// The conclusion from the tallies in the order of [`Setting::ALL`].
pub fn conclude(tallies: [Tally; 4]) -> Conclusion {
    let [none, skip, single, both] = tallies;
    let finding = match effect(none) {
        Effect::Unknown => Finding::Incomplete,
        Effect::Gone => Finding::NotReproduced,
        Effect::Stays | Effect::Sometimes => found(effect(skip), effect(single), effect(both)),
    };
    let confidence = finding.is_answer().then(|| confidence(finding, none, skip, single, both));
    Conclusion { finding, confidence, sentence: sentence(finding, tallies) }
}

fn found(skip: Effect, single: Effect, both: Effect) -> Finding {
    use Effect::{Gone, Sometimes, Stays, Unknown};
    match (skip, single, both) {
        (Gone, _, Stays | Sometimes) | (_, Gone, Stays | Sometimes) => Finding::Disagree,
        (Unknown, ..) => Finding::Incomplete,
        (Sometimes, ..) => Finding::Disagree,
        (Gone, Gone, _) => Finding::ClosePathConcurrency,
        (Gone, ..) => Finding::ClosePath,
        (Stays, Gone, _) => Finding::Concurrency,
        (Stays, Sometimes, _) => Finding::Disagree,
        (Stays, Unknown, _) => Finding::Incomplete,
        (Stays, Stays, Gone) => Finding::OnlyWithBoth,
        (Stays, Stays, _) => Finding::Elsewhere,
    }
}

/// By the likelihood that as many clean runs in a row are luck, with the rate at which the hang came under no flag.
fn confidence(finding: Finding, none: Tally, skip: Tally, single: Tally, both: Tally) -> Confidence {
    // Laplace's rule: a hang that came each time may still have been lucky to do so.
    let rate = f64::from(none.hung + 1) / f64::from(none.decided() + 2);
    let luck = |tally: Tally| (1.0 - rate).powi(i32::try_from(tally.decided()).unwrap_or(i32::MAX));
    let chance = match finding {
        Finding::ClosePath => luck(skip),
        Finding::ClosePathConcurrency => luck(skip).max(luck(single)),
        Finding::Concurrency => luck(single),
        Finding::OnlyWithBoth => luck(both),
        // That it stays was seen; one run is enough, more are better.
        _ => luck(Tally { clean: skip.hung.min(single.hung), ..Tally::default() }),
    };
    match chance {
        c if c <= 0.01 => Confidence::High,
        c if c <= 0.10 => Confidence::Medium,
        _ => Confidence::Low,
    }
}

fn sentence(finding: Finding, [none, skip, single, both]: [Tally; 4]) -> String {
    let disappears = |setting: Setting, t: Tally| format!("disappears with {} in {}", setting.words(), of(t.clean, t));
    let stays = |setting: Setting, t: Tally| format!("stays with {} ({})", setting.words(), of(t.hung, t));
    let (no_close, one) = (Setting::SkipEviction, Setting::SingleThread);
    match finding {
        Finding::ClosePath => {
            let rest = match effect(single) {
                Effect::Stays => format!(" and {}", stays(one, single)),
                Effect::Sometimes => format!("; {} it comes in {}", with(one), of(single.hung, single)),
                Effect::Gone | Effect::Unknown => format!("; {} was not tried to an end", one.words()),
            };
            format!("The hang is in the close path: it {}{rest}.", disappears(no_close, skip))
        }
        Finding::ClosePathConcurrency => format!(
            "The hang is a concurrency issue in the close path: it {} and {}.",
            disappears(no_close, skip),
            disappears(one, single)
        ),
        Finding::Concurrency => format!(
            "The hang is a concurrency issue outside the close path: it {} and {}.",
            stays(no_close, skip),
            disappears(one, single)
        ),
        Finding::Elsewhere => format!(
            "The hang is elsewhere (Open, Getattr, ...), neither in the close path nor a matter of concurrency: it {} \
             and {}.",
            stays(no_close, skip),
            stays(one, single)
        ),
        Finding::OnlyWithBoth => format!(
            "The hang has two sources, the close path and a concurrency issue: it {} and {}, and it {}.",
            stays(no_close, skip),
            stays(one, single),
            disappears(Setting::Both, both)
        ),
        Finding::NotReproduced => format!(
            "Nothing can be concluded: the workload did not hang in {} under no flag. Run it longer (--limit), more \
             often (--runs), or under the load that the hang was seen with.",
            of(none.clean, none)
        ),
        Finding::Disagree => format!(
            "Nothing can be concluded yet, the runs disagree: it hung in {} under no flag, {} with {}, {} with {}, {} \
             with both. Ask again with more --runs.",
            of(none.hung, none),
            of(skip.hung, skip),
            no_close.words(),
            of(single.hung, single),
            one.words(),
            of(both.hung, both)
        ),
        Finding::Incomplete => format!(
            "Nothing can be concluded: {} could not be tried to an end.",
            missing([none, skip, single, both]).join(" and ")
        ),
    }
}

fn with(setting: Setting) -> String {
    format!("with {}", setting.words())
}

fn missing(tallies: [Tally; 4]) -> Vec<&'static str> {
    let untried = Setting::ALL.into_iter().zip(tallies).take(3).filter(|(_, t)| effect(*t) == Effect::Unknown);
    untried.map(|(setting, _)| setting.words()).collect()
}

/// `5 of 5 runs`; runs that decide nothing are named.
fn of(count: u32, tally: Tally) -> String {
    let all = tally.decided();
    let unclear = if tally.unclear > 0 { format!(", {} unclear", tally.unclear) } else { String::new() };
    format!("{count} of {all} run{}{unclear}", if all == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests;
