//! Clients that verify every byte: one opens and reads, one keeps a descriptor, one asks for attributes, one lists.

use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::Duration,
};

use rustix::fs::{Advice, AtFlags, CWD, StatxFlags, fadvise, statx};

use super::super::{dice::Dice, support::*};

/// Small files, opened and closed all the time.
const FILES: u64 = 8;
const SMALL: u64 = 1 << 20;
/// The file that is held open.
const LARGE: u64 = 24 << 20;

/// What one client saw.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) name: &'static str,
    pub(super) operations: u64,
    pub(super) worst: Duration,
    /// Errors and wrong bytes, in words.
    pub(super) failures: Vec<String>,
}

/// Four clients at work.
pub(super) struct Crowd {
    stop: Arc<AtomicBool>,
    done: Arc<[AtomicU64; 4]>,
    clients: Vec<JoinHandle<Tally>>,
}

/// Gives an origin what the clients want to read.
pub(super) fn fill(origin: &Origin) {
    origin.file("large", LARGE);
    for n in 0..FILES {
        origin.file(&format!("small-{n}"), SMALL);
    }
}

type Work = Box<dyn FnMut(&mut Dice) -> io::Result<Result<(), String>> + Send>;

impl Crowd {
    pub(super) fn start(origin: &Arc<Origin>, dir: &Path) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let works: [(&str, Work); 4] = [
            ("open and read", opener(Arc::clone(origin), dir.to_owned())),
            ("held descriptor", holder(Arc::clone(origin), &dir.join("large"))),
            ("stat", asker(dir.to_owned())),
            ("ls", lister(dir.to_owned())),
        ];
        let mut crowd = Self { stop, done, clients: Vec::new() };
        for (n, (name, work)) in works.into_iter().enumerate() {
            let (stop, done) = (Arc::clone(&crowd.stop), Arc::clone(&crowd.done));
            let run = move || client(name, work, &stop, &done[n], n as u64);
            crowd.clients.push(super::in_background(run));
        }
        crowd
    }

    /// What each has done so far.
    pub(super) fn done(&self) -> [u64; 4] {
        std::array::from_fn(|n| self.done[n].load(Relaxed))
    }

    /// Waits until each of them has been answered `more` times, or has seen too much that was wrong.
    pub(super) fn await_progress(&self, mounted: &Mounted, more: u64) {
        let (start, before) = (now(), self.done());
        let at_work = || !self.clients.iter().any(JoinHandle::is_finished);
        while at_work() && self.done().iter().zip(before).any(|(done, before)| *done < before + more) {
            let stuck = now() - start > SOON;
            assert!(!stuck, "{before:?} answers, {SOON:?} later {:?}: {}", self.done(), mounted.messages());
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }

    /// Ends them, and fails the test unless all that they saw was right.
    pub(super) fn finish(self) -> Vec<Tally> {
        self.stop.store(true, Relaxed);
        let tallies: Vec<_> = self.clients.into_iter().map(|client| client.join().unwrap()).collect();
        for tally in &tallies {
            assert_eq!(tally.failures, Vec::<String>::new(), "{}", tally.name);
        }
        tallies
    }
}

fn client(name: &'static str, mut work: Work, stop: &AtomicBool, done: &AtomicU64, seed: u64) -> Tally {
    let mut tally = Tally { name, ..Tally::default() };
    let mut dice = Dice::new(seed);
    while !stop.load(Relaxed) && tally.failures.len() < 10 {
        let start = now();
        let seen = work(&mut dice).unwrap_or_else(|error| Err(error.to_string()));
        tally.worst = tally.worst.max(now() - start);
        tally.failures.extend(seen.err());
        tally.operations += 1;
        done.fetch_add(1, Relaxed);
    }
    tally
}

fn opener(origin: Arc<Origin>, dir: PathBuf) -> Work {
    Box::new(move |dice| {
        let name = format!("small-{}", dice.below(FILES));
        let file = File::open(dir.join(&name))?;
        read(&origin, &file, &name, dice, SMALL)
    })
}

fn holder(origin: Arc<Origin>, path: &Path) -> Work {
    let file = File::open(path).unwrap();
    Box::new(move |dice| read(&origin, &file, "large", dice, LARGE))
}

/// Reads a random range past the kernel's cache.
fn read(origin: &Origin, file: &File, name: &str, dice: &mut Dice, size: u64) -> io::Result<Result<(), String>> {
    fadvise(file, 0, None, Advice::DontNeed)?;
    let start = dice.below(size - 1);
    let mut bytes = vec![0; dice.below(64 << 10) as usize + 1];
    let got = file.read_at(&mut bytes, start)?;
    let want = bytes.len().min((size - start) as usize);
    let right = got == want && bytes[..got] == origin.bytes(name, start, got);
    Ok(right.then_some(()).ok_or_else(|| format!("{got} of {want} bytes at {start} of {name}, or wrong ones")))
}

/// Attributes by name, past what the kernel remembers.
fn asker(dir: PathBuf) -> Work {
    Box::new(move |dice| {
        let name = format!("small-{}", dice.below(FILES));
        let seen = statx(CWD, dir.join(&name), AtFlags::STATX_FORCE_SYNC, StatxFlags::BASIC_STATS)?;
        Ok((seen.stx_size == SMALL).then_some(()).ok_or_else(|| format!("{name} has {} bytes", seen.stx_size)))
    })
}

fn lister(dir: PathBuf) -> Work {
    let mut wanted: Vec<OsString> = (0..FILES).map(|n| format!("small-{n}").into()).collect();
    wanted.extend(["large".into(), "Staged".into()]);
    wanted.sort_unstable();
    Box::new(move |_| {
        let names = fs::read_dir(&dir)?.map(|entry| entry.map(|e| e.file_name())).collect::<Result<Vec<OsString>, _>>();
        let mut names = names?;
        names.sort_unstable();
        Ok((names == wanted).then_some(()).ok_or_else(|| format!("{names:?}")))
    })
}
