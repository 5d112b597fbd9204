//! Sizes: what a file of 1 KiB to 100 GiB costs to open, to jump about in, and to read on in.

use std::{
    fmt::Write as _,
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    time::{Duration, Instant},
};

use fsd::process::demo::origin::{Origin, first_difference};

use crate::mounted::Mounted;

const BLOCK: u64 = 4096;
/// Read from the start of each file, at most.
const STREAM: u64 = 256 << 20;
const NAME: &str = "sparse.bin";

pub(crate) fn table(most: u64) -> String {
    let mut text = String::from(
        "| size, mode | first 4 KiB, ms | last 4 KiB, ms | 4 KiB in the middle, ms | stream of up to 256 MiB, MB/s \
         | resident, MiB | temp file, MiB | close, ms |\n|---|---|---|---|---|---|---|---|\n",
    );
    let sizes = [1 << 10, 32 << 10, 1 << 20, 32 << 20, 1 << 30, 10 << 30, 100_u64 << 30];
    for size in sizes.into_iter().filter(|size| *size <= most) {
        for mode in ["temp-file", "range-lru"] {
            let cells = cells(size, mode).unwrap_or_else(|error| error.to_string());
            let _ = writeln!(text, "| {}, {mode} | {cells} |", name(size));
        }
    }
    text
}

fn cells(size: u64, mode: &str) -> io::Result<String> {
    let origin = Origin::start()?;
    origin.file(NAME, size);
    let mounted = Mounted::new(&origin, &["--fetch-mode", mode]);
    let path = mounted.served.path(NAME);
    let start = Instant::now();
    let file = File::open(path)?;
    let first = block(&file, 0, size)? + ms(start.elapsed());
    let last = block(&file, size.saturating_sub(BLOCK), size)?;
    let middle = block(&file, size / 2 / BLOCK * BLOCK, size)?;
    let rate = stream(&file, size)?;
    let (memory, disk) = (mounted.memory(), mounted.disk());
    let start = Instant::now();
    drop(file);
    let closed = ms(start.elapsed());
    Ok(format!("{first:.2} | {last:.2} | {middle:.2} | {rate} | {:.0} | {disk} | {closed:.2}", memory[0]))
}

/// Milliseconds of one read, whose bytes are right.
fn block(file: &File, at: u64, size: u64) -> io::Result<f64> {
    let mut bytes = vec![0; usize::try_from(BLOCK.min(size - at)).unwrap()];
    let start = Instant::now();
    file.read_exact_at(&mut bytes, at)?;
    let took = ms(start.elapsed());
    assert_eq!(first_difference(NAME, at, &bytes), None);
    Ok(took)
}

/// Megabytes a second; nothing to tell of what came with the first block.
fn stream(file: &File, size: u64) -> io::Result<String> {
    let end = size.min(STREAM);
    if end < 1 << 20 {
        return Ok("-".to_owned());
    }
    let (start, mut at, mut bytes) = (Instant::now(), 0, vec![0; 1 << 20]);
    while at < end {
        file.read_exact_at(&mut bytes, at)?;
        at += 1 << 20;
    }
    Ok(format!("{:.0}", end as f64 / 1e6 / start.elapsed().as_secs_f64()))
}

fn ms(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}

fn name(size: u64) -> String {
    match size {
        0..0x10_0000 => format!("{} KiB", size >> 10),
        0x10_0000..0x4000_0000 => format!("{} MiB", size >> 20),
        _ => format!("{} GiB", size >> 30),
    }
}
