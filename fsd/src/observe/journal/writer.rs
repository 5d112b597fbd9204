//! The writer: one thread that turns rings into lines, in the order of time.

use std::{
    collections::HashMap,
    io,
    sync::{
        atomic::{
            AtomicU64,
            Ordering::{Acquire, Relaxed},
        },
        mpsc::{Receiver, RecvTimeoutError, SendError, Sender},
    },
    thread,
    time::Duration,
};

use fsd_events::{
    event::{Body, Event, Head, Start, Text},
    ids::{OpId, RunId},
    line,
    ring::{self, RingHead, header, tables},
};

use crate::platform::clock;

use super::{
    super::{inflight, log, memory::Memory, stacks, tasks},
    Order, RecorderConfig,
    carry::Carry,
    file::EventFile,
};

/// How long a record stays in its ring before it is written, so that slower threads' earlier records come first.
const HOLD_BACK_US: u64 = 5_000;
/// Lines further out of order than this are marked as late.
const WATERMARK_US: u64 = 50_000;
/// Bytes after which a batch is written.
const BATCH: usize = 256 << 10;
const BUSY_PAUSE: Duration = Duration::from_millis(10);
const IDLE_PAUSE: Duration = Duration::from_millis(40);
/// Between two looks at what is loaded, for the dumper: this thread may allocate, and nothing waits for it.
const REFRESH_US: u64 = 10_000_000;
/// Paths that are remembered.
const NAMES: usize = 4096;

/// When the writer last had nothing left to write.
static CAUGHT_UP_US: AtomicU64 = AtomicU64::new(0);

pub(super) fn lag_us(now_us: u64) -> u64 {
    match CAUGHT_UP_US.load(Relaxed) {
        0 => 0,
        last => now_us.saturating_sub(last),
    }
}

/// Starts the writer thread, which says how the first try to open its file went: to open it may take for ever.
pub(super) fn start(
    memory: &'static Memory,
    config: RecorderConfig,
    orders: Receiver<Order>,
    opened: Sender<io::Result<()>>,
) -> io::Result<()> {
    let dir = config.state_dir.as_ref();
    let file = dir.map(|dir| EventFile::new(dir, config.run, config.file_limit, config.total_limit));
    let rings = memory.rings.len();
    let mut writer = Writer {
        memory,
        file,
        start: config.start,
        seed_log: config.seed_log,
        read_to: vec![0; rings],
        heads: vec![0; rings],
        owners: vec![(u64::MAX, RingHead::default()); rings],
        batch: Vec::with_capacity(BATCH + 4096),
        payload: Vec::new(),
        carry: Carry::default(),
        names: HashMap::new(),
        last_us: 0,
    };
    CAUGHT_UP_US.store(clock::now_mono_us(), Relaxed);
    // Before any other record, whenever it gets into the file.
    writer.encode_start();
    let work = move || {
        writer.open(&opened);
        drop(opened);
        writer.run(&orders);
    };
    thread::Builder::new().name("fsd-writer".into()).spawn(work).map(drop)
}

struct Writer {
    memory: &'static Memory,
    file: Option<EventFile>,
    start: Start<'static>,
    seed_log: bool,
    /// Per ring: how far its records are in the batch.
    read_to: Vec<u64>,
    /// Per ring: its head when the round began.
    heads: Vec<u64>,
    /// Per ring: its header as it was at that number of owners.
    owners: Vec<(u64, RingHead)>,
    batch: Vec<u8>,
    payload: Vec<u64>,
    carry: Carry,
    names: HashMap<u64, String>,
    /// Time of the newest record in the file.
    last_us: u64,
}

impl Writer {
    fn open(&mut self, opened: &Sender<io::Result<()>>) {
        let tried = self.file.as_mut().map_or(Ok(()), EventFile::open);
        if let Err(SendError(Err(error))) = opened.send(tried) {
            tracing::warn!("no events can be written yet ({error}): they stay in memory as far as there is room");
        }
        self.flush();
    }

    fn run(mut self, orders: &Receiver<Order>) {
        let mut pause = BUSY_PAUSE;
        let mut refreshed_us = clock::now_mono_us();
        loop {
            let order = orders.recv_timeout(pause);
            self.memory.set_clock();
            tasks::tell_progress();
            let wrote = match order {
                Ok(Order::Restate(start)) => {
                    self.start = *start;
                    self.drain_rings();
                    self.encode_start();
                    self.flush();
                    true
                }
                Ok(Order::Flush(done)) => {
                    self.drain_rings();
                    // The one who asked may have stopped waiting.
                    let _gone = done.send(());
                    true
                }
                Ok(Order::Stop(reason, done)) => {
                    self.finish(&reason);
                    let _gone = done.send(self.is_clean());
                    return;
                }
                Err(RecvTimeoutError::Timeout) => self.catch_up(clock::now_mono_us().saturating_sub(HOLD_BACK_US)),
                Err(RecvTimeoutError::Disconnected) => return self.finish("recorder dropped"),
            };
            if clock::now_mono_us().saturating_sub(refreshed_us) >= REFRESH_US {
                stacks::refresh();
                refreshed_us = clock::now_mono_us();
            }
            pause = if wrote { BUSY_PAUSE } else { IDLE_PAUSE };
        }
    }

    /// Writes everything that is in the rings now.
    fn drain_rings(&mut self) {
        if let Some(file) = &mut self.file {
            file.hurry();
        }
        self.catch_up(u64::MAX);
    }

    fn finish(&mut self, reason: &str) {
        self.drain_rings();
        let reason = Text::Borrowed(reason);
        self.encode(self.event(Body::Stop { reason }));
        self.flush();
    }

    fn is_clean(&self) -> bool {
        self.file.as_ref().is_none_or(EventFile::is_clean)
    }

    /// Writes the records up to `until_us`; true when there were any.
    fn catch_up(&mut self, until_us: u64) -> bool {
        let mut wrote = false;
        loop {
            if let Some(file) = &mut self.file {
                file.push_on();
                if !file.is_clean() {
                    return wrote;
                }
            }
            self.free_slots();
            self.rotate();
            let all = self.fill_batch(until_us);
            wrote |= !self.batch.is_empty();
            self.flush();
            if all {
                break;
            }
        }
        if self.is_clean() {
            self.free_slots();
            CAUGHT_UP_US.store(clock::now_mono_us(), Relaxed);
        }
        wrote
    }

    /// What is in the file needs its room in the rings no longer.
    fn free_slots(&self) {
        for (ring, read_to) in self.memory.rings.iter().zip(&self.read_to) {
            if ring.tail() != *read_to {
                ring.free_to(*read_to);
            }
        }
    }

    /// Merges the rings into the batch, oldest record first; true when nothing up to `until_us` is left.
    fn fill_batch(&mut self, until_us: u64) -> bool {
        for (head, ring) in self.heads.iter_mut().zip(&self.memory.rings) {
            *head = ring.head();
        }
        while self.batch.len() < BATCH {
            let rings = self.memory.rings.iter().enumerate().filter(|(n, _)| self.read_to[*n] < self.heads[*n]);
            let next = rings.map(|(n, ring)| (ring.time_at(self.read_to[n]), n)).min();
            match next {
                Some((time, n)) if time <= until_us => self.take(n),
                _ => return true,
            }
        }
        false
    }

    /// Moves the next record of ring `n` into the batch.
    fn take(&mut self, n: usize) {
        let ring = &self.memory.rings[n];
        let Some(record) = ring.read(self.read_to[n], &mut self.payload) else {
            // Only damaged memory comes here: one slot is given up.
            super::LOST.fetch_add(1, Relaxed);
            self.read_to[n] += 1;
            return;
        };
        self.read_to[n] += u64::from(record.slots);
        let words = ring.words();
        let owners = words[header::OWNER_COUNT].load(Acquire);
        if self.owners[n].0 != owners {
            let Some(head) = RingHead::read(&|at| words[at].load(Acquire)) else { return };
            self.owners[n] = (owners, head);
        }
        let head = &mut self.owners[n].1;
        head.wall_offset = words[header::WALL_OFFSET].load(Relaxed).cast_signed();
        let names = &mut self.names;
        let event = ring::event(head, &record, &self.payload, &mut |ino| remembered(names, ino));
        if let Some(mut event) = event {
            event.late = event.head.mono_us + WATERMARK_US < self.last_us;
            self.last_us = self.last_us.max(event.head.mono_us);
            self.encode(event);
        }
    }

    fn encode(&mut self, event: Event<'_>) {
        log::tell(&event.body, self.seed_log);
        if let Body::FlagChange { flag, value } = event.body {
            self.start.flags = self.start.flags.with(flag, value);
        }
        if self.file.is_some() {
            let from = self.batch.len();
            line::encode(&event, &mut self.batch);
            self.carry.note(&event, from..self.batch.len());
        }
    }

    /// An event of the writer's own.
    fn event<'a>(&self, body: Body<'a>) -> Event<'a> {
        let mono_us = clock::now_mono_us();
        let word = |at: usize| self.memory.inflight[at].load(Relaxed);
        let head = Head {
            run: RunId(word(tables::header::RUN)),
            mount_run: RunId(word(tables::header::MOUNT_RUN)),
            seq: super::next_seq(),
            ts_us: clock::now_wall_us(),
            mono_us,
        };
        Event { head, body, carried: false, late: false }
    }

    fn encode_start(&mut self) {
        let start = Body::Start(Box::new(self.start.clone()));
        self.encode(self.event(start));
    }

    /// Gives the batch to the file.
    fn flush(&mut self) {
        self.carry.keep(&self.batch);
        if let Some(file) = self.file.as_mut().filter(|_| !self.batch.is_empty()) {
            file.write(&self.batch);
        }
        self.batch.clear();
    }

    /// Begins a new file when the current one is full; between two batches, so that it begins with all that is open.
    fn rotate(&mut self) {
        if let Some(file) = self.file.as_mut().filter(|file| file.is_clean() && file.is_full())
            && file.rotate()
        {
            self.file_head();
            self.flush();
        }
    }

    /// The first lines of a file after a rotation: `start`, and everything that was open when it began.
    fn file_head(&mut self) {
        let start = self.event(Body::Start(Box::new(self.start.clone())));
        line::encode(&start, &mut self.batch);
        let alive = |id: OpId| inflight::is_alive(id) || tasks::is_alive(id);
        self.carry.append(alive, &mut self.batch);
    }
}

/// The path of an inode, from memory when it was asked before: an inode never changes its path.
fn remembered(names: &mut HashMap<u64, String>, ino: u64) -> Option<String> {
    if let Some(name) = names.get(&ino) {
        return Some(name.clone());
    }
    let name = super::name_of(ino)?;
    if names.len() >= NAMES {
        names.clear();
    }
    names.insert(ino, name.clone());
    Some(name)
}
