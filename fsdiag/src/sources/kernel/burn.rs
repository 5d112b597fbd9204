//! Burn: which thread of a process runs all the time, by two readings of the scheduler's account.

use std::fs;

use super::{holders, peek, sys, task};

/// A reading, to be compared with a later one.
#[derive(Clone, Debug)]
pub struct Meter {
    pid: u32,
    since_ns: u64,
    /// Of each thread, nanoseconds on a processor or waiting for one.
    threads: Vec<(u32, u64)>,
}

/// A thread that wanted a processor nearly all of the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Burning {
    pub tid: u32,
    pub comm: Box<str>,
    /// Of the time that was measured; waiting for a processor counts, or a busy machine would hide it.
    pub percent: u32,
    pub over_us: u64,
}

/// From this share on.
const MOST_PERCENT: u64 = 90;
/// A shorter look catches whoever just has something to do.
const SHORTEST_NS: u64 = 300_000_000;

impl Meter {
    pub fn start(pid: u32) -> Self {
        let threads = task::ids(pid).into_iter().filter_map(|tid| Some((tid, wanted_ns(pid, tid)?))).collect();
        Self { pid, since_ns: sys::mono_ns(), threads }
    }

    /// The thread that has run most since then, if it ran nearly all the time. Waits until that means something.
    pub fn stop(&self) -> Option<Burning> {
        while sys::mono_ns() - self.since_ns < SHORTEST_NS {
            peek::pause();
        }
        let over_ns = (sys::mono_ns() - self.since_ns).max(1);
        let share = |(tid, before): &(u32, u64)| {
            let ran = wanted_ns(self.pid, *tid)?.saturating_sub(*before);
            Some((ran.saturating_mul(100) / over_ns, *tid))
        };
        let (percent, tid) = self.threads.iter().filter_map(share).max()?;
        (percent >= MOST_PERCENT).then(|| Burning {
            tid,
            comm: holders::comm(tid).into(),
            percent: percent.min(100) as u32,
            over_us: over_ns / 1000,
        })
    }
}

/// `3021874 90211 12`: on a processor, waiting for one, how often.
fn wanted_ns(pid: u32, tid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{tid}/schedstat")).ok()?;
    let mut numbers = text.split_whitespace().map(|word| word.parse::<u64>().ok());
    Some(numbers.next()?? + numbers.next()??)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn a_thread_that_runs_all_the_time_is_told_from_those_that_wait() {
        let pid = std::process::id();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let spin = || {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            };
            std::thread::Builder::new().name("spins".to_owned()).spawn_scoped(scope, spin).expect("a thread");
            let named = |tid: &u32| {
                fs::read_to_string(format!("/proc/{pid}/task/{tid}/comm")).is_ok_and(|c| c.trim() == "spins")
            };
            while !task::ids(pid).iter().any(named) {
                std::thread::yield_now();
            }
            // Other tests run beside it, and a machine may be so busy that a reading says nothing.
            let measure = || {
                let mut meter = Meter::start(pid);
                meter.threads.retain(|(tid, _)| named(tid) || *tid == pid);
                meter.stop()
            };
            let burning = (0..20).find_map(|_| measure());
            stop.store(true, Ordering::Relaxed);
            let burning = burning.expect("it is seen");
            assert_eq!(&*burning.comm, "spins");
            assert!(burning.over_us >= SHORTEST_NS / 1000);
        });
    }

    #[test]
    fn what_is_no_process_burns_nothing() {
        assert_eq!(Meter::start(u32::MAX).stop(), None);
    }
}
