//! Stall: what readers that hang on a dead origin cost everybody else, beside the same load on a healthy one.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use fsd::process::demo::{
    origin::{Fault, Origin},
    served::{Home, Served},
};

use crate::{
    left::{Left, status},
    measure::{direct, sync_stat},
    times::Times,
};

/// Deadline of a read: when readers of the dead files get their error.
const READ_LIMIT: Duration = Duration::from_secs(8);
/// How long others are watched.
const WATCHED: Duration = Duration::from_secs(3);
const THROUGHPUT: Duration = Duration::from_millis(1500);
const LISTED: usize = 100;
const NEW_FILES: usize = 4000;
const WARM_MIB: u64 = 64;
const MIB: u64 = 1 << 20;

/// How many readers, and whether their origin is dead.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene {
    pub(crate) readers: usize,
    pub(crate) dead: bool,
}

impl Scene {
    pub(crate) const ALL: [Self; 7] = [
        Self { readers: 0, dead: false },
        Self { readers: 16, dead: false },
        Self { readers: 16, dead: true },
        Self { readers: 64, dead: false },
        Self { readers: 64, dead: true },
        Self { readers: 1000, dead: false },
        Self { readers: 1000, dead: true },
    ];
}

/// What was seen.
pub(crate) struct Seen {
    pub(crate) scene: Scene,
    pub(crate) others: Others,
    pub(crate) release: Times,
    /// MB/s of one reader of an open file, around the kernel's cache.
    pub(crate) throughput: f64,
    /// Seconds from a read to its error.
    pub(crate) errors: Times,
    /// MiB resident while all readers were there, and of it what is neither program text nor shared.
    pub(crate) resident: [f64; 2],
    pub(crate) parked: u64,
    pub(crate) left: Left,
}

/// Those who want nothing of the dead files.
pub(crate) struct Others {
    pub(crate) ls: Times,
    pub(crate) stat: Times,
    pub(crate) read: Times,
    pub(crate) new: Times,
}

pub(crate) fn run(scene: Scene) -> Seen {
    let origin = serve(scene);
    let dir = tempfile::tempdir().unwrap();
    let runtime = tempfile::tempdir_in("/dev/shm").unwrap();
    let home = Home::new(dir.path(), &runtime.path().join("run")).unwrap();
    let limit = format!("--read-timeout={}s", READ_LIMIT.as_secs());
    let served = Served::start(Path::new(env!("CARGO_BIN_EXE_fsd")), &home, Some(&origin.url("")), &[&limit], |_| ());
    let served = served.unwrap();
    let warm = prepare(&served, &origin, scene);
    let before = Left::now(&served);
    let stop = AtomicBool::new(false);
    let mut seen = thread::scope(|scope| {
        let start = |n| {
            let (path, stop) = (served.path(&format!("load/f{n}")), &stop);
            thread::Builder::new().stack_size(1 << 17).spawn_scoped(scope, move || reads(&path, n, stop)).unwrap()
        };
        let readers: Vec<_> = (0..scene.readers).map(start).collect();
        let parked = await_parked(&served, scene);
        let others = watch(&served, &warm);
        let throughput = throughput(&warm);
        let resident = ["VmRSS:", "RssAnon:"].map(|of| memory_mib(served.worker(), of));
        stop.store(true, Relaxed);
        let errors = Times::of(readers.into_iter().filter_map(|reader| reader.join().unwrap()).collect());
        let (release, left) = (Times::default(), Left::default());
        Seen { scene, others, release, throughput, errors, resident, parked, left }
    });
    origin.heal().release();
    drop(warm);
    seen.left = before.more_later(&served);
    let (release, tasks) = end(served);
    (seen.release, seen.left.tasks) = (release, tasks);
    seen
}

fn serve(scene: Scene) -> Origin {
    let origin = Origin::start().unwrap();
    origin.file("warm.bin", WARM_MIB * MIB);
    (0..LISTED).for_each(|n| _ = origin.file(&format!("many/f{n}"), 64));
    (0..NEW_FILES).for_each(|n| _ = origin.file(&format!("new/f{n}"), 16 << 10).file(&format!("closed/f{n}"), MIB));
    (0..scene.readers).for_each(|n| _ = origin.file(&format!("load/f{n}"), MIB));
    origin
}

/// Listings in memory, the warm file read once and open, and only then the origin dead for its part.
fn prepare(served: &Served, origin: &Origin, scene: Scene) -> File {
    let warm = direct(&served.path("warm.bin"));
    let mut block = vec![0; MIB as usize];
    (0..WARM_MIB).for_each(|n| warm.read_exact_at(&mut block, n * MIB).unwrap());
    for dir in ["many", "new", "closed", "load"] {
        if dir != "load" || scene.readers > 0 {
            assert!(fs::read_dir(served.path(dir)).unwrap().count() > 0);
        }
    }
    if scene.dead {
        (0..NEW_FILES).for_each(|n| _ = origin.always(&format!("closed/f{n}"), Fault::StallAt(0)));
        (0..scene.readers).for_each(|n| _ = origin.always(&format!("load/f{n}"), Fault::StallAt(0)));
    }
    warm
}

/// One reader: 4 KiB ten times a second until it is told to stop; seconds to its error if one came.
fn reads(path: &Path, n: usize, stop: &AtomicBool) -> Option<f64> {
    let file = File::open(path).unwrap();
    let (mut block, mut at) = ([0; 4096], n as u64);
    loop {
        let start = Instant::now();
        at = (at + 7) % (MIB >> 12);
        if file.read_exact_at(&mut block, at << 12).is_err() {
            return Some(start.elapsed().as_secs_f64());
        }
        if stop.load(Relaxed) {
            return None;
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// Reads that wait, once all of them do or half of their time is over.
fn await_parked(served: &Served, scene: Scene) -> u64 {
    let until = Instant::now() + READ_LIMIT / 4;
    loop {
        let waiting = status(served)["inflight"]
            .as_array()
            .map_or(0, |all| all.iter().filter(|row| row[0] == "Read").filter_map(|row| row[1].as_u64()).sum::<u64>());
        if !scene.dead || waiting >= scene.readers as u64 || Instant::now() > until {
            return waiting;
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Calls `work` again and again until `until`, with a pause between two calls, so that calls are looked at and not the
/// processor's limit.
fn paced(until: Instant, pause: Duration, mut work: impl FnMut()) -> Times {
    let mut taken = Vec::new();
    while Instant::now() < until {
        let start = Instant::now();
        work();
        taken.push(start.elapsed().as_secs_f64() * 1e3);
        thread::sleep(pause);
    }
    Times::of(taken)
}

fn watch(served: &Served, warm: &File) -> Others {
    let until = Instant::now() + WATCHED;
    let ms = Duration::from_millis;
    thread::scope(|scope| {
        let (many, file) = (served.path("many"), served.path("many/f7"));
        let ls = scope.spawn(move || paced(until, ms(1), || list(&many)));
        let stat = scope.spawn(move || paced(until, ms(1), || sync_stat(&file)));
        let read = scope.spawn(|| {
            let (mut block, mut at) = (vec![0; 4096], 0);
            paced(until, ms(1), || {
                at = (at + 4099) % (WARM_MIB * 256);
                warm.read_exact_at(&mut block, at << 12).unwrap();
            })
        });
        let new = scope.spawn(|| paced(until, ms(4), each(served, "new", true)));
        let closed = scope.spawn(|| paced(until, ms(2), each(served, "closed", false)));
        drop(closed.join().unwrap());
        Others {
            ls: ls.join().unwrap(),
            stat: stat.join().unwrap(),
            read: read.join().unwrap(),
            new: new.join().unwrap(),
        }
    })
}

/// Opens the next file, reads its first block or nothing, and closes it.
fn each<'a>(served: &'a Served, dir: &'static str, read: bool) -> impl FnMut() + use<'a> {
    let next = AtomicUsize::new(0);
    move || {
        let path: PathBuf = served.path(&format!("{dir}/f{}", next.fetch_add(1, Relaxed) % NEW_FILES));
        let file = File::open(path).unwrap();
        if read {
            file.read_exact_at(&mut [0; 4096], 0).unwrap();
        }
    }
}

fn list(dir: &Path) {
    let seen = fs::read_dir(dir).unwrap().filter(|entry| entry.as_ref().unwrap().metadata().unwrap().len() == 64);
    assert_eq!(seen.count(), LISTED);
}

fn throughput(warm: &File) -> f64 {
    let (start, mut at, mut block) = (Instant::now(), 0_u64, vec![0; 128 << 10]);
    while start.elapsed() < THROUGHPUT {
        warm.read_exact_at(&mut block, at % (WARM_MIB * MIB)).unwrap();
        at += 128 << 10;
    }
    at as f64 / 1e6 / start.elapsed().as_secs_f64()
}

fn memory_mib(pid: u32, of: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let kib = status.lines().find_map(|line| line.strip_prefix(of)?.trim().strip_suffix(" kB")?.parse().ok());
    kib.unwrap_or(0.0) / 1024.0
}

/// Unmounts; the record then tells how long each Release took, and which tasks never ended.
fn end(mut served: Served) -> (Times, usize) {
    served.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(served.wait(Duration::from_secs(60)).is_some(), "it ends when it is told to");
    let mut took = Vec::new();
    let (mut begun, mut ended) = (0_usize, 0_usize);
    for line in fs::read_to_string(served.events()).unwrap().lines() {
        begun += usize::from(line.contains("\"ev\":\"task\"") && !line.contains("\"task\":\"thread\""));
        ended += usize::from(line.contains("\"ev\":\"task_end\""));
        if line.contains("\"ev\":\"exit\"") && line.contains("\"op\":\"Release\"") {
            let us = line.split("\"us\":").nth(1).and_then(|rest| rest.split([',', '}']).next()?.parse::<f64>().ok());
            took.extend(us.map(|us| us / 1e3));
        }
    }
    (Times::of(took), begun.saturating_sub(ended))
}
