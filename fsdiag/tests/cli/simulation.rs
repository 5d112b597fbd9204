//! The rules against a simulated daemon: hundreds of stalls of known cause, with and without lock events, with losses.
//!
//! `docs/SIMULATION.md` holds the table that this test prints; settings here were never used to tune a threshold.

mod daemon;

use std::{collections::BTreeMap, fmt::Write as _};

use daemon::{Daemon, Losses, Scenario, Settings};
use fsdiag::engine::{
    model::{Limits, Model, Now},
    report::{Cause, Confidence, Report},
};

#[derive(Default, Clone, Copy)]
struct Score {
    runs: u32,
    noticed: u32,
    first: u32,
    third: u32,
}

#[derive(Default)]
struct Table {
    rows: BTreeMap<(bool, &'static str), Score>,
    levels: BTreeMap<(bool, Confidence), (u32, u32)>,
    false_alarms: u32,
    healthy: u32,
    /// What was said with confidence, and is not so; and where the root cause is not among the first three.
    wrong: Vec<String>,
}

const SEEDS: u64 = 6;

/// Other seeds may be asked for: `FSDIAG_SIMULATION_SEED=4242000`.
fn first_seed() -> u64 {
    std::env::var("FSDIAG_SIMULATION_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(32_000_000)
}

const PREFACE: &str = "\
# The rules against a simulated daemon

Written by `WRITE_GOLDEN=1 cargo test -p fsdiag --test cli simulation`; the test holds the bars: without lock events the
root cause first in 87 % and among the first three in 98 % of the stalls (late acquirers, pools and holders outside the
log apart), with lock events first in 99 %, no wrong `certain`, at most 1 % wrong `high`, no alarm on a healthy log.

A daemon with 8, 16 or 32 workers, one global read-write lock that queues fairly, 60 to 250 requests a second, Reads of
which some take 3 to 60 s without a lock; the fault comes after 20 to 35 s, the log ends 12 to 14 s later. Each setting
runs without losses, with 0.1 % and 1 % of the lines lost, and with a hole of 300 ms. No threshold was tuned on these
seeds. The model is ours: real logs are worse, see CORPUS.md.

An operation that takes the lock up to two seconds after its ENTER cannot be told from one that does not want it by a
log of beginnings and ends: such late acquirers are named first only with lock events; without, the confidence is at
most medium, and they stand among the alternatives. Nor can the first of those that wait for a thread that serves no
request be told from a holder, unless its kind is so rare (one request in a hundred), and it came so soon behind the last
that had the lock, that it would be no accident: only then is the confidence high. With lock events it is known to wait,
and nobody of the log is blamed. Where a request's first line is among those that are lost, nobody can name it.

";

fn settings() -> Vec<Settings> {
    let loads = [(8, 60.0, 0.004), (16, 120.0, 0.006), (32, 250.0, 0.002)];
    let losses = [Losses::None, Losses::Share(0.001), Losses::Share(0.01), Losses::Hole];
    let pairs = loads.iter().flat_map(|load| losses.iter().map(move |loss| (*load, *loss)));
    pairs.map(|((workers, rate, long), losses)| Settings { workers, rate, long, losses, lock_events: false }).collect()
}

fn judge(settings: Settings, scenario: Scenario, seed: u64) -> (Report, Vec<u64>) {
    let (facts, roots) = Daemon::new(settings, scenario, seed).run();
    let mut model = Model::new(Limits::default());
    facts.iter().for_each(|fact| model.apply(fact));
    (model.report(Now::default()), roots)
}

impl Table {
    fn add(&mut self, settings: Settings, scenario: Scenario, seed: u64, (report, roots): &(Report, Vec<u64>)) {
        let with_locks = settings.lock_events;
        if scenario == Scenario::Healthy {
            self.healthy += 1;
            self.false_alarms += u32::from(!report.healthy);
            return;
        }
        // The log ended before one of the kind came that would have held the lock.
        if roots.is_empty() && !matches!(scenario, Scenario::Outside | Scenario::Pool) {
            return;
        }
        let score = self.rows.entry((with_locks, scenario.name())).or_default();
        score.runs += 1;
        score.noticed += u32::from(!report.healthy);
        let run = format!("seed {seed}, {}, {settings:?}, roots {roots:?}", scenario.name());
        let Some(verdict) = report.verdicts.first() else { return self.wrong.push(format!("{run}: not noticed")) };
        let is_root = |id: Option<&str>| id.is_some_and(|id| roots.iter().any(|r| r.to_string() == id));
        let culprit = verdict.culprit.as_ref();
        let right = match scenario {
            Scenario::Pool => verdict.cause == Cause::WorkerStarvation || verdict.cause == Cause::UpstreamStall,
            // Nobody of the log may be blamed.
            Scenario::Outside => verdict.cause == Cause::LockPileup && culprit.is_some_and(|c| c.id.is_none()),
            _ => is_root(culprit.and_then(|c| c.id.as_deref())),
        };
        let others = verdict.alternatives.iter().take(2).any(|c| is_root(c.id.as_deref()));
        score.first += u32::from(right);
        score.third += u32::from(right || others);
        let level = self.levels.entry((with_locks, verdict.confidence)).or_default();
        level.1 += 1;
        level.0 += u32::from(right);
        if !right && (!others || verdict.confidence >= Confidence::High) {
            self.wrong.push(format!("{run}: {}: {}", verdict.confidence.name(), verdict.sentence));
        }
    }

    fn sum(&self, with_locks: bool, late: bool) -> Score {
        let wanted = |(locks, name): &(bool, &str)| {
            let apart = *name == Scenario::Pool.name() || *name == Scenario::Outside.name() && !with_locks;
            *locks == with_locks && !apart && (late || *name != Scenario::Late.name())
        };
        self.rows.iter().filter(|(key, _)| wanted(key)).fold(Score::default(), |a, (_, b)| Score {
            runs: a.runs + b.runs,
            noticed: a.noticed + b.noticed,
            first: a.first + b.first,
            third: a.third + b.third,
        })
    }

    fn text(&self) -> String {
        let mut text = String::from(
            "| lock events | root cause | stalls | noticed | top 1 | top 3 |\n| --- | --- | --- | --- | --- | --- |\n",
        );
        for ((locks, name), s) in &self.rows {
            let locks = if *locks { "yes" } else { "no" };
            let _ = writeln!(text, "| {locks} | {name} | {} | {} | {} | {} |", s.runs, s.noticed, s.first, s.third);
        }
        text.push_str("\n| lock events | confidence | right | said |\n| --- | --- | --- | --- |\n");
        for ((locks, level), (right, said)) in &self.levels {
            let locks = if *locks { "yes" } else { "no" };
            let _ = writeln!(text, "| {locks} | {} | {right} | {said} |", level.name());
        }
        let _ = writeln!(text, "\nHealthy logs: {}, alarms: {}.", self.healthy, self.false_alarms);
        text
    }
}

fn share(part: u32, whole: u32) -> f64 {
    f64::from(part) / f64::from(whole.max(1))
}

#[test]
fn the_culprit_is_named_as_often_as_promised() {
    let base = first_seed();
    let mut table = Table::default();
    for (number, settings) in settings().into_iter().enumerate() {
        for scenario in Scenario::ALL {
            for seed in 0..SEEDS {
                let seed = base + 100 * number as u64 + seed;
                for settings in [settings, Settings { lock_events: true, ..settings }] {
                    table.add(settings, scenario, seed, &judge(settings, scenario, seed));
                }
            }
        }
    }
    let text = table.text();
    println!("{text}");
    if std::env::var_os("WRITE_GOLDEN").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/SIMULATION.md"), format!("{PREFACE}{text}"))
            .unwrap();
    }
    let text = text + "\n" + &table.wrong.join("\n");
    let without = table.sum(false, false);
    let with = table.sum(true, true);
    assert_eq!(table.false_alarms, 0, "{text}");
    assert!(share(without.third, without.runs) >= 0.98, "top 3 without lock events\n{text}");
    assert!(share(without.first, without.runs) >= 0.87, "top 1 without lock events\n{text}");
    assert!(share(with.first, with.runs) >= 0.99, "top 1 with lock events\n{text}");
    for ((_, level), (right, said)) in &table.levels {
        match level {
            Confidence::Certain => assert_eq!(right, said, "a wrong `certain`\n{text}"),
            Confidence::High => assert!(share(said - right, *said) <= 0.01, "wrong `high`\n{text}"),
            Confidence::Medium | Confidence::Low => {}
        }
    }
}
