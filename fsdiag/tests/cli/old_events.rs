//! Event files of every schema that there ever was: recorded by real mounts, never changed, read for ever.

use std::{fs, path::PathBuf, process::Command};

use fsdiag::engine::report::{Cause, Confidence, Loss, Report};

fn recorded(version: u32) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../testdata/events/v{version}"))
}

/// The report on one file, and the exit code.
fn analyze(file: &str) -> (Report, Option<i32>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fsdiag"));
    let output = command.args(["analyze", "--format", "json"]).arg(recorded(1).join(file)).output().unwrap();
    (serde_json::from_slice(&output.stdout).unwrap(), output.status.code())
}

#[test]
fn every_line_of_every_old_file_is_understood() {
    // The current schema has its own folder.
    let files: Vec<_> = (1..=fsd_events::SCHEMA).flat_map(|v| fs::read_dir(recorded(v)).unwrap()).collect();
    assert!(files.len() >= 3);
    for file in files {
        let name = file.unwrap().file_name().into_string().unwrap();
        let (report, _) = analyze(&name);
        let input = &report.inputs[0];
        assert_eq!((input.lines, input.bad_lines), (input.events, 0), "{name}");
    }
}

#[test]
fn a_healthy_record_of_schema_1_is_healthy() {
    let (report, code) = analyze("healthy.jsonl");
    assert!(report.healthy && report.verdicts.is_empty(), "{:?}", report.verdicts);
    assert_eq!(report.loss, Loss::default(), "nothing of it is missing: DESTROY, say, has no answer to miss");
    assert_eq!(code, Some(0));
}

#[test]
fn the_release_bug_of_schema_1_is_named_while_it_holds_and_over_when_it_is_over() {
    let (report, code) = analyze("release-pileup.jsonl");
    let first = &report.verdicts[0];
    assert_eq!((first.cause, first.confidence, code), (Cause::LockPileup, Confidence::Certain, Some(1)));
    let culprit = first.culprit.as_ref().unwrap();
    assert_eq!((culprit.op.as_deref(), culprit.lock.as_deref()), (Some("Release"), Some("handles")));
    assert_eq!((culprit.path.as_deref(), first.waiters.len()), (Some("film.mkv"), 3));
    assert!(first.sentence.contains("1 request that the daemon has not read"), "{}", first.sentence);
    let (report, code) = analyze("release-recovered.jsonl");
    assert!(report.healthy && code == Some(0), "{:?}", report.verdicts);
}

#[test]
fn a_cut_event_still_ends_its_request_and_is_counted() {
    let text = fs::read_to_string(recorded(1).join("healthy.jsonl")).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    let at = lines.iter().rposition(|line| line.contains("\"ev\":\"exit\"") && line.contains("Read")).unwrap();
    lines[at] = lines[at].split_once(",\"us\":").unwrap().0;
    lines.truncate(at + 1);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.jsonl");
    fs::write(&path, lines.join("\n")).unwrap();
    let (report, _) = analyze(path.to_str().unwrap());
    assert_eq!((report.loss.bad_lines, report.loss.seq_gaps), (1, 0));
    assert!(!report.orphans.iter().any(|orphan| orphan.op == "Read"), "{:?}", report.orphans);
}
