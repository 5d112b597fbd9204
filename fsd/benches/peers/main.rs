//! Side by side in one run: curl, `fsd`, rclone and httpdirfs over one nginx, medians of interleaved rounds.
//!
//! `cargo bench -p fsd --bench peers -- [--quick] [--rounds N] [--write DIR]`. Needs root (drops caches, mounts).
//! The figures of a shared machine move; the ratios within a round are what counts.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark talks to its caller and stops when a tool fails"
)]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures with the plain clock")]

mod measure;
mod mounts;
mod origin;
mod report;

use std::{path::PathBuf, process::ExitCode};

use measure::Sample;
use mounts::Candidate;

struct Options {
    rounds: usize,
    file_mib: u64,
    entries: usize,
    write: Option<PathBuf>,
}

fn options() -> Options {
    let mut chosen = Options { rounds: 5, file_mib: 1024, entries: 10_000, write: None };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--quick" => chosen = Options { rounds: 1, file_mib: 64, entries: 1_000, write: chosen.write },
            "--rounds" => chosen.rounds = args.next().and_then(|n| n.parse().ok()).unwrap_or(chosen.rounds),
            "--write" => chosen.write = args.next().map(PathBuf::from),
            _ => (),
        }
    }
    chosen
}

fn main() -> ExitCode {
    let options = options();
    if !mounts::is_root() {
        println!("SKIP peers benchmark (found a plain user, needs root to drop caches and mount)");
        return ExitCode::SUCCESS;
    }
    let origin = origin::Origin::start(options.file_mib, options.entries);
    let mut samples: Vec<Sample> = Vec::new();
    for round in 0..options.rounds {
        let mut order = Candidate::available();
        let turn = round % order.len();
        order.rotate_left(turn);
        for candidate in order {
            let taken = measure::all(candidate, &origin, round);
            println!("round {round} {}: {} figures", candidate.name(), taken.len());
            samples.extend(taken);
        }
    }
    let table = report::markdown(&samples, &options);
    println!("{table}");
    if let Some(dir) = options.write {
        std::fs::write(dir.join("PERFORMANCE-PEERS.md"), table).unwrap();
        std::fs::write(dir.join("performance-peers.svg"), report::svg(&samples)).unwrap();
    }
    ExitCode::SUCCESS
}
