//! The watchdog: a thread without locks that notices when operations stop moving.
//!
//! It allocates nothing either once it runs, so that it sees and tells what happens while malloc hangs; the words for
//! people are made from its events by the journal's writer.

mod judge;
mod report;

use std::{
    fmt, io,
    os::fd::RawFd,
    sync::{
        Arc, OnceLock,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
        mpsc,
    },
    thread,
    time::Duration,
};

use fsd_events::{
    event::Stall,
    op::Class,
    ring::{Draft, Kind, WIDE},
};
use tokio::runtime::Handle;

use crate::platform::{clock, thread::count_named, wake::Wake};

use super::{inflight, journal, locks, memory, tick};
use judge::{Judge, Look, Verdict};
use report::Report;

/// Why a dump is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DumpCause {
    /// A stall episode; `repeat` counts the dumps of the episode, from 0.
    Stall { oldest_us: u64, repeat: u32 },
    /// A person asked (SIGQUIT, `fsd dump`).
    Request,
}

/// Writes a dump without allocating and puts the file's name into the string (64 bytes are reserved);
/// false when there is none.
pub type DumpFn = Box<dyn FnMut(DumpCause, &mut String) -> bool + Send>;

/// How the watchdog looks and whom it asks.
pub struct WatchdogConfig {
    /// Between two looks; 2 s by default.
    pub every: Duration,
    /// Age from which an operation is stalled; 10 s by default.
    pub stalled_after: Duration,
    /// Number of loops that read requests.
    pub workers: u32,
    /// How the names of their threads begin.
    pub loop_names: &'static str,
    /// The kernel's count of unanswered requests; must not allocate (read a file that is open already).
    pub kernel_waiting: Box<dyn Fn() -> Option<u64> + Send>,
    pub on_dump: DumpFn,
    /// Called once, when the daemon serves: brings in what a dump needs. Must not allocate.
    pub rehearse: Box<dyn FnMut() + Send>,
}

impl Default for WatchdogConfig {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(2),
            stalled_after: Duration::from_secs(10),
            workers: 0,
            loop_names: "",
            kernel_waiting: Box::new(|| None),
            on_dump: Box::new(|_, _| false),
            rehearse: Box::new(|| ()),
        }
    }
}

impl fmt::Debug for WatchdogConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchdogConfig")
            .field("every", &self.every)
            .field("stalled_after", &self.stalled_after)
            .finish_non_exhaustive()
    }
}

/// Between two pulses of the runtime.
const PULSE: Duration = Duration::from_millis(250);
/// How long [`Watchdog::stop`] waits: the thread may be in the middle of a dump.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// Ends the watchdog's sleep; there from the first start on.
static WAKE: OnceLock<Wake> = OnceLock::new();
static STALLED: AtomicBool = AtomicBool::new(false);
/// Monotonic time of the runtime's last pulse; 0 before the first.
static PULSE_US: AtomicU64 = AtomicU64::new(0);
static DUMPS: AtomicU64 = AtomicU64::new(0);
/// Name of the last dump, in words because the watchdog takes no lock.
static DUMP_NAME: [AtomicU64; 8] = [const { AtomicU64::new(0) }; 8];

/// The running watchdog: first to start, last to stop.
#[derive(Debug)]
pub struct Watchdog {
    stop: Arc<AtomicBool>,
    ended: mpsc::Receiver<()>,
}

/// Starts the watchdog thread.
///
/// # Errors
/// When the thread or its wake-up descriptor cannot be made.
pub fn start(config: WatchdogConfig) -> io::Result<Watchdog> {
    let wake = match WAKE.get() {
        Some(wake) => wake,
        None => {
            let made = Wake::new()?;
            WAKE.get_or_init(|| made)
        }
    };
    tick::start();
    let stop = Arc::new(AtomicBool::new(false));
    let (end, ended) = mpsc::channel();
    let judge = Judge::new(u64::try_from(config.stalled_after.as_micros()).unwrap_or(u64::MAX));
    let thread = Thread { config, judge, report: Report::new(), name: String::with_capacity(64) };
    let asked = Arc::clone(&stop);
    thread::Builder::new().name("fsd-watchdog".into()).spawn(move || {
        thread.run(wake, &asked);
        // The one who stops the watchdog may have stopped waiting.
        let _gone = end.send(());
    })?;
    Ok(Watchdog { stop, ended })
}

impl Watchdog {
    /// Ends the thread after a last look.
    pub fn stop(self) {
        self.stop.store(true, Release);
        WAKE.get().into_iter().for_each(Wake::wake);
        // A dump that hangs must not keep the process.
        let _late = self.ended.recv_timeout(PATIENCE);
    }
}

/// Gives the runtime a pulse that the watchdog checks (`beat.runtime_lag_us`).
#[expect(
    clippy::disallowed_methods,
    reason = "the pulse waits for nobody, and nobody for it: no row of the task table"
)]
pub fn probe_runtime(rt: &Handle) {
    rt.spawn(async {
        loop {
            PULSE_US.store(clock::now_mono_us(), Relaxed);
            tokio::time::sleep(PULSE).await;
        }
    });
}

/// How far the runtime is behind its pulse.
fn runtime_lag_us(now_us: u64) -> u64 {
    match PULSE_US.load(Relaxed) {
        0 => 0,
        last => now_us.saturating_sub(last).saturating_sub(PULSE.as_micros() as u64),
    }
}

/// Asks the watchdog for a dump; one write(2), so a signal handler may call it. False: no watchdog runs.
pub fn request_dump() -> bool {
    WAKE.get().inspect(|wake| wake.wake()).is_some()
}

/// The descriptor behind [`request_dump`]: any byte written asks for a dump. None: no watchdog runs.
pub fn request_dump_fd() -> Option<RawFd> {
    WAKE.get().map(Wake::fd)
}

/// Number of dumps made so far and the file name of the last one.
pub fn last_dump() -> (u64, Option<String>) {
    let dumps = DUMPS.load(Acquire);
    let bytes: Vec<u8> = DUMP_NAME.iter().flat_map(|w| w.load(Relaxed).to_ne_bytes()).take_while(|b| *b != 0).collect();
    (dumps, (!bytes.is_empty()).then(|| String::from_utf8_lossy(&bytes).into_owned()))
}

fn remember_dump(name: &str) {
    for (n, word) in DUMP_NAME.iter().enumerate() {
        let mut bytes = [0; 8];
        for (to, from) in bytes.iter_mut().zip(name.bytes().skip(n * 8)) {
            *to = from;
        }
        word.store(u64::from_ne_bytes(bytes), Relaxed);
    }
    DUMPS.fetch_add(1, Release);
}

/// Whether a stall episode is open.
pub fn stalled() -> bool {
    STALLED.load(Acquire)
}

/// The thread's own state.
struct Thread {
    config: WatchdogConfig,
    judge: Judge,
    report: Report,
    /// Of the last dump; its memory is reused.
    name: String,
}

impl Thread {
    fn run(mut self, wake: &Wake, stop: &AtomicBool) {
        let every_us = u64::try_from(self.config.every.as_micros()).unwrap_or(u64::MAX).max(1_000);
        let mut next_us = clock::now_mono_us();
        let mut looks = 0_u32;
        while !stop.load(Acquire) {
            let pause = next_us.saturating_sub(clock::now_mono_us());
            if pause > 0 && wake.sleep(Duration::from_micros(pause)) && !stop.load(Acquire) {
                self.dump(DumpCause::Request);
            }
            let now_us = clock::now_mono_us();
            if now_us >= next_us {
                self.look();
                next_us = now_us + every_us;
                looks = looks.saturating_add(1);
                // The first look is at the very start, before there are other threads.
                if looks == 2 {
                    (self.config.rehearse)();
                }
            }
        }
        self.look();
    }

    fn look(&mut self) {
        let look = self.see();
        self.beat(&look);
        locks::tell_long_holds();
        let oldest_us = look.oldest_us.unwrap_or(0);
        match self.judge.look(&look) {
            Verdict::Quiet | Verdict::GoesOn => (),
            Verdict::Begins => {
                STALLED.store(true, Release);
                let dumped = self.dump(DumpCause::Stall { oldest_us, repeat: 0 });
                self.report.stalled(look.now_us, self.stalled_after_us());
                self.tell(Kind::Stall, look.kernel_waiting, dumped);
            }
            Verdict::DumpAgain { repeat } => {
                self.dump(DumpCause::Stall { oldest_us, repeat });
            }
            Verdict::Ends => {
                STALLED.store(false, Release);
                self.report.stalled(look.now_us, self.stalled_after_us());
                self.tell(Kind::StallEnd, look.kernel_waiting, false);
            }
        }
    }

    fn stalled_after_us(&self) -> u64 {
        u64::try_from(self.config.stalled_after.as_micros()).unwrap_or(u64::MAX)
    }

    fn see(&mut self) -> Look {
        let now_us = clock::now_mono_us();
        let mut oldest = None;
        inflight::visit(&mut |op| {
            if op.op.class() != Class::Control {
                oldest = oldest.max(Some(now_us.saturating_sub(op.since_us)));
            }
        });
        self.report.count();
        Look {
            now_us,
            oldest_us: oldest,
            inflight: self.report.inflight().iter().map(|(_, n)| n).sum(),
            kernel_waiting: (self.config.kernel_waiting)(),
            entered: inflight::last_id().0,
        }
    }

    /// Tells that the daemon lives, and how.
    fn beat(&mut self, look: &Look) {
        let beat = self.report.beat();
        beat.oldest_us = look.oldest_us.unwrap_or(0);
        beat.lost = journal::lost();
        beat.workers = self.config.workers;
        beat.workers_busy = busy_loops(self.config.loop_names);
        beat.loops_alive = count_named(self.config.loop_names.as_bytes()).unwrap_or(0);
        beat.kernel_waiting = look.kernel_waiting;
        beat.runtime_lag_us = runtime_lag_us(look.now_us);
        beat.writer_lag_us = journal::writer_lag_us(look.now_us);
        let draft = Draft::<WIDE>::beat(beat);
        journal::push(&draft, clock::now_mono_us());
    }

    /// True when there is a dump; its name is in `self.name`.
    fn dump(&mut self, cause: DumpCause) -> bool {
        self.name.clear();
        let dumped = (self.config.on_dump)(cause, &mut self.name);
        if dumped {
            remember_dump(&self.name);
        }
        dumped
    }

    fn tell(&mut self, kind: Kind, kernel_waiting: Option<u64>, dumped: bool) {
        let stacks = dumped.then(|| std::mem::take(&mut self.name));
        let encode = |stall: &Stall<'_>| Draft::<WIDE>::stall(kind, stall);
        let (draft, name) = self.report.with_stall(kernel_waiting, stacks, encode);
        self.name = name.unwrap_or_else(|| std::mem::take(&mut self.name));
        journal::push(&draft, clock::now_mono_us());
    }
}

/// Loops that are inside an operation right now.
fn busy_loops(names: &str) -> u32 {
    let slots = memory::every().flat_map(|memory| &memory.threads);
    let busy = slots.filter(|slot| slot.tid() != 0 && slot.busy() && slot.name().starts_with(names.as_bytes()));
    u32::try_from(busy.count()).unwrap_or(u32::MAX)
}
