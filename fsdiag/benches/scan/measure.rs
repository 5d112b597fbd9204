//! One command, timed, with the most memory that it had.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

pub(crate) struct Task {
    name: String,
    command: Vec<String>,
    stdin: Option<PathBuf>,
    bytes: u64,
}

pub(crate) struct Figure {
    pub(crate) name: String,
    bytes: u64,
    seconds: f64,
    /// Of all its threads.
    cpu_seconds: f64,
    peak_kib: u64,
}

impl Task {
    pub(crate) fn new(name: &str, command: &[&str], bytes: u64) -> Self {
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        Self { name: name.to_owned(), command, stdin: None, bytes }
    }

    /// On one core, or on all.
    pub(crate) fn fsdiag(name: &str, core: Option<&str>, path: &Path, bytes: u64) -> Self {
        let pinned = core.map(|core| ["taskset", "-c", core]);
        let path = path.display().to_string();
        let words = [env!("CARGO_BIN_EXE_fsdiag"), "analyze", "--format", "json", &path];
        let command: Vec<&str> = pinned.iter().flatten().copied().chain(words).collect();
        Self::new(name, &command, bytes)
    }

    pub(crate) fn piped(name: &str, path: &Path, bytes: u64) -> Self {
        let words = [env!("CARGO_BIN_EXE_fsdiag"), "analyze", "--format", "json", "-"];
        Self { stdin: Some(path.to_owned()), ..Self::new(name, &words, bytes) }
    }

    /// Says what it measures: the whole takes minutes.
    pub(crate) fn best(&self, rounds: usize) -> Figure {
        _ = writeln!(io::stderr(), "{}", self.name);
        let runs: Vec<(f64, f64, u64)> = (0..rounds).map(|_| self.once()).collect();
        Figure {
            name: self.name.clone(),
            bytes: self.bytes,
            seconds: runs.iter().map(|run| run.0).fold(f64::MAX, f64::min),
            cpu_seconds: runs.iter().map(|run| run.1).fold(f64::MAX, f64::min),
            peak_kib: runs.iter().map(|run| run.2).max().unwrap_or(0),
        }
    }

    /// Seconds, seconds of processor time, and the most memory in KiB.
    fn once(&self) -> (f64, f64, u64) {
        let mut command = Command::new(&self.command[0]);
        let stdin = self.stdin.as_ref().map_or_else(Stdio::null, |path| Stdio::from(File::open(path).unwrap()));
        command.args(&self.command[1..]).stdin(stdin).stdout(Stdio::null()).stderr(Stdio::null());
        let (started, cpu) = (Instant::now(), children_cpu());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", self.command[0]));
        let mut peak = 0;
        while child.try_wait().unwrap().is_none() {
            peak = peak.max(peak_kib(child.id()).unwrap_or(0));
            thread::sleep(Duration::from_millis(2));
        }
        (started.elapsed().as_secs_f64(), children_cpu() - cpu, peak)
    }
}

/// Seconds of processor time that ended children had; `/proc` counts in hundredths.
fn children_cpu() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<f64> = stat.rsplit_once(')').unwrap().1.split_whitespace().filter_map(|f| f.parse().ok()).collect();
    (fields[12] + fields[13]) / 100.0
}

fn peak_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

impl Figure {
    /// Megabytes a second.
    pub(crate) fn speed(&self) -> f64 {
        self.bytes as f64 / 1e6 / self.seconds
    }

    pub(crate) fn peak_mib(&self) -> f64 {
        self.peak_kib as f64 / 1024.0
    }

    /// Megabytes a second of processor time: other work on the machine falsifies it least.
    pub(crate) fn cpu_speed(&self) -> f64 {
        self.bytes as f64 / 1e6 / self.cpu_seconds
    }

    pub(crate) fn row(&self) -> String {
        let (megabytes, peak) = (self.bytes / 1_000_000, self.peak_mib());
        let (name, seconds, cpu) = (&self.name, self.seconds, self.cpu_seconds);
        let (speed, of_cpu) = (self.speed(), self.cpu_speed());
        format!("| {name} | {megabytes} | {seconds:.2} | {speed:.0} | {cpu:.2} | {of_cpu:.0} | {peak:.1} |\n")
    }
}

pub(crate) fn load() -> String {
    fs::read_to_string("/proc/loadavg").unwrap_or_default()
}
