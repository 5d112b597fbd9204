//! What a dump costs: many runs of the same crowd, and what the same clock says when nothing happens.
//!
//! `cargo test --release -p fsd --test stacks -- --figures [RUNS]`

use std::{env, fs, path::Path, process::Command, time::Duration};

use fsd::platform::clock;

/// Runs without a number given: enough for a median.
const RUNS: usize = 21;

/// Measured in one run: the first dump, a second one with warm pages, the longest loss of a thread, and the longest
/// loss in as long a time without a dump; nanoseconds.
type Figures = [u64; 4];

const NAMES: [&str; 4] = ["dump, cold", "dump, warm", "longest pause of a thread", "the same without a dump"];

/// Prints median and worst of each figure, for each crowd.
pub(crate) fn print(runs: Option<usize>) {
    for words in [&["malloc", "vfork", "spin"][..], &["malloc", "spin"]] {
        let mut all: Vec<Figures> = (0..runs.unwrap_or(RUNS).max(1)).filter_map(|_| run(words)).collect();
        println!("{} threads, {}: {} runs", crate::crowd::THREADS, words.join(" "), all.len());
        for (at, name) in NAMES.iter().enumerate() {
            all.sort_by_key(|run| run[at]);
            let (Some(median), Some(worst)) = (all.get(all.len() / 2), all.last()) else { continue };
            let time = |run: &Figures| Duration::from_nanos(run[at]);
            println!("  {name:<26} median {:>10.1?}  max {:>10.1?}", time(median), time(worst));
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
    Some([numbers.next()?, numbers.next()?, numbers.next()?, numbers.next()?])
}

fn crowd(dir: &Path, words: &[&str]) -> Option<String> {
    let mut command = Command::new("timeout");
    let command = command.args(["-s", "KILL", "60"]).arg(env::current_exe().ok()?).arg("crowd").arg(dir).args(words);
    let out = command.output().ok().filter(|out| out.status.success())?;
    Some(String::from_utf8_lossy(&out.stdout).into_owned())
}
