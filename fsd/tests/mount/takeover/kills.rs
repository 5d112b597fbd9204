//! Kills: the worker dies again and again under its clients.

use std::{io::Write, sync::Arc, time::Duration};

use nix::sys::signal::Signal;

use super::{
    super::support::*,
    PATIENCE, await_handovers, await_successor,
    clients::{Crowd, Tally, fill},
    send, times, worker,
};

/// Answers that each client has of a worker before that one is killed.
const SERVED: u64 = 5;

#[test]
fn nobody_notices_that_the_worker_is_killed_again_and_again() {
    let kills = times("FSD_TEST_KILLS", 40);
    let origin = Arc::new(Origin::start().unwrap());
    fill(&origin);
    let mounted = mount(Some(&origin.url("")), &["--supervisor"]);
    let crowd = Crowd::start(&origin, &mounted.dir());
    let mut gaps = Vec::new();
    for _ in 0..kills {
        crowd.await_progress(&mounted, SERVED);
        let old = worker(&mounted);
        send(old, Signal::SIGKILL);
        gaps.push(await_successor(&mounted, old));
    }
    crowd.await_progress(&mounted, SERVED);
    let tallies = crowd.finish();
    table(&tallies, gaps);
    let worst = tallies.iter().map(|tally| tally.worst).max();
    assert!(worst < Some(PATIENCE), "{tallies:?}");
    await_handovers(&mounted, "death", kills);
    assert!(!mounted.messages().contains("panicked"), "{}", mounted.messages());
    mounted.finish();
}

/// For people who run this with `--nocapture`.
fn table(tallies: &[Tally], mut gaps: Vec<Duration>) {
    gaps.sort_unstable();
    let at = |part: f64| gaps[((gaps.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    let mut out = std::io::stdout();
    let line = |text: String, out: &mut std::io::Stdout| drop(writeln!(out, "{text}"));
    for Tally { name, operations, worst, .. } in tallies {
        line(format!("{name:16} {operations:8} operations, worst {:7.1} ms", worst.as_secs_f64() * 1e3), &mut out);
    }
    let (median, p99, max) = (at(0.5), at(0.99), at(1.0));
    line(
        format!("{} kills; from death to service: {median:.1} ms (p99 {p99:.1}, worst {max:.1})", gaps.len()),
        &mut out,
    );
}
