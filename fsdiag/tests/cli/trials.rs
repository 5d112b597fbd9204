//! Daemons in C, C++ and Python that were hung on purpose, or only busy: what their logs and dumps tell, alone and
//! together.

use std::fs;

use fsdiag::engine::report::{Cause, Confidence, Report};

use super::field::{case, first, told};

/// What the notes say that a verdict cannot.
fn unsure(report: &Report) -> String {
    report.notes.iter().filter(|note| note.kind == "cannot_tell").map(|note| format!("{}\n", note.text)).collect()
}

#[test]
fn who_closes_holds_the_lock_rather_than_who_reads_beside_it() {
    let report = case("libfuse-release-beside-a-read", &[]);
    assert_eq!(first(&report), (Cause::LockPileup, Confidence::Low, "Release".into()), "{}", told(&report));
    assert_eq!(report.verdicts[0].waiters.len(), 3, "{}", told(&report));
}

#[test]
fn two_locks_that_all_callbacks_of_a_dump_wait_for_are_a_circle() {
    let report = case("libfuse-lock-order", &[]);
    assert_eq!(first(&report), (Cause::DeadlockCycle, Confidence::Low, "Write".into()), "{}", told(&report));
    assert!(told(&report).contains("and Readdir (thread 8230) wait for each other"), "{}", told(&report));
}

#[test]
fn of_two_reads_the_one_whose_thread_is_in_network_code_waits_for_the_origin() {
    let report = case("libfuse-spin-beside-a-stall", &[]);
    let blamed = report.verdicts.iter().map(|v| (v.cause, v.culprit.as_ref().and_then(|c| c.id.as_deref())));
    let expected = [(Cause::UpstreamStall, Some("5108")), (Cause::Spin, Some("5106"))];
    assert_eq!(blamed.collect::<Vec<_>>(), expected, "{}", told(&report));
}

#[test]
fn which_of_two_reads_is_in_network_code_is_not_guessed() {
    let dir = tempfile::tempdir().unwrap();
    let of_case = |file: &str| super::field::field().join("libfuse-spin-beside-a-stall").join(file);
    let log = fs::read_to_string(of_case("fault.log")).unwrap();
    let nameless: String = log.lines().filter(|line| !line.contains("/f")).map(|line| format!("{line}\n")).collect();
    fs::write(dir.path().join("fault.log"), nameless).unwrap();
    let report = super::field::analyze(&[dir.path().join("fault.log"), of_case("eu-stack.txt")]);
    assert!(report.verdicts.iter().all(|v| v.confidence <= Confidence::Medium), "{}", told(&report));
    let by_thread = report.verdicts.iter().all(|v| v.culprit.as_ref().is_some_and(|c| c.thread.is_some()));
    assert!(by_thread, "{}", told(&report));
}

#[test]
fn a_dump_of_reads_that_always_take_seconds_is_no_hang() {
    let report = case("libfuse-slow-origin", &[]);
    assert!(report.healthy, "{}", told(&report));
}

#[test]
fn a_library_that_waits_for_the_reader_of_its_log_is_told() {
    let report = case("libfuse-log-unread", &[]);
    assert_eq!(first(&report).0, Cause::LogBlocked, "{}", told(&report));
}

#[test]
fn who_waits_for_what_nobody_delivers_is_told_as_that_also_beside_a_log() {
    for (name, op) in [("cpp-broken-promise", "5346"), ("libfuse-nobody-signals-in-a-log", "1724")] {
        let report = case(name, &[]);
        let blamed = report.verdicts[0].culprit.as_ref().and_then(|culprit| culprit.id.as_deref());
        assert_eq!((first(&report).0, blamed), (Cause::OrphanedFetch, Some(op)), "{name}: {}", told(&report));
        assert_eq!(report.verdicts.len(), 1, "{name}: {}", told(&report));
    }
}

#[test]
fn sleepers_on_words_beside_each_other_hold_no_lock_of_each_other() {
    let report = case("cpp-broken-promise", &["strace.txt"]);
    assert!(report.healthy && !unsure(&report).is_empty(), "{}", told(&report));
}

#[test]
fn what_no_thread_of_a_dump_serves_has_lost_its_reply() {
    let report = case("libfuse-lost-reply", &[]);
    assert_eq!(first(&report), (Cause::LostReply, Confidence::Low, "Read".into()), "{}", told(&report));
    assert!(case("libfuse-lost-reply", &["gdb.txt"]).healthy);
}

#[test]
fn pythons_dumps_show_callbacks_by_whatever_name_the_library_is_installed() {
    for (name, file, text) in [
        ("fusepy-of-debian", "faulthandler.txt", "Release (thread 0x7f7e83fff6c0) in `fetch`"),
        ("fusepy-of-debian", "py-spy.txt", "Release (thread 28746) in `Store.fetch`"),
        ("python-fuse-lock-order", "faulthandler.txt", "Readdir (thread 0x7f223b4b26c0)"),
        ("borg-on-a-stalled-mount", "py-spy.txt", "Read (thread 21861) in `LoggedIO.read`"),
        ("borg-on-a-stalled-mount", "", "in `LoggedIO.read`"),
        ("ratarmount-on-a-stalled-mount", "py-spy.txt", "Read (thread 5771) in `RawStenciledFile.read`"),
    ] {
        let report = case(name, if file.is_empty() { &[] } else { std::slice::from_ref(&file) });
        assert!(unsure(&report).contains(text), "{name}/{file}: {:?}", report.notes);
        assert!(report.healthy, "{name}/{file}: {}", told(&report));
    }
}

#[test]
fn a_log_of_fusepy_is_read_in_whatever_form_python_writes_it() {
    let report = case("fusepy-of-debian", &["fusepy.log"]);
    assert_eq!(first(&report), (Cause::LockPileup, Confidence::Low, "Release /f3".into()), "{}", told(&report));
    assert_eq!(report.inputs[0].format, "fusepy");
}

#[test]
fn seconds_since_the_log_began_tell_ages() {
    let report = case("libfuse-seconds-since-the-start", &[]);
    assert_eq!(report.inputs[0].format, "libfuse-debug");
    let ages: Vec<_> = report.orphans.iter().map(|orphan| (&*orphan.id, orphan.age_s)).collect();
    assert_eq!(ages, [("4960", Some(187.5))]);
}

#[test]
fn a_second_s_turn_is_no_slow_operation_in_syslog_s_stamps() {
    let report = case("libfuse-whole-seconds", &[]);
    assert!(report.notes.iter().all(|note| note.kind != "slow"), "{:?}", report.notes);
}

#[test]
fn kernel_stacks_under_any_heading_are_threads_of_their_own() {
    let report = case("unionfs-on-a-stalled-mount", &[]);
    assert_eq!((first(&report).0, first(&report).1), (Cause::SelfAccess, Confidence::Low), "{}", told(&report));
    let thread = report.verdicts[0].culprit.as_ref().and_then(|culprit| culprit.thread.as_deref());
    assert!(thread.is_some_and(|thread| thread.starts_with("thread ")), "{thread:?}");
}

#[test]
fn a_log_that_stops_with_a_request_beside_a_waiting_client_is_not_called_healthy() {
    let dir = tempfile::tempdir().unwrap();
    let (log, stacks) = (dir.path().join("fs.log"), dir.path().join("stacks.txt"));
    let begun = "Nov 30 05:53:40 unique: 488, opcode: READ (15), nodeid: 9, insize: 80, pid: 7002\n";
    let ended = "Nov 30 05:53:29 unique: 486, opcode: GETATTR (3), nodeid: 9, insize: 56, pid: 7002\n\
                 Nov 30 05:53:29    unique: 486, success, outsize: 120\n";
    fs::write(&log, format!("{ended}{begun}")).unwrap();
    fs::write(&stacks, "/proc/5712/task/5712\n[<0>] request_wait_answer+0x112/0x210\n[<0>] fuse_direct_io+0x1/0x2\n")
        .unwrap();
    let report = super::field::analyze(&[log, stacks]);
    assert!(unsure(&report).contains("1 client waits for an answer of a FUSE daemon"), "{:?}", report.notes);
}

#[test]
fn a_dump_without_names_and_library_cannot_tell() {
    for file in ["gdb.txt", "eu-stack.txt"] {
        let report = case("davfs2-silent-server", &[file]);
        assert!(unsure(&report).contains("no thread of the dump reads requests"), "{file}: {:?}", report.notes);
        assert!(report.healthy, "{file}: {}", told(&report));
    }
}
