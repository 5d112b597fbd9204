//! State: all that a store knows, under its one lock. No I/O and no clock here.

use std::{
    collections::VecDeque,
    ops::Range,
    time::{Duration, Instant},
};

use fsd_events::ids::OpId;

use crate::{
    data::{
        origin::{Meta, Resource, Validator},
        prefetch::Streams,
    },
    observe::tasks::Task,
};

use super::{
    Reader, StoreError,
    chunk::Chunk,
    download::Speed,
    extents::Extents,
    held::{Held, Part},
    waiters::Waiters,
};

/// Where bytes stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// In a temp file, filled to the end in the background.
    Disk,
    /// In memory, the least worthy are dropped and fetched again.
    Lru,
    /// In memory, all of them: the content is small.
    All,
    /// In a file that is ours to read only.
    Local,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The background download.
    Main,
    /// A reader waits for it.
    Demand,
    /// Ahead of readers.
    Ahead,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Demand => "demand",
            Self::Ahead => "ahead",
        }
    }
}

/// A request that is under way or about to be.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) key: u64,
    pub(super) kind: Kind,
    /// Next byte to come.
    pub(super) at: u64,
    pub(super) end: u64,
    pub(super) task: Option<Task>,
}

/// A request to start once the lock is free.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Start {
    pub(super) key: u64,
    pub(super) kind: Kind,
    pub(super) range: Range<u64>,
}

/// A reader whose bytes are at hand, the range, and how to answer.
pub(super) type Complete = (Box<dyn Reader>, Range<u64>, Vec<Part>);

/// A reader for whom nothing comes any more, and what it wanted.
pub(super) type Lost = (Box<dyn Reader>, Range<u64>);

/// How a read stands.
pub(super) enum Look {
    /// And what to start after the answer.
    Ready(Vec<Part>, Vec<Start>),
    Refused(StoreError),
    /// Requests must be started before the reader may park.
    Start(Vec<Start>),
    /// On its way: the first missing bytes, and the task that brings them.
    Coming(Option<OpId>, Range<u64>),
}

/// A failed background download is tried again after this long.
const RETRY: Duration = Duration::from_secs(2);

/// Of what is on disk too, this much stays in memory: beyond it the page cache serves as well.
const RECENT: u64 = 32 << 20;

pub(super) struct State {
    pub(super) size: u64,
    pub(super) keep: Keep,
    pub(super) chunk: u64,
    /// Requests that may be under way at once.
    pub(super) at_once: u64,
    pub(super) held: Held,
    pub(super) waiters: Waiters<Box<dyn Reader>>,
    pub(super) flights: Vec<Flight>,
    pub(super) streams: Streams,
    pub(super) validator: Validator,
    pub(super) resource: Option<Resource>,
    /// In memory and to be written, in order of arrival.
    pub(super) dirty: VecDeque<Range<u64>>,
    pub(super) dirty_bytes: u64,
    pub(super) writing: bool,
    /// How often it began again: what is being written may be of an earlier beginning.
    pub(super) restarts: u32,
    /// A first answer has come: size and version are agreed on.
    pub(super) agreed: bool,
    /// The origin names no version: all bytes must come from one answer.
    pub(super) single: bool,
    /// The origin ignores ranges.
    pub(super) rangeless: bool,
    /// Some reader has got bytes.
    pub(super) served: bool,
    pub(super) main_after: Option<Instant>,
    pub(super) dead: Option<StoreError>,
    pub(super) closing: bool,
    /// Disk is reserved for all of it.
    pub(super) reserved: bool,
    /// Disk and memory are given back.
    pub(super) returned: bool,
    pub(super) keys: u64,
    pub(super) speed: Speed,
}

impl State {
    pub(super) fn new(size: u64, keep: Keep, chunk: u64, validator: Validator, resource: Option<Resource>) -> Self {
        Self {
            size,
            keep,
            chunk,
            at_once: 1,
            held: Held::default(),
            waiters: Waiters::default(),
            flights: Vec::new(),
            streams: Streams::default(),
            validator,
            resource,
            dirty: VecDeque::new(),
            dirty_bytes: 0,
            writing: false,
            restarts: 0,
            agreed: false,
            single: false,
            rangeless: false,
            served: false,
            main_after: None,
            dead: None,
            closing: false,
            reserved: keep == Keep::Disk,
            returned: false,
            keys: 0,
            speed: Speed::default(),
        }
    }

    /// Goes on where an earlier worker stood: these bytes are on disk, and of that version.
    pub(super) fn take_over(&mut self, ranges: &Extents, validator: Validator) {
        for range in ranges.iter() {
            self.held.written(range);
        }
        if self.validator == Validator::None {
            self.validator = validator;
        }
        // Somebody may have read them.
        self.served = true;
    }

    /// Looks at a read of `range`. `again`: not for the first time, so it is no new evidence.
    pub(super) fn look(&mut self, range: &Range<u64>, again: bool, share: u64, now: Instant) -> Look {
        if self.closing {
            return Look::Refused(StoreError::Closed);
        }
        let plan = self.held.plan(range);
        // A reader seldom waits for a rapid connection, whose requests are worth the largest window all the same.
        let grow = (plan.is_none() || self.speed == Speed::Rapid) && !again;
        let advice = self.streams.on_read(range, grow, window_cap(share, self.chunk));
        let fetch = if again { range } else { &advice.fetch };
        if let Some(plan) = plan {
            self.served = true;
            self.held.memory.touch(range, advice.sequential);
            let starts = self.ahead(range, fetch);
            return Look::Ready(plan, starts);
        }
        if let Some(error) = &self.dead {
            return Look::Refused(error.clone());
        }
        let starts = self.want(range, fetch, now);
        if !starts.is_empty() {
            return Look::Start(starts);
        }
        let gap = self.held.have().first_gap(range).unwrap_or_else(|| range.clone());
        let on = self.covering(gap.start).and_then(|flight| flight.task.as_ref()).map(Task::id);
        Look::Coming(on, gap)
    }

    /// Ranged requests beside the download are possible: the version is known and ranges are served.
    pub(super) fn ranged(&self) -> bool {
        !self.single && !self.rangeless && self.validator != Validator::None
    }

    pub(super) fn main(&self) -> Option<&Flight> {
        self.flights.iter().find(|flight| flight.kind == Kind::Main)
    }

    /// Takes in bytes of the flight `key`; returns who can be answered now.
    pub(super) fn arrive(&mut self, key: u64, at: u64, bytes: &Chunk) -> Vec<Complete> {
        self.absorb(key, at, bytes);
        self.ready(&(at..at + bytes.len() as u64))
    }

    /// Takes in bytes and wakes nobody.
    pub(super) fn absorb(&mut self, key: u64, at: u64, bytes: &Chunk) {
        let fresh = at..at + bytes.len() as u64;
        let gaps = self.held.insert(at, bytes);
        if let Some(flight) = self.flights.iter_mut().find(|flight| flight.key == key) {
            flight.at = fresh.end;
        }
        if self.keep == Keep::Disk {
            for gap in gaps {
                self.dirty_bytes += gap.end - gap.start;
                match self.dirty.back_mut() {
                    Some(last) if last.end == gap.start => last.end = gap.end,
                    _ => self.dirty.push_back(gap),
                }
            }
        }
    }

    /// Notes that `batch` is on disk; returns who can be answered by what only the disk has: memory may have given it
    /// up meanwhile, where the disk was left.
    pub(super) fn written(&mut self, batch: &[(u64, Chunk)]) -> Vec<Complete> {
        let mut ready = Vec::new();
        for (at, bytes) in batch {
            let range = *at..at + bytes.len() as u64;
            self.dirty_bytes = self.dirty_bytes.saturating_sub(range.end - range.start);
            let back = !self.held.have().covers(&range);
            self.held.written(range.clone());
            if back {
                ready.extend(self.ready(&range));
            }
        }
        ready
    }

    /// Takes out the waiters that `fresh` bytes complete.
    fn ready(&mut self, fresh: &Range<u64>) -> Vec<Complete> {
        let held = &self.held;
        let ready = self.waiters.take_ready(fresh, |need| held.plan(need));
        self.served |= !ready.is_empty();
        for (_, need, _) in &ready {
            self.held.memory.touch(need, true);
        }
        ready
    }

    /// Gives up memory down to `share`; never what a waiter needs.
    pub(super) fn shrink(&mut self, share: u64) {
        let share = if self.keep == Keep::Disk { share.min(RECENT) } else { share };
        let (lru, waiters) = (self.keep == Keep::Lru, &self.waiters);
        self.held.shrink(share, |range| {
            lru && !waiters.needs().any(|need| need.start < range.end && range.start < need.end)
        });
    }

    /// Up to `limit` bytes to write, out of the queue.
    pub(super) fn take_dirty(&mut self, limit: u64) -> Vec<(u64, Chunk)> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while bytes < limit {
            let Some(first) = self.dirty.front_mut() else { break };
            let Some(piece) = self.held.memory.piece(first.start, first.end) else { break };
            let at = first.start;
            first.start += piece.len() as u64;
            bytes += piece.len() as u64;
            batch.push((at, piece));
            if first.start == first.end {
                self.dirty.pop_front();
            }
        }
        batch
    }

    /// The version of the content by an answer to it; `Err` says why that does not fit what was listed.
    pub(super) fn version_by(&self, meta: &Meta) -> Result<Validator, String> {
        if let Some(size) = meta.size.filter(|size| *size != self.size) {
            return Err(format!("it has {size} bytes, not {}", self.size));
        }
        let known = if self.validator == Validator::None { &meta.validator } else { &self.validator };
        Ok(known.clone())
    }

    pub(super) fn agree(&mut self, version: Validator) {
        self.single |= version == Validator::None;
        self.validator = version;
        self.agreed = true;
    }

    /// The flight `key` has a task, unless that has ended already.
    pub(super) fn launched(&mut self, key: u64, task: Task) {
        let Some(flight) = self.flights.iter_mut().find(|flight| flight.key == key) else { return };
        if self.closing {
            // The close has looked for tasks to cancel before there was this one.
            task.cancel();
        }
        flight.task = Some(task);
    }

    /// Ends the flight `key`; takes out the waiters for whom nothing is on its way any more, and says what to start
    /// for those who stay: they may have relied on this one.
    pub(super) fn land(&mut self, key: u64, failed: bool, now: Instant) -> (Vec<Lost>, Vec<Start>) {
        let lost = self.take_off(key, failed, now);
        // What has just failed is not asked for again while another brings it, be it late.
        (lost, self.kick(now, if failed { Flight::late } else { Flight::soon }))
    }

    fn take_off(&mut self, key: u64, failed: bool, now: Instant) -> Vec<Lost> {
        let Some(n) = self.flights.iter().position(|flight| flight.key == key) else { return Vec::new() };
        let flight = self.flights.swap_remove(n);
        if !failed {
            return Vec::new();
        }
        if flight.kind == Kind::Main {
            self.main_after = Some(now + RETRY);
        } else {
            self.streams.shrink();
        }
        let orphans: Vec<Range<u64>> =
            self.waiters.needs().filter(|need| self.orphan(need, &flight)).cloned().collect();
        self.waiters.take_hopeless(|need| orphans.contains(need))
    }

    fn orphan(&self, need: &Range<u64>, flight: &Flight) -> bool {
        let Some(gap) = self.held.have().first_gap(need) else { return false };
        let relied = flight.kind == Kind::Main || (flight.at < need.end && need.start < flight.end);
        relied && !self.brings(gap.start)
    }

    /// The disk takes no more: from now on memory is all there is, what is on disk stays readable. False where that
    /// cannot be, because ranges cannot be had or told apart.
    pub(super) fn leave_disk(&mut self) -> bool {
        if self.keep != Keep::Disk || self.closing || !self.ranged() {
            return false;
        }
        self.keep = Keep::Lru;
        self.dirty.clear();
        self.dirty_bytes = 0;
        true
    }

    /// Forgets every byte, to begin again with one new answer.
    pub(super) fn restart(&mut self) {
        self.held.clear();
        self.dirty.clear();
        self.dirty_bytes = 0;
        self.agreed = false;
        self.restarts += 1;
    }
}

/// Windows leave room for what was read and for the chunk in hand.
fn window_cap(share: u64, chunk: u64) -> u64 {
    share.saturating_sub(2 * chunk).max(share / 2)
}
