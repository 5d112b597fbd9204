//! What a log tells beside its requests, of `testdata/hints`: names are no messages, and what is over is a note.

use std::{path::PathBuf, process::Command};

use fsdiag::engine::report::{Cause, Confidence, Report};

fn analyze(file: &str) -> (Report, Option<i32>) {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testdata/hints").join(file);
    let output = Command::new(env!("CARGO_BIN_EXE_fsdiag")).args(["analyze", "--format", "json"]).arg(file).output();
    let output = output.unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"));
    (report, output.status.code())
}

#[test]
fn the_title_of_a_film_and_the_name_of_a_mount_are_no_messages() {
    for file in ["disk-full-is-a-title.log", "precondition-failed-is-a-title.log", "mounted-at-busybox.log"] {
        let (report, code) = analyze(file);
        assert!(report.healthy && code == Some(0), "{file}: {:?}", report.verdicts);
    }
}

#[test]
fn a_trouble_behind_which_content_is_served_again_is_a_note() {
    for (file, words) in [
        ("one-lookup-of-the-host-failed.log", "no such host"),
        ("one-body-was-short.log", "unexpected EOF"),
        ("gcsfuse-one-lookup-of-the-host-failed.json", "no such host"),
    ] {
        let (report, code) = analyze(file);
        assert!(report.healthy && code == Some(0), "{file}: {:?}", report.verdicts);
        let told = report.notes.iter().any(|note| note.kind == "healed" && note.text.contains(words));
        assert!(told, "{file}: {:?}", report.notes);
    }
}

#[test]
fn a_sentence_quotes_the_message_of_a_json_line() {
    let (report, _) = analyze("gcsfuse-no-host.json");
    let sentence = &report.verdicts[0].sentence;
    let start = "The daemon ran out of name resolution: Get \"https://storage.googleapis.com/b/o/a.mxf\": dial tcp";
    assert!(sentence.starts_with(start), "{sentence}");
}

#[test]
fn a_request_that_waits_for_a_rate_limit_is_alive() {
    for (file, op) in [("rate-limit-of-a-lookup.log", "Lookup"), ("rate-limit-of-a-read.log", "Read")] {
        let (report, _) = analyze(file);
        let verdict = report.verdicts.first().unwrap_or_else(|| panic!("{file}: no verdict"));
        let culprit = verdict.culprit.as_ref().and_then(|culprit| culprit.op.as_deref());
        let told = (verdict.cause, verdict.confidence, culprit);
        assert_eq!(told, (Cause::Backoff, Confidence::Medium, Some(op)), "{file}: {}", verdict.sentence);
        assert!(verdict.sentence.contains("User Rate Limit Exceeded"), "{file}: {}", verdict.sentence);
    }
}

#[test]
fn a_line_of_the_statistics_is_no_retry() {
    let (report, _) = analyze("statistics.log");
    assert!(report.verdicts.iter().all(|verdict| verdict.cause != Cause::Backoff), "{:?}", report.verdicts);
    assert_eq!(report.orphans.len(), 1);
}

#[test]
fn the_name_of_a_function_is_no_error() {
    let (report, code) = analyze("open-file-is-no-error.log");
    assert!(report.healthy && code == Some(0), "{:?}", report.verdicts);
}

#[test]
fn the_names_that_rclone_quotes_are_no_messages() {
    let (report, code) = analyze("names-in-quotation-marks.log");
    assert!(report.healthy && code == Some(0), "{:?}", report.verdicts);
    assert!(report.notes.is_empty(), "{:?}", report.notes);
}

#[test]
fn passwords_and_tokens_of_a_log_stand_in_no_report_of_it() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testdata/hints/with-passwords.log");
    let commands: [&[&str]; 4] =
        [&["analyze"], &["analyze", "--format", "json"], &["tail", "--for", "1"], &["tui", "--plain"]];
    for args in commands {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fsdiag"));
        let output = command.args(args).arg(&file).output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(told.contains("http://***@h/x?***") && !told.contains("HIDDEN"), "{args:?}: {told}");
    }
}

#[test]
fn a_text_of_no_known_format_without_a_trouble_is_not_called_healthy() {
    let (report, code) = analyze("no-log-and-no-trouble.txt");
    assert!(report.healthy && report.inputs[0].events > 0 && code == Some(3), "{code:?} {:?}", report.inputs);
}

#[test]
fn a_trouble_told_by_a_text_of_no_known_format_is_little_more_than_a_word() {
    let (report, _) = analyze("no-log-at-all.txt");
    let told: Vec<_> = report.verdicts.iter().map(|verdict| (verdict.cause, verdict.confidence)).collect();
    assert_eq!(told, [(Cause::ResourceExhausted, Confidence::Low)]);
}

#[test]
fn a_dump_of_go_that_shows_nothing_of_a_fuse_daemon_is_not_called_healthy() {
    let (report, _) = analyze("../formats/go-stacks/debug-2.txt");
    assert!(report.healthy && report.ops.is_empty(), "{:?}", report.verdicts);
    assert!(report.notes.iter().any(|note| note.kind == "cannot_tell"), "{:?}", report.notes);
}
