//! Closing: nobody waits for it, and everything comes back.

use std::{sync::Arc, time::Duration};

use fsd_events::{event::Phase, ids::OpId};

use crate::{
    data::{
        origin::Validator,
        store::{FetchMode, Store, StoreError, versions::Remember},
    },
    observe::tasks,
    process::demo::origin::Fault,
};

use super::world::{KIB, LIMIT, MIB, MODES, Settings, World, read, v1};

#[test]
fn r19_closing_answers_waiting_readers_at_once() {
    for mode in MODES {
        let world = World::new(&Settings { mode, inactivity: LIMIT * 5, ..Settings::default() });
        world.origin.file("f", 64 * MIB).always("f", Fault::Silent);
        let store = world.open_as("f", 64 * MIB, v1());
        let reader = read(&store, 0..4096, LIMIT * 5);
        world.close(Arc::clone(&store));
        assert_eq!(reader.wait(), Err(StoreError::Closed), "{mode:?}");
        assert_eq!(read(&store, 0..4096, LIMIT).wait(), Err(StoreError::Closed));
        assert!(world.drained());
    }
}

#[test]
fn r16_a_stalled_download_does_not_hold_up_the_close() {
    for mode in MODES {
        let world = World::new(&Settings { mode, inactivity: LIMIT * 5, ..Settings::default() });
        world.origin.file("f", 64 * MIB).always("f", Fault::StallAt(MIB));
        let store = world.open_as("f", 64 * MIB, v1());
        world.check(&store, 0..512 * KIB);
        assert!(world.until(|| world.origin.stalled() > 0));
        world.close(store);
        assert!(world.drained(), "{mode:?}");
        let usage = world.stores.usage();
        assert_eq!((usage.stores, usage.disk, usage.requests, world.temp_files()), (0, 0, 0, 0), "{mode:?}");
    }
}

#[test]
fn r41_a_close_that_timed_out_is_finished_by_the_reaper() {
    let scenario = fail::FailScenario::setup();
    let world = World::new(&Settings { close: Duration::from_millis(100), ..Settings::default() });
    let store = world.open("late", 5 * MIB);
    assert!(world.until(|| store.complete_file().is_some()));
    fail::cfg("store::close", "return(late)").unwrap();
    world.close(store);
    assert!(world.until(|| world.closer.reaping() == 1 && world.closer.closing() == 0));
    assert_eq!(world.stores.usage().disk, 5 * MIB);
    fail::cfg("store::close", "off").unwrap();
    assert!(world.drained());
    assert_eq!((world.stores.usage().disk, world.temp_files()), (0, 0));
    scenario.teardown();
}

/// It has registered a request whose task is not there yet.
fn is_about_to_start(store: &Store) -> bool {
    store.state.lock().flights.iter().any(|flight| flight.task.is_none())
}

/// A close that has begun and waits for something.
fn waits(close: OpId) -> bool {
    let mut waits = false;
    tasks::visit(&mut |task| waits |= task.id == close && task.phase == Some(Phase::Close) && !task.polling);
    waits
}

#[test]
fn a_request_that_was_about_to_start_does_not_hold_up_the_close() {
    // One that gets no permit, and one that is never answered.
    for (kind, fault) in [("ahead", None), ("demand", Some(Fault::Silent))] {
        let scenario = fail::FailScenario::setup();
        let mode = FetchMode::RangeLru;
        let world = World::new(&Settings { mode, inactivity: LIMIT * 5, at_once: 1, ..Settings::default() });
        let store = world.open(kind, 64 * MIB);
        if let Some(fault) = fault {
            world.origin.always(kind, fault);
        } else {
            world.check(&store, 0..128 * KIB);
        }
        fail::cfg("store::launch", &format!("return({kind} {kind})")).unwrap();
        let reading = Arc::clone(&store);
        let work = move || read(&reading, 768 * KIB..896 * KIB, LIMIT);
        let reader = std::thread::Builder::new().spawn(work).unwrap();
        assert!(world.until(|| is_about_to_start(&store)), "{kind}");
        let close = world.close(store);
        assert!(world.until(|| waits(close)), "{kind}");
        fail::cfg("store::launch", "off").unwrap();
        assert!(world.drained(), "{kind}");
        drop(reader.join().unwrap());
        scenario.teardown();
    }
}

#[test]
fn an_answer_of_another_version_does_not_hold_up_the_close() {
    /// An earlier worker gave out bytes of a version that the origin does not have any more.
    struct Earlier;
    impl Remember for Earlier {
        fn version(&self, _ino: u64) -> u32 {
            1
        }
        fn remember(&self, _ino: u64, _version: u32) {}
        fn hear(&self, _ino: u64, _told: u64) {}
    }
    for mode in MODES {
        let world = World::new(&Settings { mode, inactivity: LIMIT * 5, ..Settings::default() });
        world.stores.remember_with(Arc::new(Earlier));
        world.origin.file("f", 64 * MIB).always("f", Fault::Silent);
        let store = world.open_as("f", 64 * MIB, Validator::None);
        let readers = [0, 40 * MIB].map(|at| read(&store, at..at + 4096, LIMIT * 5));
        assert!(readers.iter().all(super::world::Answer::has_parked));
        world.origin.heal().release();
        for reader in readers {
            assert!(matches!(reader.wait(), Err(StoreError::Changed(_))), "{mode:?}");
        }
        world.close(store);
        assert!(world.drained(), "{mode:?}");
    }
}

#[test]
fn r18_a_close_during_reads_gives_whole_bytes_or_an_error() {
    for round in 0..20 {
        let world = World::of(FetchMode::TempFile);
        let store = world.open("f", 4 * MIB);
        if round % 2 == 0 {
            assert!(world.until(|| store.complete_file().is_some()));
        }
        let readers: Vec<_> = (0..32).map(|n| (n * 128 * KIB, Arc::clone(&store))).collect();
        let threads: Vec<_> = readers
            .into_iter()
            .map(|(at, store)| {
                let work = move || (at, read(&store, at..at + 128 * KIB, LIMIT).wait());
                std::thread::Builder::new().spawn(work).unwrap()
            })
            .collect();
        world.close(store);
        for thread in threads {
            let (at, got) = thread.join().unwrap();
            match got {
                Ok(bytes) => assert_eq!(bytes, world.origin.bytes("f", at, 128 << 10)),
                Err(error) => assert_eq!(error, StoreError::Closed),
            }
        }
        assert!(world.drained());
    }
}

#[test]
fn r38_two_files_of_sixty_percent_of_the_budget_do_not_both_open() {
    let world = World::new(&Settings { disk: Some(10 * MIB), ..Settings::default() });
    let first = world.open("a", 6 * MIB);
    world.origin.file("b", 6 * MIB);
    let second = world.stores.make(world.content("b", 6 * MIB, v1()));
    assert!(matches!(second, Err(StoreError::NoRoom { .. })));
    world.close(first);
    assert!(world.drained());
    let second = world.open_as("b", 6 * MIB, v1());
    world.check_all(&second);
}

#[test]
fn opening_and_closing_leaves_nothing_behind() {
    for mode in MODES {
        let world = World::of(mode);
        for n in 0..100 {
            let store = world.open(&format!("f{n}"), 2 * MIB);
            if n % 3 == 0 {
                world.check(&store, MIB..MIB + 4096);
            }
            world.close(store);
        }
        assert!(world.drained());
        let usage = world.stores.usage();
        assert_eq!((usage.disk, usage.requests, usage.waiting, world.temp_files()), (0, 0, 0, 0), "{mode:?}");
    }
}
