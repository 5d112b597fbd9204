//! What is slow, or only looks stuck, of `testdata/honest`: nothing false is said of it, least of all with confidence.

use std::{path::PathBuf, process::Command};

use fsdiag::engine::report::{Cause, Confidence, Report};

fn analyze(file: &str, args: &[&str]) -> (Report, Option<i32>) {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testdata/honest").join(file);
    let mut command = Command::new(env!("CARGO_BIN_EXE_fsdiag"));
    let output = command.args(["analyze", "--format", "json"]).args(args).arg(file).output().unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"));
    (report, output.status.code())
}

#[test]
fn a_worker_that_serves_others_does_not_sit_in_a_parked_read() {
    let (report, _) = analyze("one-worker-and-a-parked-read.jsonl", &[]);
    let causes: Vec<Cause> = report.verdicts.iter().map(|v| v.cause).collect();
    assert_eq!(causes, [Cause::UpstreamStall], "{:?}", report.verdicts);
}

#[test]
fn a_read_whose_download_moves_is_slow_and_does_not_hang() {
    let (report, _) = analyze("slow-but-moving.jsonl", &[]);
    assert!(report.verdicts.iter().all(|v| v.confidence < Confidence::Medium), "{:?}", report.verdicts);
}

#[test]
fn who_waits_for_a_permit_that_somebody_outside_holds_is_in_no_deadlock() {
    let (report, _) = analyze("a-permit-is-elsewhere.jsonl", &[]);
    assert_eq!(report.verdicts.len(), 1, "{:?}", report.verdicts);
    let culprit = report.verdicts[0].culprit.clone().unwrap_or_default();
    assert_eq!(culprit.path.as_deref(), Some("slow.mkv"), "{:?}", report.verdicts);
    assert_ne!(report.verdicts[0].cause, Cause::DeadlockCycle);
}

#[test]
fn what_lies_before_the_window_is_not_lost() {
    let (report, code) = analyze("events-of-a-newer-fsd.jsonl", &["--since", "2026-11-20T10:00:12Z"]);
    assert_eq!((report.loss.seq_gaps, code), (0, Some(0)), "{:?}", report.notes);
    assert!(report.healthy && report.ops["Getattr"].count > 0);
}

#[test]
fn a_stamp_without_a_year_goes_on_over_the_new_year() {
    ages_are_seconds("syslog-new-year.log");
}

#[test]
fn a_stamp_without_a_zone_goes_on_when_the_clock_goes_back_an_hour() {
    ages_are_seconds("syslog-clock-back-an-hour.log");
}

#[test]
fn a_year_without_a_leap_day_has_none() {
    ages_are_seconds("syslog-end-of-february.log");
}

/// The last three requests are open, two seconds at most.
fn ages_are_seconds(file: &str) {
    let (report, _) = analyze(file, &[]);
    let ages: Vec<Option<f64>> = report.orphans.iter().map(|orphan| orphan.age_s).collect();
    assert_eq!(ages, [Some(2.0), Some(1.0), Some(0.0)], "{:?}", report.verdicts);
    assert!(report.verdicts.iter().all(|v| v.confidence == Confidence::Low), "{:?}", report.verdicts);
}

#[test]
fn who_answers_after_a_death_is_not_the_one_who_died() {
    let (report, _) = analyze("killed-child.log", &[]);
    assert!(report.healthy, "{:?}", report.verdicts);
    assert!(report.notes.iter().any(|note| note.kind == "cannot_tell" && note.text.contains("Killed")));
    // What another thread was about to write when it happened proves nothing.
    let (report, _) = analyze("killed-daemon.log", &[]);
    assert_eq!(report.verdicts.first().map(|v| v.cause), Some(Cause::DaemonGone));
}
