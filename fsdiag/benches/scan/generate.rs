//! Generated logs: a busy daemon as it would write itself, of any size, the same for the same arguments.

use std::io::{self, BufWriter, Write};

use fsd_events::{
    event::{Beat, Body, Enter, Event, Exit, Head, Phase, PhaseChange, Start},
    ids::{Fh, Ino, OpId, RunId, Unique},
    line::encode,
    op::Op,
};

/// Requests in flight at once.
const SLOTS: usize = 12;
const OPS: [Op; 8] = [Op::Read, Op::Read, Op::Read, Op::Getattr, Op::Lookup, Op::Read, Op::Open, Op::Readdirplus];

/// Writes events until `size` bytes are reached; three requests of the first tenth never end.
pub(crate) fn events(size: u64, out: impl Write) -> io::Result<u64> {
    let mut daemon = Daemon::new(BufWriter::with_capacity(1 << 20, out));
    daemon.write(start())?;
    for id in 1..=3 {
        daemon.enter(id, Op::Read)?;
    }
    while daemon.written < size {
        daemon.step()?;
    }
    daemon.out.flush()?;
    Ok(daemon.written)
}

/// Writes that many requests, none of which ends.
pub(crate) fn never_ended(count: u64, out: impl Write) -> io::Result<u64> {
    let mut daemon = Daemon::new(BufWriter::with_capacity(1 << 20, out));
    daemon.write(start())?;
    for id in 1..=count {
        daemon.mono_us += 3 + daemon.random(60);
        let op = OPS[daemon.random(8) as usize];
        daemon.enter(id, op)?;
    }
    daemon.out.flush()?;
    Ok(daemon.written)
}

struct Daemon<W: Write> {
    out: W,
    line: Vec<u8>,
    written: u64,
    seq: u64,
    mono_us: u64,
    next_id: u64,
    slots: [Option<(u64, Op, u64)>; SLOTS],
    random: u64,
    beat_us: u64,
}

impl<W: Write> Daemon<W> {
    fn new(out: W) -> Self {
        let (line, slots) = (Vec::new(), [None; SLOTS]);
        Self { out, line, written: 0, seq: 0, mono_us: 1_000_000, next_id: 4, slots, random: 7, beat_us: 0 }
    }

    fn random(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % below
    }

    fn step(&mut self) -> io::Result<()> {
        self.mono_us += 3 + self.random(60);
        if self.mono_us > self.beat_us {
            self.beat_us = self.mono_us + 2_000_000;
            return self.beat();
        }
        let slot = self.random(SLOTS as u64) as usize;
        match self.slots[slot].take() {
            None => {
                let (id, op) = (self.next_id, OPS[self.random(8) as usize]);
                self.next_id += 1;
                self.slots[slot] = Some((id, op, self.mono_us));
                self.enter(id, op)
            }
            Some((id, op, since)) if op == Op::Read && self.random(16) == 0 => {
                self.slots[slot] = Some((id, op, since));
                let detail = "http://10.0.0.7:8080 bytes=1048576-2097151".into();
                self.write(Body::Phase(PhaseChange { id: OpId(id), phase: Phase::Upstream, detail }))
            }
            Some((id, op, since)) => {
                let (us, bytes) = (self.mono_us - since, if op == Op::Read { 131_072 } else { 0 });
                let errno = if self.random(200) == 0 { 2 } else { 0 };
                self.write(Body::Exit(Exit { id: OpId(id), op, us, errno, bytes, detached: false }))
            }
        }
    }

    fn enter(&mut self, id: u64, op: Op) -> io::Result<()> {
        let file = self.random(5000);
        let is_read = op == Op::Read;
        self.write(Body::Enter(Enter {
            id: OpId(id),
            op,
            thread: format!("fuse-{}", id % 4).into(),
            tid: 4000 + (id % 4) as u32,
            unique: Unique(id * 2),
            resent: false,
            pid: 1200 + (file % 9) as u32,
            ino: Ino(file + 2),
            fh: is_read.then_some(Fh(file * 2)),
            path: Some(format!("Staged/show-{}/episode-{file}.mkv", file % 40).into()),
            off: is_read.then_some(id % 4096 * 131_072),
            len: is_read.then_some(131_072),
            count: None,
        }))
    }

    fn beat(&mut self) -> io::Result<()> {
        let mut inflight = vec![(Op::Read, 3)];
        for (_, op, _) in self.slots.iter().flatten() {
            match inflight.iter_mut().find(|(o, _)| o == op) {
                Some((_, n)) => *n += 1,
                None => inflight.push((*op, 1)),
            }
        }
        let (workers, oldest_us) = (4, self.mono_us);
        self.write(Body::Beat(Box::new(Beat { inflight, oldest_us, workers, loops_alive: 4, ..Beat::default() })))
    }

    fn write(&mut self, body: Body<'_>) -> io::Result<()> {
        self.seq += 1;
        let (seq, mono_us) = (self.seq, self.mono_us);
        let ts_us = 1_795_470_000_000_000 + mono_us;
        let head = Head { run: RunId(0x0123_4567_89ab_cdef), mount_run: RunId(0xfeed), seq, ts_us, mono_us };
        self.line.clear();
        encode(&Event { head, body, carried: false, late: false }, &mut self.line);
        self.written += self.line.len() as u64;
        self.out.write_all(&self.line)
    }
}

fn start() -> Body<'static> {
    Body::Start(Box::new(Start {
        schema: 1,
        pid: 4000,
        version: "0.1.0".into(),
        mount: "/mnt/media".into(),
        source: "http://10.0.0.7:8080".into(),
        workers: 4,
        max_background: 64,
        recorder: "shared".into(),
        ..Start::default()
    }))
}
