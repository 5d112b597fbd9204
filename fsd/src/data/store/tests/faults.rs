//! What an origin can do wrong, and what a reader sees of it.

use std::time::Duration;

use crate::{
    data::{
        origin::Validator,
        store::{FetchMode, StoreError},
    },
    platform::clock,
    process::demo::origin::{Fault, Versions},
};

use super::world::{KIB, LIMIT, MIB, MODES, Settings, World, read, v1};

#[test]
fn a_healthy_origin_gives_every_byte_in_any_order() {
    for mode in MODES {
        let world = World::of(mode);
        let store = world.open("f", 5 * MIB + 77);
        world.check_all(&store);
        for at in [5 * MIB, 3, 4 * MIB - 1, MIB + 1, 0] {
            world.check(&store, at..at + 200 * KIB);
        }
        assert_eq!(read(&store, 6 * MIB..7 * MIB, Duration::ZERO).wait(), Ok(Vec::new()));
    }
}

#[test]
fn r12_the_last_partial_block_is_exact() {
    for mode in MODES {
        for size in [1, 4095, 4097, 300 * KIB + 1] {
            let world = World::of(mode);
            let store = world.open("f", size);
            world.check(&store, (size - 1) / 4096 * 4096..size + 4096);
        }
    }
}

#[test]
fn r30_r32_a_broken_answer_is_taken_up_where_it_broke() {
    for mode in MODES {
        for fault in [Fault::ShortAt, Fault::ResetAt, Fault::StallAt] {
            let world = World::of(mode);
            let size = 3 * MIB;
            world.origin.file("f", size);
            for part in [30, 60, 90] {
                world.origin.fault("f", fault(size * part / 100 % MIB));
            }
            let store = world.open_as("f", size, v1());
            world.check_all(&store);
        }
    }
}

#[test]
fn answers_that_do_not_fit_are_errors_and_never_bytes() {
    let faults = [Fault::Encoded, Fault::WrongLength(-7), Fault::WrongLength(7), Fault::status(404), Fault::Garbage];
    for mode in MODES {
        for fault in &faults {
            let world = World::of(mode);
            world.origin.file("f", MIB).always("f", fault.clone());
            let store = world.open_as("f", MIB, v1());
            let got = read(&store, 0..4096, Duration::from_secs(10)).wait();
            assert!(
                matches!(got, Err(StoreError::Upstream(_) | StoreError::Changed(_))),
                "{mode:?} {fault:?}: {got:?}"
            );
        }
    }
}

#[test]
fn wrong_ranges_are_errors_and_the_next_try_may_succeed() {
    for fault in [Fault::WrongRange, Fault::WrongTotal] {
        let world = World::of(FetchMode::RangeLru);
        world.origin.file("f", 4 * MIB).always("f", fault.clone());
        let store = world.open_as("f", 4 * MIB, v1());
        let got = read(&store, 0..4096, Duration::from_secs(10)).wait();
        assert!(got.is_err(), "{fault:?}");
        world.origin.heal();
        if fault == Fault::WrongRange {
            world.check(&store, 0..4096);
        }
    }
}

#[test]
fn passing_refusals_pass() {
    for mode in MODES {
        for fault in [Fault::status(503), Fault::Status { code: 429, retry_after: Some("0".into()) }, Fault::Silent] {
            let world = World::of(mode);
            world.origin.file("f", MIB).fault("f", fault);
            let store = world.open_as("f", MIB, v1());
            world.check_all(&store);
        }
    }
}

#[test]
fn r44_a_failure_is_not_remembered() {
    for mode in MODES {
        let world = World::of(mode);
        world.origin.file("f", MIB).always("f", Fault::status(500));
        let store = world.open_as("f", MIB, v1());
        let got = read(&store, 0..4096, Duration::from_secs(10)).wait();
        assert!(matches!(got, Err(StoreError::Upstream(_))), "{mode:?}: {got:?}");
        world.origin.heal();
        world.check_all(&store);
    }
}

#[test]
fn r29_near_reader_returns_while_far_one_waits() {
    let world = World::new(&Settings { inactivity: Duration::from_secs(30), ..Settings::default() });
    world.origin.file("f", 64 * MIB).always("f", Fault::StallAt(MIB));
    let store = world.open_as("f", 64 * MIB, v1());
    let far = read(&store, 3 * MIB..3 * MIB + 4096, Duration::from_secs(60));
    let beyond = read(&store, MIB - 4096..MIB + 4096, Duration::from_secs(60));
    world.check(&store, 0..128 * KIB);
    world.check(&store, 512 * KIB..640 * KIB);
    assert!(far.now().is_none() && beyond.now().is_none());
    world.origin.heal().release();
    assert!(far.wait().is_ok() && beyond.wait().is_ok());
}

#[test]
fn r03_a_trickle_does_not_move_the_deadline() {
    for mode in MODES {
        let world = World::of(mode);
        world.origin.file("f", MIB).always("f", Fault::Trickle(Duration::from_millis(20)));
        let store = world.open_as("f", MIB, v1());
        let started = clock::now();
        let got = read(&store, 0..4096, Duration::from_millis(600)).wait();
        assert_eq!(got, Err(StoreError::Deadline), "{mode:?}");
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}

#[test]
fn r11_many_readers_of_a_dead_origin_all_return_by_their_deadline() {
    for mode in MODES {
        let world = World::new(&Settings { mode, inactivity: Duration::from_secs(30), ..Settings::default() });
        world.origin.file("f", 64 * MIB).always("f", Fault::Silent);
        let store = world.open_as("f", 64 * MIB, v1());
        let readers: Vec<_> =
            (0..64).map(|n| read(&store, n * MIB..n * MIB + 4096, Duration::from_millis(300))).collect();
        for reader in readers {
            assert_eq!(reader.wait(), Err(StoreError::Deadline), "{mode:?}");
        }
        assert_eq!(world.stores.usage().waiting, 0);
    }
}

#[test]
fn r33_the_tail_comes_first_when_it_is_asked_for() {
    let world = World::of(FetchMode::TempFile);
    let size = 400 * MIB;
    world.origin.file("f", size).bandwidth(4 * MIB);
    let store = world.open_as("f", size, v1());
    world.check(&store, 0..4096);
    world.check(&store, size - 64 * KIB..size);
    assert!(store.progress().have < 20 * MIB, "not by waiting for the download: {:?}", store.progress());
    world.close(store);
    assert!(world.drained());
}

#[test]
fn s106_an_origin_without_ranges_is_read_from_its_start() {
    for mode in MODES {
        let world = World::of(mode);
        world.origin.file("f", 6 * MIB).no_ranges("f");
        let store = world.open_as("f", 6 * MIB, v1());
        world.check(&store, 5 * MIB..5 * MIB + 4096);
        world.check_all(&store);
    }
}

#[test]
fn a_changed_file_is_stale_and_never_a_mixture() {
    for mode in MODES {
        for versions in [Versions::Tag, Versions::Date] {
            let world = World::new(&Settings { mode, inactivity: Duration::from_secs(30), ..Settings::default() });
            world.origin.file("f", 64 * MIB).versions("f", versions).fault("f", Fault::StallAt(MIB));
            let store = world.open_as("f", 64 * MIB, Validator::None);
            world.check(&store, 0..4096);
            world.origin.file("f", 64 * MIB);
            let got = read(&store, 40 * MIB..40 * MIB + 4096, Duration::from_secs(10)).wait();
            assert!(matches!(got, Err(StoreError::Changed(_))), "{mode:?} {versions:?}: {got:?}");
            world.check(&store, 0..4096);
            world.origin.release();
        }
    }
}

#[test]
fn a_size_that_is_not_the_listed_one_is_a_change() {
    for mode in MODES {
        let world = World::of(mode);
        world.origin.file("f", 2 * MIB);
        let store = world.open_as("f", 2 * MIB + 1, Validator::None);
        let got = read(&store, 0..4096, Duration::from_secs(10)).wait();
        assert!(matches!(got, Err(StoreError::Changed(_))), "{mode:?}: {got:?}");
    }
}

#[test]
fn without_a_version_all_bytes_come_from_one_answer() {
    for mode in MODES {
        // A second answer must not come from a machine that is too busy to send the first.
        let world = World::new(&Settings { mode, inactivity: LIMIT, ..Settings::default() });
        world.origin.file("f", 8 * MIB).versions("f", Versions::Nothing);
        let store = world.open_as("f", 8 * MIB, Validator::None);
        world.check(&store, 7 * MIB..7 * MIB + 4096);
        world.check_all(&store);
        let whole = world.origin.requests().iter().filter(|request| request.range.is_none()).count();
        assert_eq!(whole, 1, "{mode:?}");
    }
}

#[test]
fn without_a_version_a_broken_answer_is_replaced_only_before_any_byte_was_given_away() {
    let world = World::of(FetchMode::TempFile);
    world.origin.file("f", 8 * MIB).versions("f", Versions::Nothing).fault("f", Fault::ShortAt(MIB));
    let store = world.open_as("f", 8 * MIB, Validator::None);
    world.check(&store, 7 * MIB..7 * MIB + 4096);
    world.check_all(&store);

    let world = World::of(FetchMode::TempFile);
    world.origin.file("f", 8 * MIB).versions("f", Versions::Nothing).fault("f", Fault::StallAt(MIB));
    let store = world.open_as("f", 8 * MIB, Validator::None);
    world.check(&store, 0..4096);
    let got = read(&store, 7 * MIB..7 * MIB + 4096, Duration::from_secs(10)).wait();
    assert!(matches!(got, Err(StoreError::Changed(_))), "{got:?}");
    world.check(&store, 0..4096);
}

/// The writer has bytes of the first answer in hand when the second begins.
#[test]
fn what_is_being_written_of_a_broken_answer_is_not_mixed_with_the_next() {
    let scenario = fail::FailScenario::setup();
    let world = World::new(&Settings { inactivity: LIMIT, ..Settings::default() });
    world.origin.file("again", 4 * MIB).versions("again", Versions::Nothing);
    for fault in [Fault::ShortAt(2 * MIB), Fault::Silent, Fault::StallAt(64 * KIB)] {
        world.origin.fault("again", fault);
    }
    fail::cfg("store::write", "return(again first)").unwrap();
    let store = world.open_as("again", 4 * MIB, Validator::None);
    assert!(world.until(|| world.origin.stalled() == 1 && store.progress().have == 2 * MIB));
    world.origin.file("again", 4 * MIB).release();
    assert!(world.until(|| world.origin.stalled() == 1 && store.progress().have == 64 * KIB));
    fail::cfg("store::write", "off").unwrap();
    assert!(world.until(|| !store.state.lock().writing));
    assert_eq!(store.progress().have, 64 * KIB, "of the second answer alone");
    world.origin.release();
    let got = read(&store, 0..4 * MIB, LIMIT).wait().unwrap();
    assert!(got == world.origin.bytes("again", 0, got.len()));
    scenario.teardown();
}

#[test]
fn without_a_length_more_bytes_than_were_listed_are_a_change() {
    let world = World::of(FetchMode::TempFile);
    world.origin.file("f", 3 * MIB).versions("f", Versions::Nothing).always("f", Fault::Chunked);
    // The last listed byte may stand within a piece, or be the last of one.
    for listed in [3 * MIB - 1000, 2 * MIB, MIB] {
        let store = world.open_as("f", listed, Validator::None);
        let got = read(&store, listed - 4096..listed, Duration::from_secs(10)).wait();
        assert!(matches!(got, Err(StoreError::Changed(_))), "{listed}: {:?}", got.map(|bytes| bytes.len()));
    }
}

#[test]
fn r45_memory_stays_within_its_bound_while_a_file_ten_times_larger_is_read() {
    let world = World::new(&Settings { mode: FetchMode::RangeLru, cache: 8 * MIB, ..Settings::default() });
    let store = world.open("f", 80 * MIB);
    let mut at = 0;
    while at < 80 * MIB {
        world.check(&store, at..at + MIB);
        let memory = world.stores.usage().memory;
        assert!(memory <= 9 * MIB, "{memory} bytes at {at}");
        at += MIB;
    }
    let sent = world.origin.sent();
    assert!(sent < 100 * MIB, "{sent} bytes for 80 MiB: what was prefetched must not be evicted before it is read");
}

#[test]
fn readers_at_a_thousand_places_of_one_file_are_answered_as_fast_as_the_origin_answers() {
    for mode in MODES {
        let patience = Duration::from_secs(60);
        let world = World::new(&Settings { mode, at_once: 16, inactivity: patience, ..Settings::default() });
        world.origin.file("f", 4096 * MIB).latency(Duration::from_millis(20));
        let store = world.open_as("f", 4096 * MIB, v1());
        let readers: Vec<_> = (0..1000).map(|n| read(&store, n * 4 * MIB..n * 4 * MIB + 4096, patience)).collect();
        for (n, reader) in readers.iter().enumerate() {
            assert!(reader.wait().is_ok(), "{mode:?}: reader {n}");
        }
    }
}

#[test]
fn a_slow_connection_gets_company_but_demand_keeps_a_permit() {
    for mode in MODES {
        let world = World::new(&Settings { mode, at_once: 4, ..Settings::default() });
        world.origin.file("f", 64 * MIB).latency(Duration::from_millis(20)).bandwidth(8 * MIB);
        let store = world.open_as("f", 64 * MIB, v1());
        let mut most = 0;
        for n in 0..96 {
            world.check(&store, n * 256 * KIB..(n + 1) * 256 * KIB);
            most = most.max(world.stores.usage().requests);
        }
        let download = usize::from(mode == FetchMode::TempFile);
        assert!((3..=4 + download).contains(&most), "{mode:?}: {most} requests at once");
        let far = read(&store, 60 * MIB..60 * MIB + 4096, LIMIT);
        assert!(far.wait().is_ok());
    }
}

#[test]
fn parallel_requests_bring_no_byte_twice() {
    let world = World::of(FetchMode::TempFile);
    world.origin.file("f", 48 * MIB).latency(Duration::from_millis(20)).bandwidth(16 * MIB);
    let store = world.open_as("f", 48 * MIB, v1());
    world.check_all(&store);
    let sent = world.origin.sent();
    // An answer that is given up half way has some bytes on the wire that nobody reads.
    assert!(sent < 64 * MIB, "{sent} bytes for {}", 48 * MIB);
}

#[test]
fn small_files_take_one_request_and_no_temp_file() {
    let world = World::of(FetchMode::TempFile);
    let store = world.open("f", 100 * KIB);
    world.check_all(&store);
    assert_eq!(world.origin.requests().len(), 1);
    assert_eq!(world.temp_files(), 0);
}

#[test]
fn a_complete_store_needs_no_origin_and_gives_its_file_away() {
    let world = World::of(FetchMode::TempFile);
    let store = world.open("f", 5 * MIB);
    assert!(world.until(|| store.complete_file().is_some()));
    let requests = world.origin.requests().len();
    world.origin.always("f", Fault::Silent);
    world.check_all(&store);
    assert_eq!(world.origin.requests().len(), requests);
    assert_eq!(store.complete_file().and_then(|file| file.metadata().ok()).map(|meta| meta.len()), Some(5 * MIB));
    assert_eq!(store.progress().state, "complete");
}

#[test]
fn r31_a_slow_download_completes() {
    let world = World::of(FetchMode::TempFile);
    world.origin.file("f", MIB).bandwidth(512 * KIB);
    let store = world.open_as("f", MIB, v1());
    world.check_all(&store);
}

#[test]
fn an_invisible_wake_up_is_healed_at_the_deadline() {
    let scenario = fail::FailScenario::setup();
    let world = World::of(FetchMode::TempFile);
    world.origin.file("sleeper", 5 * MIB).latency(Duration::from_millis(100));
    fail::cfg("store::lost_wakeup", "return(sleeper)").unwrap();
    let store = world.open_as("sleeper", 5 * MIB, v1());
    let lost = read(&store, 0..4096, Duration::from_millis(500));
    assert!(lost.has_parked());
    assert!(lost.wait().is_ok(), "the ticker uses the same predicate");
    scenario.teardown();
}
