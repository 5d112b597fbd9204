//! Logs and dumps of other daemons, taken in the field of `testdata/field`: each was read wrongly once.
//!
//! Busy and healthy ones, which a look at one moment cannot tell from stuck ones, and real hangs whose witnesses are
//! thin. Paths are neutral, long lines are cut; all else is as the daemon or the tool wrote it.

use std::{fs, path::PathBuf, process::Command};

use fsdiag::engine::{
    advice,
    report::{Cause, Confidence, Report, Verdict},
};

pub(super) fn field() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testdata/field")
}

pub(super) fn analyze(inputs: &[PathBuf]) -> Report {
    let output = Command::new(env!("CARGO_BIN_EXE_fsdiag")).args(["analyze", "--format", "json"]).args(inputs).output();
    let output = output.unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{inputs:?}: {e}: {output:?}"))
}

/// All files of a case, or some of them.
pub(super) fn case(name: &str, files: &[&str]) -> Report {
    let dir = field().join(name);
    match files {
        [] => analyze(&[dir]),
        files => analyze(&files.iter().map(|file| dir.join(file)).collect::<Vec<_>>()),
    }
}

/// The same of dumps that are identical, two files or the halves of one, as a tool that tells the time of each would have
/// given them.
fn at_two_moments(name: &str) -> Report {
    let dir = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(field().join(name)).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let half = text.lines().count() / 2;
        let late = |line: usize| file.ends_with("-2.txt") || file == "faulthandler.txt" && line >= half;
        let stamped = |(at, line): (usize, &str)| format!("2026-11-22T09:43:{}6Z {line}\n", 2 + u8::from(late(at)));
        fs::write(dir.path().join(file), text.lines().enumerate().map(stamped).collect::<String>()).unwrap();
    }
    analyze(&[dir.path().to_owned()])
}

/// The same of such as tell no time, where that is so.
fn case_in_time(name: &str, identical: bool) -> Report {
    let plain = case(name, &[]);
    if !identical {
        return plain;
    }
    let noted = |kind: &str| plain.notes.iter().any(|note| note.kind == kind);
    assert!(plain.healthy && noted("dumps") && noted("cannot_tell"), "{name}: {}", told(&plain));
    at_two_moments(name)
}

pub(super) fn told(report: &Report) -> String {
    let lines = report.verdicts.iter().map(|v| format!("{} {}: {}\n", v.confidence.name(), v.cause.name(), v.sentence));
    lines.collect()
}

/// The first verdict's cause, and the operation and path that it blames.
pub(super) fn first(report: &Report) -> (Cause, Confidence, String) {
    let verdict = report.verdicts.first().expect("a verdict");
    let culprit = verdict.culprit.clone().unwrap_or_default();
    let words = [culprit.op, culprit.path].into_iter().flatten().collect::<Vec<_>>();
    (verdict.cause, verdict.confidence, words.join(" "))
}

#[test]
fn a_busy_daemon_whose_threads_move_between_dumps_is_healthy() {
    for name in ["httpdirfs-busy", "rclone-busy"] {
        let report = case(name, &[]);
        assert!(report.healthy, "{name}: {}", told(&report));
    }
}

#[test]
fn the_dump_of_a_busy_daemon_that_is_given_twice_proves_no_more_than_once() {
    let dump = fs::read_to_string(field().join("rclone-busy/goroutines-1.txt")).unwrap();
    let levels = |report: &Report| report.verdicts.iter().map(|v| (v.cause, v.confidence)).collect::<Vec<_>>();
    let once = levels(&case("rclone-busy", &["goroutines-1.txt"]));
    let dir = tempfile::tempdir().unwrap();
    let [first, copy] = ["first.txt", "kept.txt"].map(|name| dir.path().join(name));
    fs::write(&first, &dump).unwrap();
    fs::write(&copy, dump.repeat(2)).unwrap();
    for files in [&[copy.clone()][..], &[first, copy]] {
        let report = analyze(files);
        assert_eq!(levels(&report), once, "{}", told(&report));
        assert!(report.notes.iter().any(|note| note.text.contains("identical")), "{:?}", report.notes);
    }
}

#[test]
fn dumps_of_a_go_program_that_were_appended_to_one_file_are_dumps_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let dumps = (0..3).map(|n| fs::read_to_string(field().join(format!("rclone-busy/goroutines-{n}.txt"))).unwrap());
    let path = dir.path().join("goroutines.txt");
    fs::write(&path, dumps.collect::<String>()).unwrap();
    let report = analyze(&[path]);
    assert!(report.healthy, "{}", told(&report));
}

#[test]
fn dumps_that_do_not_name_their_process_are_said_to_be_taken_for_one() {
    let report = case("rclone-busy", &["goroutines-0.txt", "goroutines-2.txt"]);
    let note = report.notes.iter().find(|note| note.kind == "dumps").map(|note| note.text.as_str());
    let said = |text: &str| text.contains("goroutines-0.txt line 1") && text.contains("goroutines-2.txt line 1");
    assert!(note.is_some_and(said), "{:?}", report.notes);
    assert!(case("rclone-busy", &["goroutines-0.txt"]).notes.iter().all(|note| note.kind != "dumps"));
}

#[test]
fn one_dump_of_a_busy_daemon_with_a_queue_at_a_lock_is_no_firm_verdict() {
    for file in ["goroutines-0.txt", "goroutines-1.txt", "goroutines-2.txt"] {
        let report = case("rclone-busy", &[file]);
        assert!(report.verdicts.iter().all(|v| v.confidence <= Confidence::Medium), "{file}: {}", told(&report));
        let settles = |v: &Verdict| v.advice.iter().any(|a| a == advice::SECOND_DUMP);
        assert!(report.verdicts.iter().all(settles), "{file}: {:?}", report.verdicts);
    }
}

#[test]
fn one_dump_of_a_busy_daemon_is_at_most_a_low_suspicion() {
    for (name, file) in [
        ("httpdirfs-busy", "gdb-1.txt"),
        ("httpdirfs-busy", "gdb-2.txt"),
        ("httpdirfs-busy", "eu-stack-1.txt"),
        ("httpdirfs-busy", "eu-stack-2.txt"),
        ("sshfs-busy", "gdb.txt"),
    ] {
        let report = case(name, &[file]);
        let worst = report.verdicts.iter().map(|v| v.confidence).max();
        assert!(worst <= Some(Confidence::Low), "{name}/{file}: {}", told(&report));
        assert!(report.verdicts.iter().all(|v| v.cause != Cause::DeadlockCycle), "{name}/{file}: {}", told(&report));
    }
}

#[test]
fn a_daemon_on_top_of_a_stalled_mount_is_not_blamed_for_using_its_own() {
    let report = case("gocryptfs-on-a-stalled-mount", &[]);
    assert!(report.verdicts.iter().all(|v| v.confidence == Confidence::Low), "{}", told(&report));
}

#[test]
fn reads_that_queue_on_their_own_handle_wait_for_the_origin() {
    let report = case("rclone-stall-sigquit", &[]);
    assert_eq!(first(&report), (Cause::UpstreamStall, Confidence::High, "Read stall.bin".into()), "{}", told(&report));
}

#[test]
fn a_log_that_stops_with_the_requests_of_the_dump_is_no_busy_one() {
    let report = case("fusepy-sleep-under-lock", &[]);
    let (cause, _, words) = first(&report);
    assert_eq!((cause, &*words), (Cause::LockPileup, "Read /c.bin"), "{}", told(&report));
}

#[test]
fn python_locks_taken_in_opposite_order_are_at_least_a_lock_pile_up() {
    let report = case("fusepy-lock-order", &[]);
    let (cause, confidence, _) = first(&report);
    assert!(matches!(cause, Cause::LockPileup | Cause::DeadlockCycle), "{}", told(&report));
    assert!(confidence <= Confidence::Medium, "python's dumps name no holder: {}", told(&report));
}

#[test]
fn dumps_of_three_tools_of_one_thread_give_one_verdict() {
    let report = case("httpdirfs-single-silent", &[]);
    assert_eq!(report.verdicts.len(), 1, "{}", told(&report));
    let (cause, _, words) = first(&report);
    assert_eq!((cause, &*words), (Cause::WorkerStarvation, "Read /silent.bin"), "{}", told(&report));
}

#[test]
fn a_stopped_server_of_sshfs_is_upstream() {
    let report = case("sshfs-server-stopped", &[]);
    assert_eq!(first(&report).0, Cause::UpstreamStall, "{}", told(&report));
}

#[test]
fn a_callback_of_whatever_library_in_front_of_a_lock_that_nobody_gives_back_hangs() {
    for (name, waiters) in [
        ("go-fuse-forgotten-unlock", &["Lookup"][..]),
        ("jacobsa-forgotten-unlock", &["Getattr", "Getattr"]),
        ("jacobsa-forgotten-unlock-seen-once", &["Getattr"]),
        ("libfuse-forgotten-unlock", &["Getattr"]),
        ("libfuse-lowlevel-forgotten-unlock", &["Lookup"]),
        ("libfuse-stripped-forgotten-unlock", &["?"]),
    ] {
        let report = case_in_time(name, name.starts_with("libfuse"));
        assert_eq!(first(&report), (Cause::LockPileup, Confidence::Low, String::new()), "{name}: {}", told(&report));
        let waiting = report.verdicts[0].waiters.iter().map(|waiter| waiter.op.as_deref().unwrap_or("?"));
        assert_eq!(waiting.collect::<Vec<_>>(), waiters, "{name}");
    }
}

#[test]
fn the_holder_of_a_lock_in_jacobsa_s_library_is_named_by_its_operation() {
    for (name, cause) in
        [("jacobsa-held-across-a-read", Cause::LockPileup), ("jacobsa-lock-order", Cause::DeadlockCycle)]
    {
        let report = case(name, &[]);
        // A minute that Go states may be none.
        assert_eq!(first(&report), (cause, Confidence::Low, "Read".into()), "{name}: {}", told(&report));
    }
    let circle = case("jacobsa-lock-order", &[]);
    assert!(circle.verdicts[0].sentence.starts_with("Deadlock: Read (goroutine 28) and Read (goroutine 35)"));
}

#[test]
fn a_runtime_all_of_whose_threads_wait_for_a_lock_is_blocked() {
    for file in ["gdb.txt", "eu-stack.txt"] {
        let report = case("fuse3-forgotten-unlock", &[file]);
        assert_eq!(first(&report).0, Cause::RuntimeBlocked, "{file}: {}", told(&report));
    }
    let waiters = case("fuse3-forgotten-unlock", &["gdb.txt"]).verdicts.swap_remove(0).waiters;
    assert!(waiters.iter().all(|waiter| waiter.op.as_deref() == Some("Lookup")), "{waiters:?}");
}

#[test]
fn a_callback_that_waits_for_a_thread_that_is_not_there_hangs() {
    for name in [
        "go-fuse-nobody-sends",
        "jacobsa-nobody-signals",
        "libfuse-nobody-signals",
        "llfuse-nobody-sets",
        "python-fuse-nobody-sets",
    ] {
        let report = case_in_time(name, !name.contains("go-fuse") && !name.contains("jacobsa"));
        let expected = (Cause::OrphanedFetch, Confidence::Low, "Read".into());
        assert_eq!(first(&report), expected, "{name}: {}", told(&report));
        assert_eq!(report.verdicts.len(), 1, "{name}: {}", told(&report));
    }
}

#[test]
fn a_callback_that_waits_beside_a_fetch_without_an_answer_waits_for_the_origin() {
    let text = fs::read_to_string(field().join("go-fuse-nobody-sends/goroutines.txt")).unwrap();
    let fetch = "goroutine 31 [IO wait, 1 minutes]:\ninternal/poll.(*FD).Read(0xc0000a4180, {0xc000202000, 0x1000})\n\
                 \tinternal/poll/fd_unix.go:167 +0x285\nnet.(*conn).Read(0xc00008e008, {0xc000202000, 0x1000})\n\
                 \tnet/net.go:183 +0x45\nmain.(*cache).fetch(0xc0000e8180)\n\t/src/gofs/main.go:90 +0x45\n\n";
    let dir = tempfile::tempdir().unwrap();
    let dump = dir.path().join("goroutines.txt");
    fs::write(&dump, text.replacen("goroutine 6 ", &format!("{fetch}goroutine 6 "), 1)).unwrap();
    let report = analyze(&[dump]);
    assert_eq!(first(&report), (Cause::UpstreamStall, Confidence::Low, "Read".into()), "{}", told(&report));
    assert!(report.verdicts[0].sentence.contains("goroutine 31"), "{}", told(&report));
}

#[test]
fn a_callback_that_stands_for_a_reason_that_no_dump_shows_is_not_called_healthy() {
    for (name, file, text) in [
        ("llfuse-forgotten-unlock", "faulthandler.txt", "Lookup (thread 0x7f21cd2246c0) in `find`"),
        ("pyfuse3-forgotten-unlock", "faulthandler.txt", "Lookup (thread 0x7f440dbcf040) in `find`"),
        ("python-fuse-forgotten-unlock", "faulthandler.txt", "Getattr (thread 0x7f05610e76c0) in `find`"),
        ("pyfuse3-forgotten-release", "faulthandler.txt", "an event loop at rest"),
        ("fuse3-forgotten-await", "eu-stack.txt", "an event loop at rest"),
        // One dump, without a clock.
        ("llfuse-nobody-sets", "py-spy.txt", "waiting in the only dump"),
        ("python-fuse-nobody-sets", "gdb.txt", "waiting in the only dump"),
    ] {
        let report = case(name, &[file]);
        let unsure = report.notes.iter().find(|note| note.kind == "cannot_tell").map(|note| &*note.text);
        assert!(unsure.is_some_and(|note| note.contains(text)), "{name}: {:?}", report.notes);
        assert!(report.healthy, "{name}: {}", told(&report));
    }
}

#[test]
fn an_idle_or_busy_daemon_of_whatever_library_is_healthy() {
    for (name, file) in [
        ("go-fuse-idle", "goroutines.txt"),
        ("jacobsa-busy", "goroutines.txt"),
        ("llfuse-idle", "gdb.txt"),
        ("llfuse-idle", "eu-stack.txt"),
        ("llfuse-idle", "faulthandler.txt"),
        ("bindfs-idle", "gdb.txt"),
        ("libfuse-busy", "gdb-1.txt"),
        ("libfuse-busy", ""),
        ("mergerfs-idle", "gdb.txt"),
    ] {
        let report = case(name, if file.is_empty() { &[] } else { std::slice::from_ref(&file) });
        assert!(report.healthy, "{name}/{file}: {}", told(&report));
        assert!(report.notes.iter().all(|note| note.kind != "cannot_tell"), "{name}/{file}: {:?}", report.notes);
    }
}

#[test]
fn a_request_that_ends_after_a_rotation_has_ended() {
    let text = fs::read_to_string(field().join("../corpus/c32/rclone.log")).unwrap();
    let begin = text.find(": Read: len=").unwrap();
    let seam = begin + text[begin..].find('\n').unwrap() + 1;
    let dir = tempfile::tempdir().unwrap();
    let (whole, older, newer) = (dir.path().join("all"), dir.path().join("r.log.1"), dir.path().join("r.log"));
    fs::write(&whole, &text).unwrap();
    fs::write(&older, &text[..seam]).unwrap();
    fs::write(&newer, &text[seam..]).unwrap();
    let whole = analyze(&[whole]);
    for order in [[older.clone(), newer.clone()], [newer, older]] {
        let rotated = analyze(&order);
        assert_eq!((rotated.orphans, rotated.ops), (whole.orphans.clone(), whole.ops.clone()));
    }
}

#[test]
fn a_dump_without_a_time_belongs_to_the_lines_before_it() {
    let log = field().join("rclone-stall-sigquit/rclone.log");
    let mut command = Command::new(env!("CARGO_BIN_EXE_fsdiag"));
    command.args(["analyze", "--format", "json", "--until", "2026-11-28 18:25:05"]).arg(log);
    let report: Report = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
    let threads = report.verdicts.iter().filter_map(|v| v.culprit.as_ref()?.thread.as_deref());
    assert_eq!(threads.collect::<Vec<_>>(), Vec::<&str>::new(), "{}", told(&report));
    assert!(case("rclone-stall-sigquit", &[]).verdicts[0].culprit.as_ref().unwrap().thread.is_some());
}

/// The head of a log of the corpus, up to the first line that contains `stop`.
fn cut(file: &str, stop: &str) -> Report {
    let text = fs::read_to_string(field().join("../corpus").join(file)).unwrap();
    let end = text.find(stop).expect(stop);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cut.log");
    fs::write(&path, &text[..end]).unwrap();
    analyze(&[path])
}

#[test]
fn a_slow_read_is_not_called_stuck_after_two_seconds() {
    let text = fs::read_to_string(field().join("../corpus/c25/fuse.log")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    for end in (100..lines.len()).step_by(9) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cut.log");
        fs::write(&path, lines[..end].join("\n")).unwrap();
        let report = analyze(&[path]);
        assert!(report.verdicts.iter().all(|v| v.confidence == Confidence::Low), "{end} lines: {}", told(&report));
    }
}

#[test]
fn a_log_of_beginnings_alone_proves_nothing() {
    let report = cut("c43/hello.log", "unmounting session");
    assert!(report.healthy, "{}", told(&report));
}

/// How many requests of that kind have ended.
fn ended(report: &Report, op: &str) -> u64 {
    report.ops.get(op).map_or(0, |op| op.count)
}

#[test]
fn the_kernel_s_trace_and_the_daemon_s_log_are_two_witnesses_of_one_incident() {
    // In one the log has the kernel's numbers, in the other it has none and whole seconds; no trace knows the day.
    for name in ["rclone-stall-seen-by-the-kernel", "rclone-stall-without-numbers"] {
        for files in [["trace.txt", "rclone.log"], ["rclone.log", "trace.txt"]] {
            let report = case(name, &files);
            let [verdict] = &report.verdicts[..] else { panic!("{}", told(&report)) };
            let culprit = verdict.culprit.clone().unwrap_or_default();
            let words = (verdict.cause, culprit.op.as_deref());
            assert_eq!(words, (Cause::UpstreamStall, Some("Read")), "{}", told(&report));
            let cited = |file: &str, words: &str| {
                verdict.evidence.iter().any(|e| e.input.ends_with(file) && e.text.contains(words))
            };
            assert!(cited("trace.txt", "FUSE_READ") && cited("rclone.log", "Read"), "{:?}", verdict.evidence);
            // Each request once, whoever tells of it.
            assert_eq!(report.inflight.get("Read"), Some(&3), "{:?}", report.orphans);
            let alone = [case(name, &[files[0]]), case(name, &[files[1]])];
            for op in ["Read", "Lookup", "Open", "Flush", "Release", "Getattr", "Init"] {
                let most = alone.iter().map(|report| ended(report, op)).max();
                assert_eq!(Some(ended(&report, op)), most, "{name}: {op}");
            }
            let alone = alone.iter().map(|report| report.verdicts[0].confidence).max();
            assert!(Some(verdict.confidence) > alone, "{} than {alone:?}", verdict.confidence.name());
        }
    }
}

#[test]
fn the_log_and_the_trace_of_two_incidents_stay_two() {
    let dirs = ["rclone-stall-seen-by-the-kernel", "rclone-stall-without-numbers"].map(|name| field().join(name));
    for [one, two] in [[&dirs[0], &dirs[1]], [&dirs[1], &dirs[0]]] {
        let (log, trace) = (one.join("rclone.log"), two.join("trace.txt"));
        let both = analyze(&[log.clone(), trace.clone()]);
        let alone = [analyze(&[log]), analyze(&[trace])];
        assert_eq!(both.orphans.len(), alone[0].orphans.len() + alone[1].orphans.len(), "{}", told(&both));
        assert_eq!(ended(&both, "Lookup"), ended(&alone[0], "Lookup") + ended(&alone[1], "Lookup"));
    }
}

#[test]
fn two_logs_of_one_daemon_count_each_request_once() {
    for name in ["c40", "c48"] {
        let dir = field().join("../corpus").join(name);
        let [plain, numbered] = ["fuse.log", "fusestream.log"].map(|file| dir.join(file));
        let both = analyze(&[plain.clone(), numbered]);
        let (both, alone) = (both.ops, analyze(&[plain]).ops);
        assert_eq!(both.keys().collect::<Vec<_>>(), alone.keys().collect::<Vec<_>>());
        for (op, summary) in &both {
            assert_eq!(summary.count, alone[op].count, "{name}: {op}");
        }
    }
}

#[test]
fn a_log_of_requests_to_the_server_that_ends_with_a_hang_does_not_hide_it() {
    // Two callbacks wait, for four requests that the log counts.
    for dump in ["gdb.txt", "eu-stack.txt"] {
        let report = case("sshfs-counts-requests-to-its-server", &["journal.log", dump]);
        let expected = (Cause::UpstreamStall, Confidence::Low, "Open".into());
        assert_eq!(first(&report), expected, "{dump}: {}", told(&report));
    }
}

#[test]
fn a_stripped_sshfs_whose_server_is_stopped_is_told_by_where_its_threads_wait() {
    let dumps = field().join("../formats");
    for (file, op) in [("eu-stack/stripped-stopped-server.txt", "Open"), ("gdb/stripped-stopped-server.txt", "Open")] {
        let report = analyze(&[dumps.join(file)]);
        // One look, and no name of the program's own: a suspicion, and what would settle it.
        assert_eq!(first(&report), (Cause::UpstreamStall, Confidence::Low, op.into()), "{file}: {}", told(&report));
        assert!(report.verdicts[0].advice.iter().any(|a| a == advice::SECOND_DUMP), "{file}: {:?}", report.verdicts);
    }
}
