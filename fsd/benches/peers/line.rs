//! Line: one cold stream, for each way in which the origin's kernel may pace what it sends, beside what the processors
//! do for it.
//!
//! How a sender paces is a setting of the network namespace: each is measured in a namespace of its own, by this same
//! program, so that the machine's setting stays as it is.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::Read as _,
    path::Path,
    process::Command,
};

use rustix::fs::{Advice, fadvise};

use crate::{
    machine::{drop_caches, fresh_memory, worked},
    measure::{fetch, middle, rate, read_all},
    mounts::{Candidate, Mounted},
    origin::Origin,
    report::median,
};

/// The argument by which this program knows that it is in its namespace already.
pub(crate) const WITHIN: &str = "line-within";

/// Read again and again from the daemon's memory: its cache holds that and what is fetched ahead of it.
const HELD_MIB: u64 = 128;

const STREAMS: [Candidate; 4] = [Candidate::Curl, Candidate::CurlFile, Candidate::FsdTempFile, Candidate::FsdRangeLru];

/// The table of all of them, in `rounds` rounds each.
pub(crate) fn markdown(rounds: usize, file_mib: u64) -> String {
    let mut text = format!(
        "Medians of {rounds} rounds, one reader of {file_mib} MiB, by the congestion control of the sender. In brackets the ratio to \
         `curl -o /dev/null` in the same round, at the end the processor time of everybody together, the origin included.\n\n\
         | sender | reader | MB/s | CPU seconds a GiB | processors busy |\n|---|---|---|---|---|\n"
    );
    let known = fs::read_to_string("/proc/sys/net/ipv4/tcp_allowed_congestion_control").unwrap_or_default();
    for control in ["cubic", "bbr"].into_iter().filter(|name| known.split_whitespace().any(|known| known == *name)) {
        text += &rows_of(control, rounds, file_mib);
    }
    text
}

fn rows_of(control: &str, rounds: usize, file_mib: u64) -> String {
    let script = format!(
        "ip link set lo up && echo {control} > /proc/sys/net/ipv4/tcp_congestion_control && \
         exec \"$0\" --only {WITHIN} --rounds {rounds} --mib {file_mib}"
    );
    let this = std::env::current_exe().unwrap();
    let output = Command::new("unshare").args(["--net", "sh", "-c", &script]).arg(this).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{control}: {}", String::from_utf8_lossy(&output.stderr));
    text.lines().filter(|line| line.starts_with('|')).fold(String::new(), |mut rows, line| {
        let _ = writeln!(rows, "| {control} {line}");
        rows
    })
}

/// One stream: MB/s, and seconds that the processors worked.
type Run = [f64; 2];

/// The rows of the namespace that this process is in.
pub(crate) fn rows(rounds: usize, file_mib: u64) -> String {
    let origin = Origin::start(file_mib, 1);
    let seen: Vec<Vec<Run>> =
        (0..rounds).map(|_| STREAMS.iter().map(|candidate| stream(*candidate, &origin)).collect()).collect();
    let mut text = String::new();
    for (n, candidate) in STREAMS.iter().enumerate() {
        let of = |take: &dyn Fn(&Vec<Run>) -> f64| median(seen.iter().map(take).collect()).unwrap_or_default();
        let (speed, cpu) = (of(&|round| round[n][0]), of(&|round| round[n][1]));
        let ratio = of(&|round| round[n][0] / round[0][0]);
        text += &row(candidate.name(), &format!("{speed:.0} ({ratio:.2})"), speed, cpu, file_mib);
    }
    let mib = HELD_MIB.min(file_mib);
    let [speed, cpu] = held(&origin, mib);
    text + &row("fsd, from its memory", &format!("{speed:.0}"), speed, cpu, mib)
}

const MB_A_GIB: f64 = 1_073.741_824;

fn row(name: &str, shown: &str, speed: f64, cpu: f64, mib: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let (gib, processors) = (mib as f64 / 1024.0, std::thread::available_parallelism().unwrap().get() as f64);
    let seconds = gib * MB_A_GIB / speed;
    format!("| {name} | {shown} | {:.2} | {:.0} % |\n", cpu / gib, 100.0 * cpu / seconds / processors)
}

fn stream(candidate: Candidate, origin: &Origin) -> Run {
    match candidate {
        Candidate::Curl => {
            fresh_memory(origin.scratch());
            let runs: Vec<Run> = (0..3).map(|_| curl(origin, Path::new("/dev/null"))).collect();
            [0, 1].map(|n| middle(runs.iter().map(|run| run[n]).collect()))
        }
        Candidate::CurlFile => {
            let to = origin.scratch().join("curled");
            fresh_memory(origin.scratch());
            let run = curl(origin, &to);
            fs::remove_file(to).unwrap();
            run
        }
        _ => {
            let mounted = Mounted::new(candidate, origin);
            let path = mounted.path().join("big.bin");
            assert!(path.exists());
            drop_caches();
            fresh_memory(origin.scratch());
            timed(origin.file_mib, || read_all(&path, origin.file_mib))
        }
    }
}

fn curl(origin: &Origin, to: &Path) -> Run {
    let url = format!("{}big.bin", origin.url());
    timed(origin.file_mib, || fetch(&["-o", to.to_str().unwrap(), &url]))
}

fn timed(mib: u64, run: impl FnOnce()) -> Run {
    let before = worked();
    let speed = rate(mib, run);
    [speed, worked() - before]
}

/// What a reader gets where nothing has to come: the bytes are in the daemon's memory, and not in the kernel's.
fn held(origin: &Origin, mib: u64) -> Run {
    let mounted = Mounted::new(Candidate::FsdRangeLru, origin);
    let file = File::open(mounted.path().join("big.bin")).unwrap();
    read_part(&file, mib);
    let runs: Vec<Run> = (0..7)
        .map(|_| {
            fadvise(&file, 0, None, Advice::DontNeed).unwrap();
            timed(mib, || read_part(&file, mib))
        })
        .collect();
    [0, 1].map(|n| middle(runs.iter().map(|run| run[n]).collect()))
}

fn read_part(mut file: &File, mib: u64) {
    rustix::fs::seek(file, rustix::fs::SeekFrom::Start(0)).unwrap();
    let mut block = vec![0; 1 << 20];
    (0..mib).for_each(|_| file.read_exact(&mut block).unwrap());
}
