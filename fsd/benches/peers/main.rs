//! Side by side in one run: curl, `fsd`, rclone and httpdirfs; a far origin; a dead origin and a
//! healthy one; the recorder on and off.
//!
//! `cargo bench -p fsd --bench peers -- [--quick] [--rounds N] [--only PART,…] [--write DIR]`. Needs root (drops
//! caches, mounts). PART is one of peers, line, slow, recorder, stall; all by default, within 12 minutes. `--write ../docs`
//! replaces each part's table in `PERFORMANCE-PEERS.md` and the two plots, and leaves the words around them.
//!
//! The figures of a shared machine move; the ratios within a round are what counts.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark talks to its caller and stops when a tool fails"
)]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures with the plain clock")]

mod bars;
mod left;
mod line;
mod machine;
mod measure;
mod mounts;
mod origin;
mod page;
mod plot;
mod recorder;
mod report;
mod slow;
mod stall;
mod tables;
mod times;

use std::{path::PathBuf, process::ExitCode};

use measure::Sample;
use mounts::Candidate;
use page::Page;
use stall::Scene;

struct Options {
    rounds: usize,
    file_mib: u64,
    entries: usize,
    /// Readers of the largest stall scene.
    crowd: usize,
    /// Empty: every part.
    only: Vec<String>,
    write: Option<PathBuf>,
}

fn options() -> Options {
    let mut chosen = Options { rounds: 3, file_mib: 1024, entries: 10_000, crowd: 1000, only: Vec::new(), write: None };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--quick" => chosen = Options { rounds: 1, file_mib: 64, entries: 1_000, crowd: 64, ..chosen },
            "--mib" => chosen.file_mib = args.next().and_then(|n| n.parse().ok()).unwrap_or(chosen.file_mib),
            "--rounds" => chosen.rounds = args.next().and_then(|n| n.parse().ok()).unwrap_or(chosen.rounds),
            "--only" => chosen.only = args.next().unwrap_or_default().split(',').map(str::to_owned).collect(),
            "--write" => chosen.write = args.next().map(PathBuf::from),
            _ => (),
        }
    }
    chosen
}

impl Options {
    fn wants(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == part)
    }
}

fn main() -> ExitCode {
    let options = options();
    if !mounts::is_root() {
        println!("SKIP peers benchmark (found a plain user, needs root to drop caches and mount)");
        return ExitCode::SUCCESS;
    }
    if options.only.iter().any(|only| only == line::WITHIN) {
        println!("{}", line::rows(options.rounds, options.file_mib));
        return ExitCode::SUCCESS;
    }
    let page = Page::new(options.write.clone(), "PERFORMANCE-PEERS.md");
    if options.wants("peers") {
        let samples = peers(&options);
        page.show("peers", &report::markdown(&samples, &options));
        if let Some(dir) = &options.write {
            std::fs::write(dir.join("performance-peers.svg"), plot::svg(&samples)).unwrap();
        }
    }
    if options.wants("line") {
        page.show("line", &line::markdown(options.rounds, options.file_mib));
    }
    if options.wants("slow") {
        let rounds: Vec<_> = (0..options.rounds).map(|_| slow::round()).collect();
        page.show("slow", &slow::markdown(&rounds));
        if let Some(dir) = &options.write {
            std::fs::write(dir.join("performance-far.svg"), plot::far(&slow::bars(&rounds))).unwrap();
        }
    }
    if options.wants("recorder") {
        let origin = origin::Origin::start(options.file_mib.min(512), 1);
        // A difference of a few in a hundred needs more rounds than a factor of two.
        let rounds: Vec<_> = (0..options.rounds * 3).map(|turn| recorder::round(&origin, turn)).collect();
        page.show("recorder", &tables::recorder(&rounds));
    }
    if options.wants("stall") {
        let scenes = Scene::ALL.into_iter().filter(|scene| scene.readers <= options.crowd);
        let seen: Vec<_> = scenes.map(stall::run).collect();
        page.show("stall", &tables::stall(&seen));
    }
    ExitCode::SUCCESS
}

fn peers(options: &Options) -> Vec<Sample> {
    let origin = origin::Origin::start(options.file_mib, options.entries);
    let mut samples = Vec::new();
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
    samples
}
