//! Logs of `testdata/lossy`, which lose an end in thirty and neither number lines nor name threads.

use std::{path::PathBuf, process::Command};

use fsdiag::engine::report::{Cause, Confidence, Report};

fn analyze(file: &str) -> Report {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testdata/lossy").join(file);
    let output = Command::new(env!("CARGO_BIN_EXE_fsdiag")).args(["analyze", "--format", "json"]).arg(path).output();
    let output = output.unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"))
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
