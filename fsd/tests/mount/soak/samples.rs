//! Samples: memory, descriptors and threads of the processes of a mount over time.

use std::{fs, time::Duration};

use super::{super::support::*, CACHE_MIB, Lane, ground::Ground, lasts};

/// Between two looks.
const EVERY: Duration = Duration::from_millis(500);
/// Between two lines for people, when it takes that long.
const TOLD: Duration = Duration::from_secs(60);
/// What the daemon may need beside its caches.
const RESIDENT_MIB: f64 = 64.0;

/// One process at one moment.
#[derive(Clone, Copy, Debug)]
struct Sample {
    /// All but the program itself, of which a debug build has much.
    resident_mib: f64,
    /// Of it what is not shared with the supervisor and the next worker.
    anonymous_mib: f64,
    descriptors: f64,
    threads: f64,
}

pub(super) struct Samples {
    workers: Vec<Sample>,
    supervisor: Vec<Sample>,
}

impl Samples {
    pub(super) fn take(lasts: Duration, lane: Lane, ground: &Ground, mounted: &Mounted) -> Self {
        let mut samples = Self { workers: Vec::new(), supervisor: Vec::new() };
        let start = now();
        let mut told = TOLD;
        while start.elapsed() < lasts {
            let (worker, supervisor) = (Sample::of(mounted.worker()), Sample::of(mounted.pid()));
            samples.workers.extend(worker);
            samples.supervisor.extend(supervisor);
            if start.elapsed() >= told {
                tell(&format!("soak {lane:?} {:?}: {}, {worker:?}, {supervisor:?}", start.elapsed(), ground.done()));
                told += TOLD;
            }
            std::thread::park_timeout(EVERY);
        }
        samples
    }

    /// Within the bounds at every moment, and no more at the end than in the middle.
    pub(super) fn judge(&self, lane: Lane) {
        let most = self.workers.iter().map(|sample| sample.resident_mib).fold(0.0, f64::max);
        let trends = self.trends(lane);
        tell(&format!("soak {lane:?}: {most:.0} MiB resident at most, {trends:?}"));
        assert!(most < RESIDENT_MIB + CACHE_MIB as f64, "{lane:?}: {most} MiB resident");
        let growing: Vec<_> = trends.iter().filter(|trend| trend.last > trend.middle + trend.more).collect();
        assert!(growing.is_empty(), "{lane:?}: {growing:?} of {:?}", self.workers.last());
    }

    fn trends(&self, lane: Lane) -> Vec<Trend> {
        let (workers, supervisor) = (&self.workers, &self.supervisor);
        let mut trends = vec![
            // Stores come and go: a file more or less at the moment of a look is no growth.
            Trend::of("descriptors", workers, |sample| sample.descriptors, 24.0),
            Trend::of("supervisor's MiB", supervisor, |sample| sample.anonymous_mib, 1.0),
            Trend::of("supervisor's descriptors", supervisor, |sample| sample.descriptors, 4.0),
            Trend::of("supervisor's threads", supervisor, |sample| sample.threads, 0.0),
        ];
        if !lane.killed {
            // In a short soak a stream more or less moves the middle; in a long one what is left of each close adds up.
            let more = if lasts() < Duration::from_secs(600) { 12.0 } else { 6.0 };
            trends.push(Trend::of("MiB", workers, |sample| sample.resident_mib, more));
            trends.push(Trend::of("threads", workers, |sample| sample.threads, 6.0));
        }
        trends
    }
}

/// What is usual of something in the last third of the samples, which may be at most `more` than in the third before.
#[derive(Clone, Copy, Debug)]
struct Trend {
    #[expect(dead_code, reason = "shown")]
    what: &'static str,
    middle: f64,
    last: f64,
    more: f64,
}

impl Trend {
    fn of(what: &'static str, samples: &[Sample], of: fn(&Sample) -> f64, more: f64) -> Self {
        let third = samples.len() / 3;
        let [middle, last] = [third, 2 * third].map(|from| {
            let mut seen: Vec<f64> = samples[from..from + third].iter().map(of).collect();
            seen.sort_unstable_by(f64::total_cmp);
            seen[seen.len() / 2]
        });
        Self { what, middle, last, more }
    }
}

impl Sample {
    /// None: the process has just been killed.
    fn of(pid: u32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let number = |name: &str| -> Option<f64> {
            status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
        };
        Some(Self {
            resident_mib: (number("VmRSS:")? - number("RssFile:")?) / 1024.0,
            anonymous_mib: number("RssAnon:")? / 1024.0,
            descriptors: fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as f64,
            threads: number("Threads:")?,
        })
    }
}
