//! The dumps of real cases, and the traps that other analysers fall into.

use std::fs;

use fsd_events::{event::Event, ids::RunId};

use super::*;
use crate::{
    engine::fact::{Fact, Frame, InputId, LockUse, Place, Sink, What},
    formats::Mixed,
};

#[derive(Default)]
struct Dumps(Vec<Dump>);

impl Sink for Dumps {
    fn fact(&mut self, fact: Fact) {
        if let What::Dump(dump) = &fact.what {
            self.0.push((**dump).clone());
        }
    }
    fn event(&mut self, _place: Place, _event: &Event<'_>) {}
    fn unknown(&mut self, _place: Place, _run: RunId, _seq: u64, _wall_us: u64) {}
}

fn dumps(file: &str) -> Vec<Dump> {
    read(&text(file))
}

fn text(file: &str) -> Vec<u8> {
    let path = format!("{}/../testdata/{file}", env!("CARGO_MANIFEST_DIR"));
    fs::read(&path).expect(&path)
}

fn read(bytes: &[u8]) -> Vec<Dump> {
    let (mut mixed, mut dumps) = (Mixed::new(InputId(0)), Dumps::default());
    bytes.split(|b| *b == b'\n').for_each(|line| mixed.line(line, &mut dumps));
    mixed.finish(&mut dumps);
    dumps.0
}

/// `cause culprit <waiters`, or `nothing`.
fn concluded(file: &str) -> String {
    let dumps = dumps(file);
    let stacks = Stacks::of(&dumps[0]);
    let Some(found) = stacks.conclude() else { return "nothing".to_owned() };
    let label = |at: &usize| stacks.threads[*at].thread.label.rsplit(' ').next().unwrap_or("?").to_owned();
    let op = stacks.threads[found.culprit].op.map(|op| format!(" {op}")).unwrap_or_default();
    let mut waiters: Vec<String> = found.waiters.iter().map(label).collect();
    waiters.sort();
    format!("{} {}{op} <{}", found.cause.name(), label(&found.culprit), waiters.join(","))
}

#[test]
fn real_dumps_name_the_culprit() {
    for (file, expected) in [
        ("corpus/c01/stderr.log", "daemon_gone 25 <"),
        ("corpus/c14/gdb-bt.txt", "worker_starvation 21603 Read <"),
        ("corpus/c14/proc-stacks.txt", "worker_starvation 21603 <"),
        ("corpus/c17/stacks-20261122-095933.log", "deadlock_cycle 34 Release <17,36,37"),
        ("corpus/c18/goroutines-debug2.txt", "lock_pileup 132 Readdir <107,133,134,135"),
        ("corpus/c35/goroutines-debug2.txt", "upstream_stall 87 Read <88,89"),
        ("corpus/c38/stacks-20261122-103531.log", "lock_pileup 21 <17,34,35,36"),
        ("corpus/c45/stacks-20261122-100128.log", "worker_starvation 1 Read <"),
        ("corpus/c48/stacks-20261122-095817.log", "lock_pileup 34 Release <17,36,37,38"),
        ("corpus/c58/gdb-bt.txt", "lock_pileup 25002 Read <25001,25005,25006"),
        ("corpus/c58/eu-stack.txt", "lock_pileup 25002 Read <25001,25005,25006"),
        ("formats/jstack/pile-and-cycle.txt", "deadlock_cycle dl-1 <"),
        ("formats/seed-stacks/pile-up.txt", "lock_pileup 34 Release <36"),
        ("formats/gdb/rust-and-c.txt", "lock_pileup 13454 Release <13452"),
        ("formats/fsd-stacks/release-holds-handles.log", "lock_pileup 4299 <4301"),
    ] {
        assert_eq!(concluded(file), expected, "{file}");
    }
}

#[test]
fn idle_daemons_give_no_verdict() {
    for file in [
        "corpus/c32/goroutines-debug2.txt",
        "corpus/c32/goroutines-debug1.txt",
        "corpus/c40/stacks-signal-20261122-095826.log",
        "corpus/c43/eu-stack.txt",
        "corpus/c54/gdb-bt.txt",
        "formats/proc-stacks/bare-headings.txt",
    ] {
        assert_eq!(concluded(file), "nothing", "{file}");
    }
}

fn waiter(number: u64, lock: &str, holds: &[&str]) -> Thread {
    let reference = |key: &str| LockRef { key: key.into(), mode: LockUse::Write, owner: None };
    Thread {
        label: format!("thread {number}").into(),
        number,
        count: 1,
        waits_for: Some(lock).filter(|key| !key.is_empty()).map(reference),
        holds: holds.iter().map(|key| reference(key)).collect(),
        frames: vec![Frame { function: "pthread_mutex_lock".into(), ..Frame::default() }],
        ..Thread::default()
    }
}

fn holder_of(pile: &Pile<'_>) -> Option<(usize, Proof)> {
    pile.holder.as_ref().map(|holder| (holder.at, holder.proof))
}

#[test]
fn walking_a_cycle_ends() {
    let threads = vec![waiter(1, "a", &["b"]), waiter(2, "b", &["a"]), waiter(3, "a", &[]), waiter(4, "c", &["c"])];
    let dump = Dump { threads, ..Dump::default() };
    let stacks = Stacks::of(&dump);
    let found = stacks.conclude().expect("a cycle");
    assert_eq!((found.cause, found.cycle.len(), found.waiters), (Cause::DeadlockCycle, 2, vec![2]));
}

#[test]
fn waiters_without_a_holder_are_no_deadlock() {
    let threads = (1..9).map(|n| waiter(n, "a", &[])).collect();
    let dump = Dump { threads, ..Dump::default() };
    assert!(Stacks::of(&dump).conclude().is_none());
}

#[test]
fn many_threads_are_grouped_in_one_pass() {
    let mut threads: Vec<Thread> = (1..20_000).map(|n| waiter(n, "a", &[])).collect();
    threads.push(waiter(20_000, "", &["a"]));
    let dump = Dump { threads, ..Dump::default() };
    let stacks = Stacks::of(&dump);
    assert_eq!(stacks.piles.len(), 1);
    assert_eq!(stacks.piles[0].waiters.len(), 19_999);
    assert_eq!(holder_of(&stacks.piles[0]), Some((19_999, Proof::Stated)));
}

/// panicparse stops at such a line.
#[test]
fn a_line_with_another_indentation_does_not_end_a_dump() {
    let text = "goroutine 1 [semacquire]:\nmain.a(0x1)\n\t/src/a.go:1 +0x1\n\ngoroutine 2 [select]:\n    main.b(0x1)\n  \
                /src/b.go:2 +0x2\n\ngoroutine 3 [IO wait]:\nmain.c(0x1)\n\t/src/c.go:3 +0x3\n";
    let dumps = read(text.as_bytes());
    let labels: Vec<&str> = dumps[0].threads.iter().map(|thread| &*thread.label).collect();
    assert_eq!(labels, ["goroutine 1", "goroutine 2", "goroutine 3"]);
}

/// samurai clears the list that it has handed out for the dump before.
#[test]
fn a_second_dump_leaves_the_first_as_it_was() {
    let once = text("formats/jstack/pile-and-cycle.txt");
    let dumps = read(&[&once[..], &once[..]].concat());
    let threads = |dump: &Dump| dump.threads.iter().map(|t| t.label.clone()).collect::<Vec<_>>();
    assert_eq!(dumps.len(), 2);
    assert!(!dumps[0].threads.is_empty());
    assert_eq!(threads(&dumps[0]), threads(&dumps[1]));
}

/// jstack.review calls waiters without a known holder deadlocked, jstack-report follows a cycle for ever, and TDA knows
/// the deadlocks only that the JVM prints.
#[test]
fn a_cycle_is_found_without_the_tool_saying_so() {
    let threads = vec![waiter(1, "a", &["b"]), waiter(2, "b", &["c"]), waiter(3, "c", &["a"])];
    let dump = Dump { threads, ..Dump::default() };
    let found = Stacks::of(&dump).conclude().expect("a cycle");
    assert_eq!((found.cause, found.cycle.len()), (Cause::DeadlockCycle, 3));
}

/// Two threads wait for each other's lock, as far as the objects in their frames tell.
#[test]
fn a_circle_by_objects_is_doubted_where_another_thread_has_the_object_too() {
    let on = |number: u64, lock: &str, args: &str| Thread {
        frames: vec![Frame { function: "work".into(), args: args.into(), ..Frame::default() }],
        ..waiter(number, lock, &[])
    };
    let (one, two) = (on(1, "0x7f0000000040", "0x7f1000000000"), on(2, "0x7f1000000040", "0x7f0000000000"));
    let third = Thread { state: Some("running".into()), ..on(3, "", "0x7f0000000000") };
    let told = |threads: Vec<Thread>| {
        let dump = Dump { threads, ..Dump::default() };
        let found = Stacks::of(&dump).conclude().expect("a cycle");
        (found.cause, found.confidence, found.others)
    };
    let cause = Cause::DeadlockCycle;
    assert_eq!(told(vec![one.clone(), two.clone()]), (cause, Confidence::Medium, vec![]));
    assert_eq!(told(vec![one, two, third]), (cause, Confidence::Low, vec![2]));
}

#[test]
fn a_lock_by_the_name_of_a_function_closes_no_cycle() {
    let busy = dumps("field/httpdirfs-busy/eu-stack-2.txt");
    assert!(Stacks::of(&busy[0]).cycle().is_none());
}

#[test]
fn a_crowd_of_threads_takes_no_longer_for_being_one() {
    let waits = |key: String| Some(LockRef { key: key.into(), mode: LockUse::Write, owner: None });
    let thread = |number: u64, key: String| Thread {
        label: format!("task {number}").into(),
        number,
        count: 1,
        frames: vec![Frame { function: "app::getattr".into(), ..Frame::default() }],
        waits_for: waits(key),
        ..Thread::default()
    };
    let of_one = (1..30_000).map(|number| thread(number, String::from("one")));
    let of_many = (30_000..30_020).map(|number| thread(number, format!("lock {number}")));
    let holder = Thread {
        holds: waits(String::from("one")).into_iter().collect(),
        waits_for: None,
        ..thread(30_020, String::new())
    };
    let dump = Dump { threads: of_one.chain(of_many).chain([holder]).collect(), ..Dump::default() };
    let stacks = Stacks::of(&dump);
    assert_eq!(stacks.piles[0].waiters.len(), 29_999);
    assert_eq!(holder_of(&stacks.piles[0]), Some((30_019, Proof::Stated)));
    let found = stacks.conclude().expect("a pile-up");
    assert_eq!(found.culprit, 30_019);
    assert!(found.waiters.len() >= 29_999);
}
