//! What is lossy, of `testdata/lossy`: logs that lose an end in thirty and neither number lines nor name threads, and
//! event files whose numbers tell that records are missing. Beside them logs whose lines came late, or twice.

use std::{path::PathBuf, process::Command};

use fsdiag::engine::report::{Cause, Confidence, Report};

fn analyze(file: &str) -> Report {
    analyzed(file).0
}

/// With the exit code.
fn analyzed(file: &str) -> (Report, Option<i32>) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testdata/lossy").join(file);
    let output = Command::new(env!("CARGO_BIN_EXE_fsdiag")).args(["analyze", "--format", "json"]).arg(path).output();
    let output = output.unwrap();
    (serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}")), output.status.code())
}

/// Verdicts, each with its confidence, and as many records as are missing.
fn told(report: &Report) -> (Vec<(Cause, Confidence)>, u64) {
    (report.verdicts.iter().map(|v| (v.cause, v.confidence)).collect(), report.loss.seq_gaps)
}

#[test]
fn ends_that_are_lost_here_and_there_hang_nowhere() {
    let report = analyze("healthy.log");
    assert!(report.healthy, "{:?}", report.verdicts);
    assert!(report.orphans.len() >= 8 && report.loss.superseded >= 8, "{:?}", report.loss);
    assert!(report.notes.iter().any(|note| note.kind == "loss"), "{:?}", report.notes);
}

#[test]
fn what_hangs_beside_lost_ends_is_found_as_old_as_the_last_line_of_its_log_says() {
    let report = analyze("hang.log");
    let [first] = &report.verdicts[..] else { panic!("{:?}", report.verdicts) };
    assert_eq!((first.cause, first.confidence), (Cause::LockPileup, Confidence::Low), "{}", first.sentence);
    // The end of the Lookup before it was lost: it may be either.
    let suspects = first.culprit.iter().chain(&first.alternatives);
    let suspects: Vec<_> = suspects.filter_map(|one| Some((one.id.as_deref()?, one.age_s?))).collect();
    assert!(suspects[..3].contains(&("501", 27.0)), "{suspects:?}");
}

#[test]
fn lines_that_come_late_or_once_more_hang_nowhere() {
    for file in ["swapped.sshfs.log", "sent-twice.sshfs.log", "sent-twice.seed.log"] {
        let report = analyze(file);
        assert!(report.healthy, "{file}: {:?}", report.verdicts.first());
        assert!(report.notes.iter().all(|note| note.kind != "clock"), "{file}: {:?}", report.notes);
    }
}

#[test]
fn what_hangs_among_lines_that_come_late_and_once_more_is_found() {
    let report = analyze("hang-swapped-and-sent-twice.seed.log");
    let [first] = &report.verdicts[..] else { panic!("{:?}", report.verdicts) };
    let culprit = first.culprit.as_ref().and_then(|culprit| culprit.op.as_deref());
    assert_eq!((first.cause, culprit, first.waiters.len()), (Cause::LockPileup, Some("Release"), 5), "{first:?}");
}

#[test]
fn who_says_what_it_does_now_waits_for_no_lock_whose_release_is_missing() {
    let report = analyze("a-freed-lock.jsonl");
    assert_eq!(told(&report), (vec![(Cause::UpstreamStall, Confidence::High)], 2), "{:?}", report.verdicts);
    assert!(report.verdicts[0].sentence.starts_with("Open #302"), "{:?}", report.verdicts);
}

#[test]
fn a_lock_of_one_that_has_ended_was_given_back_in_the_records_that_are_missing() {
    let report = analyze("a-lock-of-one-that-ended.jsonl");
    assert_eq!(told(&report), (vec![(Cause::LockPileup, Confidence::Low)], 2), "{:?}", report.verdicts);
}

#[test]
fn a_stall_says_who_holds_a_lock_now_and_not_beside_whom() {
    let report = analyze("a-stall-that-knows-better.jsonl");
    assert_eq!(told(&report), (vec![], 2), "{:?}", report.verdicts);
}

#[test]
fn a_circle_that_missing_records_may_have_opened_is_not_certain() {
    let report = analyze("a-circle-that-opened.jsonl");
    assert_eq!(told(&report), (vec![(Cause::DeadlockCycle, Confidence::Medium)], 2), "{:?}", report.verdicts);
}

#[test]
fn a_reader_that_missing_records_may_have_given_another_download_is_not_certain_to_be_orphaned() {
    let report = analyze("a-download-that-another-followed.jsonl");
    assert_eq!(told(&report), (vec![(Cause::OrphanedFetch, Confidence::Medium)], 3), "{:?}", report.verdicts);
}

#[test]
fn what_came_while_no_record_was_kept_is_unknown_and_the_exit_code_says_so() {
    let (report, code) = analyzed("a-record-with-a-gap-at-its-end.jsonl");
    assert_eq!(told(&report), (vec![(Cause::UpstreamStall, Confidence::Medium)], 5000), "{:?}", report.verdicts);
    assert_eq!(code, Some(4));
}
