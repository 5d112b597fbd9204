//! Watch: the kernel's trace events of one connection, as they come.

use std::collections::{BTreeMap, HashMap};

use fsd_events::op::Op;

use crate::{
    commands::attach::watch::line,
    engine::model::ops::OpStats,
    sources::kernel::{
        holders,
        live::{Answered, Live},
        mountinfo::Mount,
        peek::View,
        sys,
        trace::{self, Event},
    },
    tui::trace::Trace,
};

/// Lines made of one drain at most: no more are kept.
const LINES: usize = 5_000;

pub(in crate::tui::feed) struct Watch {
    events: Option<trace::Trace>,
    pub(in crate::tui::feed) live: Live,
    pub(in crate::tui::feed) stats: BTreeMap<Op, OpStats>,
    /// Why there are no trace events.
    pub(in crate::tui::feed) missing: Option<String>,
    lines: u64,
    names: HashMap<u32, String>,
}

impl Watch {
    pub(in crate::tui::feed) fn new(mounts: &[Mount], connection: u64) -> Self {
        let opened = trace::Trace::open(mounts, connection);
        let missing = opened.as_ref().err().map(ToString::to_string);
        let (live, stats, names) = (Live::default(), BTreeMap::new(), HashMap::new());
        Self { events: opened.ok(), live, stats, missing, lines: 0, names }
    }

    /// Whether what completes is seen.
    pub(in crate::tui::feed) fn is_open(&self) -> bool {
        self.events.is_some()
    }

    /// Requests that were seen to begin and not to end.
    pub(in crate::tui::feed) fn open(&self) -> usize {
        self.live.open().len()
    }

    pub(in crate::tui::feed) fn dropped(&self) -> u64 {
        self.events.as_ref().map_or(0, trace::Trace::dropped)
    }

    /// Takes what the buffers hold.
    pub(in crate::tui::feed) fn drain(&mut self, shown: &mut Trace) {
        let mut batch = Vec::new();
        if let Some(events) = &mut self.events {
            events.drain(&mut batch);
        }
        // Each processor has its own buffer: in the order of time most pairs meet.
        batch.sort_by_key(|event| event.time_ns);
        let unseen = batch.len().saturating_sub(LINES);
        let offset_us = sys::wall_us() - sys::mono_ns() / 1000;
        for (at, event) in batch.into_iter().enumerate() {
            self.lines += 1;
            if at >= unseen {
                shown.line(self.lines, line(&event).as_bytes());
            }
            self.take(event, offset_us, shown);
        }
        self.live.settle(sys::mono_ns());
    }

    fn take(&mut self, event: Event, offset_us: u64, shown: &mut Trace) {
        let at = shown.at(Some(event.time_ns / 1000), Some(event.time_ns / 1000 + offset_us));
        if let Some(answered) = self.live.event(event) {
            self.answered(&answered, at, shown);
        }
    }

    fn answered(&mut self, answered: &Answered, at: u64, shown: &mut Trace) {
        let Some(op) = answered.op() else { return };
        let end = i64::try_from(at).ok();
        self.stats.entry(op).or_default().add(end, Some(answered.us), Some(answered.errno));
        let lane = self.names.entry(answered.tid).or_insert_with(|| lane(answered.tid));
        shown.whole(op, lane, answered.us, at);
    }

    /// Forgets what the kernel's lists do not have: its client was killed while it was queued.
    pub(in crate::tui::feed) fn compare(&mut self, view: Option<&View>, at_ns: u64) {
        let Some(view) = view else { return };
        let listed = |unique| view.requests.iter().any(|seen| seen.request.unique == unique);
        self.live.keep_listed(&listed, at_ns);
    }
}

/// A thread as the lanes call it.
pub(in crate::tui::feed) fn lane(tid: u32) -> String {
    match holders::comm(tid) {
        name if name.is_empty() => format!("thread {tid}"),
        name => format!("{name}/{tid}"),
    }
}
