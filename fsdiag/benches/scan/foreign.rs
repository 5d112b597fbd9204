//! The formats of other programs: each sample of `testdata/formats`, many times over.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
};

use super::{
    Options,
    measure::{Figure, Task},
};

const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/formats");

pub(crate) fn table(dir: &Path, options: &Options) -> io::Result<String> {
    let text = format!("{PREFACE}{HEAD}");
    let size = if options.quick { 4_000_000 } else { 60_000_000 };
    let mut figures = Vec::new();
    for sample in samples()? {
        let path = dir.join("foreign");
        let bytes = repeat(&sample, &path, size)?;
        let name = sample.strip_prefix(SAMPLES).unwrap_or(&sample).display().to_string();
        figures.push(Task::fsdiag(&name, Some("0"), &path, bytes).best(options.rounds.min(3)));
    }
    figures.sort_by(|a, b| a.cpu_speed().total_cmp(&b.cpu_speed()));
    Ok(text + &figures.iter().map(Figure::row).collect::<String>())
}

pub(crate) const HEAD: &str = "\
| log | MB | seconds | MB/s | CPU seconds | MB a CPU second | most memory, MiB |
|---|---|---|---|---|---|---|
";

const PREFACE: &str = "
The same for each sample of the tests, repeated thousands of times. Samples are what is hard to read, in few lines: in
such a log a daemon dies or starts every ten to thirty lines, or leaves a request open in every tenth, as no log does.\n\n";

fn samples() -> io::Result<Vec<PathBuf>> {
    let mut samples = Vec::new();
    for format in fs::read_dir(SAMPLES)? {
        let files = fs::read_dir(format?.path())?.map(|file| file.map(|f| f.path())).collect::<io::Result<Vec<_>>>()?;
        samples.extend(files.into_iter().filter(|p| p.extension().is_some_and(|e| e == "log" || e == "txt")));
    }
    Ok(samples)
}

fn repeat(sample: &Path, into: &Path, size: u64) -> io::Result<u64> {
    let mut text = fs::read(sample)?;
    if !text.ends_with(b"\n") {
        text.push(b'\n');
    }
    let mut out = BufWriter::with_capacity(1 << 20, File::create(into)?);
    out.write_all(&text)?;
    // One long session: a begin and an end in every copy would measure restarts.
    let again: Vec<u8> =
        text.split_inclusive(|b| *b == b'\n').filter(|line| !is_border(line)).flatten().copied().collect();
    let times = size / again.len().max(1) as u64;
    (0..times).try_for_each(|_| out.write_all(&again))?;
    out.flush()?;
    Ok(text.len() as u64 + times * again.len() as u64)
}

fn is_border(line: &[u8]) -> bool {
    let text = String::from_utf8_lossy(line);
    ["INIT", "Init", "DESTROY", "Destroy", "version", "ersion:", "Starting", "unmount"].iter().any(|w| text.contains(w))
}
