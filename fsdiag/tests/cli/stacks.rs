//! Dumps of `testdata/stacks`, made by hand after real ones: the shapes in which stacks mislead, and what a person reads.

use std::{path::PathBuf, process::Command};

use fsdiag::engine::{
    advice,
    report::{Cause, Confidence, Report, Verdict},
};

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

/// The causes of all verdicts and how sure they are.
fn causes(files: &[&str]) -> Vec<(Cause, Confidence)> {
    analyze(files).verdicts.iter().map(|verdict| (verdict.cause, verdict.confidence)).collect()
}

#[test]
fn a_moment_in_which_a_healthy_daemon_writes_its_log_is_a_low_suspicion() {
    let report = analyze(&["busy-with-debug-output.gdb.txt"]);
    let [verdict] = &report.verdicts[..] else { panic!("{}", told(&report)) };
    assert_eq!((verdict.cause, verdict.confidence), (Cause::LogBlocked, Confidence::Low), "{}", told(&report));
    assert!(verdict.advice.iter().any(|next| next == advice::SECOND_DUMP), "{:?}", verdict.advice);
}

#[test]
fn the_journal_of_a_database_on_a_slow_disk_is_not_the_daemon_s_log() {
    let dumps = ["journal-on-a-slow-disk.gdb-1.txt", "journal-on-a-slow-disk.gdb-2.txt"];
    for files in [&dumps[..1], &dumps[..]] {
        assert!(causes(files).iter().all(|(cause, _)| *cause != Cause::LogBlocked), "{}", told(&analyze(files)));
    }
}

#[test]
fn a_daemon_s_own_cache_with_an_inval_entry_tells_the_kernel_nothing() {
    assert_eq!(causes(&["cache-with-an-inval-entry.gdb-1.txt", "cache-with-an-inval-entry.gdb-2.txt"]), []);
}

#[test]
fn an_invalidation_is_stuck_when_a_second_dump_shows_it_too() {
    let dumps = ["invalidation-by-a-watcher.gdb-1.txt", "invalidation-by-a-watcher.gdb-2.txt"];
    assert_eq!(causes(&dumps[..1]), [(Cause::ReverseNotify, Confidence::Low)]);
    assert_eq!(causes(&dumps), [(Cause::ReverseNotify, Confidence::High)]);
}

#[test]
fn a_pile_up_is_seen_where_no_callback_is_called_like_an_operation() {
    for name in ["pile-up-behind-a-finish", "pile-up-stripped"] {
        let report = analyze(&[&format!("{name}.gdb-1.txt"), &format!("{name}.gdb-2.txt")]);
        let [verdict] = &report.verdicts[..] else { panic!("{name}: {}", told(&report)) };
        assert_eq!((verdict.cause, blamed(verdict)), (Cause::LockPileup, Some("thread 4783")), "{}", told(&report));
        assert_eq!((verdict.confidence, verdict.waiters.len()), (Confidence::Medium, 12), "{}", told(&report));
    }
}

#[test]
fn a_lock_that_nobody_in_the_dump_could_hold_is_told_without_a_holder() {
    let dumps = ["lock-never-given-back.gdb-1.txt", "lock-never-given-back.gdb-2.txt"];
    assert_eq!(causes(&dumps[..1]), []);
    let report = analyze(&dumps);
    let [verdict] = &report.verdicts[..] else { panic!("{}", told(&report)) };
    assert_eq!((verdict.cause, verdict.confidence), (Cause::LockPileup, Confidence::Low), "{}", told(&report));
    assert_eq!((blamed(verdict), verdict.waiters.len()), (None, 5), "{:?}", verdict.culprit);
    assert!(verdict.sentence.contains("its holder is not in the data"), "{}", verdict.sentence);
}
