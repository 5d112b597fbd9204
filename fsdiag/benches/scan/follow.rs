//! `fsdiag tail` behind a writer of 200,000 events a second: what it shows, and how late.

use std::{
    fs::File,
    io::{BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use super::generate;

const RATE: usize = 200_000;
/// Lines are written in bundles, as the daemon's writer does.
const BUNDLES: usize = 200;

/// Line numbers and when they were written.
type Mark = (usize, Instant);

pub(crate) fn paragraph(dir: &Path, seconds: usize) -> String {
    let mut text = Vec::new();
    generate::events((seconds * RATE) as u64 * 300, &mut text).unwrap();
    let lines: Vec<&[u8]> = text.split_inclusive(|b| *b == b'\n').take(seconds * RATE).collect();
    let path = dir.join("growing.jsonl");
    let mut file = File::create(&path).unwrap();
    let mut tail = tail(&path);
    let (marks, written) = channel();
    let stdout = tail.stdout.take().unwrap();
    let reader = thread::spawn(move || lags(BufReader::with_capacity(1 << 20, stdout), &written));
    thread::sleep(Duration::from_millis(300));
    let started = Instant::now();
    for (number, bundle) in lines.chunks(RATE / BUNDLES).enumerate() {
        let due = Duration::from_secs_f64(number as f64 / BUNDLES as f64);
        thread::sleep(due.saturating_sub(started.elapsed()));
        file.write_all(&bundle.concat()).unwrap();
        marks.send(((number + 1) * (RATE / BUNDLES), Instant::now())).unwrap();
    }
    let took = started.elapsed().as_secs_f64();
    thread::sleep(Duration::from_secs(2));
    tail.kill().unwrap();
    tail.wait().unwrap();
    drop(marks);
    let (seen, mut lags) = reader.join().unwrap();
    lags.sort();
    let at =
        |share: f64| lags.get((lags.len() as f64 * share) as usize).map_or(f64::NAN, |lag| lag.as_secs_f64() * 1e3);
    format!(
        "\n`fsdiag tail` behind {} events written in {took:.1} s ({:.0} a second): {seen} shown, the last line of a \
         bundle after {:.0} ms (median), {:.0} ms (99 %), {:.0} ms (worst).\n",
        lines.len(),
        lines.len() as f64 / took,
        at(0.5),
        at(0.99),
        at(1.0 - 1e-9),
    )
}

fn tail(path: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fsdiag"));
    command.arg("tail").arg(path).stdout(Stdio::piped()).spawn().unwrap()
}

/// How many lines came, and how long each bundle's last one took.
fn lags(mut from: impl std::io::BufRead, written: &Receiver<Mark>) -> (usize, Vec<Duration>) {
    let (mut seen, mut lags, mut next) = (0, Vec::new(), None::<Mark>);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line).is_ok_and(|got| got > 0) {
        // A line that tail says itself is none of the daemon's.
        let own =
            line.starts_with(b"--") || line.starts_with(b"?") || line.starts_with(b"!!") || line.starts_with(b" ");
        seen += usize::from(!own);
        line.clear();
        next = next.or_else(|| written.try_recv().ok());
        if let Some((_, at)) = next.take_if(|(number, _)| *number <= seen) {
            lags.push(at.elapsed());
        }
    }
    (seen, lags)
}
