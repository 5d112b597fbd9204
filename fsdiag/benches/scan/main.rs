//! Speed and size of `fsdiag`, beside jq, lnav and ripgrep on the same generated file.
//!
//! `cargo bench -p fsdiag --bench scan -- [--quick] [--rounds N] [--size MB] [--write DIR]`, or
//! `-- --generate MB` for the events alone, on standard output. Best of N rounds: other work on the machine can only
//! make a figure worse. The ratios within one run are what counts.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark talks to its caller and stops when a tool fails"
)]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures with the plain clock")]

mod daemons;
mod follow;
mod foreign;
mod generate;
mod measure;
mod open;
mod peers;

use std::{fs::File, io, path::Path};

use measure::{Figure, Task};

struct Options {
    rounds: usize,
    megabytes: u64,
    quick: bool,
    write: Option<String>,
    generate: Option<u64>,
}

fn options() -> Options {
    let mut chosen = Options { rounds: 5, megabytes: 1000, quick: false, write: None, generate: None };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut number = || args.next().and_then(|n| n.parse().ok());
        match arg.as_str() {
            "--quick" => (chosen.rounds, chosen.megabytes, chosen.quick) = (1, 64, true),
            "--rounds" => chosen.rounds = number().map_or(chosen.rounds, |n| n as usize),
            "--size" => chosen.megabytes = number().unwrap_or(chosen.megabytes),
            "--generate" => chosen.generate = number(),
            "--write" => chosen.write = args.next(),
            _ => (),
        }
    }
    chosen
}

fn main() -> io::Result<()> {
    let options = options();
    if let Some(megabytes) = options.generate {
        return generate::events(megabytes * 1_000_000, io::stdout().lock()).map(drop);
    }
    let dir = tempfile::tempdir()?;
    let mut page = String::from(PREFACE);
    page += &own(dir.path(), &options)?;
    page += &daemons::table(dir.path(), &options)?;
    page += &foreign::table(dir.path(), &options)?;
    page += &open::table(dir.path(), &options)?;
    page += &follow::paragraph(dir.path(), if options.quick { 2 } else { 10 });
    page += &format!("\nLoad of the machine at the end: {}", measure::load());
    println!("{page}");
    match options.write {
        Some(dir) => std::fs::write(Path::new(&dir).join("PERFORMANCE-ANALYSIS.md"), page),
        None => Ok(()),
    }
}

const PREFACE: &str = "\
# How fast logs are read

Written by `cargo bench -p fsdiag --bench scan -- --write ../docs`. Each figure is the best of several rounds on a
machine that others used at the same time; trust the ratios, and those of processor time most.

The question to all: which operations have no EXIT? `rg -c` answers a smaller one, how many lines are ENTERs.

| | MB | seconds | MB/s | CPU seconds | MB a CPU second | most memory, MiB |
|---|---|---|---|---|---|---|
";

/// fsd's own events: one core, two cores, standard input, and the peers.
fn own(dir: &Path, options: &Options) -> io::Result<String> {
    let path = dir.join("events.jsonl");
    let size = generate::events(options.megabytes * 1_000_000, File::create(&path)?)?;
    let part = dir.join("part.jsonl");
    let part_size = generate::events(size.min(40_000_000), File::create(&part)?)?;
    let mut tasks = vec![
        Task::fsdiag("fsdiag analyze, one core", Some("0"), &path, size),
        Task::fsdiag("fsdiag analyze, two cores", None, &path, size),
        Task::piped("fsdiag analyze -, two cores", &path, size),
    ];
    tasks.extend(peers::tasks(dir, &path, size, &part, part_size)?);
    let figures: Vec<Figure> = tasks.iter().map(|task| task.best(options.rounds)).collect();
    let mut text: String = figures.iter().map(Figure::row).collect();
    let speed = |name: &str| figures.iter().find(|f| f.name.starts_with(name)).map(Figure::cpu_speed);
    for peer in ["jq", "lnav", "rg"] {
        if let Some((own, other)) = speed("fsdiag analyze, one core").zip(speed(peer)) {
            text += &format!("\nBy processor time, fsdiag on one core runs at {:.1} times {peer}.", own / other);
        }
    }
    Ok(text + "\n")
}
