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

/// The first verdict, the age of the oldest request, and the notes on the clock.
fn told(report: &Report) -> (Option<(Cause, Confidence)>, f64, Vec<&str>) {
    let notes = report.notes.iter().filter(|note| note.kind == "clock").map(|note| &*note.text).collect();
    (report.verdicts.first().map(|v| (v.cause, v.confidence)), report.orphans[0].age_s.unwrap(), notes)
}

#[test]
fn a_machine_that_slept_or_whose_clock_was_set_makes_nothing_hours_old() {
    for (file, age, silence) in
        [("machine-slept.log", 61.6, "28799.9 s"), ("clock-set-at-boot.log", 60.1, "172800.0 s")]
    {
        let report = analyze(file);
        let (first, oldest, notes) = told(&report);
        assert_eq!((first, oldest), (Some((Cause::LockPileup, Confidence::Low)), age), "{file}: {notes:?}");
        assert!(matches!(&notes[..], [one] if one.contains(silence) && one.contains("slept")), "{file}: {notes:?}");
    }
}

#[test]
fn a_clock_that_was_set_before_the_machine_slept_makes_nothing_hours_old() {
    let report = analyze("clock-set-before-the-machine-slept.log");
    let (first, oldest, notes) = told(&report);
    assert_eq!((first, oldest), (Some((Cause::LockPileup, Confidence::Low)), 61.6), "{notes:?}");
}

#[test]
fn a_hang_behind_which_the_daemon_is_silent_for_long_stays_a_hang() {
    let report = analyze("hang-in-silence.log");
    let (first, oldest, notes) = told(&report);
    assert_eq!((first, oldest), (Some((Cause::LockPileup, Confidence::Medium)), 1230.1), "{notes:?}");
}

#[test]
fn stamps_of_a_container_in_another_zone_than_those_of_its_daemon_are_no_steps_of_the_clock() {
    for file in ["docker-in-another-zone.log", "docker-in-another-zone-west.log"] {
        let report = analyze(file);
        assert_eq!(told(&report), (None, 0.5, vec![]), "{file}: {:?}", report.verdicts);
        assert!(report.notes.iter().all(|note| note.kind != "slow"), "{file}: {:?}", report.notes);
    }
}

#[test]
fn latencies_are_told_no_more_exactly_than_the_log_has_them() {
    let samples = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testdata/formats");
    for (sample, least) in
        [("rclone/plain.log", "<1 s"), ("sshfs-debug/whole-run.log", "<1 ms"), ("libfuse-debug/prefixed.log", "-")]
    {
        let output = Command::new(env!("CARGO_BIN_EXE_fsdiag")).arg("analyze").arg(samples.join(sample)).output();
        let text = String::from_utf8(output.unwrap().stdout).unwrap();
        let line = text.lines().find(|line| line.trim_start().starts_with("Open ")).expect(sample);
        let told = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).nth(3);
        assert_eq!(told, Some(least), "{sample}: {text}");
    }
}
