//! The watch: trace events for a while, with a look at the lists now and then.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
};

use hdrhistogram::Histogram;

use super::Args;
use crate::{
    commands::analyze::Format,
    engine::report::OpSummary,
    sources::kernel::{
        live::{Answered, Live},
        look::{Source, Sources},
        mountinfo::Mount,
        peek::{Address, Glance, Kernel},
        sys,
        trace::{Event, Trace, What},
    },
};
use fsd_events::op::Op;

/// How often the buffers are emptied: they hold much more.
const DRAIN_MS: i32 = 20;
/// How often the lists are compared with what was seen live.
const LISTS_EVERY_NS: u64 = 2_000_000_000;

/// What a watch brought.
#[derive(Default)]
pub(super) struct Watched {
    /// None: there are no trace events here.
    pub live: Option<Live>,
    pub events: u64,
    pub dropped: u64,
    pub cancelled: u64,
    pub missing: Vec<String>,
    ops: BTreeMap<String, (Histogram<u32>, u64)>,
}

impl Watched {
    /// Latencies of what was answered.
    pub(super) fn summaries(&self) -> BTreeMap<String, OpSummary> {
        let summary = |(times, errors): &(Histogram<u32>, u64)| OpSummary::new(times.len(), *errors, times, 1);
        self.ops.iter().map(|(op, times)| (op.clone(), summary(times))).collect()
    }

    fn answered(&mut self, answered: &Answered) -> io::Result<()> {
        let name = answered.op().map_or_else(|| format!("opcode {}", answered.open.opcode), |op| op.to_string());
        if !self.ops.contains_key(&name) {
            let empty = Histogram::new(3).map_err(io::Error::other)?;
            self.ops.insert(name.clone(), (empty, 0));
        }
        if let Some((times, errors)) = self.ops.get_mut(&name) {
            times.saturating_record(answered.us.max(1));
            *errors += u64::from(answered.errno != 0);
        }
        Ok(())
    }
}

/// Watches until the time is over or a signal asks to end.
pub(super) fn watch(
    args: &Args,
    seconds: f64,
    mount: &Mount,
    mounts: &[Mount],
    sources: &Sources,
) -> io::Result<Watched> {
    let signals = sys::EndSignals::take()?;
    let mut watched = Watched::default();
    let until = sys::mono_ns().saturating_add((seconds.clamp(0.0, 1e9) * 1e9) as u64);
    let mut trace = match args.without.contains(&Source::Trace) {
        true => Err(io::Error::other("left out")),
        false => Trace::open(mounts, mount.connection()),
    };
    match &trace {
        Ok(_) => watched.live = Some(Live::default()),
        Err(why) => watched.missing.push(format!("trace events: {why}")),
    }
    let mut lists = Lists::new(mount, sources);
    let mut batch = Vec::new();
    let mut ended = false;
    while !ended && sys::mono_ns() < until {
        ended = signals.wait(DRAIN_MS);
        drain(&mut trace, &mut batch);
        take(args, &mut batch, &mut watched)?;
        lists.tick(&mut watched, || {
            let mut late = Vec::new();
            drain(&mut trace, &mut late);
            late
        });
    }
    if let Ok(trace) = &trace {
        watched.dropped = trace.dropped();
    }
    Ok(watched)
}

fn drain(trace: &mut io::Result<Trace>, out: &mut Vec<Event>) {
    if let Ok(trace) = trace {
        trace.drain(out);
    }
}

fn take(args: &Args, batch: &mut Vec<Event>, watched: &mut Watched) -> io::Result<()> {
    // Each processor has its own buffer: in the order of time most pairs meet.
    batch.sort_by_key(|event| event.time_ns);
    for event in batch.drain(..) {
        watched.events += 1;
        if args.events {
            print(args, &event)?;
        }
        let answered = watched.live.as_mut().and_then(|live| live.event(event));
        if let Some(answered) = answered {
            watched.answered(&answered)?;
        }
    }
    if let Some(live) = &mut watched.live {
        live.settle(sys::mono_ns());
    }
    Ok(())
}

fn print(args: &Args, event: &Event) -> io::Result<()> {
    let line = line(event);
    match args.format {
        Format::Json => writeln!(io::stderr(), "{line}"),
        Format::Text => writeln!(io::stdout(), "{line}"),
    }
}

/// One trace event for people.
pub fn line(event: &Event) -> String {
    let seconds = event.time_ns as f64 / 1e9;
    match event.what {
        What::Send { opcode, len } => {
            let name = Op::from_opcode(opcode).map_or_else(|| format!("opcode {opcode}"), |op| op.to_string());
            format!("{seconds:.6} #{} {name} ENTER tid {} len {len}", event.unique, event.tid)
        }
        What::Read => format!("{seconds:.6} #{} READ BY tid {}", event.unique, event.tid),
        What::End { error, len } => {
            format!("{seconds:.6} #{} EXIT errno {} bytes {len} tid {}", event.unique, error.unsigned_abs(), event.tid)
        }
    }
}

/// The kernel's lists, looked at in two steps so that the trace buffers are emptied between them.
struct Lists<'a> {
    kernel: Option<(&'a Kernel, Address)>,
    first: Option<(u64, Glance)>,
    next_ns: u64,
}

impl<'a> Lists<'a> {
    fn new(mount: &Mount, sources: &'a Sources) -> Self {
        let found = sources.holders().of_connection(mount.connection(), mount.kind());
        let address = sources.address(mount.connection(), &found.holders).ok();
        let kernel = sources.kernel.as_ref().ok().zip(address);
        Self { kernel, first: None, next_ns: sys::mono_ns() + LISTS_EVERY_NS }
    }

    /// Drops from the live table what the lists have lost: no event tells of a request that was killed in the queue.
    fn tick(&mut self, watched: &mut Watched, late: impl FnOnce() -> Vec<Event>) {
        let Some((kernel, address)) = self.kernel else { return };
        let now = sys::mono_ns();
        match self.first.take() {
            None if now >= self.next_ns => {
                self.first = kernel.glance(address).ok().map(|glance| (now, glance));
                self.next_ns = now + LISTS_EVERY_NS;
            }
            Some((at, glance)) if now - at >= 100_000_000 => {
                let Ok(view) = kernel.confirm(address, &glance) else { return };
                let Some(live) = &mut watched.live else { return };
                for event in late() {
                    // Answered between the look and now; its latency is lost, not its end.
                    live.event(event);
                }
                let listed = |unique| view.requests.iter().any(|seen| seen.request.unique == unique);
                watched.cancelled += live.keep_listed(&listed, at).len() as u64;
            }
            waiting => self.first = waiting,
        }
    }
}
