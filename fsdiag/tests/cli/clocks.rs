//! Clocks, of `testdata/clocks`: time goes on by whatever is written, and a clock that is set makes nothing old.

use std::{path::PathBuf, process::Command};

use fsdiag::engine::report::{Cause, Confidence, Report};

fn analyze(file: &str) -> Report {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testdata/clocks").join(file);
    let output = Command::new(env!("CARGO_BIN_EXE_fsdiag")).args(["analyze", "--format", "json"]).arg(path).output();
    let output = output.unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"))
}

/// The only verdict, and the age of the only open request.
fn hangs(file: &str) -> (Cause, Confidence, f64) {
    let report = analyze(file);
    let ([verdict], [orphan]) = (&report.verdicts[..], &report.orphans[..]) else { panic!("{file}: {report:?}") };
    (verdict.cause, verdict.confidence, orphan.age_s.unwrap())
}

#[test]
fn a_daemon_that_only_chats_lets_its_requests_grow_old_whatever_its_stamps_say() {
    for file in ["chatter.log", "chatter-in-syslog.log"] {
        assert_eq!(hangs(file), (Cause::UpstreamStall, Confidence::Low, 3604.0), "{file}");
    }
}

#[test]
fn what_other_programs_write_into_the_journal_lets_requests_grow_old() {
    assert_eq!(hangs("others-in-a-journal.log"), (Cause::UpstreamStall, Confidence::Low, 3600.0));
}

#[test]
fn what_a_file_system_says_in_words_of_its_own_lets_requests_grow_old() {
    assert_eq!(hangs("own-words-behind-a-stamp.log"), (Cause::UpstreamStall, Confidence::Low, 100.0));
}
