//! Account: all runs with what they say, to keep; as text and as JSON.

use std::fmt::Write as _;

use serde::Serialize;

use super::{
    conclude::{Conclusion, Tally, conclude},
    setting::Setting,
    trial::{Outcome, Run},
};
use crate::{engine::report::Cause, output::clean::clean};

/// Version of the JSON form; within it fields are added, never removed.
const SCHEMA: u32 = 1;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Account {
    pub schema: u32,
    pub mount: String,
    /// The command; empty: the mount's own users were watched.
    pub workload: Vec<String>,
    pub runs_each: u32,
    pub limit_s: f64,
    pub stalled_after_s: f64,
    pub settings: Vec<Row>,
    pub runs: Vec<Run>,
    pub conclusion: Conclusion,
    /// Flags in force afterwards are those from before.
    pub restored: bool,
    /// What went otherwise than planned, in words.
    pub notes: Vec<String>,
}

/// The runs under one setting.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    pub setting: Setting,
    pub hung: u32,
    pub clean: u32,
    pub unclear: u32,
    /// Why the setting could not be tried.
    pub refused: Option<String>,
}

/// What is known when the runs are over.
#[derive(Clone, Debug, Default)]
pub struct Course {
    pub runs: Vec<Run>,
    pub refused: Vec<(Setting, String)>,
    pub notes: Vec<String>,
}

impl Course {
    /// Adds up, concludes, and names what does not fit.
    pub fn account(self, mount: String, workload: &[String], runs_each: u32, limits_s: (f64, f64)) -> Account {
        let first = self.first_hang();
        let tallies = Setting::ALL.map(|setting| self.tally(setting, first.as_ref()));
        let refused = |setting| self.refused.iter().find(|(s, _)| *s == setting).map(|(_, why)| why.clone());
        let settings = Setting::ALL.into_iter().zip(tallies).map(|(setting, tally)| Row {
            setting,
            hung: tally.hung,
            clean: tally.clean,
            unclear: tally.unclear,
            refused: refused(setting),
        });
        let mut notes = self.notes.clone();
        notes.extend(self.others(first.as_ref()));
        Account {
            schema: SCHEMA,
            mount,
            workload: workload.to_vec(),
            runs_each,
            limit_s: limits_s.0,
            stalled_after_s: limits_s.1,
            settings: settings.collect(),
            conclusion: conclude(tallies),
            runs: self.runs,
            restored: true,
            notes,
        }
    }

    /// What the hang is that is to be explained: the first under no flag.
    fn first_hang(&self) -> Option<(Cause, Option<String>)> {
        self.runs.iter().filter(|run| run.setting == Setting::NoFlag).find_map(|run| match &run.outcome {
            Outcome::Hung { cause, op, .. } => Some((*cause, op.clone())),
            _ => None,
        })
    }

    fn tally(&self, setting: Setting, first: Option<&(Cause, Option<String>)>) -> Tally {
        let mut tally = Tally::default();
        for run in self.runs.iter().filter(|run| run.setting == setting) {
            match &run.outcome {
                Outcome::Clean => tally.clean += 1,
                Outcome::Hung { .. } if is_same(run, first) => tally.hung += 1,
                Outcome::Hung { .. } | Outcome::Unclear { .. } => tally.unclear += 1,
            }
        }
        tally
    }

    /// Hangs of another kind prove nothing about the first, and are said.
    fn others(&self, first: Option<&(Cause, Option<String>)>) -> Vec<String> {
        let other = |run: &&Run| matches!(run.outcome, Outcome::Hung { .. }) && !is_same(run, first);
        let said = |run: &Run| format!("{} {} hung in another way, not counted", run.setting.words(), run.number);
        self.runs.iter().filter(other).map(said).collect()
    }
}

/// One cause may look different when there is one thread; the operation that all wait for does not change.
fn is_same(run: &Run, first: Option<&(Cause, Option<String>)>) -> bool {
    let (Outcome::Hung { cause, op, .. }, Some((first_cause, first_op))) = (&run.outcome, first) else { return true };
    cause == first_cause || op.is_some() && op == first_op
}

impl Account {
    /// For a person; the same as the JSON form.
    pub fn text(&self) -> String {
        let (mount, workload) = (clean(self.mount.as_str()), clean(self.workload_words()));
        let mut text = format!("fsdiag isolate {mount}\nworkload: {workload}\n");
        let _ = writeln!(
            text,
            "{} runs each, at most {} s; hung: something waits for {} s\n",
            self.runs_each, self.limit_s, self.stalled_after_s
        );
        let _ = writeln!(text, "{:<28}{:>5}{:>7}{:>9}", "setting", "hung", "clean", "unclear");
        for row in &self.settings {
            let refused = row.refused.as_ref().map_or(String::new(), |why| format!("  {why}"));
            let words = row.setting.words();
            let _ = writeln!(text, "{words:<28}{:>5}{:>7}{:>9}{refused}", row.hung, row.clean, row.unclear);
        }
        text.push('\n');
        self.runs.iter().for_each(|run| text.push_str(&format!("{}\n", clean(line(run)))));
        self.notes.iter().for_each(|note| text.push_str(&format!("note: {}\n", clean(note.as_str()))));
        let sure = self.conclusion.confidence.map_or(String::new(), |c| format!(" ({})", c.name()));
        let _ = writeln!(text, "\nConclusion{sure}: {}", clean(self.conclusion.sentence.as_str()));
        text
    }

    fn workload_words(&self) -> String {
        if self.workload.is_empty() { "whoever uses the mount".into() } else { self.workload.join(" ") }
    }
}

/// One run in one line.
pub fn line(run: &Run) -> String {
    let how = match &run.outcome {
        Outcome::Hung { cause, sentence, .. } => format!("hung ({}): {sentence}", cause.name()),
        Outcome::Clean => "clean".into(),
        Outcome::Unclear { why } => format!("unclear: {why}"),
    };
    format!("{} {}, {:.1} s: {how}", run.setting.words(), run.number, run.seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::isolate::conclude::Finding;

    fn run(setting: Setting, number: u32, outcome: Outcome) -> Run {
        Run { setting, number, outcome, seconds: 1.0, events: "events-1.jsonl".into() }
    }

    fn hung(cause: Cause, op: &str) -> Outcome {
        Outcome::Hung { cause, op: Some(op.into()), sentence: format!("{op} waits") }
    }

    #[test]
    fn another_hang_proves_nothing_and_another_look_of_the_same_does() {
        let runs = vec![
            run(Setting::NoFlag, 1, hung(Cause::LockPileup, "Release")),
            run(Setting::SkipEviction, 1, hung(Cause::UpstreamStall, "Read")),
            run(Setting::SkipEviction, 2, Outcome::Clean),
            run(Setting::SingleThread, 1, hung(Cause::WorkerStarvation, "Release")),
        ];
        let account = Course { runs, ..Course::default() }.account("/m".into(), &[], 1, (60.0, 10.0));
        assert_eq!((account.settings[1].unclear, account.settings[2].hung), (1, 1));
        assert_eq!(account.conclusion.finding, Finding::ClosePath);
        assert_eq!(account.notes, ["debug_skip_eviction 1 hung in another way, not counted"]);
    }

    #[test]
    fn the_text_holds_every_run_and_the_json_every_field() {
        let runs = vec![run(Setting::NoFlag, 1, Outcome::Unclear { why: "the command failed: exit status: 1".into() })];
        let refused = vec![(Setting::SingleThread, "no supervisor".to_owned())];
        let course = Course { runs, refused, notes: vec!["a note".into()] };
        let account = course.account("/m".into(), &["ls".to_owned(), "/m".to_owned()], 1, (60.0, 10.0));
        let text = account.text();
        for word in ["ls /m", "no flag 1, 1.0 s: unclear: the command failed", "no supervisor", "a note"] {
            assert!(text.contains(word), "{word} is missing in\n{text}");
        }
        let json = serde_json::to_value(&account).unwrap();
        assert_eq!((&json["schema"], &json["runs"][0]["outcome"]), (&1.into(), &"unclear".into()));
        assert_eq!(json["conclusion"]["finding"], "incomplete");
    }
}
