//! State: what a new worker knows of what an earlier one handed out.

use std::{
    fs::{self, File},
    os::unix::fs::{FileExt, MetadataExt},
    path::Path,
};

use fsd::process::demo::origin::IndexStyle;
use fsd_events::{
    layout,
    names::{OpenAs, read_opens},
};
use nix::sys::signal::Signal;

use super::{super::support::*, MIB, await_successor, send, worker};

/// Two versions of a file that one listing does not tell apart: pages that the kernel has of the first must not be
/// read beside bytes of the second. The worker that knew which one it was is gone.
#[test]
fn what_the_kernel_has_of_a_file_is_of_no_use_where_its_version_went_with_the_worker() {
    let origin = Origin::start().unwrap();
    origin.list_as(IndexStyle::NginxHtml).file("a", MIB / 4);
    let mounted = mount(Some(&origin.url("")), &["--supervisor", "--fetch-mode=range-lru", "--listing-ttl=1h"]);
    let read = |at: u64, len: usize| {
        let file = File::open(mounted.path("a")).unwrap();
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Random).unwrap();
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, at).map(|()| bytes)
    };
    assert!(read(0, 4096).unwrap() == origin.bytes("a", 0, 4096));
    await_true("the close", || mounted.status()["open_handles"] == 0 && mounted.status()["stores"] == 0);
    let old = worker(&mounted);
    send(old, Signal::SIGKILL);
    await_successor(&mounted, old);
    // Listed as it was, and changed before it is opened.
    assert_eq!(fs::read_dir(mounted.dir()).unwrap().count(), 2);
    origin.file("a", MIB / 4);
    let whole = read(0, MIB as usize / 4).unwrap();
    assert!(whole == origin.bytes("a", 0, MIB as usize / 4), "mixed");
    mounted.finish();
}

/// A soak of half an hour found one: a URL with its secrets, left for ever by a worker that was killed as it wrote.
#[test]
fn what_a_killed_worker_had_half_written_goes_with_it_or_with_the_mount() {
    let origin = Origin::start().unwrap();
    let mounted = mount(Some(&origin.url("")), &["--supervisor"]);
    let runtime = Path::new(&mounted.presence.socket).parent().unwrap().to_owned();
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
    let runtime = Path::new(&mounted.presence.socket).parent().unwrap().to_owned();
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
    assert!(mounted.fsd(&["unstage", id]).status.success());
    await_true("the eviction", || mounted.status()["staged"] == 0 && mounted.status()["stores"] == 0);
    await_true("the temp files", || files(&mounted.home().temp()).is_empty());
    let is_run = |entry: &fs::DirEntry| entry.path().is_dir() && entry.file_name() != layout::NOTES;
    let runs = || fs::read_dir(&runtime).unwrap().filter(|entry| is_run(entry.as_ref().unwrap())).count();
    await_true("the drain of the killed worker's run", || runs() == 1);
    mounted.finish();
}
