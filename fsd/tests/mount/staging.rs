//! Staging under load: files that come, are read, go and come back at the same time.

use std::{fs::File, io::Read, path::PathBuf, thread};

use fsd::process::demo::origin::first_difference;

use super::{health::*, support::*};

const MIB: u64 = 1 << 20;
const ROUNDS: usize = 6;

/// Stages `name`; its id and where it is.
fn stage(mounted: &Mounted, origin: &Origin, name: &str) -> (String, PathBuf) {
    let said = mounted.fsd(&["stage", &origin.url(name)]);
    assert_eq!(said.status.code(), Some(0), "{}", text(&said.stderr));
    let said = text(&said.stdout);
    let (id, path) = said.trim_end().split_once(' ').unwrap();
    (id.to_owned(), PathBuf::from(path))
}

/// One who stages, opens, unstages while it is open, and reads to the end.
fn rounds(mounted: &Mounted, origin: &Origin, name: &str) {
    for round in 0..ROUNDS {
        let (id, path) = stage(mounted, origin, name);
        let mut file = File::open(&path).unwrap_or_else(|error| panic!("{name} {round}: {error}"));
        assert!(mounted.fsd(&["unstage", &id]).status.success(), "{name} {round}");
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap_or_else(|error| panic!("{name} {round}: {error}"));
        assert_eq!((bytes.len() as u64, first_difference(name, 0, &bytes)), (2 * MIB, None), "{name} {round}");
    }
}

#[test]
fn r23_r37_r42_who_stages_reads_and_unstages_beside_others_gets_right_bytes_and_leaves_nothing() {
    let origin = origin();
    for name in ["shared", "own"] {
        origin.file(name, 2 * MIB);
    }
    for mode in ["temp-file", "range-lru"] {
        let mounted = mount(Some(&origin.url("")), &["--fetch-mode", mode]);
        thread::scope(|threads| {
            // The same URL several times, and one that nobody else has.
            for name in ["shared", "shared", "shared", "own"] {
                let (mounted, origin) = (&mounted, &origin);
                thread::Builder::new().spawn_scoped(threads, move || rounds(mounted, origin, name)).unwrap();
            }
        });
        assert_eq!(mounted.status()["staged"], 0);
        nothing_is_left(&mounted, &origin);
        finish_clean(mounted);
    }
}

#[test]
fn r42_a_file_staged_anew_is_not_ended_by_the_close_of_the_one_before() {
    let origin = origin();
    origin.file("a", 2 * MIB);
    let mounted = mount(None, &[]);
    let (first, old_path) = stage(&mounted, &origin, "a");
    let old = File::open(old_path).unwrap();
    assert!(mounted.fsd(&["unstage", &first]).status.success());
    let (_, path) = stage(&mounted, &origin, "a");
    let new = File::open(&path).unwrap();
    drop(old);
    await_true("the old one's end", || mounted.status()["open_handles"] == 1);
    drop(new);
    // Still staged: it can be opened as often as one likes.
    for _ in 0..3 {
        assert_eq!(first_difference("a", 0, &read_anew(&path, 0, 2 * MIB as usize).unwrap()), None);
    }
    assert_eq!(mounted.status()["staged"], 1);
    finish_clean(mounted);
}
