//! A disk that is too small, or becomes full.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use crate::{
    data::store::{FetchMode, Store, StoreError, state::Keep},
    process::demo::origin::Fault,
};

use super::world::{KIB, LIMIT, MIB, Settings, World, read, v1};

/// A file system of its own, gone when dropped.
struct Tmpfs(PathBuf);

impl Tmpfs {
    /// None, and a line that says so, where mounting is not allowed.
    fn mount(at: &Path, size: &str) -> Option<Self> {
        let mut run = Command::new("mount");
        run.args(["-t", "tmpfs", "-o", &format!("size={size}"), "fsd-test"]).arg(at);
        let done = run.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        if !done {
            println!("SKIP a full disk (found no right to mount, needs root)");
        }
        done.then(|| Self(at.to_owned()))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

#[test]
fn without_ranges_a_disk_that_is_too_small_is_an_error_with_figures_and_not_a_hang() {
    let world = World::new(&Settings { disk: Some(100 * MIB), ..Settings::default() });
    let Some(_disk) = Tmpfs::mount(world.dir.path(), "4m") else { return };
    world.origin.always("f", Fault::WholeForRange);
    let store = world.open("f", 80 * MIB);
    let got = read(&store, 79 * MIB..79 * MIB + 4096, LIMIT).wait();
    let early = got.is_ok();
    assert!(early || matches!(got, Err(StoreError::NoRoom { .. })), "{got:?}");
    assert!(world.until(|| store.progress().state == "failed"));
    let got = read(&store, 70 * MIB..70 * MIB + 4096, LIMIT).wait();
    assert!(matches!(got, Err(StoreError::NoRoom { needs, free }) if needs == 80 * MIB && free < needs), "{got:?}");
    world.close(store);
    assert!(world.drained());
    assert_eq!(world.stores.usage().disk, 0);
}

#[test]
fn what_the_disk_does_not_take_is_read_through_memory() {
    let world = World::new(&Settings { disk: Some(100 * MIB), cache: 4 * MIB, ..Settings::default() });
    let Some(_disk) = Tmpfs::mount(world.dir.path(), "4m") else { return };
    let store = world.open("f", 40 * MIB);
    world.check(&store, 39 * MIB..39 * MIB + 4096);
    world.check_all(&store);
    let usage = world.stores.usage();
    assert!(usage.memory <= 4 * MIB && world.temp_files() == 0, "{usage:?}");
    assert!(world.origin.sent() < 90 * MIB, "no download goes on that nobody keeps: {}", world.origin.sent());
    world.close(store);
    assert!(world.drained());
    let usage = world.stores.usage();
    assert_eq!((usage.disk, usage.memory, usage.requests), (0, 0, 0));
}

#[test]
fn a_disk_that_fills_up_ends_the_download_and_no_read() {
    let world = World::new(&Settings { disk: Some(100 * MIB), cache: 2 * MIB, ..Settings::default() });
    let Some(_disk) = Tmpfs::mount(world.dir.path(), "96m") else { return };
    world.origin.bandwidth(32 * MIB);
    let store = world.open("f", 80 * MIB);
    assert!(world.until(|| world.temp_files() == 1));
    // More than is left beside the first step of room that the temp file asks for.
    drop(fs::write(world.dir.path().join("other"), vec![1; 30 << 20]));
    world.check(&store, 79 * MIB..79 * MIB + 4096);
    assert!(world.until(|| store.progress().task.is_none()), "the download ends");
    world.origin.bandwidth(0);
    world.check_all(&store);
    world.close(store);
    let small = world.open("small", 100 * KIB);
    world.check_all(&small);
    world.close(small);
    assert!(world.drained());
    let usage = world.stores.usage();
    assert_eq!((usage.disk, usage.requests, usage.waiting, world.temp_files()), (0, 0, 0, 1));
    let lru = World::of(FetchMode::RangeLru);
    lru.origin.file("f", MIB);
    lru.check_all(&lru.open_as("f", MIB, v1()));
}

/// A store whose writer is held until the disk is left for memory.
fn left_by_a_writer_that_hangs(world: &World) -> Arc<Store> {
    fail::cfg("store::write", "return(f first)").unwrap();
    let store = world.open("f", 40 * MIB);
    assert!(world.until(|| store.state.lock().keep == Keep::Lru), "{:?}", store.progress());
    store
}

#[test]
fn a_disk_that_hangs_and_fails_then_ends_no_read() {
    let scenario = fail::FailScenario::setup();
    let world = World::new(&Settings { disk: Some(100 * MIB), cache: 4 * MIB, ..Settings::default() });
    let Some(_disk) = Tmpfs::mount(world.dir.path(), "4m") else { return };
    let store = left_by_a_writer_that_hangs(&world);
    fail::cfg("store::write", "off").unwrap();
    assert!(world.until(|| !store.state.lock().writing), "the write that hung has failed");
    world.check_all(&store);
    world.close(store);
    assert!(world.drained());
    scenario.teardown();
}

#[test]
fn what_a_disk_took_after_all_answers_who_asked_for_it_meanwhile() {
    let scenario = fail::FailScenario::setup();
    let patience = Duration::from_secs(300);
    let world = World::new(&Settings { cache: 4 * MIB, inactivity: patience, ..Settings::default() });
    let store = left_by_a_writer_that_hangs(&world);
    let mut at = 20 * MIB;
    while store.state.lock().held.have().covers(&(0..4096)) {
        world.check(&store, at..at + MIB);
        at += MIB;
    }
    world.origin.always("f", Fault::Silent);
    let reader = read(&store, 0..4096, patience);
    assert!(world.until(|| reader.has_parked()));
    fail::cfg("store::write", "off").unwrap();
    assert!(reader.wait().is_ok());
    scenario.teardown();
}

#[test]
fn files_that_always_have_more_to_write_leave_a_writer_to_the_others() {
    let scenario = fail::FailScenario::setup();
    fail::cfg("store::write", "return(hog first)").unwrap();
    let world = World::new(&Settings { cache: 256 * MIB, ..Settings::default() });
    let hogs = [world.open("hog", 24 * MIB), world.open_as("hog", 24 * MIB, v1())];
    let third = world.open("third", 2 * MIB);
    let all_in_memory = || hogs.iter().chain([&third]).all(|store| store.have() == store.content().size);
    assert!(world.until(all_in_memory), "{:?} {:?} {:?}", hogs[0].progress(), hogs[1].progress(), third.progress());
    // As many as there are writers: each writes once, and is held when it comes again.
    fail::cfg("store::write", "return(hog later)").unwrap();
    assert!(world.until(|| third.complete_file().is_some()), "nobody writes the third file");
    assert!(hogs.iter().all(|hog| hog.complete_file().is_none()));
    fail::cfg("store::write", "off").unwrap();
    assert!(world.until(|| hogs.iter().all(|hog| hog.complete_file().is_some())));
    scenario.teardown();
}

#[test]
fn a_reader_of_a_disk_that_hangs_ends_by_its_deadline_and_others_are_served() {
    let scenario = fail::FailScenario::setup();
    let world = World::of(FetchMode::TempFile);
    let (store, well) = (world.open("f", 4 * MIB), world.open("well", MIB));
    assert!(world.until(|| store.complete_file().is_some() && well.complete_file().is_some()));
    fail::cfg("store::disk_hangs", "return(f)").unwrap();
    let patience = Duration::from_millis(300);
    let readers: Vec<_> = (0..16).map(|n| read(&store, n * 4096..(n + 1) * 4096, patience)).collect();
    for reader in &readers {
        assert_eq!(reader.wait(), Err(StoreError::Deadline));
    }
    world.check(&well, 0..4096);
    assert_eq!(world.stores.usage().waiting, 0);
    fail::cfg("store::disk_hangs", "off").unwrap();
    world.check_all(&store);
    assert!(readers.iter().all(|reader| reader.now().is_none()), "and are answered once");
    scenario.teardown();
}

#[test]
fn a_download_goes_on_when_its_share_of_memory_becomes_less_than_it_has_not_written() {
    let scenario = fail::FailScenario::setup();
    let world = World::new(&Settings { cache: MIB, inactivity: LIMIT, ..Settings::default() });
    world.origin.bandwidth(MIB).file("shrinks", 2 * MIB).fault("shrinks", Fault::StallAt(300 * KIB));
    let store = world.open_as("shrinks", 2 * MIB, v1());
    let have = |more: u64| world.until(|| store.progress().have >= 300 * KIB + more);
    assert!(have(0) && world.until(|| world.origin.stalled() > 0), "too little to write yet");
    // It takes in one more piece, and is held before it looks for room for the next.
    fail::cfg("store::stalled_download", "return(shrinks)").unwrap();
    world.origin.release();
    assert!(have(1));
    let others: Vec<_> = (0..7).map(|n| world.open(&format!("small{n}"), 1000)).collect();
    fail::cfg("store::stalled_download", "off").unwrap();
    assert!(world.until(|| store.complete_file().is_some()), "{:?}", store.progress());
    world.check_all(&store);
    drop(others);
    scenario.teardown();
}
