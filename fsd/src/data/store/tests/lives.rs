//! Lives: tasks, permits and files that live as long as their store, whoever comes and goes meanwhile.

use std::{sync::Arc, time::Duration};

use fsd_events::ids::OpId;

use crate::{
    data::{
        origin::Validator,
        store::{FetchMode, StoreError},
    },
    platform::clock,
    process::demo::origin::Fault,
};

use super::world::{KIB, LIMIT, MIB, MODES, Settings, World, read, v1};

#[test]
fn r04_a_hundred_thousand_waits_start_no_task_and_no_thread_of_their_own() {
    const AT_ONCE: u64 = 10_000;
    let world = World::new(&Settings { inactivity: LIMIT * 5, ..Settings::default() });
    world.origin.file("f", 64 * MIB).always("f", Fault::StallAt(0));
    let store = world.open_as("f", 64 * MIB, v1());
    assert!(world.until(|| world.origin.stalled() > 0));
    let alive = || world.runtime.metrics().num_alive_tasks();
    let before = alive();
    for _ in 0..10 {
        let waits: Vec<_> =
            (0..AT_ONCE).map(|n| read(&store, n * 4 * KIB..n * 4 * KIB + 4096, Duration::from_millis(200))).collect();
        // One a chunk that is wanted, and one a connection: however many wait for it.
        assert!(alive() <= before + 100, "{} tasks for {AT_ONCE} waits", alive());
        waits.iter().for_each(|wait| assert_eq!(wait.wait(), Err(StoreError::Deadline)));
        assert_eq!(world.stores.usage().waiting, 0);
    }
    world.close(store);
    assert!(world.drained());
    assert!(world.until(|| alive() == 0), "{} tasks are left", alive());
}

#[test]
fn r05_hits_and_evictions_of_many_threads_give_right_bytes_within_the_bound() {
    let world = World::new(&Settings { mode: FetchMode::RangeLru, cache: 4 * MIB, ..Settings::default() });
    let store = world.open("f", 16 * MIB);
    std::thread::scope(|threads| {
        for seed in 0..6_u64 {
            let (world, store) = (&world, &store);
            threads.spawn(move || {
                let mut at = seed;
                for _ in 0..60 {
                    // A walk that comes back: hits and evictions in every order.
                    at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let off = (at >> 33) % (16 * MIB - 64 * KIB);
                    world.check(store, off..off + 64 * KIB);
                    assert!(world.stores.usage().memory <= 6 * MIB, "{} bytes", world.stores.usage().memory);
                }
            });
        }
    });
}

#[test]
fn r34_stores_that_come_while_others_are_waited_for_are_closed_too() {
    let world = World::of(FetchMode::TempFile);
    for n in 0..32 {
        world.origin.file(&format!("f{n}"), 300 * KIB);
    }
    std::thread::scope(|threads| {
        let world = &world;
        let comes = threads.spawn(move || {
            for n in 0..32 {
                world.close(world.open_as(&format!("f{n}"), 300 * KIB, v1()));
            }
        });
        // Waits again and again, from before the first to after the last.
        while !comes.is_finished() {
            assert!(world.drained());
        }
    });
    assert!(world.drained());
    let usage = world.stores.usage();
    assert_eq!((usage.stores, usage.disk, usage.requests, world.temp_files()), (0, 0, 0, 0));
}

#[test]
fn r35_a_temp_file_that_somebody_unlinks_serves_every_byte_all_the_same() {
    let world = World::new(&Settings { cache: 2 * MIB, ..Settings::default() });
    world.origin.file("f", 12 * MIB).bandwidth(12 * MIB);
    let store = world.open_as("f", 12 * MIB, v1());
    assert!(world.until(|| world.temp_files() == 1));
    for entry in std::fs::read_dir(world.dir.path()).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    world.check_all(&store);
    assert!(world.until(|| store.complete_file().is_some()));
    assert_eq!(world.temp_files(), 0, "one descriptor for all, and no second file");
    world.check(&store, 0..MIB);
    world.close(store);
    assert!(world.drained());
}

#[test]
fn r46_what_was_fetched_ahead_outlives_its_reader_and_fits_the_cache() {
    let world = World::new(&Settings { mode: FetchMode::RangeLru, cache: 8 * MIB, ..Settings::default() });
    world.origin.file("f", 64 * MIB).latency(Duration::from_millis(10));
    let store = world.open_as("f", 64 * MIB, v1());
    for n in 0..32 {
        world.check(&store, n * 128 * KIB..(n + 1) * 128 * KIB);
    }
    // The reader has stopped; what was on its way arrives.
    assert!(world.until(|| world.stores.usage().requests == 0));
    let sent = world.origin.sent();
    assert!(world.stores.usage().memory <= 9 * MIB);
    assert!(sent > 4 * MIB, "nothing was fetched ahead: {sent}");
    let next = read(&store, 4 * MIB..4 * MIB + 128 * KIB, LIMIT);
    assert!(next.wait().is_ok());
    assert!(world.until(|| world.stores.usage().requests == 0));
    assert!(world.origin.sent() < sent + 16 * MIB, "the bytes that were there are not fetched again");
}

#[test]
fn r34_a_drain_without_time_says_so_and_a_later_one_finds_the_same_close() {
    let scenario = fail::FailScenario::setup();
    for mode in MODES {
        let world = World::of(mode);
        let store = world.open("held", 2 * MIB);
        fail::cfg("store::close", "return(held)").unwrap();
        assert_ne!(world.close(Arc::clone(&store)), OpId::default());
        let now = clock::now();
        assert!(!world.runtime.block_on(world.closer.drain(now)), "{mode:?}");
        fail::cfg("store::close", "off").unwrap();
        assert!(world.drained(), "{mode:?}");
    }
    scenario.teardown();
}

#[test]
fn s107_all_stores_of_one_inode_are_of_one_version_until_the_kernel_forgets_it() {
    for mode in MODES {
        let world = World::of(mode);
        for (path, size) in [("small", 100 * KIB), ("large", 2 * MIB)] {
            world.origin.file(path, size);
            let first = world.open_as(path, size, Validator::None);
            world.check(&first, 0..4096);
            let ino = first.content().ino;
            world.close(first);
            assert!(world.drained());
            world.origin.file(path, size);
            let second = world.open_as(path, size, Validator::None);
            let got = read(&second, 8192..12288, LIMIT).wait();
            assert!(matches!(got, Err(StoreError::Changed(_))), "{mode:?}: {got:?}");
            world.close(second);
            world.stores.forget(ino);
            let third = world.open_as(path, size, Validator::None);
            let got = read(&third, 8192..12288, LIMIT).wait();
            assert_eq!(got, Ok(world.origin.bytes(path, 8192, 4096)), "{mode:?}");
            world.close(third);
        }
    }
}
