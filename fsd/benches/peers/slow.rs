//! Slow: an origin far away, with a limit on each connection, where only several requests at once help.

use std::{fmt::Write as _, time::Duration};

use fsd::process::demo::origin::{IndexStyle, Origin};

use crate::{
    machine::drop_caches,
    measure::{fetch, rate, read_all},
    mounts::{Candidate, Mounted},
    report::median,
};

const LATENCY: Duration = Duration::from_millis(50);
/// Bytes a second of each connection.
const BANDWIDTH: u64 = 20_000_000;
/// What is read: by one connection, and by many.
const ONE_MIB: u64 = 64;
const MANY_MIB: u64 = 256;

/// Who reads, with which arguments, how many MiB, and how many times faster than curl it must be.
struct Reader {
    name: &'static str,
    candidate: Candidate,
    args: &'static [&'static str],
    mib: u64,
    bar: Option<f64>,
}

const LRU: Candidate = Candidate::FsdRangeLru;

const READERS: [Reader; 7] = [
    Reader { name: "one curl", candidate: Candidate::Curl, args: &[], mib: ONE_MIB, bar: None },
    Reader { name: "rclone mount", candidate: Candidate::Rclone, args: &[], mib: ONE_MIB, bar: None },
    Reader {
        name: "rclone mount, read ahead",
        candidate: Candidate::Rclone,
        args: &["--vfs-cache-mode=full", "--vfs-read-ahead=256M", "--buffer-size=64M", "--max-read-ahead=1M"],
        mib: ONE_MIB,
        bar: None,
    },
    Reader {
        name: "fsd range-lru, 8 requests",
        candidate: LRU,
        args: &["--max-concurrent-requests=8"],
        mib: MANY_MIB,
        bar: Some(5.0),
    },
    Reader {
        name: "fsd range-lru, 16 requests",
        candidate: LRU,
        args: &["--max-concurrent-requests=16"],
        mib: MANY_MIB,
        bar: Some(8.0),
    },
    Reader {
        name: "fsd temp-file, 8 requests",
        candidate: Candidate::FsdTempFile,
        args: &["--max-concurrent-requests=8"],
        mib: MANY_MIB,
        bar: None,
    },
    Reader {
        name: "fsd temp-file, 16 requests",
        candidate: Candidate::FsdTempFile,
        args: &["--max-concurrent-requests=16"],
        mib: MANY_MIB,
        bar: None,
    },
];

/// MB/s of each reader in one round, in the order of [`READERS`]; None: its program is not installed.
pub(crate) type Round = Vec<Option<f64>>;

pub(crate) fn round() -> Round {
    let available = Candidate::available();
    READERS.iter().map(|reader| available.contains(&reader.candidate).then(|| read(reader))).collect()
}

fn read(reader: &Reader) -> f64 {
    let origin = Origin::start().unwrap();
    origin.list_as(IndexStyle::NginxHtml).file("far.bin", reader.mib << 20);
    origin.latency(LATENCY).connecting(LATENCY).bandwidth(BANDWIDTH);
    if reader.candidate == Candidate::Curl {
        return rate(reader.mib, || fetch(&["-o", "/dev/null", &origin.url("far.bin")]));
    }
    let dir = tempfile::tempdir().unwrap();
    let mounted = Mounted::of(reader.candidate, &origin.url(""), dir.path(), reader.args);
    let path = mounted.path().join("far.bin");
    assert!(path.exists());
    drop_caches();
    rate(reader.mib, || read_all(&path, reader.mib))
}

/// Name and median of each reader.
pub(crate) fn bars(rounds: &[Round]) -> Vec<(&'static str, f64)> {
    let values = |n: usize| rounds.iter().filter_map(|round| round.get(n).copied()?).collect();
    READERS.iter().enumerate().filter_map(|(n, reader)| Some((reader.name, median(values(n))?))).collect()
}

/// The table of all rounds.
pub(crate) fn markdown(rounds: &[Round]) -> String {
    let mut text = format!(
        "Medians of {} rounds; the origin waits {} ms for each connection and each answer and sends {} MB/s a connection. \
         One reader, cold, to the end of a file of {MANY_MIB} MiB ({ONE_MIB} MiB where one connection reads).\n\n\
         | | MB/s | x one curl | bar |\n|---|---|---|---|\n",
        rounds.len(),
        LATENCY.as_millis(),
        BANDWIDTH / 1_000_000
    );
    for (n, reader) in READERS.iter().enumerate() {
        let of = |round: &Round| Some([round.get(n).copied()??, (*round.first()?)?]);
        let seen: Vec<[f64; 2]> = rounds.iter().filter_map(of).collect();
        let value = median(seen.iter().map(|pair| pair[0]).collect());
        let ratio = median(seen.iter().map(|pair| pair[0] / pair[1]).collect());
        if let (Some(value), Some(ratio)) = (value, ratio) {
            let bar = reader.bar.map_or("-".to_owned(), |bar| format!("{bar:.0} or more"));
            let _ = writeln!(text, "| {} | {value:.1} | {ratio:.2} | {bar} |", reader.name);
        }
    }
    text
}
