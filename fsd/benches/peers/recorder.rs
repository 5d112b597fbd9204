//! Recorder: what the flight recorder costs a real mount, against the same mount without it, in interleaved rounds.

use std::{fs::File, os::unix::fs::FileExt as _, path::Path, time::Instant};

use fsd::process::demo::served::{Home, Served};

use crate::{
    machine::drop_caches,
    measure::{count_for, direct, sync_stat},
    origin::Origin,
};

/// What is measured; all as calls or megabytes a second, so that more is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    Cold,
    Warm,
    Random4k,
    Fstat,
}

impl Work {
    pub(crate) const ALL: [Self; 4] = [Self::Random4k, Self::Fstat, Self::Cold, Self::Warm];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Cold => "cold sequential, MB/s",
            Self::Warm => "warm sequential past the kernel's cache, MB/s",
            Self::Random4k => "4k random past the kernel's cache x2, reads/s",
            Self::Fstat => "fstat answered by fsd, calls/s",
        }
    }
}

/// One round: the rates with the recorder and without.
pub(crate) type Round = Vec<(Work, [f64; 2])>;

pub(crate) fn round(origin: &Origin, turn: usize) -> Round {
    let mut both = [[0.0; 4]; 2];
    let order = if turn.is_multiple_of(2) { [0, 1] } else { [1, 0] };
    for at in order {
        both[at] = rates(origin, ["shared", "off"][at]);
    }
    Work::ALL.into_iter().enumerate().map(|(n, work)| (work, [both[0][n], both[1][n]])).collect()
}

fn rates(origin: &Origin, recorder: &str) -> [f64; 4] {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tempfile::tempdir_in("/dev/shm").unwrap();
    let home = Home::new(dir.path(), &runtime.path().join("run")).unwrap();
    let args = [format!("--recorder={recorder}")];
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let served = Served::start(Path::new(env!("CARGO_BIN_EXE_fsd")), &home, Some(&origin.url()), &args, |_| ());
    let mut served = served.unwrap();
    let path = served.path("big.bin");
    drop_caches();
    // Opened before it is complete, so that the kernel never reads it by itself: every read is an operation.
    let (start, mut file) = (Instant::now(), File::open(&path).unwrap());
    let bytes = std::io::copy(&mut file, &mut std::io::sink()).unwrap();
    let cold = bytes as f64 / 1e6 / start.elapsed().as_secs_f64();
    let past = direct(&path);
    let random = count_for(2, |lane| random_reads(&past, lane, bytes >> 12));
    let fstat = count_for(1, |_| || sync_stat(&path));
    let warm = sequential(&past, bytes);
    drop((file, past));
    served.signal(nix::sys::signal::Signal::SIGTERM);
    served.wait(std::time::Duration::from_secs(60));
    [random, fstat, cold, warm]
}

fn random_reads(file: &File, lane: u64, blocks: u64) -> impl FnMut() + Send {
    let (mut block, mut state) = (vec![0; 4096], lane + 1);
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        file.read_exact_at(&mut block, ((state >> 33) % blocks) << 12).unwrap();
    }
}

fn sequential(file: &File, bytes: u64) -> f64 {
    const STEP: usize = 1 << 20;
    let (start, mut block) = (Instant::now(), vec![0; STEP]);
    (0..bytes / STEP as u64).for_each(|n| file.read_exact_at(&mut block, n * STEP as u64).unwrap());
    bytes as f64 / 1e6 / start.elapsed().as_secs_f64()
}
