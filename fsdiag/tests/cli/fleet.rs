//! Several daemons with logs of their own, of `testdata/fleet`: what befalls one says nothing of another.

use std::{path::PathBuf, process::Command};

use fsdiag::engine::report::{Cause, Confidence, Report};

fn analyze(dir: &str) -> Report {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testdata/fleet").join(dir);
    let output = Command::new(env!("CARGO_BIN_EXE_fsdiag")).args(["analyze", "--format", "json"]).arg(dir).output();
    let output = output.unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"))
}

/// Cause, and in which input the culprit's own line stands.
fn told(report: &Report) -> Vec<(Cause, &str)> {
    let input = |path: &str| path.rsplit_once('/').map_or(0, |(dir, _)| dir.len() + 1);
    let first = |v: &fsdiag::engine::report::Verdict| v.evidence.first().map_or("", |e| e.input.as_str()).to_owned();
    let at = |path: String| if path.ends_with("a.jsonl") || path.ends_with("a.log") { "a" } else { "b" };
    report.verdicts.iter().map(|v| (v.cause, at(first(v)[input(&first(v))..].to_owned()))).collect()
}

#[test]
fn two_daemons_that_hang_at_one_moment_are_two_hangs() {
    let report = analyze("two-mounts");
    assert_eq!(told(&report), [(Cause::LockPileup, "a"), (Cause::LockPileup, "b")]);
    assert_eq!(report.orphans.len(), 8, "{:?}", report.orphans);
    let mine =
        |input: &str| report.verdicts.iter().flat_map(|v| &v.evidence).filter(|e| e.input.ends_with(input)).count();
    assert!(mine("a.jsonl") > 0 && mine("b.jsonl") > 0);
    let daemons: Vec<_> = report.orphans.iter().filter_map(|orphan| orphan.daemon.as_deref()).collect();
    assert!(daemons.contains(&"fsd[97] at /mnt/a") && daemons.contains(&"fsd[98] at /mnt/b"), "{daemons:?}");
}

#[test]
fn one_path_on_two_hosts_is_no_restart() {
    let report = analyze("one-path-on-two-hosts");
    assert_eq!(told(&report), [(Cause::LockPileup, "a")]);
    assert!(report.notes.iter().all(|note| note.kind != "restart"), "{:?}", report.notes);
}

#[test]
fn a_mount_that_comes_after_the_last_word_at_its_path_is_the_next_life() {
    let report = analyze("mounted-anew");
    assert!(report.healthy && report.orphans.is_empty(), "{:?}", report.verdicts);
}

#[test]
fn the_crash_of_one_does_not_hide_the_hang_of_another() {
    let report = analyze("crash-beside-a-hang");
    let told: Vec<Cause> = report.verdicts.iter().map(|v| v.cause).collect();
    assert!(told.contains(&Cause::LockPileup), "{:?}", report.verdicts);
    let gone = report.verdicts.iter().find(|v| v.cause == Cause::DaemonGone).expect("the crash is told");
    assert!(gone.sentence.contains("1 request was open"), "{}", gone.sentence);
    assert_eq!(gone.confidence, Confidence::Certain);
}

/// Goroutines have small numbers, the same in every program.
#[test]
fn the_dump_of_another_go_program_does_not_hide_a_hang() {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testdata/fleet/dumps-of-two-programs");
    for files in [["films.txt", "gateway.txt"], ["gateway.txt", "films.txt"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fsdiag"));
        command.args(["analyze", "--format", "json"]).args(files.map(|file| dir.join(file)));
        let report: Report = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
        let told: Vec<_> = report.verdicts.iter().map(|verdict| (verdict.cause, verdict.confidence)).collect();
        assert_eq!(told, [(Cause::LockPileup, Confidence::High)], "{files:?}: {:?}", report.verdicts);
    }
}
