//! Clocks, of `testdata/clocks`: time goes on by whatever is written, and a clock that is set makes nothing old.

use std::{fs, path::PathBuf, process::Command};

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

/// Reads of go-fuse that are answered at once, then one that is not and what somebody else says; each line in a stamp.
fn in_flight(own: fn(u32) -> String, around: fn(u32) -> String, words: &[&str]) -> String {
    let stamped = |at: u32, text: &str| format!("{}{}{text}\n", around(at), own(at));
    let read = |id: u32| format!("rx {id}: READ n6 {{Fh 1 [0 +4096)  L 0 RDONLY,0x8000}} ");
    let answer = |id: u32| format!("tx {id}:     OK,  4096b data \"abc\"");
    let served = |at| [stamped(at, &read(2 * at)), stamped(at, &answer(2 * at))].concat();
    let spoken = |text: &&str| format!("{}{text}\n", around(40));
    let open = [stamped(40, &read(90)), stamped(40, &read(92))].concat();
    let (first, then): (String, String) = ((1..20).map(served).collect(), (20..40).map(served).collect());
    [first, spoken(&"Filesystem mounted and ready."), then, open, words.iter().map(spoken).collect()].concat()
}

/// What is said of such a log, and the age of its oldest request.
fn said(log: &str) -> (Vec<(Cause, Confidence)>, f64) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mount.log");
    fs::write(&path, log).unwrap();
    let report = super::field::analyze(&[path]);
    assert_eq!(report.orphans.len(), 2, "{log}");
    let oldest = report.orphans[0].age_s.unwrap_or_default();
    (report.verdicts.iter().map(|v| (v.cause, v.confidence)).collect(), oldest)
}

#[test]
fn a_line_without_the_daemon_s_own_time_makes_no_request_years_old() {
    let of_day: fn(u32) -> String = |at| format!("17:58:{at:02}.100000 ");
    let since_boot: fn(u32) -> String = |at| format!("[ 13{at:02}.393341] ");
    let syslog: fn(u32) -> String = |at| format!("Nov 30 17:58:{at:02} nas gocryptfs[812]: ");
    let foreman: fn(u32) -> String = |at| format!("17:58:{at:02} mnt.1   | ");
    let elsewhere: fn(u32) -> String = |at| format!("18:58:{at:02}.100000 ");
    for (own, around) in
        [(of_day, syslog), (since_boot, syslog), (since_boot, foreman), (elsewhere, syslog), (elsewhere, foreman)]
    {
        let log = in_flight(own, around, &["some words of the daemon"]);
        let log = log.replace("[812]: some words", "[1]: some words");
        let (verdicts, oldest) = said(&log);
        assert!(verdicts.is_empty() && oldest < 2.0, "{verdicts:?}, {oldest} s: {log}");
    }
}

#[test]
fn a_log_that_is_printed_later_makes_no_request_older() {
    let own: fn(u32) -> String = |at| format!("2026/11/30 17:58:{at:02} ");
    let by_twenty_minutes: fn(u32) -> String = |at| format!("2026-11-30T18:18:40.00{at:02}307Z ");
    let by_five: fn(u32) -> String = |at| format!("2026-11-30T18:03:40.00{at:02}307Z ");
    for around in [by_twenty_minutes, by_five] {
        for words in ["##[error]Process completed with exit code 1.", "fuse.Error: [Errno 95] Operation not supported"]
        {
            let (verdicts, oldest) = said(&in_flight(own, around, &[words]));
            assert!(verdicts.is_empty() && oldest < 2.0, "{verdicts:?}, {oldest} s: {words}");
        }
    }
}

#[test]
fn what_others_write_by_another_zone_than_a_daemon_s_makes_its_requests_no_older() {
    let own: fn(u32) -> String = |at| format!("2026/11/30 12:58:{at:02} ");
    let around: fn(u32) -> String = |at| format!("2026-11-30T17:58:{at:02}.000307+00:00 nas mnt[812]: ");
    let log = in_flight(own, around, &[]);
    for words in
        ["systemd[1]: Started Session 3 of user joe.", "kubelet[77]: 2026/11/30 17:58:40 some words of its own"]
    {
        let told = format!("2026-11-30T17:58:40.000307+00:00 nas {words}\n");
        let (verdicts, oldest) = said(&format!("{told}{log}{told}"));
        assert!(verdicts.is_empty() && oldest < 2.0, "{verdicts:?}, {oldest} s: {words}");
    }
}

#[test]
fn a_hang_inside_other_stamps_stays_a_hang() {
    let of_day: fn(u32) -> String = |at| format!("17:58:{at:02}.100000 ");
    let syslog: fn(u32) -> String = |at| format!("Nov 30 17:58:{at:02} nas gocryptfs[812]: ");
    let log = in_flight(of_day, syslog, &[]);
    let (verdicts, oldest) = said(&format!("{log}Nov 30 18:58:40 nas systemd[1]: Started Session 3 of user joe.\n"));
    assert_eq!((verdicts.len(), oldest), (1, 3599.9), "{verdicts:?}");
}
