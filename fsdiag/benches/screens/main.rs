//! Screens: from a key to its frame while events pour in, and what they cost when nothing happens.
//!
//! `cargo bench -p fsdiag --bench screens`, with `script` of util-linux as the terminal.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement stops at the first surprise and prints")]
#![expect(clippy::disallowed_methods, reason = "a measurement measures with the plain clock")]

mod pour;
mod terminal;

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use pour::Pour;
use terminal::Terminal;

/// Events a second of a very busy mount.
const RATE: u64 = 200_000;
/// Key presses that are measured.
const KEYS: usize = 200;
/// Screens that are switched between, by key and by the tab that the frame then marks.
const SCREENS: [(&str, &str); 4] = [("3", "3 Locks"), ("7", "7 Events"), ("5", "5 Latency"), ("6", "6 Timeline")];

fn main() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.jsonl");
    keys_while_it_pours(&path);
    nothing_happens(&path);
}

fn keys_while_it_pours(path: &Path) {
    let mut pour = Pour::start(path, RATE);
    let mut terminal = Terminal::start(path.to_str().unwrap());
    terminal.until("1 Overview", Duration::from_secs(10)).unwrap();
    // The screens have caught up with what was there before.
    std::thread::sleep(Duration::from_secs(2));
    let (before, began, cpu) = (pour.written(), Instant::now(), terminal.cpu());
    let mut times: Vec<Duration> = SCREENS
        .iter()
        .cycle()
        .take(KEYS)
        .map(|(key, tab)| {
            // Not in step with the frames that data causes.
            std::thread::sleep(Duration::from_millis(37));
            terminal.press(key, tab)
        })
        .collect();
    let seconds = began.elapsed().as_secs_f64();
    let rate = (pour.written() - before) as f64 / seconds;
    let busy = (terminal.cpu() - cpu).as_secs_f64() / seconds * 100.0;
    times.sort();
    let at = |part: usize| times[(times.len() - 1) * part / 100].as_secs_f64() * 1e3;
    println!("while {rate:.0} events a second come in ({busy:.0} % of a core):");
    println!("  key to frame: median {:.1} ms, 99 % {:.1} ms, longest {:.1} ms", at(50), at(99), at(100));
    pour.stop();
    terminal.press("1", "1 Overview");
}

fn nothing_happens(path: &Path) {
    let few = fs::read_to_string(path).unwrap().lines().take(20_000).collect::<Vec<_>>().join("\n");
    fs::write(path, few + "\n").unwrap();
    let mut terminal = Terminal::start(path.to_str().unwrap());
    terminal.until("1 Overview", Duration::from_secs(10)).unwrap();
    std::thread::sleep(Duration::from_secs(3));
    // It opens on the overview: a key for what is shown already draws nothing.
    for (at, (key, tab)) in [("1", "1 Overview")].iter().chain(&SCREENS).enumerate() {
        if at > 0 {
            terminal.press(key, tab);
        }
        let (before, began) = (terminal.cpu(), Instant::now());
        std::thread::sleep(Duration::from_secs(5));
        let part = (terminal.cpu() - before).as_secs_f64() / began.elapsed().as_secs_f64() * 100.0;
        println!("nothing happens, {tab}: {part:.2} % of a core");
    }
}
