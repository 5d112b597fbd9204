//! Every cause of the report has a case of its own: `testdata/causes/<cause>` shows it, and `near` beside it is what
//! looks like it and is none.
//!
//! The files are made by hand after the recorded ones, each as small as the cause allows.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use fsdiag::engine::report::{Cause, Report};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testdata/causes")
}

/// Causes that the corpus of real cases shows with their truth.
const IN_CORPUS: [Cause; 6] = [
    Cause::LockPileup,
    Cause::DeadlockCycle,
    Cause::UpstreamStall,
    Cause::WorkerStarvation,
    Cause::LostReply,
    Cause::DaemonGone,
];

fn inputs(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.is_file() && !path.ends_with("verdicts.txt")).collect();
    files.sort();
    files
}

fn analyze(dir: &Path) -> Report {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fsdiag"));
    let output = command.args(["analyze", "--format", "json"]).args(inputs(dir)).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{dir:?}: {e}: {output:?}"))
}

/// Compares with the kept text; `WRITE_GOLDEN=1` writes it anew.
fn golden(path: &Path, text: &str) {
    if std::env::var_os("WRITE_GOLDEN").is_some() {
        fs::write(path, text).unwrap();
    }
    assert_eq!(fs::read_to_string(path).unwrap_or_default(), text, "{path:?}");
}

/// What a person reads of the verdicts.
fn told(report: &Report) -> String {
    let lines = report.verdicts.iter().map(|v| format!("{} {}: {}\n", v.confidence.name(), v.cause.name(), v.sentence));
    lines.collect()
}

#[test]
fn every_cause_is_named_with_its_culprit_and_what_is_near_it_is_not() {
    let mut shown: BTreeSet<Cause> = IN_CORPUS.into();
    for cause in Cause::ALL {
        let dir = root().join(cause.name());
        if !dir.exists() {
            continue;
        }
        let report = analyze(&dir);
        assert_eq!(report.verdicts.first().map(|verdict| verdict.cause), Some(*cause), "{}", told(&report));
        assert!(!report.verdicts[0].evidence.is_empty(), "{}: no evidence", cause.name());
        golden(&dir.join("verdicts.txt"), &told(&report));
        let near = dir.join("near");
        assert!(near.exists(), "{}: nothing near it", cause.name());
        let report = analyze(&near);
        assert!(report.verdicts.iter().all(|verdict| verdict.cause != *cause), "{}: {}", cause.name(), told(&report));
        shown.insert(*cause);
    }
    let missing: Vec<&Cause> = Cause::ALL.iter().filter(|cause| !shown.contains(cause)).collect();
    assert!(missing.is_empty(), "no case shows {missing:?}");
}
