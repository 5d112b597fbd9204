//! Soak: mixed load under random faults and kills for as long as one likes; every byte is compared, nothing grows.

mod chaos;
mod clients;
mod ground;
mod samples;

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread::{Builder, scope},
    time::Duration,
};

use super::{health::*, support::*};

use chaos::Chaos;
use clients::Client;
use ground::Ground;
use samples::Samples;

/// Of `cache_size`, which stores may use on top of what the daemon itself needs.
const CACHE_MIB: u64 = 32;

/// One mount under load.
#[derive(Clone, Copy, Debug)]
struct Lane {
    mode: &'static str,
    /// Its workers are killed again and again; those of the others live from start to end, so that growth is seen.
    killed: bool,
}

const LANES: [Lane; 4] = [
    Lane { mode: "temp-file", killed: false },
    Lane { mode: "temp-file", killed: true },
    Lane { mode: "range-lru", killed: false },
    Lane { mode: "range-lru", killed: true },
];

/// Half a minute on every change, `FSD_TEST_SOAK_SECONDS=1800` for a real one.
fn lasts() -> Duration {
    let seconds = std::env::var("FSD_TEST_SOAK_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(30))
}

#[test]
fn under_faults_and_kills_every_byte_is_right_and_nothing_grows() {
    scope(|lanes| {
        for lane in LANES {
            let name = format!("{}-{}", lane.mode, lane.killed);
            Builder::new().name(name).spawn_scoped(lanes, move || soak(lane)).unwrap();
        }
    });
}

fn soak(lane: Lane) {
    let origin = origin();
    let cache = format!("{CACHE_MIB}MiB");
    let args = ["--fetch-mode", lane.mode, "--cache-size", &cache];
    let limits = ["--inactivity-timeout=2s", "--first-byte-timeout=2s", "--read-timeout=20s", "--stalled-after=60s"];
    let record = ["--events-limit=8MiB", "--events-total=64MiB"];
    let args: Vec<&str> = args.into_iter().chain(limits).chain(record).collect();
    let ground = Ground::lay(&origin);
    let mounted = mount(Some(&origin.url("")), &args);
    let stop = AtomicBool::new(false);
    let (tallies, samples, deeds) = scope(|threads| {
        let (ground, mounted, origin, stop) = (&ground, &mounted, &origin, &stop);
        let start = |(n, client): (usize, Client)| {
            let work = move || client.work(n as u64, ground, origin, mounted, stop);
            Builder::new().name(format!("{client:?}")).spawn_scoped(threads, work).unwrap()
        };
        let clients: Vec<_> = Client::ALL.into_iter().enumerate().map(start).collect();
        let chaos = move || Chaos::new(lane.killed).reign(ground, origin, mounted, stop);
        let chaos = Builder::new().name("chaos".into()).spawn_scoped(threads, chaos).unwrap();
        let samples = Samples::take(lasts(), lane, ground, mounted);
        stop.store(true, Relaxed);
        let deeds = chaos.join().unwrap();
        // Nothing is spoilt any more, and who waits for a stalled answer gets it.
        origin.heal().release();
        let tallies: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
        (tallies, samples, deeds)
    });
    tell(&format!("soak {lane:?}: {}, {deeds}, {tallies:?}", ground.done()));
    for tally in &tallies {
        assert_eq!(tally.wrong, Vec::<String>::new(), "{lane:?} {:?}: {}", tally.client, mounted.messages());
        assert!(tally.calls > 0, "{lane:?} {tally:?}");
    }
    assert!(ground.worst() < ground::PATIENCE, "{lane:?}: {}", ground.done());
    samples.judge(lane);
    origin.release();
    ground.check_all(&origin, &mounted);
    if lane.killed {
        // Descriptors are counted from the first worker on, which is gone.
        await_none("an idle mount", || busy(&mounted));
    } else {
        nothing_is_left(&mounted, &origin);
    }
    assert!(!mounted.messages().contains("panicked"), "{}", mounted.messages());
    let record = mounted.finish();
    assert_eq!(orphans(&record), Vec::<String>::new(), "{lane:?}");
}

/// The status, while anything is open, kept or going on.
fn busy(mounted: &Mounted) -> Option<serde_json::Value> {
    let status = mounted.status();
    let idle = ["open_handles", "stores", "closing", "reaping", "disk_used"].iter().all(|key| status[key] == 0);
    (!idle).then_some(status)
}
