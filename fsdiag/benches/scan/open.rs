//! Memory of requests that never end: a log with all of its ends lost.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write as _},
    path::Path,
};

use super::{Options, generate, measure::Task};

/// Requests in the smaller log; the larger one has four times as many.
const MANY: u64 = 1_000_000;

pub(crate) fn table(dir: &Path, options: &Options) -> io::Result<String> {
    let mut text = String::from(PREFACE);
    let many = if options.quick { MANY / 10 } else { MANY };
    let own = |path: &Path, count| generate::never_ended(count, File::create(path)?);
    for (name, write) in [("fsd's own events", own as fn(&Path, u64) -> io::Result<u64>), ("libfuse -d", libfuse)] {
        let peak = |count| -> io::Result<f64> {
            let path = dir.join("open");
            let bytes = write(&path, count)?;
            let figure = Task::fsdiag(name, Some("0"), &path, bytes).best(1);
            fs::remove_file(&path)?;
            Ok(figure.peak_mib())
        };
        let (none, some, more) = (peak(0)?, peak(many)?, peak(4 * many)?);
        let each = (more - some) * f64::from(1 << 20) / (3 * many) as f64;
        text += &format!("| {name} | {none:.1} | {some:.1} | {more:.1} | {each:.0} |\n");
    }
    Ok(text)
}

const PREFACE: &str = "\n\
Memory of requests without an end, MiB: none, a million, four million (with `--quick` a tenth of that). The last
column is what each of the last three million takes, bytes: its numbers and its place in the table, not its path,
which is kept once for all requests that name it, in about 80 bytes and its length. Whatever the log, up to 131,072 of
them are judged one by one, which takes most of the first 64 MiB.

| log | none | a million | four million | bytes each |
|---|---|---|---|---|
";

/// The log of a libfuse daemon that answers nothing.
fn libfuse(path: &Path, count: u64) -> io::Result<u64> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    writeln!(out, "FUSE library version: 3.18.0")?;
    for n in 0..count {
        let (us, unique, node, pid) = (n * 31, 2 * n + 2, n * 7919 % 5000 + 2, 1200 + n % 9);
        let stamp = format!("{}.{:06}", 1_795_470_000 + us / 1_000_000, us % 1_000_000);
        writeln!(out, "{stamp} unique: {unique}, opcode: READ (15), nodeid: {node}, insize: 80, pid: {pid}")?;
        writeln!(out, "{stamp} read[{}] 131072 bytes from {} flags: 0x8000", node * 2, n % 4096 * 131_072)?;
    }
    out.flush()?;
    out.get_ref().metadata().map(|file| file.len())
}
