//! Logs that several daemons share, of `testdata/shared`: each has its own requests, and a restart is none of that.

use std::{path::PathBuf, process::Command};

use fsdiag::engine::report::{Cause, Confidence, Report};

fn analyze(files: &[&str]) -> Report {
    analyze_with(&[], files)
}

fn analyze_with(options: &[&str], files: &[&str]) -> Report {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testdata/shared");
    let files = files.iter().map(|file| dir.join(file));
    let output = Command::new(env!("CARGO_BIN_EXE_fsdiag"))
        .args(["analyze", "--format", "json"])
        .args(options)
        .args(files)
        .output();
    let output = output.unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"))
}

/// Open requests, each with its daemon.
fn open(report: &Report) -> Vec<String> {
    let name = |o: &fsdiag::engine::report::Orphan| format!("{} {}", o.op, o.daemon.as_deref().unwrap_or("?"));
    report.orphans.iter().map(name).collect()
}

fn first(report: &Report) -> (Cause, String) {
    let verdict = report.verdicts.first().expect("a verdict");
    (verdict.cause, verdict.sentence.clone())
}

#[test]
fn the_numbers_of_two_daemons_in_one_journal_do_not_collide() {
    let report = analyze(&["two-sshfs.json"]);
    let own = "sshfs[812]";
    assert_eq!(open(&report), ["Release", "Getattr", "Lookup", "Getattr"].map(|op| format!("{op} {own}")));
    let (cause, sentence) = first(&report);
    assert_eq!(cause, Cause::LockPileup, "{sentence}");
    assert!(sentence.starts_with("Release #90 of sshfs[812]"), "{sentence}");
    assert_eq!(report.verdicts.len(), 1);
    let culprit = report.verdicts[0].culprit.clone().unwrap_or_default();
    assert_eq!(culprit.daemon.as_deref(), Some(own));
    assert_eq!((report.loss.superseded, report.loss.lone_exits), (0, 0));
    assert!(report.notes.iter().all(|note| note.kind != "restart"), "{:?}", report.notes);
}

#[test]
fn what_one_rclone_reads_does_not_end_what_another_one_waits_for() {
    let report = analyze(&["two-rclones.log"]);
    assert_eq!(open(&report), ["Read rclone[812]"]);
    let (cause, sentence) = first(&report);
    assert_eq!(cause, Cause::UpstreamStall, "{sentence}");
    assert!(sentence.contains("of rclone[812]"), "{sentence}");
}

#[test]
fn another_process_after_the_last_word_of_the_one_before_is_a_restart_over_rotated_files() {
    let names = ["rotated/sshfs.log.2", "rotated/sshfs.log.1", "rotated/sshfs.log"];
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let report = analyze(&order.map(|at: usize| names[at]));
        assert!(report.healthy && report.orphans.is_empty(), "{order:?}: {:?} {:?}", report.verdicts, report.orphans);
        let told = report.notes.iter().find(|note| note.kind == "restart").expect("the restart is told");
        assert!(told.text.contains("sshfs[812]") && told.text.contains("2 requests"), "{order:?}: {}", told.text);
        assert!(told.text.contains("unless process 812 still runs"), "{}", told.text);
        // Whether it hung before that, a reader can tell.
        assert!(told.text.contains("the oldest had waited 4.0 s when another one began to write"), "{}", told.text);
        assert_eq!(report.loss.superseded, 0);
    }
}

/// Who was called when it hung has started it again by now.
#[test]
fn a_hang_that_ended_in_a_restart_is_told_with_the_command_that_explains_it() {
    let log = ["hung-then-restarted.log"];
    let report = analyze(&log);
    assert!(report.healthy, "{:?}", report.verdicts);
    let told = report.notes.iter().find(|note| note.kind == "restart").expect("the restart is told");
    assert!(told.text.contains("the oldest had waited 310.0 s"), "{}", told.text);
    let (_, rest) = told.text.split_once("fsdiag analyze ").expect("a command");
    let options: Vec<&str> = rest.split('`').next().unwrap().split(' ').collect();
    let (cause, sentence) = first(&analyze_with(&options, &log));
    assert_eq!(cause, Cause::LockPileup, "{sentence}");
    assert!(sentence.starts_with("Release #31"), "{sentence}");
}

#[test]
fn the_death_of_one_says_nothing_of_the_other_and_the_death_of_a_stranger_nothing_at_all() {
    let report = analyze(&["one-killed.log"]);
    let (cause, sentence) = first(&report);
    assert_eq!(cause, Cause::DaemonGone, "{sentence}");
    assert!(sentence.contains("812") && sentence.contains("1 request was open"), "{sentence}");
    assert_eq!(report.verdicts.iter().filter(|v| v.cause == Cause::DaemonGone).count(), 1, "{:?}", report.verdicts);
    assert_eq!(open(&report), ["Read sshfs[812]"]);
}

#[test]
fn connections_of_one_trace_are_daemons_of_their_own() {
    let report = analyze(&["two-connections.trace"]);
    let (cause, sentence) = first(&report);
    assert_eq!(cause, Cause::LockPileup, "{sentence}");
    assert!(sentence.starts_with("Release #122 of connection 41"), "{sentence}");
    assert!(open(&report).iter().all(|op| op.ends_with("connection 41")), "{:?}", open(&report));
}

#[test]
fn what_befalls_other_programs_of_a_journal_is_nothing_of_the_daemons() {
    let report = analyze(&["strangers.log"]);
    assert!(report.healthy, "{:?}", report.verdicts);
    assert!(report.notes.iter().any(|note| note.kind == "cannot_tell" && note.text.contains("nginx.service")));
}

#[test]
fn a_process_that_the_kernel_killed_is_the_daemon_only_where_something_says_so() {
    let report = analyze(&["plain.log", "dmesg.txt"]);
    let told = report.verdicts.first().map(|first| (first.cause, first.confidence));
    assert_eq!(told, Some((Cause::DaemonGone, Confidence::Medium)));
    // The log knows its own process.
    let report = analyze(&["one-killed.log"]);
    let told = report.verdicts.first().map(|first| (first.cause, first.confidence));
    assert_eq!(told, Some((Cause::DaemonGone, Confidence::Certain)));
}

#[test]
fn nobody_is_told_to_set_flags_that_their_daemon_does_not_have() {
    let of = |log: &str| analyze(&[log]).verdicts.remove(0);
    let [ours, theirs] = ["../formats/seed-log/pile-up.log", "two-sshfs.json"].map(of);
    assert!(ours.advice.iter().any(|advice| advice.contains("debug_skip_eviction")) && !ours.isolate.is_empty());
    assert!(!theirs.advice.is_empty() && theirs.isolate.is_empty(), "{theirs:?}");
    assert!(!theirs.advice.iter().any(|advice| advice.contains("debug_")), "{theirs:?}");
}

#[test]
fn daemons_are_told_apart_in_syslogs_of_the_new_form_by_stern_and_by_the_tags_of_docker() {
    for (log, own) in [
        ("rfc5424.log", "sshfs[812]"),
        ("stern.log", "mounter on fuse-6d4cf56db-x7k2p"),
        ("docker-tags.json", "sshfs-a"),
    ] {
        let report = analyze(&[log]);
        assert_eq!(open(&report), [format!("Read {own}")], "{log}: {:?}", report.inputs);
        assert_eq!((report.ops["Getattr"].count, report.ops["Read"].count), (80, 1), "{log}");
        assert_eq!((report.loss.superseded, report.loss.lone_exits), (0, 0), "{log}");
    }
}

#[test]
fn what_was_open_when_the_machine_was_started_anew_hangs_no_more() {
    let report = analyze(&["boot.log"]);
    assert!(report.healthy && report.orphans.is_empty(), "{:?} {:?}", report.verdicts, report.orphans);
    let told = report.notes.iter().find(|note| note.kind == "restart").expect("the restart is told");
    assert!(told.text.contains("sshfs[812] ended (the machine was started anew)"), "{}", told.text);
    assert!(told.text.contains("1 request"), "{}", told.text);
    assert_eq!(report.ops["Getattr"].count, 60);
}
