//! Trials: daemons in Go, Rust and Java that were made to hang, to be busy or to lose lines, each for a known reason.
//!
//! Samples of `testdata/field`, each of which was read wrongly once.

use fsdiag::engine::report::{Cause, Confidence};

use crate::field::{case, first, told};

#[test]
fn a_loop_that_waits_for_its_next_turn_holds_no_lock_of_its_object() {
    for name in ["stream-lock-order", "stream-three-locks", "stream-reads-itself-behind-a-writer"] {
        let report = case(name, &[]);
        let (cause, confidence, _) = first(&report);
        assert_eq!((cause, confidence), (Cause::DeadlockCycle, Confidence::Medium), "{name}: {}", told(&report));
        let culprit = report.verdicts[0].culprit.clone().unwrap_or_default();
        assert!(culprit.op.is_some(), "{name}: {}", told(&report));
    }
}

#[test]
fn dumps_of_a_slow_daemon_that_goes_on_are_a_low_suspicion_beside_its_log() {
    let report = case("rclone-slow", &[]);
    assert!(report.verdicts.iter().all(|v| v.confidence == Confidence::Low), "{}", told(&report));
    let counted = case("rclone-slow", &["goroutines-debug1-1.txt", "goroutines-debug1-2.txt"]);
    let worst = counted.verdicts.iter().map(|v| v.confidence).max();
    assert_eq!(worst, Some(Confidence::Low), "records of counted goroutines have no names: {}", told(&counted));
}

#[test]
fn a_minute_that_go_states_may_be_seconds() {
    let report = case("rclone-stall-of-seconds", &[]);
    assert_eq!(first(&report), (Cause::UpstreamStall, Confidence::Low, "Read".into()), "{}", told(&report));
    let age = report.verdicts[0].culprit.as_ref().and_then(|culprit| culprit.age_s);
    assert_eq!(age, None, "{}", told(&report));
}

#[test]
fn a_json_log_that_only_chats_makes_its_requests_older() {
    let report = case("rclone-cache-full", &[]);
    let ages: Vec<f64> = report.orphans.iter().filter_map(|orphan| orphan.age_s).collect();
    assert!(ages.len() == 2 && ages.iter().all(|age| *age > 60.0), "{ages:?}");
    let (cause, confidence, path) = first(&report);
    let expected = (Cause::ResourceExhausted, Confidence::High, "u/x.bin");
    assert_eq!((cause, confidence, &*path), expected, "it was said of the file that hangs: {}", told(&report));
}

#[test]
fn a_request_that_two_dumps_show_after_its_log_ended_waits() {
    let report = case("rclone-upload-stalled", &[]);
    let expected = (Cause::UpstreamStall, Confidence::Low, "Flush u/big.bin".into());
    assert_eq!(first(&report), expected, "{}", told(&report));
    assert!(case("rclone-upload-stalled", &["rclone.log"]).healthy);
}

#[test]
fn a_log_of_requests_without_answers_has_no_open_ones_but_those_that_were_given_up() {
    let busy = case("fuser-busy", &["rfs.log"]);
    assert!(busy.healthy && busy.orphans.is_empty(), "{}: {:?}", told(&busy), busy.orphans);
    assert!(busy.notes.iter().any(|note| note.kind == "cannot_tell"), "{:?}", busy.notes);
    let hung = case("fuser-nobody-sends", &[]);
    let ids: Vec<&str> = hung.orphans.iter().map(|orphan| &*orphan.id).collect();
    assert_eq!(ids, ["250", "260"], "their clients were signalled");
    assert_eq!(first(&hung).2, "Read", "{}", told(&hung));
}

#[test]
fn a_thread_that_takes_up_an_interrupt_has_done_with_what_it_had() {
    let report = case("fuser-release-under-a-mutex", &[]);
    let ids: Vec<&str> = report.orphans.iter().map(|orphan| &*orphan.id).collect();
    assert_eq!(ids, ["18", "20", "22"], "the Flush has ended");
    let expected = (Cause::LockPileup, Confidence::Low, "Release".into());
    assert_eq!(first(&report), expected, "{}", told(&report));
}

#[test]
fn a_thread_of_a_pool_in_the_same_callback_again_may_serve_another_request() {
    let report = case("fuser-busy", &["eu-stack-1.txt", "eu-stack-2.txt"]);
    let worst = report.verdicts.iter().map(|v| v.confidence).max();
    assert!(worst <= Some(Confidence::Low), "{}", told(&report));
}

#[test]
fn names_that_a_tool_for_c_spells_tell_rust_callbacks() {
    let held = case("fuser-held-across-a-fetch", &[]);
    assert_eq!(first(&held), (Cause::LockPileup, Confidence::Low, "Read".into()), "{}", told(&held));
    let waiters = held.verdicts[0].waiters.iter().map(|waiter| waiter.op.as_deref());
    assert_eq!(waiters.collect::<Vec<_>>(), [Some("Lookup"); 2]);
    let single = case("fuser-single-silent", &[]);
    assert_eq!(first(&single), (Cause::WorkerStarvation, Confidence::Medium, "Read".into()), "{}", told(&single));
}

#[test]
fn ends_that_are_lost_hold_up_nothing_that_has_just_begun() {
    let report = case("stream-lossy", &[]);
    assert!(report.healthy, "{}", told(&report));
}

#[test]
fn a_watchdog_tells_ages_where_its_log_has_no_times() {
    let report = case("stream-without-times", &[]);
    let expected = (Cause::LockPileup, Confidence::Low, "Open".into());
    assert_eq!(first(&report), expected, "{}", told(&report));
    let ages = report.orphans.iter().filter_map(|orphan| orphan.age_s).collect::<Vec<_>>();
    assert!(ages.len() == 6 && ages.iter().all(|age| *age > 19.0), "{ages:?}");
}

#[test]
fn as_many_requests_as_few_clients_make_are_no_pool() {
    let reads = case("stream-few-clients", &[]);
    assert_eq!(first(&reads), (Cause::UpstreamStall, Confidence::Medium, "Read".into()), "{}", told(&reads));
    let closes = case("stream-closes-wait", &[]);
    assert_eq!(first(&closes), (Cause::CloseBlocked, Confidence::Low, "Release".into()), "{}", told(&closes));
}

#[test]
fn a_callback_in_java_is_called_as_its_caller_knows_it() {
    let report = case("java-closes-under-a-monitor", &[]);
    assert_eq!(first(&report), (Cause::LockPileup, Confidence::High, "Release".into()), "{}", told(&report));
    let nobody = case("java-nobody-puts", &[]);
    let expected = (Cause::OrphanedFetch, Confidence::Low, "Read".into());
    assert_eq!(first(&nobody), expected, "threads of the machine's own deliver nothing: {}", told(&nobody));
}
