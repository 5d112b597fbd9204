//! The machine: its caches, its memory, its processors.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

/// Of each kind of memory, more than a stream of 1 GiB needs.
const MOST: usize = 3 << 30;

/// Memory that the host has taken back is slow to get: this lets it come before something is measured. `dir` is on
/// the disk of the temp files, whose pages are larger than those of programs, and come from elsewhere.
pub(crate) fn fresh_memory(dir: &Path) {
    let mut memory = vec![0_u8; MOST];
    memory.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
    std::hint::black_box(&memory);
    drop(memory);
    let (path, block) = (dir.join("pages"), vec![1_u8; 1 << 20]);
    let mut file = fs::File::create(&path).unwrap();
    (0..MOST >> 20).for_each(|_| file.write_all(&block).unwrap());
    fs::remove_file(path).unwrap();
}

/// Cold caches for the mount's files, and for nothing else: `ls` itself is in memory again, and what the kernel tells
/// the daemon to forget has been told.
pub(crate) fn drop_caches() {
    fs::write("/proc/sys/vm/drop_caches", "3").unwrap();
    let ls = Command::new("ls").args(["-l", "/"]).stdout(Stdio::null()).status();
    assert!(ls.unwrap().success());
    std::thread::sleep(Duration::from_millis(300));
}

/// Seconds that all processors together have worked since the machine started.
pub(crate) fn worked() -> f64 {
    /// The kernel counts in hundredths for programs, whatever its own tick.
    const TICKS: f64 = 100.0;
    let text = fs::read_to_string("/proc/stat").unwrap();
    let first = text.lines().next().unwrap_or_default();
    let ticks: Vec<f64> = first.split_whitespace().skip(1).map(|n| n.parse().unwrap()).collect();
    // user nice system idle iowait irq softirq steal
    [0, 1, 2, 5, 6].iter().map(|n| ticks[*n]).sum::<f64>() / TICKS
}
