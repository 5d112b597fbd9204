//! What is measured of each candidate: each figure from cold kernel caches unless its name says otherwise.

use std::{
    fs::{self, File, OpenOptions},
    io::Read as _,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    machine::{drop_caches, fresh_memory},
    mounts::{Candidate, Mounted},
    origin::{FIRST_FILES, Origin},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Figure {
    /// MB/s of one reader, 1 MiB reads.
    ColdSequential,
    /// The same file again.
    WarmSequential,
    /// A file that the kernel reads by itself once it is open.
    Passthrough,
    /// Reads a second, 4 readers, 4 KiB each at random places of the file just read, kernel cache dropped.
    Random4k,
    /// fstat calls a second that reach no further than they must.
    Fstat,
    /// `ls -l`, ms.
    ListCold,
    /// `ls -l` again, kernel caches dropped, the daemon's listing in memory, ms.
    ListAgain,
    /// First 4 KiB of a file never opened, ms; of `curl` without the start of its process.
    FirstByte,
}

impl Figure {
    pub(crate) const ALL: [Self; 8] = [
        Self::ColdSequential,
        Self::WarmSequential,
        Self::Passthrough,
        Self::Random4k,
        Self::Fstat,
        Self::ListCold,
        Self::ListAgain,
        Self::FirstByte,
    ];

    pub(crate) fn less_is_better(self) -> bool {
        matches!(self, Self::ListCold | Self::ListAgain | Self::FirstByte)
    }

    /// Whom ratios are taken to.
    pub(crate) fn base(self) -> Candidate {
        match self {
            Self::ColdSequential | Self::FirstByte => Candidate::Curl,
            Self::WarmSequential => Candidate::Memory,
            Self::Passthrough => Candidate::Native,
            Self::Random4k | Self::Fstat | Self::ListCold | Self::ListAgain => Candidate::Rclone,
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::ColdSequential => "cold sequential, MB/s",
            Self::WarmSequential => "warm sequential, MB/s",
            Self::Passthrough => "complete file, passthrough, MB/s",
            Self::Random4k => "4k random x4, reads/s",
            Self::Fstat => "fstat, calls/s",
            Self::ListCold => "ls -l, cold listing, ms",
            Self::ListAgain => "ls -l, listing in memory, ms",
            Self::FirstByte => "first 4 KiB, ms",
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) candidate: Candidate,
    pub(crate) figure: Figure,
    pub(crate) round: usize,
    pub(crate) value: f64,
}

/// Every figure of one candidate, mounted anew, and of the files that were read beside it.
pub(crate) fn all(candidate: Candidate, origin: &Origin, round: usize) -> Vec<Sample> {
    let figures = match candidate {
        Candidate::Curl => curl(origin),
        Candidate::CurlFile => curl_file(origin),
        _ => mount(candidate, origin),
    };
    let mut taken: Vec<_> = figures.into_iter().map(|(figure, value)| (candidate, figure, value)).collect();
    if candidate == Candidate::FsdTempFile {
        taken.extend(at_hand(origin));
    }
    taken.into_iter().map(|(candidate, figure, value)| Sample { candidate, figure, round, value }).collect()
}

fn curl(origin: &Origin) -> Vec<(Figure, f64)> {
    let big = format!("{}big.bin", origin.url());
    fresh_memory(origin.scratch());
    let rates = (0..3).map(|_| rate(origin.file_mib, || fetch(&["-o", "/dev/null", &big]))).collect();
    let first = (0..FIRST_FILES).map(|n| curl_first(&format!("{}first/{n}", origin.url()))).collect();
    vec![(Figure::ColdSequential, middle(rates)), (Figure::FirstByte, middle(first))]
}

/// Ms from the start of the transfer to its first byte, as curl itself has it.
fn curl_first(url: &str) -> f64 {
    let format = "%{time_starttransfer}";
    let output = Command::new("curl").args(["-sf", "-r", "0-4095", "-o", "/dev/null", "-w", format, url]).output();
    let seconds: f64 = String::from_utf8(output.unwrap().stdout).unwrap().parse().unwrap();
    seconds * 1e3
}

fn curl_file(origin: &Origin) -> Vec<(Figure, f64)> {
    let (big, to) = (format!("{}big.bin", origin.url()), origin.scratch().join("curled"));
    fresh_memory(origin.scratch());
    let cold = rate(origin.file_mib, || fetch(&["-o", to.to_str().unwrap(), &big]));
    fs::remove_file(to).unwrap();
    vec![(Figure::ColdSequential, cold)]
}

/// Bytes that are at hand, read through the mount and without it in turns, so that both see the same machine.
fn at_hand(origin: &Origin) -> Vec<(Candidate, Figure, f64)> {
    let [warm, memory] = warm(origin);
    let [passed, native] = passthrough(origin);
    vec![
        (Candidate::FsdTempFile, Figure::WarmSequential, warm),
        (Candidate::Memory, Figure::WarmSequential, memory),
        (Candidate::FsdTempFile, Figure::Passthrough, passed),
        (Candidate::Native, Figure::Passthrough, native),
    ]
}

/// What the kernel has of a mount, beside a file that is pages and nothing else.
fn warm(origin: &Origin) -> [f64; 2] {
    let mounted = Mounted::new(Candidate::FsdTempFile, origin);
    fs::read_dir(mounted.path()).unwrap().for_each(drop);
    in_turns([&mounted.path().join("big.bin"), &origin.file()], origin.file_mib)
}

/// Of a local directory: its files are complete when they are opened, and the kernel reads the very same pages.
fn passthrough(origin: &Origin) -> [f64; 2] {
    let local = origin.local();
    let source = local.parent().unwrap().to_str().unwrap();
    let mounted = Mounted::of(Candidate::FsdTempFile, source, origin.scratch(), &[]);
    in_turns([&mounted.path().join(local.file_name().unwrap()), &local], origin.file_mib)
}

/// MB/s of each file, the median of several reads in turns, after one that brought it in.
fn in_turns(files: [&Path; 2], mib: u64) -> [f64; 2] {
    files.iter().for_each(|file| read_all(file, mib));
    let turns: Vec<_> = (0..7).map(|_| files.map(|file| rate(mib, || read_all(file, mib)))).collect();
    [0, 1].map(|which| middle(turns.iter().map(|turn| turn[which]).collect()))
}

fn mount(candidate: Candidate, origin: &Origin) -> Vec<(Figure, f64)> {
    let mounted = Mounted::new(candidate, origin);
    let (big, many) = (mounted.path().join("big.bin"), mounted.path().join("many"));
    let mut figures = Vec::new();
    drop_caches();
    figures.push((Figure::ListCold, millis(|| list(&many, origin.entries))));
    drop_caches();
    figures.push((Figure::ListAgain, millis(|| list(&many, origin.entries))));
    figures.push((Figure::FirstByte, first_bytes(&mounted.path().join("first"))));
    drop_caches();
    fresh_memory(origin.scratch());
    figures.push((Figure::ColdSequential, rate(origin.file_mib, || read_all(&big, origin.file_mib))));
    if candidate != Candidate::FsdTempFile {
        figures.push((Figure::WarmSequential, rate(origin.file_mib, || read_all(&big, origin.file_mib))));
    }
    drop_caches();
    figures.push((Figure::Random4k, random_reads(&big, origin.file_mib)));
    figures.push((Figure::Fstat, stats(&big)));
    figures
}

/// After the directory was listed and one file was read, so that a connection is there, as in any mount that is used.
fn first_bytes(dir: &Path) -> f64 {
    assert_eq!(fs::read_dir(dir).unwrap().count(), FIRST_FILES);
    let times = (0..FIRST_FILES).map(|n| millis(|| first_block(&dir.join(n.to_string())))).collect();
    middle(times)
}

pub(crate) fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Opened so that each read is asked of the file system, whatever the kernel has.
pub(crate) fn direct(path: &Path) -> File {
    OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(path).unwrap()
}

/// A stat that the kernel does not answer by itself.
pub(crate) fn sync_stat(path: &Path) {
    use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
    let got = statx(CWD, path, AtFlags::STATX_FORCE_SYNC, StatxFlags::BASIC_STATS).unwrap();
    assert!(got.stx_size > 0);
}

pub(crate) fn rate(mib: u64, run: impl FnOnce()) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let megabytes = (mib * 1_048_576) as f64 / 1e6;
    megabytes / (millis(run) / 1e3)
}

fn millis(run: impl FnOnce()) -> f64 {
    let start = Instant::now();
    run();
    start.elapsed().as_secs_f64() * 1e3
}

pub(crate) fn fetch(args: &[&str]) {
    assert!(Command::new("curl").arg("-sf").args(args).status().unwrap().success());
}

fn list(dir: &Path, entries: usize) {
    let output = Command::new("ls").arg("-l").arg(dir).stderr(Stdio::inherit()).output().unwrap();
    let lines = output.stdout.iter().filter(|b| **b == b'\n').count();
    assert_eq!(lines, entries + 1, "ls saw another number of entries");
}

fn first_block(path: &Path) {
    let mut block = [0; 4096];
    assert!(File::open(path).unwrap().read(&mut block).unwrap() > 0);
}

pub(crate) fn read_all(path: &Path, mib: u64) {
    let (mut file, mut block, mut total) = (File::open(path).unwrap(), vec![0; 1 << 20], 0);
    loop {
        match file.read(&mut block).unwrap() {
            0 => break,
            n => total += n as u64,
        }
    }
    assert_eq!(total, mib << 20, "the file is short");
}

fn random_reads(path: &Path, mib: u64) -> f64 {
    count_for(4, |lane| {
        let file = File::open(path).unwrap();
        let (mut block, mut state, blocks) = ([0; 4096], lane + 1, mib << 8);
        move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = (state >> 33) % blocks;
            file.read_exact_at(&mut block, at << 12).unwrap();
        }
    })
}

fn stats(path: &Path) -> f64 {
    count_for(1, |_| {
        let file = File::open(path).unwrap();
        move || assert!(file.metadata().unwrap().len() > 0)
    })
}

/// Calls a second of `lanes` threads over one second.
pub(crate) fn count_for<W: FnMut() + Send>(lanes: u64, make: impl Fn(u64) -> W) -> f64 {
    let limit = Duration::from_secs(1);
    let start = Instant::now();
    let counts: u64 = std::thread::scope(|scope| {
        let running: Vec<_> = (0..lanes)
            .map(|lane| {
                let mut work = make(lane);
                scope.spawn(move || {
                    let mut done = 0_u64;
                    while start.elapsed() < limit {
                        work();
                        done += 1;
                    }
                    done
                })
            })
            .collect();
        running.into_iter().map(|r| r.join().unwrap()).sum()
    });
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let counts = counts as f64;
    counts / start.elapsed().as_secs_f64()
}
