//! Small incidents in kernel facts, and the verdict each must give.

use fsd_events::op::Op;

use super::*;
use crate::engine::fact::{Awaited, Awaits, Burns};

const STALLED: u64 = 10_000_000;

fn pending(state: PendingState, unique: u64, op: Op, age_s: u64) -> KernelFact {
    aged(state, unique, op, Some(age_s * 1_000_000))
}

fn aged(state: PendingState, unique: u64, op: Op, age_us: Option<u64>) -> KernelFact {
    KernelFact::Pending(Box::new(Pending {
        state,
        unique,
        op,
        ino: 2,
        name: None,
        path: Some("big.bin".into()),
        off: None,
        len: None,
        client_pid: Some(7),
        client: Some("cat".into()),
        age_us,
        server: None,
    }))
}

fn daemon(threads: u32, stopped: bool) -> KernelFact {
    let peers = vec![Box::from("127.0.0.1:80 ESTABLISHED")];
    KernelFact::Daemon(Box::new(DaemonProcess {
        pid: 9,
        comm: "httpdirfs".into(),
        stopped,
        threads,
        peers,
        ..DaemonProcess::default()
    }))
}

fn blocked(frames: &str, of_daemon: bool, blocked_us: Option<u64>) -> KernelFact {
    let stack = frames.split(' ').map(Into::into).collect();
    let task = BlockedTask { pid: 11, comm: "t".into(), of_daemon, stack, blocked_us, ..BlockedTask::default() };
    KernelFact::Blocked(Box::new(task))
}

fn state(facts: &[KernelFact]) -> KernelState {
    let mut state = KernelState::default();
    for (n, fact) in facts.iter().enumerate() {
        state.apply(Place { line: n as u64 + 1, ..Place::default() }, fact);
    }
    state
}

fn verdict(facts: &[KernelFact]) -> Option<Verdict> {
    let cite = |place: Place| Evidence { line: place.line, ..Evidence::default() };
    state(facts).verdicts(STALLED, &cite).into_iter().next()
}

fn culprit_of(verdict: &Verdict) -> Option<&str> {
    verdict.culprit.as_ref().and_then(|c| c.id.as_deref())
}

#[test]
fn young_requests_are_no_verdict() {
    let facts = [daemon(4, false), pending(PendingState::InDaemon, 8, Op::Read, 2)];
    assert_eq!(verdict(&facts), None);
    assert_eq!(state(&facts).notes(STALLED)[0].kind, "open");
}

#[test]
fn a_busy_single_thread_is_the_culprit_of_what_is_unread() {
    let facts = [
        daemon(1, false),
        KernelFact::Readers { idle: 0, threads: 1 },
        pending(PendingState::Queued, 10, Op::Getattr, 30),
        pending(PendingState::InDaemon, 8, Op::Read, 31),
    ];
    let found = verdict(&facts).unwrap();
    assert_eq!(
        (found.cause, found.confidence, culprit_of(&found)),
        (Cause::WorkerStarvation, Confidence::Certain, Some("8"))
    );
    assert_eq!(found.waiters.len(), 1);
    assert_eq!(found.evidence.iter().map(|e| e.line).collect::<Vec<_>>(), [4, 3]);
}

#[test]
fn an_unanswered_read_with_idle_readers_points_upstream() {
    let facts = [
        daemon(5, false),
        KernelFact::Readers { idle: 1, threads: 5 },
        pending(PendingState::InDaemon, 8, Op::Read, 31),
    ];
    let found = verdict(&facts).unwrap();
    assert_eq!((found.cause, found.confidence), (Cause::UpstreamStall, Confidence::Medium));
    assert!(found.sentence.contains("127.0.0.1:80"), "{}", found.sentence);
}

#[test]
fn held_back_requests_blame_those_that_hold_the_slots() {
    let facts = [
        KernelFact::Connection { max_background: Some(2), parallel_dirops: None },
        pending(PendingState::HeldBack, 0, Op::Release, 30),
        pending(PendingState::InDaemon, 8, Op::Read, 31),
    ];
    let found = verdict(&facts).unwrap();
    assert_eq!((found.cause, culprit_of(&found)), (Cause::PermitExhaustion, Some("8")));
    assert!(found.sentence.starts_with("max_background of 2 "), "{}", found.sentence);
}

#[test]
fn a_daemon_that_has_not_begun_uses_no_slots_up() {
    let waits = "fuse_get_req __fuse_simple_request fuse_do_getattr";
    let facts =
        [daemon(3, false), pending(PendingState::InDaemon, 2, Op::Init, 31), blocked(waits, false, Some(30_000_000))];
    let found = verdict(&facts).unwrap();
    assert_eq!((found.cause, culprit_of(&found)), (Cause::UpstreamStall, Some("2")), "{}", found.sentence);
    assert_eq!(found.waiters.len(), 1, "the client that could not even ask");
}

const OWN: &str = "request_wait_answer __fuse_simple_request fuse_lookup_name";
const NOTIFY: &str = "__folio_lock fuse_reverse_inval_inode fuse_dev_do_write";

#[test]
fn the_daemon_s_own_threads_convict_it() {
    let told = |frames, us| verdict(&[blocked(frames, true, us)]).map(|v| (v.cause, v.confidence));
    for (frames, cause) in [(OWN, Cause::SelfAccess), (NOTIFY, Cause::ReverseNotify)] {
        assert_eq!(told(frames, Some(30_000_000)), Some((cause, Confidence::Certain)));
        assert_eq!(told(frames, None), Some((cause, Confidence::Medium)), "for how long nothing tells");
    }
    assert_eq!(verdict(&[blocked("request_wait_answer", false, None)]), None, "a client may wait");
}

#[test]
fn a_daemon_whose_thread_waits_for_it_a_moment_only_is_healthy() {
    for frames in [OWN, NOTIFY] {
        assert_eq!(verdict(&[blocked(frames, true, Some(100_000))]), None, "{frames}");
    }
}

#[test]
fn a_daemon_that_is_stopped_for_a_moment_is_healthy() {
    let young = [daemon(3, true), pending(PendingState::Queued, 8, Op::Getattr, 1)];
    assert_eq!(verdict(&young), None);
}

#[test]
fn stopped_and_gone_daemons_are_told_apart() {
    let stopped = verdict(&[daemon(3, true), pending(PendingState::Queued, 8, Op::Getattr, 30)]).unwrap();
    assert_eq!((stopped.cause, stopped.confidence), (Cause::UnreadQueue, Confidence::Certain));
    let gone = verdict(&[KernelFact::Dead { connection: 39, aborted: false }]).unwrap();
    assert_eq!((gone.cause, gone.confidence), (Cause::DaemonGone, Confidence::Certain));
    assert!(verdict(&[daemon(3, true)]).is_none(), "stopped, but nobody waits");
}

/// A RELEASE that nobody waits for, on a kernel that keeps no age.
#[test]
fn a_request_without_a_clock_is_a_note_and_no_verdict() {
    let release = || aged(PendingState::InDaemon, 8, Op::Release, None);
    let facts = [daemon(4, false), release()];
    assert_eq!(verdict(&facts), None);
    let note = state(&facts).notes(STALLED).remove(0);
    assert!(note.text.ends_with("is unanswered, for how long nothing tells"), "{}", note.text);
    let found = verdict(&[daemon(4, false), release(), pending(PendingState::InDaemon, 10, Op::Read, 30)]).unwrap();
    assert_eq!(culprit_of(&found), Some("10"), "the one that is known to be old");
}

#[test]
fn a_thread_that_runs_all_the_time_spins_unless_somebody_else_is_waited_for() {
    let daemon = |over_us: u64, awaits: Option<Awaits>| {
        let burning = Some(Burns { thread: "thread 12 (t)".into(), percent: 99, over_us });
        let process =
            DaemonProcess { pid: 9, comm: "d".into(), threads: 2, burning, awaits, ..DaemonProcess::default() };
        KernelFact::Daemon(Box::new(process))
    };
    let told = |age_s: u64, daemon: KernelFact| {
        verdict(&[pending(PendingState::InDaemon, 4, Op::Read, age_s), daemon]).map(|v| (v.cause, v.confidence))
    };
    assert_eq!(told(20, daemon(300_000, None)), Some((Cause::Spin, Confidence::Low)));
    assert_eq!(told(20, daemon(5_000_000, None)), Some((Cause::Spin, Confidence::Medium)));
    assert_eq!(told(2, daemon(5_000_000, None)), None, "it may just be slow");
    let other = Some(Awaits { thread: "thread 13 (t)".into(), whom: Awaited::Process, below: None });
    assert_eq!(told(20, daemon(5_000_000, other)), Some((Cause::UpstreamStall, Confidence::Medium)));
}

#[test]
fn a_daemon_whose_only_thread_waits_for_a_mount_below_needs_no_more_threads() {
    let below = |awaits| {
        let process = DaemonProcess { pid: 9, comm: "d".into(), threads: 1, awaits, ..DaemonProcess::default() };
        KernelFact::Daemon(Box::new(process))
    };
    let told = |awaits| {
        let [taken, queued] = [(PendingState::InDaemon, 4), (PendingState::Queued, 6)]
            .map(|(state, unique)| pending(state, unique, Op::Getattr, 30));
        verdict(&[taken, queued, KernelFact::Readers { idle: 0, threads: 1 }, below(awaits)]).unwrap()
    };
    let found = told(Some(Awaits { thread: "thread 9 (d)".into(), whom: Awaited::Mount, below: None }));
    assert_eq!((found.cause, found.confidence), (Cause::WorkerStarvation, Confidence::Certain));
    assert!(
        found.sentence.ends_with("queued unread. Its thread 9 (d) waits for another FUSE mount."),
        "{}",
        found.sentence
    );
    assert_eq!(found.advice, ["find the mount below that hangs: fsdiag mounts"]);
    assert!(told(None).advice[0].starts_with("give the daemon more threads"));
}

#[test]
fn a_daemon_that_waits_for_its_child_or_its_storage_is_told_to_do_so() {
    for (waits, whom) in [
        ("do_wait < kernel_wait4 < __do_sys_wait4 < do_syscall_64", Some("a process that it has started")),
        ("percpu_rwsem_wait < mnt_want_write < path_openat", Some("the file system or the disk below")),
        ("io_schedule < folio_wait_bit_common < filemap_read", Some("the file system or the disk below")),
        ("request_wait_answer < __fuse_simple_request < fuse_do_getattr", None),
        ("folio_wait_bit_common < fuse_wait_on_page_writeback", None),
        ("futex_do_wait < __futex_wait < futex_wait", None),
    ] {
        let KernelFact::Pending(request) = pending(PendingState::InDaemon, 4, Op::Create, 30) else { unreachable!() };
        let thread: Box<str> = "thread 9 (d)".into();
        let awaits = inside::awaited(waits).map(|whom| Awaits { thread: thread.clone(), whom, below: None });
        let server = Some(Serving { thread, waits: waits.into(), sure: false, awaits });
        let request = Pending { server, ..*request };
        let process = DaemonProcess { pid: 9, comm: "d".into(), threads: 2, ..DaemonProcess::default() };
        let facts = [KernelFact::Daemon(Box::new(process)), KernelFact::Pending(Box::new(request))];
        let found = verdict(&facts).unwrap();
        let expected = whom.map_or_else(|| format!("in {waits}."), |whom| format!("in {waits}: it waits for {whom}."));
        assert!(found.sentence.ends_with(&expected), "{}", found.sentence);
        let outside = (found.cause, found.confidence) == (Cause::UpstreamStall, Confidence::Medium);
        assert_eq!(outside, whom.is_some(), "{waits}: {found:?}");
    }
}

/// A request that a thread of the daemon serves, which stands in `waits`.
fn served(unique: u64, waits: &str, sure: bool) -> KernelFact {
    let KernelFact::Pending(request) = pending(PendingState::InDaemon, unique, Op::Read, 30) else { unreachable!() };
    let thread: Box<str> = format!("thread {unique} (d)").into();
    let below = Some(Box::from("/srv/disk"));
    let awaits = inside::awaited(waits).map(|whom| Awaits { thread: thread.clone(), whom, below });
    let server = Some(Serving { thread, waits: waits.into(), sure, awaits });
    KernelFact::Pending(Box::new(Pending { server, ..*request }))
}

fn alone(process: DaemonProcess) -> KernelFact {
    KernelFact::Daemon(Box::new(DaemonProcess { pid: 9, comm: "d".into(), threads: 3, ..process }))
}

#[test]
fn of_reads_that_came_at_once_the_one_that_waits_for_the_disk_is_blamed_and_not_one_at_its_lock() {
    let (lock, disk) = ("futex_do_wait < futex_wait", "folio_wait_bit_common < filemap_read");
    let facts = [alone(DaemonProcess::default()), served(4, lock, true), served(6, disk, true), served(8, lock, true)];
    let found = verdict(&facts).unwrap();
    assert_eq!((found.cause, found.confidence), (Cause::UpstreamStall, Confidence::High));
    assert_eq!(culprit_of(&found), Some("6"));
    assert!(found.sentence.contains("Its thread 6 (d) serves it"), "{}", found.sentence);
    assert!(
        found.sentence.ends_with("it waits for the file system or the disk below, at /srv/disk."),
        "{}",
        found.sentence
    );
    let guessed = verdict(&[alone(DaemonProcess::default()), served(6, disk, false)]).unwrap();
    assert_eq!(guessed.confidence, Confidence::Medium, "only the time tells which thread it is");
}

#[test]
fn a_request_that_a_daemon_at_rest_has_read_has_lost_its_reply() {
    let told = |op, process| verdict(&[pending(PendingState::InDaemon, 4, op, 30), alone(process)]);
    let at_rest = || DaemonProcess { at_rest: true, ..DaemonProcess::default() };
    let found = told(Op::Read, at_rest()).unwrap();
    assert_eq!((found.cause, found.confidence), (Cause::LostReply, Confidence::High));
    let cause = |op, process| told(op, process).map(|found| (found.cause, found.confidence));
    assert_eq!(cause(Op::Read, DaemonProcess::default()), Some((Cause::UpstreamStall, Confidence::Low)));
    assert_ne!(cause(Op::Setlkw, at_rest()), Some((Cause::LostReply, Confidence::High)), "it waits for an unlock");
}

#[test]
fn the_server_that_a_single_thread_polls_is_named() {
    let polls = served(4, "poll_schedule_timeout < do_sys_poll (tcp 127.0.0.1:8099 ESTABLISHED)", true);
    let facts = [alone(DaemonProcess::default()), polls, pending(PendingState::Queued, 6, Op::Open, 30)];
    let found = verdict(&[&facts[..], &[KernelFact::Readers { idle: 0, threads: 1 }]].concat()).unwrap();
    assert_eq!(found.cause, Cause::WorkerStarvation);
    assert!(found.sentence.contains("waiting for the server 127.0.0.1:8099, and 1 more"), "{}", found.sentence);
}

#[test]
fn requests_that_are_only_counted_are_noted() {
    let counted = || KernelFact::Waiting { connection: 39, waiting: 2 };
    let notes =
        |facts: &[KernelFact]| state(facts).notes(STALLED).into_iter().map(|note| note.text).collect::<Vec<_>>();
    assert_eq!(notes(&[counted()]), ["2 requests wait for an answer, which and for how long nothing tells"]);
    let listed = KernelFact::Connection { max_background: Some(12), parallel_dirops: None };
    assert!(notes(&[counted(), listed]).is_empty(), "they came and went while the lists were read");
}
