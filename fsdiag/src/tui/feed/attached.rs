//! Attached: a mount of any daemon, seen from the kernel's side.

mod kernel;
mod watch;

use std::{
    env,
    path::{Path, PathBuf},
    time::Duration,
};

pub(super) use self::kernel::KernelSide;
use self::watch::Watch;
use super::{Show, Step, retry::Retry};
use crate::{
    engine::model::Limits,
    sources::kernel::mountinfo::{self, Mount},
    tui::{
        acts, compose,
        picture::{Latency, Picture, Source, SourceState},
        trace::Trace,
    },
};

/// The trace buffers hold more than what comes between two drains.
const PACE: Duration = Duration::from_millis(100);
/// Between two looks while requests wait, and while none does.
const BUSY_US: u64 = 1_000_000;
const IDLE_US: u64 = 3_000_000;

pub(super) struct Attached {
    point: PathBuf,
    limits: Limits,
    trace: Trace,
    at: At,
    looked_us: u64,
    counted: (u64, u64),
}

/// Whether it is there.
enum At {
    Mount { side: Box<KernelSide>, watch: Box<Watch> },
    Gone { retry: Retry, why: String },
}

impl Attached {
    pub(super) fn new(path: &Path, limits: Limits) -> Self {
        let point = mountinfo::lexical(&env::current_dir().unwrap_or_default(), path);
        let at = At::Gone { retry: Retry::new(0), why: String::new() };
        Self { point, limits, trace: Trace::default(), at, looked_us: 0, counted: (0, 0) }
    }

    /// The mount as it is now, if it is one.
    fn find(&mut self, now_us: u64) -> bool {
        let mounts = mountinfo::read().unwrap_or_default();
        let found = mountinfo::at(&mounts, &self.point).filter(|mount| mount.is_fuse()).cloned();
        let known = match &self.at {
            At::Mount { side, .. } => Some(side.mount.connection()),
            At::Gone { .. } => None,
        };
        match (found, known) {
            (Some(mount), Some(known)) if mount.connection() == known => (),
            (Some(mount), _) => self.open(mount, mounts),
            (None, None) if matches!(&self.at, At::Gone { why, .. } if !why.is_empty()) => (),
            (None, known) => {
                let what = if known.is_some() { "is not mounted any more" } else { "is no FUSE mount" };
                let why = format!("{} {what}.", self.point.display());
                self.at = At::Gone { retry: Retry::new(now_us), why };
            }
        }
        matches!(self.at, At::Mount { .. })
    }

    fn open(&mut self, mount: Mount, mounts: Vec<Mount>) {
        let watch = Box::new(Watch::new(&mounts, mount.connection()));
        self.trace = Trace::default();
        self.at = At::Mount { side: Box::new(KernelSide::new(mount, mounts)), watch };
    }

    fn gone(&self, now_us: u64) -> Step {
        let At::Gone { retry, why } = &self.at else { return Step { picture: None, pause: PACE } };
        let state = SourceState::Reconnecting { in_s: retry.in_s(now_us), why: why.clone() };
        let source = Source { title: self.point.display().to_string(), state, ..Source::default() };
        Step { picture: Some(Picture { source, ..Picture::default() }), pause: PACE * 2 }
    }

    fn look(&mut self, now_us: u64) -> Step {
        let At::Mount { side, watch } = &mut self.at else { return Step { picture: None, pause: PACE } };
        watch.drain(&mut self.trace);
        let pace_us = if side.is_quiet() && watch.open() == 0 { IDLE_US } else { BUSY_US };
        if now_us.saturating_sub(self.looked_us) < pace_us {
            return Step { picture: None, pause: PACE };
        }
        let events = self.trace.events - self.counted.0;
        let passed = now_us.saturating_sub(self.counted.1).max(1);
        let rate = if self.counted.1 == 0 { 0 } else { events * 1_000_000 / passed };
        self.counted = (self.trace.events, now_us);
        self.looked_us = now_us;
        side.look(Some(&mut **watch), self.limits);
        let mut picture = side.picture(&mut self.trace, Source { events_per_s: rate, ..Source::default() });
        picture.notes.extend(watch.missing.iter().map(|why| format!("not available: trace events: {why}")));
        picture.source.lost = watch.dropped();
        picture.latency = latency(watch, &self.trace);
        picture.acts = acts::of(&self.point.display().to_string(), false);
        Step { picture: Some(picture), pause: PACE }
    }
}

fn latency(watch: &Watch, trace: &Trace) -> Vec<Latency> {
    let row = |(op, stats): (&fsd_events::op::Op, &crate::engine::model::ops::OpStats)| Latency {
        op: op.to_string(),
        summary: stats.summary(1),
        buckets: compose::buckets(&stats.latency),
        heat: trace.heat(op.name()),
    };
    let mut rows: Vec<Latency> = watch.stats.iter().map(row).collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.summary.count));
    rows
}

impl Show for Attached {
    fn step(&mut self, now_us: u64) -> Step {
        let due = match &mut self.at {
            At::Gone { retry, .. } => retry.is_due(now_us),
            // The mount table is cheap, but not for ten times a second.
            At::Mount { .. } => now_us.saturating_sub(self.looked_us) >= BUSY_US,
        };
        if due {
            self.find(now_us);
        }
        match self.at {
            At::Gone { .. } => self.gone(now_us),
            At::Mount { .. } => self.look(now_us),
        }
    }
}
