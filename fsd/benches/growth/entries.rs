//! Entries: what a directory costs with 10 to 1,000,000 of them.

use std::{fmt::Write as _, fs, path::Path, time::Instant};

use fsd::process::demo::origin::Origin;

use crate::{mounted::Mounted, times::Times};

/// Names that are asked for after the listing.
const ASKED: usize = 1000;

pub(crate) fn table(most: usize) -> String {
    let mut text = String::from(
        "| entries | names, cold, ms (us an entry) | names and attributes, listing in memory, ms (us an entry) \
         | stat of one of them, ms, p50 / p99 / p99.9 / p100 | the origin's page, ms | resident, MiB | bytes an entry \
         |\n|---|---|---|---|---|---|---|\n",
    );
    for entries in [10, 100, 1000, 10_000, 100_000, 1_000_000].into_iter().filter(|entries| *entries <= most) {
        let _ = writeln!(text, "{}", row(entries));
    }
    text
}

fn row(entries: usize) -> String {
    let origin = Origin::start().unwrap();
    (0..entries).for_each(|n| _ = origin.file(&format!("many/file-{n:07}.bin"), 1000 + n as u64));
    let page = millis(|| _ = page(&origin));
    // A listing of a million names takes longer than a look may take by default.
    let mounted = Mounted::new(&origin, &["--meta-timeout=120s", "--first-byte-timeout=60s", "--listing-ttl=10m"]);
    let before = mounted.memory();
    let many = mounted.served.path("many");
    let cold = millis(|| assert_eq!(fs::read_dir(&many).unwrap().count(), entries));
    let again = millis(|| assert_eq!(attributes(&many), entries));
    let asked = (0..ASKED).map(|n| n * 7919 % entries);
    let stats: Vec<f64> = asked.map(|n| millis(|| stat(&many.join(format!("file-{n:07}.bin")), n))).collect();
    let memory = mounted.memory();
    let each = |ms: f64| ms * 1e3 / entries as f64;
    format!(
        "| {entries} | {cold:.1} ({:.1}) | {again:.1} ({:.1}) | {} | {page:.1} | {:.0} | {:.0} |",
        each(cold),
        each(again),
        Times::of(stats).cell(),
        memory[0],
        (memory[0] - before[0]) * 1048576.0 / entries as f64
    )
}

/// What the origin itself needs to send its page: it is part of a cold listing.
fn page(origin: &Origin) -> usize {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(origin.address()).unwrap();
    stream.write_all(b"GET /many/ HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").unwrap();
    // The origin keeps the connection: its answer ends where it says so.
    let mut answer = BufReader::new(stream);
    let length = |line: &str| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse::<usize>().ok();
    let heads = answer.by_ref().lines().map(Result::unwrap).take_while(|line| !line.is_empty());
    let length = heads.filter_map(|line| length(&line)).last().unwrap();
    let mut body = vec![0; length];
    answer.read_exact(&mut body).unwrap();
    length
}

fn attributes(dir: &Path) -> usize {
    fs::read_dir(dir).unwrap().filter(|entry| entry.as_ref().unwrap().metadata().unwrap().len() >= 1000).count()
}

fn stat(path: &Path, n: usize) {
    use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
    let got = statx(CWD, path, AtFlags::STATX_FORCE_SYNC, StatxFlags::BASIC_STATS).unwrap();
    assert_eq!(got.stx_size, 1000 + n as u64);
}

fn millis(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64() * 1e3
}
