//! Names: directories read in steps, names that come, go and change.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read,
    mem::MaybeUninit,
    os::unix::fs::{FileExt, MetadataExt},
    path::Path,
    sync::mpsc,
    thread,
    time::Duration,
};

use fsd::process::demo::origin::{IndexStyle, Versions};
use fsd_events::{
    ids::Ino,
    layout,
    names::{Names, read_opens},
};
use rustix::fs::{Mode, OFlags, RawDir};

use nix::sys::signal::Signal;

use super::{
    health::reading,
    support::*,
    takeover::{await_successor, send, worker},
};

const MIB: u64 = 1 << 20;

/// How often each name comes when the directory is read through a buffer of `size` bytes; `between` is called now
/// and then.
fn read_in_steps(dir: &Path, size: usize, mut between: impl FnMut()) -> BTreeMap<String, usize> {
    let open = rustix::fs::open(dir, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
    let mut buffer = vec![MaybeUninit::uninit(); size];
    let mut entries = RawDir::new(open, &mut buffer);
    let mut seen = BTreeMap::new();
    while let Some(entry) = entries.next() {
        let name = entry.unwrap().file_name().to_str().unwrap().to_owned();
        *seen.entry(name).or_default() += 1;
        if seen.len() % 1000 == 0 {
            between();
        }
    }
    seen
}

#[test]
fn r17_ten_thousand_names_come_exactly_once_each_through_a_small_buffer() {
    let origin = Origin::start().unwrap();
    for n in 0..10_000 {
        origin.file(&format!("many/file {n:05}.txt"), 10);
    }
    let mounted = mount(Some(&origin.url("")), &[]);
    for size in [512, 32 << 10] {
        let seen = read_in_steps(&mounted.path("many"), size, || ());
        assert_eq!(seen.len(), 10_002, "with . and ..");
        assert!(seen.values().all(|times| *times == 1));
    }
    let record = mounted.finish();
    assert_eq!(orphans(&record), Vec::<String>::new());
}

#[test]
fn s109_names_that_stay_come_once_while_others_change() {
    let origin = Origin::start().unwrap();
    for n in 0..5000 {
        origin.file(&format!("many/stays {n:05}"), 10);
    }
    let mounted = mount(Some(&origin.url("")), &["--listing-ttl", "100ms"]);
    let mut round = 0;
    let seen = read_in_steps(&mounted.path("many"), 1024, || {
        round += 1;
        origin.file(&format!("many/comes {round}"), 10).remove(&format!("many/comes {}", round - 1));
        // Somebody else looks anew.
        fs::read_dir(mounted.path("many")).unwrap().for_each(drop);
    });
    let stays: Vec<_> = seen.iter().filter(|(name, _)| name.starts_with("stays")).collect();
    assert_eq!(stays.len(), 5000);
    assert!(seen.values().all(|times| *times == 1));
    mounted.finish();
}

#[test]
fn new_content_is_a_new_file_and_an_open_one_never_mixes_versions() {
    let origin = Origin::start().unwrap();
    origin.file("a", MIB);
    let mounted = mount(Some(&origin.url("")), &["--listing-ttl", "100ms"]);
    let old = File::open(mounted.path("a")).unwrap();
    let before = old.metadata().unwrap().ino();
    let mut bytes = vec![0; MIB as usize];
    old.read_exact_at(&mut bytes, 0).unwrap();
    assert!(bytes == origin.bytes("a", 0, bytes.len()));
    origin.file("a", MIB + 5);
    await_true("the new file", || fs::metadata(mounted.path("a")).is_ok_and(|now| now.size() == MIB + 5));
    assert_ne!(fs::metadata(mounted.path("a")).unwrap().ino(), before);
    assert!(fs::read(mounted.path("a")).unwrap() == origin.bytes("a", 0, bytes.len() + 5));
    let mut again = vec![0; bytes.len()];
    old.read_exact_at(&mut again, 0).unwrap();
    assert!(again == bytes, "an open file keeps its bytes");
    drop(old);
    mounted.finish();
}

#[test]
fn s107_a_file_that_changes_under_its_reader_is_stale_and_its_name_leads_to_the_new_one() {
    let origin = Origin::start().unwrap();
    origin.file("a", 64 * MIB).fault("a", Fault::StallAt(MIB));
    let mounted = mount(Some(&origin.url("")), &[]);
    let mut old = File::open(mounted.path("a")).unwrap();
    old.read_exact(&mut [0; 1000]).unwrap();
    // Another version of the same size: only its tag tells.
    origin.file("a", 64 * MIB).release();
    let stale = |file: &File| file.read_at(&mut [0; 1000], 40 * MIB).err().and_then(|error| error.raw_os_error());
    assert_eq!(stale(&old), Some(nix::errno::Errno::ESTALE as i32));
    drop(old);
    await_true("the new version", || {
        let mut bytes = [0; 1000];
        let read = File::open(mounted.path("a")).and_then(|file| file.read_exact_at(&mut bytes, 40 * MIB));
        read.is_ok() && bytes[..] == origin.bytes("a", 40 * MIB, 1000)
    });
    mounted.finish();
}

#[test]
fn a_file_without_versions_is_read_anew_after_each_close_and_takes_one_name() {
    for mode in ["temp-file", "range-lru"] {
        let origin = Origin::start().unwrap();
        origin.list_as(IndexStyle::Python);
        let mounted = mount(Some(&origin.url("")), &["--fetch-mode", mode, "--listing-ttl", "10m"]);
        let runtime = mounted.runtime();
        let names = || Names::read(&fs::read(runtime.join(layout::NAMES)).unwrap()).unwrap().len();
        let change = || _ = origin.file("a", MIB).versions("a", Versions::Nothing);
        change();
        let read = || fs::read(mounted.path("a")).unwrap() == origin.bytes("a", 0, MIB as usize);
        assert!(read());
        let before = names();
        for _ in 0..5 {
            await_true("the close", || mounted.status()["stores"] == 0);
            change();
            assert!(read(), "{mode}: bytes of an earlier version");
        }
        // Who has it open keeps its bytes, and so does who opens it beside.
        let held = File::open(mounted.path("a")).unwrap();
        let read_held = || {
            let mut bytes = vec![0; MIB as usize];
            held.read_exact_at(&mut bytes, 0).map(|()| bytes)
        };
        let bytes = read_held().unwrap();
        change();
        assert!(fs::read(mounted.path("a")).unwrap() == bytes && read_held().unwrap() == bytes);
        drop(held);
        assert_eq!(names(), before, "{mode}");
        mounted.finish();
    }
}

#[test]
fn who_opens_a_file_without_versions_does_not_wait_for_a_read_of_it() {
    let origin = Origin::start().unwrap();
    origin.list_as(IndexStyle::Python).file("a", 64 * MIB).versions("a", Versions::Nothing);
    origin.always("a", Fault::StallAt(0));
    let mounted = mount(Some(&origin.url("")), &["--read-timeout", "60s", "--inactivity-timeout", "60s"]);
    let stalled = reading(mounted.path("a"), 0, 4096);
    mounted.await_event(|event| event["ev"] == "wait");
    let (path, (opened, told)) = (mounted.path("a"), mpsc::channel());
    let opener = thread::Builder::new().spawn(move || opened.send(File::open(path).is_ok())).unwrap();
    let in_time = told.recv_timeout(Duration::from_secs(10));
    origin.heal().release();
    assert_eq!(in_time, Ok(true), "a second open waits for a read");
    opener.join().unwrap().unwrap();
    assert!(stalled.join().unwrap().0.is_ok());
    mounted.finish();
}

#[test]
fn a_file_that_is_opened_again_and_again_takes_one_name() {
    let origin = Origin::start().unwrap();
    origin.file("a", MIB);
    let mounted = mount(Some(&origin.url("")), &[]);
    let runtime = mounted.runtime();
    let names = || Names::read(&fs::read(runtime.join(layout::NAMES)).unwrap()).unwrap().len();
    for _ in 0..10 {
        fs::read(mounted.path("a")).unwrap();
        await_true("the close", || mounted.status()["stores"] == 0);
    }
    // Beside it there is the directory of staged files.
    assert_eq!(names(), 2);
    mounted.finish();
}

#[test]
fn the_shared_tables_tell_paths_and_open_files_to_whoever_reads_them() {
    let origin = Origin::start().unwrap();
    origin.file("d/a", MIB);
    let mounted = mount(Some(&origin.url("")), &[]);
    let runtime = mounted.runtime();
    let opens = || read_opens(&fs::read(runtime.join(layout::OPENS)).unwrap()).unwrap();
    let one = File::open(mounted.path("d/a")).unwrap();
    let two = File::open(mounted.path("d/a")).unwrap();
    let names = Names::read(&fs::read(runtime.join(layout::NAMES)).unwrap()).unwrap();
    let ino = Ino(one.metadata().unwrap().ino());
    assert_eq!((names.path(ino).as_deref(), names.damaged), (Some("d/a"), 0));
    assert_eq!(opens().iter().filter(|open| open.ino == ino).count(), 2);
    drop((one, two));
    await_true("the closes", || opens().is_empty());
    mounted.finish();
}

/// A name that leads back to an inode which the kernel had left gives one lookup of it back, while somebody holds it.
#[test]
fn a_file_that_somebody_holds_by_its_path_alone_keeps_its_version_also_over_a_hand_over() {
    let origin = Origin::start().unwrap();
    let size = MIB / 4;
    // The third version looks like the first.
    let show = |size: u64| {
        let time = "Tue, 14 Nov 2023 23:13:20 GMT";
        let row = format!(r#"[{{"name":"a","type":"file","mtime":"{time}","size":{size}}}]"#);
        origin.file("d/a", size).page("d/", "application/json", &row);
    };
    show(size);
    let args = ["--supervisor", "--fetch-mode=range-lru", "--listing-ttl=100ms"];
    let mounted = mount(Some(&origin.url("d/")), &args);
    let path = mounted.path("a");
    let open = || {
        let file = File::open(&path)?;
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Random).unwrap();
        std::io::Result::Ok(file)
    };
    open().unwrap().read_exact_at(&mut [0; 4096], 0).unwrap();
    let held = rustix::fs::open(&path, OFlags::PATH, Mode::empty()).unwrap();
    let ino = rustix::fs::fstat(&held).unwrap().st_ino;
    let old = worker(&mounted);
    send(old, Signal::SIGKILL);
    await_successor(&mounted, old);
    show(size + 1);
    await_true("another file", || fs::metadata(&path).is_ok_and(|meta| meta.ino() != ino));
    show(size);
    await_true("the first again", || fs::metadata(&path).is_ok_and(|meta| meta.ino() == ino));
    let forgets = |event: &&serde_json::Value| {
        event["ev"] == "enter" && (event["op"] == "Forget" || event["op"] == "BatchForget")
    };
    await_true("what it gives back", || mounted.recorded().iter().filter(forgets).count() >= 2);
    await_true("the new content", || {
        let mut bytes = vec![0; size as usize];
        let got = open().and_then(|file| file.read_exact_at(&mut bytes, 0));
        assert!(got.is_err() || bytes == origin.bytes("d/a", 0, size as usize), "two versions in one file");
        got.is_ok()
    });
    drop(held);
    mounted.finish();
}
