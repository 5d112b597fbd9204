//! What dumps cost a mount at work: windows with one dump each, and windows without, in turn.
//!
//! `cargo test --release -p fsd --test stacks -- --load [PAIRS]`

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::Duration,
};

use fsd::{
    platform::clock,
    process::demo::{
        origin::Origin,
        served::{Home, Served},
    },
};

/// Pairs without a number given.
const PAIRS: usize = 15;
const WINDOW: Duration = Duration::from_secs(2);
/// Shortest time between two dumps of a stall.
const GAP: Duration = Duration::from_secs(60);
const READERS: usize = 4;
const SIZE: u64 = 64 << 20;
const PIECE: usize = 128 << 10;

/// Memory as direct reads want it.
#[repr(align(4096))]
struct Page([u8; PIECE]);

/// Prints the reads of each pair, and the ratio of the medians.
pub(crate) fn print(pairs: Option<usize>) {
    let origin = Origin::start().unwrap();
    origin.file("load", SIZE);
    let (root, runtime) = (tempfile::tempdir().unwrap(), tempfile::tempdir_in("/dev/shm").unwrap());
    let home = Home::new(root.path(), &runtime.path().join("run")).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_fsd"));
    let mut served = Served::start(program, &home, Some(&origin.url("")), &["--no-supervisor"], |_| ()).unwrap();
    let path = served.path("load");
    drop(std::fs::read(&path).unwrap());
    let (reads, failed, done) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        for n in 0..READERS {
            let (path, reads, failed, done) = (&path, &reads, &failed, &done);
            let reader = move || read_on(&direct(path), n as u64, reads, failed, done);
            thread::Builder::new().spawn_scoped(scope, reader).unwrap();
        }
        let mut ratios: Vec<f64> = (0..pairs.unwrap_or(PAIRS).max(1)).map(|_| pair(&home, program, &reads)).collect();
        done.store(true, Relaxed);
        ratios.sort_by(f64::total_cmp);
        let median = ratios[ratios.len() / 2];
        println!(
            "{} pairs of {WINDOW:?}, {READERS} readers: with one dump / without, median {median:.4}",
            ratios.len()
        );
        let share = WINDOW.as_secs_f64() / GAP.as_secs_f64();
        println!("at one dump in {GAP:?}: {:.4}; failed reads: {}", 1.0 - (1.0 - median) * share, failed.load(Relaxed));
    });
    served.signal(nix::sys::signal::Signal::SIGTERM);
    served.wait(Duration::from_secs(60)).unwrap();
}

/// Reads that reach the daemon, and are not answered from the page cache.
fn direct(path: &Path) -> File {
    OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(path).unwrap()
}

fn read_on(file: &File, from: u64, reads: &AtomicU64, failed: &AtomicU64, done: &AtomicBool) {
    let mut page = Box::new(Page([0; PIECE]));
    let pieces = SIZE / PIECE as u64;
    let mut at = from * pieces / READERS as u64;
    while !done.load(Relaxed) {
        let got = file.read_at(&mut page.0, at % pieces * PIECE as u64);
        reads.fetch_add(1, Relaxed);
        if got.ok() != Some(PIECE) {
            failed.fetch_add(1, Relaxed);
        }
        at += 1;
    }
}

/// One window with a dump at its start and one without; reads of the first by those of the second.
fn pair(home: &Home, program: &Path, reads: &AtomicU64) -> f64 {
    let with = window(reads, || {
        let out = home.command(program).arg("dump").output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    });
    // The same process is started, but dumps nothing: its own cost is none of the dump's.
    let without = window(reads, || drop(home.command(program).arg("status").output().unwrap()));
    println!("  {with} {without}");
    with as f64 / without.max(1) as f64
}

fn window(reads: &AtomicU64, begin: impl FnOnce()) -> u64 {
    let (before, begun) = (reads.load(Relaxed), clock::now());
    begin();
    while let Some(left) = WINDOW.checked_sub(begun.elapsed()) {
        thread::park_timeout(left);
    }
    reads.load(Relaxed) - before
}
