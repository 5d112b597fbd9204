//! State: what a new worker knows of what an earlier one handed out.

use std::{
    fs::{self, File},
    os::unix::fs::{FileExt, MetadataExt},
};

use fsd::process::demo::origin::{IndexStyle, Versions};
use fsd_events::{
    layout,
    names::{OpenAs, read_opens},
};
use nix::sys::signal::Signal;
use rustix::fs::{Advice, fadvise};

use super::{super::support::*, MIB, await_successor, send, worker};

/// A file that changes between the listing of the next worker and its first read there, where the listing does not tell
/// the two versions apart: the kernel has pages of the first, and may never show them beside bytes of the second. Found
/// by a soak, once.
#[test]
fn two_versions_of_a_file_are_never_mixed_across_a_hand_over() {
    let origin = Origin::start().unwrap();
    let size = MIB as usize / 4;
    origin.list_as(IndexStyle::NginxHtml).file("a", MIB / 4).file("b", MIB / 4);
    let mounted = mount(Some(&origin.url("")), &["--supervisor", "--fetch-mode=range-lru", "--listing-ttl=1h"]);
    let open = |name: &str| {
        let file = File::open(mounted.path(name)).unwrap();
        fadvise(&file, 0, None, Advice::Random).unwrap();
        file
    };
    let read = |file: &File| {
        let mut bytes = vec![0; size];
        file.read_exact_at(&mut bytes, 0).map(|()| bytes)
    };
    let held = open("b");
    for (file, name) in [(&open("a"), "a"), (&held, "b")] {
        let mut first = [0; 4096];
        file.read_exact_at(&mut first, 0).unwrap();
        assert!(first[..] == origin.bytes(name, 0, 4096));
    }
    await_true("the close", || mounted.status()["open_handles"] == 1 && mounted.status()["stores"] == 1);
    let old = worker(&mounted);
    send(old, Signal::SIGKILL);
    await_successor(&mounted, old);
    // Listed as they were, and changed before the first read.
    assert_eq!(fs::read_dir(mounted.dir()).unwrap().count(), 3);
    origin.file("a", MIB / 4).file("b", MIB / 4);
    assert!(read(&held).is_err(), "the rest of what it read before is nowhere any more");
    drop(held);
    await_true("the new version", || {
        let got = read(&open("a"));
        assert!(got.as_ref().is_err() || got.as_ref().unwrap() == &origin.bytes("a", 0, size), "mixed");
        got.is_ok()
    });
    mounted.finish();
}

/// Nothing tells whether a second answer is of the same file as the first, and its reader has bytes of the first.
#[test]
fn a_file_without_versions_is_of_one_answer_also_across_a_hand_over() {
    let origin = Origin::start().unwrap();
    let show = || _ = origin.file("a", 64 * MIB).versions("a", Versions::Nothing);
    origin.list_as(IndexStyle::Python);
    show();
    origin.always("a", Fault::StallAt(MIB));
    let mounted = mount(Some(&origin.url("")), &["--supervisor", "--fetch-mode=range-lru", "--listing-ttl=1h"]);
    let held = File::open(mounted.path("a")).unwrap();
    let mut bytes = [0; 4096];
    held.read_exact_at(&mut bytes, 0).unwrap();
    assert!(bytes[..] == origin.bytes("a", 0, bytes.len()));
    let old = worker(&mounted);
    send(old, Signal::SIGKILL);
    await_successor(&mounted, old);
    show();
    origin.heal().release();
    assert!(held.read_exact_at(&mut bytes, 40 * MIB).is_err(), "bytes of another answer");
    drop(held);
    await_true("the new file", || {
        let got = File::open(mounted.path("a")).and_then(|file| file.read_exact_at(&mut bytes, 40 * MIB));
        got.is_ok() && bytes[..] == origin.bytes("a", 40 * MIB, bytes.len())
    });
    mounted.finish();
}

/// What a worker found out about a file is known to the next: the same bytes never get a dead inode again.
#[test]
fn a_change_that_one_worker_noticed_is_no_news_to_the_next() {
    let origin = Origin::start().unwrap();
    let size = MIB as usize / 4;
    origin.list_as(IndexStyle::NginxHtml).file("a", MIB / 4);
    let mounted = mount(Some(&origin.url("")), &["--supervisor", "--fetch-mode=range-lru", "--listing-ttl=1h"]);
    assert!(fs::read(mounted.path("a")).unwrap() == origin.bytes("a", 0, size));
    origin.file("a", MIB / 4);
    let fresh = || {
        let file = File::open(mounted.path("a")).ok()?;
        fadvise(&file, 0, None, Advice::DontNeed).unwrap();
        let mut bytes = vec![0; size];
        file.read_exact_at(&mut bytes, 0).ok().map(|()| bytes)
    };
    await_true("the new version", || fresh() == Some(origin.bytes("a", 0, size)));
    let old = worker(&mounted);
    send(old, Signal::SIGKILL);
    await_successor(&mounted, old);
    assert!(fresh() == Some(origin.bytes("a", 0, size)), "no error, and no older bytes");
    mounted.finish();
}

/// A soak of half an hour found one: a URL with its secrets, left for ever by a worker that was killed as it wrote.
#[test]
fn what_a_killed_worker_had_half_written_goes_with_it_or_with_the_mount() {
    let origin = Origin::start().unwrap();
    let mounted = mount(Some(&origin.url("")), &["--supervisor"]);
    let runtime = mounted.runtime();
    let half = |number: u64| runtime.join(format!("{}.{number}", layout::STAGED));
    let old = worker(&mounted);
    fs::write(half(1), "https://user:secret@host/").unwrap();
    send(old, Signal::SIGKILL);
    await_successor(&mounted, old);
    assert!(!half(1).exists());
    fs::write(half(2), "https://user:secret@host/").unwrap();
    fs::write(runtime.join(format!("{}.new", layout::MOUNT_FILE)), "{").unwrap();
    mounted.finish();
}

#[test]
fn staged_files_open_handles_and_backing_files_outlive_a_killed_worker() {
    if !nix::unistd::geteuid().is_root() {
        return skip("passthrough", "a plain user", "root");
    }
    let origin = Origin::start().unwrap();
    origin.file("a", 3 * MIB);
    let mounted = mount(None, &["--supervisor"]);
    let runtime = mounted.runtime();
    let opens = || read_opens(&fs::read(runtime.join(layout::OPENS)).unwrap()).unwrap();
    let staged = mounted.fsd(&["stage", &origin.url("a")]);
    assert!(staged.status.success(), "{}", text(&staged.stderr));
    let said = text(&staged.stdout);
    let (id, path) = said.trim().split_once(' ').unwrap();
    let whole = || fs::read(path).unwrap() == origin.bytes("a", 0, 3 * MIB as usize);
    assert!(whole());
    await_true("the close", || opens().is_empty());
    // Complete by now: the kernel reads it by itself where it can.
    let held = File::open(path).unwrap();
    let ino = held.metadata().unwrap().ino();
    if opens()[0].how == OpenAs::Cached {
        skip("passthrough", "a kernel that refuses it", "Linux 6.9 and a file system that it takes");
    }
    let old = worker(&mounted);
    send(old, Signal::SIGKILL);
    await_successor(&mounted, old);
    assert_eq!(fs::metadata(path).unwrap().ino(), ino, "the same file");
    let second = File::open(path).unwrap();
    let mut bytes = [0; 1000];
    for file in [&held, &second] {
        file.read_exact_at(&mut bytes, MIB).unwrap();
        assert!(bytes[..] == origin.bytes("a", MIB, 1000));
    }
    assert_eq!(opens().len(), 2);
    assert_eq!(opens()[0].how, opens()[1].how, "one way for all who have it open");
    drop((held, second));
    await_true("the closes", || opens().is_empty());
    assert!(whole());
    // One when it took over, and one behind each last close.
    let swept = |event: &&serde_json::Value| event["ev"] == "task_end" && event["task"] == "evict";
    await_true("the sweeps", || mounted.recorded().iter().filter(swept).count() >= 3);
    assert_eq!(files(&mounted.home().temp()).len(), 1, "the temp file of a store that is in use");
    assert!(mounted.fsd(&["unstage", id]).status.success());
    await_true("the eviction", || mounted.status()["staged"] == 0 && mounted.status()["stores"] == 0);
    await_true("the temp files", || files(&mounted.home().temp()).is_empty());
    let is_run = |entry: &fs::DirEntry| entry.path().is_dir() && entry.file_name() != layout::NOTES;
    let runs = || fs::read_dir(&runtime).unwrap().filter(|entry| is_run(entry.as_ref().unwrap())).count();
    await_true("the drain of the killed worker's run", || runs() == 1);
    mounted.finish();
}

#[test]
fn what_is_unstaged_after_a_hand_over_stays_until_those_who_opened_it_before_have_closed_it() {
    let origin = Origin::start().unwrap();
    origin.file("a", MIB);
    let mounted = mount(None, &["--supervisor"]);
    let staged = text(&mounted.fsd(&["stage", &origin.url("a")]).stdout);
    let (id, path) = staged.trim().split_once(' ').unwrap();
    let [held, other] = [(); 2].map(|()| File::open(path).unwrap());
    let old = worker(&mounted);
    send(old, Signal::SIGKILL);
    await_successor(&mounted, old);
    assert!(mounted.fsd(&["unstage", id]).status.success());
    // Used and closed in the new worker, while one that it has not seen yet is still open.
    other.read_exact_at(&mut [0; 1000], 0).unwrap();
    drop(other);
    let listed = || serde_json::from_slice::<serde_json::Value>(&mounted.fsd(&["list", "--json"]).stdout).unwrap();
    await_true("the close", || listed()["staged"][0]["open"] == 1);
    let mut bytes = [0; 1000];
    held.read_exact_at(&mut bytes, MIB - 1000).unwrap();
    assert!(bytes[..] == origin.bytes("a", MIB - 1000, 1000));
    drop(held);
    await_true("the eviction", || listed()["staged"] == serde_json::json!([]));
    await_true("the end of its store", || mounted.status()["stores"] == 0);
    mounted.finish();
}
