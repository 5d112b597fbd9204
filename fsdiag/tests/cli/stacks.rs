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

#[test]
fn two_locks_that_callbacks_wait_for_are_a_circle_unless_a_third_that_is_held_up_has_one() {
    let report = analyze(&["two-locks-beside-a-read.gdb.txt"]);
    let causes: Vec<_> = report.verdicts.iter().map(|verdict| (verdict.cause, verdict.confidence)).collect();
    let low = [Cause::DeadlockCycle, Cause::UpstreamStall].map(|cause| (cause, Confidence::Low));
    assert_eq!(causes, low, "{}", told(&report));
    let cycle = &report.verdicts[0];
    let other = cycle.alternatives.iter().filter_map(|other| other.op.as_deref()).collect::<Vec<_>>();
    assert_eq!((blamed(cycle), other), (Some("thread 20940"), vec!["Read"]), "{}", told(&report));
    assert!(cycle.sentence.contains("unless Read (thread 20941) has what they wait for"), "{}", cycle.sentence);
}

#[test]
fn a_circle_of_three_locks_has_three_members() {
    let report = analyze(&["three-locks-of-three-objects.goroutines.txt"]);
    let [verdict] = &report.verdicts[..] else { panic!("{}", told(&report)) };
    assert_eq!((verdict.cause, verdict.confidence), (Cause::DeadlockCycle, Confidence::Low), "{}", told(&report));
    let members = "goroutine 18, goroutine 19 and goroutine 20 wait for each other";
    assert!(verdict.sentence.contains(members), "{}", verdict.sentence);
    let one_object = analyze(&["../field/stream-three-locks/stacks.log"]);
    let members = "Release (goroutine 9), Open (goroutine 20) and Readdir (goroutine 14) wait for each other";
    assert!(one_object.verdicts[0].sentence.contains(members), "{}", told(&one_object));
}

#[test]
fn a_loop_that_waits_in_its_own_function_is_a_low_suspicion_where_nobody_else_could_hold_the_lock() {
    let asks = |number: u32| {
        format!(
            "goroutine {number} [sync.Mutex.Lock, 5 minutes]:\n\
             sync.runtime_SemacquireMutex(0xc000012345?, 0x0?, 0x0?)\n\t/go/src/runtime/sema.go:77 +0x25\n\
             sync.(*Mutex).lockSlow(0xc000012340)\n\t/go/src/sync/mutex.go:171 +0x15d\n\
             sync.(*Mutex).Lock(...)\n\t/go/src/sync/mutex.go:90\n\
             main.(*Node).Getattr(0xc000010000, {{0xc0000140a0, 0x5}})\n\t/src/main.go:40 +0x44\n\
             github.com/hanwen/go-fuse/v2/fuse.doGetAttr(0xc0000b0000)\n\t/go/fuse/opcode.go:200 +0x44\n\
             github.com/hanwen/go-fuse/v2/fuse.(*Server).loop(0xc0000b0000)\n\t/go/fuse/server.go:500 +0x44\n\n"
        )
    };
    let waits = "goroutine 7 [chan receive, 5 minutes]:\nmain.(*Node).evictLoop(0xc000010000)\n\t/src/main.go:180 +0x44\n\
        created by main.New in goroutine 1\n\t/src/main.go:20 +0x44\n";
    let works = "\ngoroutine 9 [IO wait, 5 minutes]:\nmain.fetch(0x5)\n\t/src/main.go:90 +0x44\n\
        main.(*Node).upload(0xc000010000)\n\t/src/main.go:95 +0x44\ncreated by main.New in goroutine 1\n\t/src/main.go:21 +0x44\n";
    let dir = tempfile::tempdir().unwrap();
    for (rest, holder) in [(waits.to_owned(), "goroutine 7"), (format!("{waits}{works}"), "goroutine 9")] {
        let path = dir.path().join("goroutines.txt");
        std::fs::write(&path, (18..21).map(asks).collect::<String>() + &rest).unwrap();
        let report = analyze(&[path.to_str().unwrap()]);
        let [verdict] = &report.verdicts[..] else { panic!("{}", told(&report)) };
        assert_eq!((verdict.cause, blamed(verdict)), (Cause::LockPileup, Some(holder)), "{}", told(&report));
        assert_eq!(verdict.confidence == Confidence::Low, holder == "goroutine 7", "{}", told(&report));
        assert_eq!(verdict.waiters.len(), 3, "{}", told(&report));
    }
}

/// The same as a person reads it; the first line.
fn headline(files: &[&str]) -> String {
    let paths = files.iter().map(|file| testdata().join("stacks").join(file));
    let output = Command::new(env!("CARGO_BIN_EXE_fsdiag")).arg("analyze").args(paths).output().unwrap();
    String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned()
}

#[test]
fn the_kernel_s_word_on_a_hung_task_names_the_client_that_the_daemon_owes_an_answer() {
    let formats = "../formats/hung-task";
    for (file, culprit, waiters) in [
        ("hung-behind-a-lookup.dmesg", "Lookup thread 31983 (stat)", &["thread 31988 (touch)"][..]),
        (&format!("{formats}/owner.log"), "Lookup thread 31983 (stat)", &["thread 31988 (touch)"]),
        (&format!("{formats}/reader-and-mutex.log"), "Flush thread 4242 (cat)", &["thread 4300 (mv)"]),
        (&format!("{formats}/io-wait-cut.log"), "Write thread 77 (kworker/u8:3)", &[]),
    ] {
        let report = analyze(&[file]);
        let [verdict] = &report.verdicts[..] else { panic!("{file}: {}", told(&report)) };
        assert_eq!(
            (verdict.cause, verdict.confidence),
            (Cause::LostReply, Confidence::Low),
            "{file}: {}",
            told(&report)
        );
        let blamed = verdict.culprit.clone().unwrap_or_default();
        let words = [blamed.op, blamed.thread].into_iter().flatten().collect::<Vec<_>>().join(" ");
        assert_eq!(words, culprit, "{file}: {}", told(&report));
        assert_eq!(verdict.waiters.iter().filter_map(|w| w.thread.as_deref()).collect::<Vec<_>>(), waiters, "{file}");
        assert!(!verdict.evidence.is_empty(), "{file}: {}", told(&report));
    }
}

#[test]
fn what_no_rule_can_judge_is_not_called_healthy() {
    let formats = |name: &str| format!("../formats/strace/{name}.log");
    let traces = ["detached", "followed", "httpdirfs-turns", "stopped-server"].map(formats);
    let own = ["calls-of-a-daemon.strace", "main-thread-only.txt"].map(str::to_owned);
    let client = [String::from("../formats/proc-stacks/client.txt")];
    for file in traces.iter().chain(&own).chain(&client) {
        let report = analyze(&[file]);
        assert!(report.verdicts.is_empty(), "{file}: {}", told(&report));
        assert!(report.notes.iter().any(|note| note.kind == "cannot_tell"), "{file}: {:?}", report.notes);
        assert!(headline(&[file]).starts_with("cannot tell"), "{file}: {}", headline(&[file]));
    }
}

#[test]
fn the_calls_that_do_not_return_are_named_and_the_clients_that_wait() {
    let note = |file: &str| analyze(&[file]).notes.iter().map(|note| note.text.clone()).collect::<String>();
    let calls = note("calls-of-a-daemon.strace");
    assert!(calls.contains("thread 812 in openat(AT_FDCWD, \"/nfs/dead/movie.mkv\", O_RDONLY) for 98.0 s"), "{calls}");
    assert!(!calls.contains("/dev/fuse"), "{calls}");
    let clients = note("../formats/proc-stacks/client.txt");
    assert!(clients.contains("1 client waits for an answer of a FUSE daemon"), "{clients}");
}

#[test]
fn a_dump_that_shows_the_daemon_s_threads_is_still_healthy() {
    let healthy = "../corpus/c32/goroutines-debug2.txt";
    assert!(headline(&[healthy]).starts_with("healthy"), "{}", headline(&[healthy]));
}

#[test]
fn a_deadlock_of_another_daemon_is_not_healthy_in_fsdiag_s_own_dump_of_it() {
    let report = analyze(&["two-locks-of-another-daemon.fsd-stacks.txt"]);
    let [verdict] = &report.verdicts[..] else { panic!("{}", told(&report)) };
    assert_eq!((verdict.confidence, blamed(verdict)), (Confidence::Low, Some("thread 2633")), "{}", told(&report));
    assert_eq!(verdict.waiters.len(), 1);
    let report = analyze(&["two-locks-of-another-daemon.gdb.txt"]);
    assert_eq!(report.verdicts[0].cause, Cause::DeadlockCycle);
    assert!(report.verdicts[0].sentence.contains("wait for each other, thread 2634 for"), "{}", told(&report));
}

#[test]
fn callbacks_at_two_locks_of_which_no_address_is_shown_may_wait_for_each_other() {
    let report = analyze(&["two-locks-without-addresses.eu-stack.txt"]);
    assert!(report.healthy, "{}", told(&report));
    let note = report.notes.iter().find(|note| note.kind == "cannot_tell").unwrap();
    assert!(note.text.contains("for each other, perhaps") && note.text.contains("update_index"), "{}", note.text);
}

#[test]
fn permits_that_nobody_gives_back_are_no_sign_of_health_and_no_lost_delivery() {
    let file = "permits-of-a-channel.goroutines.txt";
    let report = analyze(&[file]);
    let unsure = report.notes.iter().any(|note| note.kind == "cannot_tell" && note.text.contains("goroutine 22"));
    assert!(report.healthy && unsure, "Go states no minutes here: {}", told(&report));
    let dir = tempfile::tempdir().unwrap();
    let later = dir.path().join("later.txt");
    let text = std::fs::read_to_string(testdata().join("stacks").join(file)).unwrap();
    std::fs::write(&later, text.replace("[chan send]", "[chan send, 12 minutes]")).unwrap();
    let report = analyze(&[later.to_str().unwrap()]);
    let [verdict] = &report.verdicts[..] else { panic!("{}", told(&report)) };
    assert_eq!((verdict.cause, verdict.confidence), (Cause::PermitExhaustion, Confidence::Low), "{}", told(&report));
}
