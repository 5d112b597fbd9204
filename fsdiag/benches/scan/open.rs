//! Memory of requests that never end: a log with all of its ends lost.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write as _},
    path::Path,
};

use super::{Options, generate, measure::Task};

/// Requests in a log; the last two tell what each takes.
const MANY: [u64; 4] = [0, 131_072, 1_000_000, 4_000_000];

pub(crate) fn table(dir: &Path, options: &Options) -> io::Result<String> {
    let mut text = String::from(PREFACE);
    let many = MANY.map(|many| if options.quick { many / 10 } else { many });
    let own = |path: &Path, count| generate::never_ended(count, File::create(path)?);
    for (name, write) in [("fsd's own events", own as fn(&Path, u64) -> io::Result<u64>), ("libfuse -d", libfuse)] {
        let peak = |count| -> io::Result<f64> {
            let path = dir.join("open");
            let bytes = write(&path, count)?;
            let figure = Task::fsdiag(name, Some("0"), &path, bytes).best(1);
            fs::remove_file(&path)?;
            Ok(figure.peak_mib())
        };
        let mut peaks = [0.0; MANY.len()];
        for (count, mib) in many.iter().zip(&mut peaks) {
            *mib = peak(*count)?;
        }
        let [.., some, more] = peaks;
        let each = (more - some) * f64::from(1 << 20) / (many[3] - many[2]) as f64;
        text += &format!("| {name} |{} {each:.0} |\n", cells(peaks));
    }
    text += &format!("| allowed: 64 MiB, and 48 bytes each |{} 48 |\n", cells(many.map(allowed_mib)));
    Ok(text)
}

fn cells(mib: [f64; MANY.len()]) -> String {
    mib.iter().map(|mib| format!(" {mib:.1} |")).collect()
}

/// What so many open requests may take.
fn allowed_mib(many: u64) -> f64 {
    64.0 + (many * 48) as f64 / f64::from(1 << 20)
}

const PREFACE: &str = "\n\
Memory of requests without an end, MiB (with `--quick` a tenth of them). The last column is what each of the last three
million takes, bytes: its numbers and its place in the table, not its path, which is kept once for all requests that
name it, in about 80 bytes and its length. Whatever the log, up to 95,232 of them are judged one by one, which takes
most of the first 64 MiB.

| log | none | 131,072 | a million | four million | bytes each |
|---|---|---|---|---|---|
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
