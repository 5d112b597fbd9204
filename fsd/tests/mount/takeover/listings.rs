//! Listings: what the mount showed before, a new worker shows while the origin does not answer.

use std::{fs, path::Path, time::Duration};

use fsd::process::demo::origin::IndexStyle;
use nix::sys::signal::Signal;

use super::{super::support::*, await_successor, send, worker};

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn kill_worker(mounted: &Mounted) {
    let old = worker(mounted);
    send(old, Signal::SIGKILL);
    await_successor(mounted, old);
}

fn silence(origin: &Origin) {
    for path in ["", "films/", "films/a.mkv"] {
        origin.always(path, Fault::Silent);
    }
}

#[test]
fn directories_that_were_listed_are_shown_by_the_next_worker_while_the_origin_is_silent() {
    let origin = Origin::start().unwrap();
    origin.file("films/a.mkv", 1000).file("films/b #1.mkv", 7).file("c", 3);
    let mounted = mount(Some(&origin.url("")), &["--supervisor"]);
    assert_eq!(names(&mounted.dir()), ["Staged", "c", "films"]);
    assert_eq!(names(&mounted.path("films")), ["a.mkv", "b #1.mkv"]);
    let sizes = || ["films/a.mkv", "films/b #1.mkv"].map(|name| fs::metadata(mounted.path(name)).unwrap().len());
    assert_eq!(sizes(), [1000, 7]);
    silence(&origin);
    for _ in 0..2 {
        kill_worker(&mounted);
        let start = now();
        assert_eq!(names(&mounted.dir()), ["Staged", "c", "films"]);
        assert_eq!(names(&mounted.path("films")), ["a.mkv", "b #1.mkv"]);
        assert_eq!(sizes(), [1000, 7]);
        assert!(now() - start < Duration::from_secs(4), "nobody waited for the origin");
    }
    origin.heal().release();
    assert!(fs::read(mounted.path("films/a.mkv")).unwrap() == origin.bytes("films/a.mkv", 0, 1000), "it is found");
    assert!(fs::read(mounted.path("films/b #1.mkv")).unwrap() == origin.bytes("films/b #1.mkv", 0, 7));
    mounted.finish();
}

/// They are as old as they are: the origin is asked again when the one before would have asked.
#[test]
fn what_an_earlier_worker_showed_is_shown_late_when_it_is_too_old() {
    let origin = Origin::start().unwrap();
    origin.list_as(IndexStyle::NginxJson).file("films/a.mkv", 1000);
    let mounted = mount(Some(&origin.url("")), &["--supervisor", "--listing-ttl=100ms", "--meta-timeout=1s"]);
    assert_eq!(names(&mounted.path("films")), ["a.mkv"]);
    let asked = || origin.requests_of("films/").len();
    let before = asked();
    silence(&origin);
    kill_worker(&mounted);
    await_true("a question to the origin", || {
        assert_eq!(names(&mounted.path("films")), ["a.mkv"]);
        asked() > before
    });
    origin.heal().release().file("films/b.mkv", 1);
    await_true("the new name", || names(&mounted.path("films")) == ["a.mkv", "b.mkv"]);
    origin.remove("films/a.mkv").remove("films/b.mkv");
    kill_worker(&mounted);
    await_true("the end of the directory", || fs::read_dir(mounted.path("films")).is_err());
    mounted.finish();
}

#[test]
fn files_of_a_manifest_are_shown_by_the_next_worker_while_their_origin_is_silent() {
    let origin = Origin::start().unwrap();
    origin.file("x", 1000);
    let dirs = Dirs::new();
    let manifest = dirs.root().join("list.toml");
    fs::write(&manifest, format!("[[file]]\nname = \"deep/a\"\nurl = \"{}?key=1\"\n", origin.url("x"))).unwrap();
    let mounted = try_mount(dirs, Some(&manifest.display().to_string()), &["--supervisor"], |_| ()).unwrap();
    assert_eq!(names(&mounted.path("deep")), ["a"]);
    origin.always("x", Fault::Silent);
    kill_worker(&mounted);
    assert_eq!(names(&mounted.path("deep")), ["a"]);
    assert_eq!(fs::metadata(mounted.path("deep/a")).unwrap().len(), 1000);
    origin.heal().release();
    assert!(fs::read(mounted.path("deep/a")).unwrap() == origin.bytes("x", 0, 1000));
    mounted.finish();
}
