//! Readers: what 1 to 1000 of them at once cost each other, reading and waiting.

use std::{
    fmt::Write as _,
    fs::{File, OpenOptions},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::Path,
    sync::{Barrier, atomic::AtomicBool, atomic::Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use fsd::process::demo::origin::{Fault, Origin};

use crate::{mounted::Mounted, times::Times};

/// Each reader's own file.
const SIZE: u64 = 1 << 20;
const WATCHED: Duration = Duration::from_secs(3);
const BLOCK: usize = 4096;

pub(crate) fn table(most: usize) -> String {
    let mut text = String::from(
        "Milliseconds, p50 / p99 / p99.9 / p100.\n\n\
         | readers | open and first 128 KiB, all at once | 4k reads from memory, each as fast as it can | reads/s \
         | threads | resident (anonymous), MiB | the same while all of them wait, MiB |\n|---|---|---|---|---|---|---|\n",
    );
    for readers in [1, 10, 100, 1000].into_iter().filter(|readers| *readers <= most) {
        let row = row(readers);
        let _ = writeln!(text, "{row}");
    }
    text
}

fn row(readers: usize) -> String {
    let origin = Origin::start().unwrap();
    for dir in ["warm", "dead"] {
        (0..readers).for_each(|n| _ = origin.file(&format!("{dir}/{n}"), SIZE));
    }
    let mounted = Mounted::new(&origin, &["--read-timeout=60s", "--inactivity-timeout=60s"]);
    let path = |n: usize| mounted.served.path(&format!("warm/{n}"));
    list(&mounted.served.path("warm"));
    let (first, files): (Vec<f64>, Vec<File>) = together(readers, |n| first_block(&path(n))).into_iter().unzip();
    // Until all of every file has come: what is measured next is memory, not the origin.
    files.iter().for_each(|file| file.read_exact_at(&mut [0; BLOCK], SIZE - BLOCK as u64).unwrap());
    let start = Instant::now();
    let took: Vec<f64> = together(readers, |n| reads(&files[n], n)).into_iter().flatten().collect();
    let rate = took.len() as f64 / start.elapsed().as_secs_f64();
    let (threads, memory) = (mounted.threads(), mounted.memory());
    let waiting = waiting(readers, &origin, &mounted);
    format!(
        "| {readers} | {} | {} | {rate:.0} | {threads} | {:.0} ({:.0}) | {:.0} ({:.0}) |",
        Times::of(first).cell(),
        Times::of(took).cell(),
        memory[0],
        memory[1],
        waiting[0],
        waiting[1]
    )
}

/// `work` of every reader, each on a thread of its own, from the same moment on.
fn together<T: Send>(readers: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let gate = Barrier::new(readers);
    thread::scope(|scope| {
        let one = |n| {
            let (gate, work) = (&gate, &work);
            let run = move || {
                gate.wait();
                work(n)
            };
            thread::Builder::new().stack_size(1 << 18).spawn_scoped(scope, run).unwrap()
        };
        let all: Vec<_> = (0..readers).map(one).collect();
        all.into_iter().map(|reader| reader.join().unwrap()).collect()
    })
}

fn list(dir: &Path) {
    assert!(std::fs::read_dir(dir).unwrap().count() > 0);
}

/// Opened past the kernel's cache; milliseconds to its first bytes.
fn first_block(path: &Path) -> (f64, File) {
    let start = Instant::now();
    let file = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(path).unwrap();
    file.read_exact_at(&mut vec![0; 128 << 10], 0).unwrap();
    (start.elapsed().as_secs_f64() * 1e3, file)
}

fn reads(file: &File, n: usize) -> Vec<f64> {
    let (until, mut at, mut block) = (Instant::now() + WATCHED, n as u64, [0; BLOCK]);
    let mut took = Vec::new();
    while Instant::now() < until {
        at = (at + 37) % (SIZE / BLOCK as u64);
        let start = Instant::now();
        file.read_exact_at(&mut block, at * BLOCK as u64).unwrap();
        took.push(start.elapsed().as_secs_f64() * 1e3);
    }
    took
}

/// The daemon's memory with every file open and as many reads that wait for an origin that sends nothing.
fn waiting(readers: usize, origin: &Origin, mounted: &Mounted) -> [f64; 2] {
    list(&mounted.served.path("dead"));
    (0..readers).for_each(|n| _ = origin.always(&format!("dead/{n}"), Fault::StallAt(0)));
    let taken = AtomicBool::new(false);
    thread::scope(|scope| {
        for n in 0..readers {
            let (path, taken) = (mounted.served.path(&format!("dead/{n}")), &taken);
            let read = move || {
                let file = File::open(path).unwrap();
                let got = file.read_exact_at(&mut [0; BLOCK], 0);
                assert!(got.is_err() || taken.load(Relaxed), "nobody gets bytes before the memory is looked at");
            };
            thread::Builder::new().stack_size(1 << 17).spawn_scoped(scope, read).unwrap();
        }
        let until = Instant::now() + Duration::from_secs(30);
        while mounted.waiting() < readers as u64 && Instant::now() < until {
            thread::sleep(Duration::from_millis(50));
        }
        let memory = mounted.memory();
        taken.store(true, Relaxed);
        origin.heal().release();
        memory
    })
}
