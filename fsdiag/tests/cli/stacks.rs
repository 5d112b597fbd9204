//! Dumps of `testdata/stacks`, made by hand after real ones: the shapes in which stacks mislead, and what a person reads.

use std::{path::PathBuf, process::Command};

use fsdiag::engine::report::{Cause, Confidence, Report, Verdict};

fn testdata() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testdata")
}

fn analyze(files: &[&str]) -> Report {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fsdiag"));
    command.args(["analyze", "--format", "json"]).args(files.iter().map(|file| testdata().join("stacks").join(file)));
    let output = command.output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{files:?}: {e}: {output:?}"))
}

fn told(report: &Report) -> String {
    let lines = report.verdicts.iter().map(|v| format!("{} {}: {}\n", v.confidence.name(), v.cause.name(), v.sentence));
    lines.collect()
}

/// The thread that the first verdict blames.
fn blamed(verdict: &Verdict) -> Option<&str> {
    verdict.culprit.as_ref()?.thread.as_deref()
}

#[test]
fn who_waits_for_a_lock_with_an_object_in_hand_is_in_no_deadlock() {
    let gdb = ["pile-up-shaped-like-a-circle.gdb-1.txt", "pile-up-shaped-like-a-circle.gdb-2.txt"];
    for (files, holder) in
        [(&["pile-up-shaped-like-a-circle.txt"][..], "goroutine 32"), (&gdb[..1], "thread 32"), (&gdb[..], "thread 32")]
    {
        let report = analyze(files);
        let [verdict] = &report.verdicts[..] else { panic!("{files:?}: {}", told(&report)) };
        assert_eq!((verdict.cause, blamed(verdict)), (Cause::LockPileup, Some(holder)), "{files:?}: {}", told(&report));
        assert_eq!(verdict.waiters.len(), 2, "{files:?}: {:?}", verdict.waiters);
    }
}

#[test]
fn two_threads_that_could_hold_a_lock_alike_are_both_named() {
    let text = std::fs::read_to_string(testdata().join("stacks/two-fetches-under-one-lock.txt")).unwrap();
    let blocks: Vec<&str> = text.split("\n\n").collect();
    let [rest @ .., open, read] = &blocks[..] else { panic!("two fetches at the end") };
    let dir = tempfile::tempdir().unwrap();
    let swapped = dir.path().join("swapped.txt");
    std::fs::write(&swapped, [rest, &[*read, *open]].concat().join("\n\n")).unwrap();
    for file in ["two-fetches-under-one-lock.txt", swapped.to_str().unwrap()] {
        let report = analyze(&[file]);
        let [verdict] = &report.verdicts[..] else { panic!("{}", told(&report)) };
        let other = verdict.alternatives.iter().filter_map(|other| other.thread.as_deref()).collect::<Vec<_>>();
        assert_eq!((blamed(verdict), other), (Some("goroutine 50"), vec!["goroutine 51"]), "{}", told(&report));
        assert_eq!((verdict.cause, verdict.confidence), (Cause::LockPileup, Confidence::Medium), "{}", told(&report));
    }
}
