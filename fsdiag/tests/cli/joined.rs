//! A log and the kernel's trace of the same minutes, of `testdata/joined`: what the log leaves open and the trace shows
//! answered does not hang.

use std::{fs, path::PathBuf, process::Command};

use fsdiag::engine::report::Report;

fn joined(case: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testdata/joined").join(case)
}

fn analyze(inputs: &[PathBuf]) -> Report {
    let output = Command::new(env!("CARGO_BIN_EXE_fsdiag")).args(["analyze", "--format", "json"]).args(inputs).output();
    let output = output.unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"))
}

fn open(report: &Report) -> Vec<&str> {
    report.orphans.iter().map(|orphan| &*orphan.id).collect()
}

/// The requests that were closed by the trace.
fn answered(report: &Report) -> Vec<&str> {
    report.notes.iter().filter(|note| note.kind == "answered").filter_map(|note| note.id.as_deref()).collect()
}

/// The log of that case with a trace in which some lines are others.
fn with_trace(case: &str, change: impl Fn(&str) -> Option<String>) -> Report {
    let dir = tempfile::tempdir().unwrap();
    let trace = fs::read_to_string(joined(case).join("trace.txt")).unwrap();
    let lines: Vec<String> = trace.lines().filter_map(change).collect();
    let changed = dir.path().join("trace.txt");
    fs::write(&changed, lines.join("\n") + "\n").unwrap();
    let logs = fs::read_dir(joined(case)).unwrap().map(|entry| entry.unwrap().path());
    let log = logs.filter(|path| path.extension().is_some_and(|e| e == "log"));
    analyze(&log.chain([changed]).collect::<Vec<_>>())
}

#[test]
fn a_request_whose_number_the_trace_shows_answered_is_no_orphan() {
    assert_eq!(open(&analyze(&[joined("numbers/sshfs.log")])), ["58", "122"]);
    let report = analyze(&[joined("numbers")]);
    assert_eq!((open(&report), answered(&report)), (vec!["122"], vec!["58"]));
    assert_eq!(report.loss.superseded, 1);
}

#[test]
fn a_request_that_began_when_all_of_its_kind_were_answered_is_no_orphan() {
    let alone = analyze(&[joined("rhythm/rclone.log")]);
    assert_eq!((open(&alone), alone.verdicts.len()), (vec!["line 61"], 1));
    let report = analyze(&[joined("rhythm")]);
    assert_eq!((open(&report), answered(&report)), (vec![], vec!["line 61"]));
    assert!(report.healthy, "{:?}", report.verdicts);
}

#[test]
fn what_the_trace_leaves_open_too_stays_open() {
    for (case, end, id) in [
        ("numbers", "fuse_request_end: connection 41 req 58 ", "58"),
        ("rhythm", "_end: connection 44 req 62 ", "line 61"),
    ] {
        let report = with_trace(case, |line| (!line.contains(end)).then(|| line.to_owned()));
        assert!(open(&report).contains(&id) && answered(&report).is_empty(), "{case}: {:?}", report.orphans);
        let aborted = |line: &str| line.contains(end).then(|| line.replace("error 0", "error -103"));
        let report = with_trace(case, |line| Some(aborted(line).unwrap_or_else(|| line.to_owned())));
        assert!(open(&report).contains(&id) && answered(&report).is_empty(), "{case}: {:?}", report.notes);
    }
}

#[test]
fn numbers_that_are_not_the_kernels_close_nothing() {
    let shifted = |line: &str| {
        let (before, rest) = line.split_once(" req ")?;
        let (number, rest) = rest.split_once(' ')?;
        Some(format!("{before} req {} {rest}", number.parse::<u64>().unwrap() + 2))
    };
    let report = with_trace("numbers", shifted);
    assert!(open(&report).contains(&"58") && answered(&report).is_empty(), "{:?}", report.notes);
}

#[test]
fn a_trace_that_lost_lines_closes_nothing_by_rhythm_alone() {
    let lost = |line: &str| match line.contains("req 20 ") && line.contains("_send") {
        true => Some(format!("CPU:0 [LOST 3 EVENTS]\n{line}")),
        false => Some(line.to_owned()),
    };
    let report = with_trace("rhythm", lost);
    assert!(open(&report).contains(&"line 61") && answered(&report).is_empty(), "{:?}", report.notes);
}
