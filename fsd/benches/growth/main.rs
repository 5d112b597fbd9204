//! How cost grows: with readers, with entries of a directory, and with the size of a file.
//!
//! `cargo bench -p fsd --bench growth -- [--quick] [--only PART,…] [--write DIR]`. PART is one of readers, entries,
//! sizes; all by default, within ten minutes. `--write ../docs` replaces each part's table in `PERFORMANCE.md` and
//! leaves the words around it. The origin is the scripted one: it makes up what it serves, and runs in this process.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark talks to its caller and stops when a tool fails"
)]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures with the plain clock")]

mod entries;
mod mounted;
#[path = "../peers/page.rs"]
mod page;
mod readers;
mod sizes;
#[path = "../peers/times.rs"]
mod times;

use std::path::PathBuf;

use page::Page;

#[derive(Default)]
struct Options {
    quick: bool,
    /// Empty: every part.
    only: Vec<String>,
    write: Option<PathBuf>,
}

fn options() -> Options {
    let mut chosen = Options::default();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--quick" => chosen.quick = true,
            "--only" => chosen.only = args.next().unwrap_or_default().split(',').map(str::to_owned).collect(),
            "--write" => chosen.write = args.next().map(PathBuf::from),
            _ => (),
        }
    }
    chosen
}

fn main() {
    let options = options();
    let page = Page::new(options.write.clone(), "PERFORMANCE.md");
    let wants = |part: &str| options.only.is_empty() || options.only.iter().any(|only| only == part);
    if wants("readers") {
        page.show("readers", &readers::table(if options.quick { 100 } else { 1000 }));
    }
    if wants("entries") {
        page.show("entries", &entries::table(if options.quick { 10_000 } else { 1_000_000 }));
    }
    if wants("sizes") {
        page.show("sizes", &sizes::table(if options.quick { 1 << 30 } else { 100 << 30 }));
    }
}
