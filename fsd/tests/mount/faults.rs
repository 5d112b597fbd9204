//! Faults of origins, as a client of the mount sees them: right bytes, an error in time, and nobody else disturbed.

use std::{
    fs::{self, File},
    io::ErrorKind,
    os::unix::fs::FileExt,
    path::PathBuf,
    thread::{Builder, JoinHandle},
    time::Duration,
};

use fsd::process::demo::origin::first_difference;

use super::support::*;

const MIB: u64 = 1 << 20;

fn read_at(path: PathBuf, at: u64, len: usize) -> JoinHandle<std::io::Result<Vec<u8>>> {
    let read = move || {
        let mut bytes = vec![0; len];
        File::open(path)?.read_exact_at(&mut bytes, at).map(|()| bytes)
    };
    Builder::new().spawn(read).unwrap()
}

#[test]
fn r11_readers_of_a_dead_file_return_by_their_deadline_and_disturb_nobody() {
    const READERS: usize = 64;
    let origin = Origin::start().unwrap();
    origin.file("dead.bin", 64 * MIB).file("well.bin", 8 * MIB);
    for mode in ["temp-file", "range-lru"] {
        origin.heal();
        let args = ["--fetch-mode", mode, "--read-timeout", "3s", "--inactivity-timeout", "60s"];
        let mounted = mount(Some(&origin.url("")), &args);
        origin.always("dead.bin", Fault::StallAt(0));
        let started = now();
        let dead: Vec<_> =
            (0..READERS).map(|n| read_at(mounted.path("dead.bin"), (n as u64 % 16) * 4 * MIB, 4096)).collect();
        await_true("the dead file stalls", || origin.stalled() > 0);
        assert_eq!(fs::read_dir(mounted.dir()).unwrap().count(), 3, "both files and Staged, {mode}");
        let well = fs::read(mounted.path("well.bin")).unwrap();
        assert_eq!((well.len() as u64, first_difference("well.bin", 0, &well)), (8 * MIB, None), "{mode}");
        for reader in dead {
            let error = reader.join().unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut, "{mode}: {error}");
        }
        assert!(started.elapsed() < Duration::from_secs(30), "{mode}: all in one go, not one after another");
        let record = mounted.finish();
        assert_eq!(orphans(&record), Vec::<String>::new(), "{mode}");
        origin.release();
    }
}

#[test]
fn r32_an_upload_source_that_breaks_again_and_again_is_read_whole() {
    let origin = Origin::start().unwrap();
    let size = 24 * MIB + 5;
    for mode in ["temp-file", "range-lru"] {
        let name = format!("{mode}.bin");
        origin.file(&name, size);
        for part in [1, 3, 2] {
            origin.fault(&name, Fault::ShortAt(part * MIB)).fault(&name, Fault::ResetAt(part * 100_000));
        }
        let mounted = mount(Some(&origin.url("")), &["--fetch-mode", mode]);
        let bytes = fs::read(mounted.path(&name)).unwrap();
        assert_eq!((bytes.len() as u64, first_difference(&name, 0, &bytes)), (size, None), "{mode}");
        mounted.finish();
    }
}

#[test]
fn r30_a_file_that_ends_early_is_whole_or_an_error_and_never_shorter() {
    let origin = Origin::start().unwrap();
    let faults = [Fault::ShortAt(MIB), Fault::ShortAt(0), Fault::ChunkedShort(MIB), Fault::WrongLength(-5)];
    for (n, fault) in faults.into_iter().enumerate() {
        let name = format!("{n}.bin");
        origin.file(&name, 4 * MIB);
        let mounted = mount(Some(&origin.url("")), &[]);
        origin.always(&name, fault.clone());
        match fs::read(mounted.path(&name)) {
            Ok(bytes) => assert_eq!((bytes.len() as u64, first_difference(&name, 0, &bytes)), (4 * MIB, None)),
            Err(error) => assert_ne!(error.kind(), ErrorKind::UnexpectedEof, "{fault:?}"),
        }
        assert_eq!(fs::metadata(mounted.path(&name)).unwrap().len(), 4 * MIB, "{fault:?}: its size stays");
        mounted.finish();
    }
}

#[test]
fn r33_sixteen_players_get_the_end_of_a_slow_file_at_once() {
    let origin = Origin::start().unwrap();
    let size = 2000 * MIB;
    origin.file("film.mp4", size);
    let mounted = mount(Some(&origin.url("")), &[]);
    origin.bandwidth(4 * MIB);
    let players: Vec<_> =
        (0..16_u64).map(|n| read_at(mounted.path("film.mp4"), size - (n + 1) * 16384, 16384)).collect();
    for (n, player) in players.into_iter().enumerate() {
        let bytes = player.join().unwrap().unwrap();
        let at = size - (n as u64 + 1) * 16384;
        assert_eq!(first_difference("film.mp4", at, &bytes), None);
    }
    assert!(origin.sent() < size / 10, "not by downloading everything before it");
    assert!(fs::read_dir(mounted.dir()).unwrap().count() > 0);
    mounted.finish();
}
