//! What a reader of the locks may rely on.

use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc,
    task::Poll,
    time::Duration,
};

use fsd_events::event::{LockKind, LockMode};

use super::{
    super::{Scope, journal::next_id},
    *,
};

static CATALOG: Class = Class::new("test catalog", Rank::Catalog);
static STORE: Class = Class::new("test store", Rank::Store);
static TREE: Class = Class::new("test tree", Rank::Tree);
static PERMITS: Class = Class::new("test permits", Rank::Permits);

/// Entries of one class: tests run at once and see each other's locks.
fn of(class: &'static Class) -> Vec<LockState> {
    snapshot().into_iter().filter(|lock| std::ptr::eq(lock.class, class)).collect()
}

#[test]
fn a_holder_and_its_waiters_are_known_with_operation_place_and_mode() {
    static CLASS: Class = Class::new("test known", Rank::Tree);
    let lock = RwLock::new(&CLASS, 0_u32).keyed(42);
    let op = next_id();
    let _scope = Scope::of(op);
    let held = lock.write();
    std::thread::scope(|threads| {
        let waiter = threads.spawn(|| drop(lock.read()));
        let seen = poll(|| Some(of(&CLASS)).filter(|all| all.len() == 2));
        let waits = seen.iter().find(|l| l.waiting).unwrap();
        let holds = seen.iter().find(|l| !l.waiting).unwrap();
        assert_eq!((holds.op, holds.key, holds.kind, holds.mode), (op, 42, LockKind::RwLock, LockMode::Write));
        assert!(holds.site.unwrap().file().ends_with("locks/tests.rs"));
        assert_eq!((waits.mode, waits.key), (LockMode::Read, 42));
        assert_ne!(waits.tid, holds.tid);
        assert_ne!(waits.op, op, "a thread outside any operation is a task of its own");
        drop(held);
        waiter.join().unwrap();
    });
    assert!(of(&CLASS).is_empty());
}

#[test]
fn locks_released_in_another_order_leave_the_others_held() {
    static OUTER: Class = Class::new("test outer", Rank::Catalog);
    static INNER: Class = Class::new("test inner", Rank::Store);
    let (outer, inner) = (Mutex::new(&OUTER, ()), Mutex::new(&INNER, ()).keyed(7));
    let first = outer.lock();
    let second = inner.lock();
    drop(first);
    assert!(of(&OUTER).is_empty());
    assert_eq!(of(&INNER).first().map(|l| l.key), Some(7));
    drop(second);
    assert!(of(&INNER).is_empty());
    assert_none_held("after both");
}

#[test]
fn r09_law_03_locks_are_taken_in_rising_rank_and_key() {
    let (low, high) = (Mutex::new(&CATALOG, ()), Mutex::new(&STORE, ()));
    drop((low.lock(), high.lock()));
    assert!(breaks(|| drop((high.lock(), low.lock()))));
    let (one, two) = (Mutex::new(&STORE, ()).keyed(1), Mutex::new(&STORE, ()).keyed(2));
    drop((one.lock(), two.lock()));
    assert!(breaks(|| drop((two.lock(), one.lock()))));
    let twice = RwLock::new(&TREE, ());
    assert!(breaks(|| drop((twice.read(), twice.read()))), "a queued writer would make it a deadlock");
    allow_injected(|| drop((high.lock(), low.lock())));
}

#[test]
fn law_01_an_io_boundary_with_a_lock_held_panics_in_tests() {
    let lock = Mutex::new(&CATALOG, ());
    assert_none_held("nothing held");
    let held = lock.lock();
    assert!(breaks(|| assert_none_held("a boundary")));
    allow_injected(|| assert_none_held("broken on purpose"));
    drop(held);
    assert_none_held("nothing held");
}

#[test]
fn a_panic_with_a_lock_held_gives_it_back() {
    let lock = Mutex::new(&CATALOG, 1);
    let died = breaks(|| {
        let _held = lock.lock();
        panic!("on purpose");
    });
    assert!(died);
    assert_eq!(*lock.lock(), 1);
    assert_none_held("after the panic");
}

#[test]
fn nine_nested_locks_are_counted_though_eight_are_told_apart() {
    static NEST: Class = Class::new("test nest", Rank::Store);
    let locks: Vec<_> = (1..=10).map(|key| Mutex::new(&NEST, ()).keyed(key)).collect();
    let mut held: Vec<_> = locks.iter().map(Mutex::lock).collect();
    assert_eq!(of(&NEST).len(), 8);
    while held.pop().is_some() {}
    assert_none_held("all released");
    assert!(of(&NEST).is_empty());
}

#[test]
fn permits_know_their_holders_and_forget_a_cancelled_wait() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let permits = Permits::new(&PERMITS, 1);
        let (a, b) = (next_id(), next_id());
        let held = permits.acquire(a).await;
        assert!(permits.try_acquire(b).is_none());
        let mut wait = Box::pin(permits.acquire(b));
        let waits = poll_fn(|context| Poll::Ready(wait.as_mut().poll(context).is_pending())).await;
        let seen = of(&PERMITS);
        drop(wait);
        assert!(waits);
        let seen: Vec<_> = seen.iter().map(|l| (l.op, l.waiting, l.kind)).collect();
        assert!(seen.contains(&(a, false, LockKind::Permit)) && seen.contains(&(b, true, LockKind::Permit)));
        assert_eq!(of(&PERMITS).len(), 1);
        drop(held);
        assert!(of(&PERMITS).is_empty());
        assert_eq!(permits.available(), 1);
    });
}

#[test]
fn a_waiter_that_gets_the_lock_holds_it() {
    let lock = Mutex::new(&STORE, 0_u32);
    let (tell, told) = mpsc::channel();
    let held = lock.lock();
    std::thread::scope(|threads| {
        let lock = &lock;
        threads.spawn(move || {
            *lock.lock() += 1;
            tell.send(()).unwrap();
        });
        assert!(told.recv_timeout(Duration::from_millis(5)).is_err());
        drop(held);
        told.recv().unwrap();
    });
    assert_eq!(*lock.lock(), 1);
}

#[test]
fn the_rank_table_in_the_docs_is_the_one_in_the_code() {
    let docs = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/LOCKS.md")).unwrap();
    let rows = docs.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | "));
    let named: Vec<String> = rows
        .filter(|(rank, _)| rank.parse::<u8>().is_ok())
        .map(|(rank, rest)| format!("{rank} {}", rest.split(" | ").next().unwrap().trim_matches('`')))
        .collect();
    let ranks: Vec<String> = Rank::ALL.iter().map(|rank| format!("{} {rank:?}", *rank as u8)).collect();
    assert_eq!(named, ranks);
    assert!(Rank::ALL.is_sorted());
}

/// Whether `work` panics.
fn breaks(work: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(work)).is_err()
}

/// Asks until there is an answer; a minute at most.
fn poll<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let until = crate::platform::clock::now() + Duration::from_secs(60);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(crate::platform::clock::now() < until, "it did not happen");
        std::thread::yield_now();
    }
}
