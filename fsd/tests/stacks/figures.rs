//! What a dump costs: many runs of the same crowd, and what the same clock says when nothing happens.
//!
//! `cargo test --release -p fsd --test stacks -- --figures [RUNS]`

use std::{env, fs, path::Path, process::Command, time::Duration};

use fsd::platform::clock;

/// Runs without a number given: enough for a median.
const RUNS: usize = 21;

/// Measured in one run: the first dump, a second one with warm pages; of each, the median and the longest pause of its
/// threads as the handler saw it; the longest loss of a busy thread, and the longest loss in as long a time without a
/// dump; nanoseconds.
type Figures = [u64; 8];

const NAMES: [&str; 8] = [
    "dump, cold",
    "dump, warm",
    "pause of a thread, cold: median",
    "pause of a thread, cold: longest",
    "pause of a thread, warm: median",
    "pause of a thread, warm: longest",
    "longest loss of a busy thread",
    "the same without a dump",
];

/// Prints median and worst of each figure, for each crowd.
pub(crate) fn print(runs: Option<usize>) {
    for words in [&["malloc", "vfork", "spin"][..], &["malloc", "spin"]] {
        let mut all: Vec<Figures> = (0..runs.unwrap_or(RUNS).max(1)).filter_map(|_| run(words)).collect();
        println!("{} threads, {}: {} runs", crate::crowd::THREADS, words.join(" "), all.len());
        for (at, name) in NAMES.iter().enumerate() {
            all.sort_by_key(|run| run[at]);
            let (Some(median), Some(worst)) = (all.get(all.len() / 2), all.last()) else { continue };
            let time = |run: &Figures| Duration::from_nanos(run[at]);
            println!("  {name:<34} median {:>10.1?}  max {:>10.1?}", time(median), time(worst));
        }
    }
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load {}, {:?} since boot", load.trim(), Duration::from_micros(clock::now_mono_us()));
}

/// One process; None if it failed.
fn run(words: &[&str]) -> Option<Figures> {
    let dir = tempfile::tempdir().ok()?;
    let out = crowd(dir.path(), words)?;
    let line = out.lines().find_map(|line| line.strip_prefix("ns "))?;
    let mut numbers = line.split(' ').filter_map(|n| n.parse().ok());
    let mut next = || numbers.next();
    let [cold, warm, lost, alone] = [next()?, next()?, next()?, next()?];
    let pauses = pauses(dir.path())?;
    let [[cold_median, cold_longest], [warm_median, warm_longest], ..] = pauses[..] else { return None };
    Some([cold, warm, cold_median, cold_longest, warm_median, warm_longest, lost, alone])
}

/// Of each dump, in order of time.
fn pauses(dir: &Path) -> Option<Vec<[u64; 2]>> {
    let mut files: Vec<_> = fs::read_dir(dir).ok()?.flatten().map(|entry| entry.path()).collect();
    files.sort();
    files.iter().map(|file| pause(&fs::read_to_string(file).ok()?)).collect()
}

/// Median and longest.
fn pause(dump: &str) -> Option<[u64; 2]> {
    let line = dump.lines().find_map(|line| line.strip_prefix("x-paused: "))?;
    let of = |key: &str| line.split(' ').find_map(|word| word.strip_prefix(key)?.parse().ok());
    Some([of("median_ns=")?, of("longest_ns=")?])
}

fn crowd(dir: &Path, words: &[&str]) -> Option<String> {
    let mut command = Command::new("timeout");
    let command = command.args(["-s", "KILL", "60"]).arg(env::current_exe().ok()?).arg("crowd").arg(dir).args(words);
    let out = command.output().ok().filter(|out| out.status.success())?;
    Some(String::from_utf8_lossy(&out.stdout).into_owned())
}
